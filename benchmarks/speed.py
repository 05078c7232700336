"""What the default protection costs beside the bare forward and backward passes it needs.

Three timings of the same 40 steps on the same speech, two threads: the encoder's forward and backward passes alone;
those of everything in the loss (carrier, encoder, perceptual terms) written out without solver or bookkeeping; and the
protector itself. And one clip through files: read, protect, write, with the encoder already loaded. Writes
docs/results/speed.{md,json}.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import soundfile as sf
import torch
from speakers import RATE, batches, clips, corpus_argument

from voxveil import api, loading
from voxveil.protectors.veil import EFFORT_STEPS, Veil

ROUNDS = 5


def seconds(call: Callable[[], object]) -> float:
    call()
    taken = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        call()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def main() -> None:
    options = corpus_argument(__doc__).parse_args()
    torch.set_num_threads(2)
    embedder = loading.embedder("ge2e")
    speech = torch.stack([c.speech for c in batches(clips(options.corpus, {"ge2e": loading.verifier("ge2e")}), 4)[0]])
    audio_s = speech.numel() / RATE
    steps = EFFORT_STEPS["normal"]
    coarse, veil = embedder.coarse(), Veil((loading.verifier("ge2e"),))
    carrier = veil.carrier()
    objective = veil.objective(speech, torch.Generator().manual_seed(0))
    leaves = [torch.zeros(shape, requires_grad=True) for shape in carrier.shapes(speech)]
    probe = speech.clone().requires_grad_()

    def encoder() -> None:
        for step in range(steps):
            # The same framing as in the attack: a random start of up to 0.8 s.
            coarse(probe[:, (step * 997) % 12_800 :]).sum().backward()
            probe.grad = None

    def passes() -> None:
        for _ in range(steps):
            torch.autograd.grad(objective(carrier(tuple(leaves), speech)).sum(), leaves)

    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder, "clean.wav"), Path(folder, "protected.wav")
        sf.write(source, speech[0].numpy(), RATE)
        file_s = seconds(lambda: api.protect_file(source, out, veil, overwrite=True))

    figures = {
        "audio_s": audio_s,
        "file_real_time_factor": file_s / (speech.shape[1] / RATE),
        "encoder_s": seconds(encoder),
        "passes_s": seconds(passes),
        "protector_s": seconds(lambda: veil(speech[:, None], seed=0)),
    }
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "speed.json").write_text(json.dumps(figures, indent=1) + "\n")
    (options.out / "speed.md").write_text(table(figures))
    print(table(figures))


def table(figures: dict[str, float]) -> str:
    rows = [
        ("encoder forward and backward, 40 steps", "encoder_s"),
        ("all forward and backward passes (carrier, encoder, perceptual terms)", "passes_s"),
        ("`veil`, `--effort normal`", "protector_s"),
    ]
    lines = [
        "# Speed of the default protection",
        "",
        f"{figures['audio_s']:.0f} s of speech in one batch, two CPU threads, median of {ROUNDS} rounds.",
        "",
        "| what | seconds | × length of the audio | × encoder | × all passes |",
        "|---|---|---|---|---|",
    ]
    for title, key in rows:
        took = figures[key]
        lines.append(
            f"| {title} | {took:.2f} | {took / figures['audio_s']:.3f} | {took / figures['encoder_s']:.2f} "
            f"| {took / figures['passes_s']:.2f} |"
        )
    alone = f"One clip of 6 s through files takes {figures['file_real_time_factor']:.2f} × its length."
    return "\n".join([*lines, "", alone, "", "Again: `python benchmarks/speed.py --corpus LIBRISPEECH/test-other`", ""])


if __name__ == "__main__":
    main()
