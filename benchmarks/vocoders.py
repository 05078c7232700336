"""What do the vocoders lose? Recorded speech through 80 mel levels and back: copy synthesis.

Five speakers of the corpus, none of them heard in training, two clips of each, the first 6 s. Every copy is compared
with its original: log mel error, PESQ, STOI, DNSMOS, and whether a verifier takes it for the original's speaker, beside
the originals of the four other speakers. The last column is DNSMOS of AdaIN-VC's clones, not adapted, one of each
speaker from the next one's first clip. Writes docs/results/vocoder.{md,json}.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from cloners import JUDGES, mos
from speakers import CLIP_S, RATE, corpus_argument, utterances
from torch import Tensor

from voxveil import loading
from voxveil.clone.conversion import ConversionCloner
from voxveil.metrics import quality
from voxveil.models.conversion.standard_mel import SPREAD, StandardMel
from voxveil.models.vocoder.mel_griffin_lim import MelGriffinLim
from voxveil.models.vocoder.standard_hifigan import LevelsVocoder
from voxveil.train.disguise import NEPER_DB

CLIPS_A_SPEAKER = 2

Vocoder = Callable[[Tensor], Tensor]


def vocoders() -> dict[str, Vocoder]:
    return {
        "HiFi-GAN, shipped": LevelsVocoder.of(loading.vocoder("hifigan")),
        "Griffin-Lim, 32 iterations": MelGriffinLim(StandardMel(), iterations=32),
        "Griffin-Lim, 100 iterations": MelGriffinLim(StandardMel(), iterations=100),
    }


def chosen(spoken: Mapping[str, list[Tensor]]) -> tuple[list[str], Tensor]:
    """The first clips of full length of every speaker, [clip, time], whole frames, and whose they are."""
    samples = round(CLIP_S * RATE) // StandardMel.hop_samples * StandardMel.hop_samples
    whole = {speaker: [c[:samples] for c in clips if len(c) >= samples] for speaker, clips in spoken.items()}
    owned = [(speaker, clip) for speaker, clips in whole.items() for clip in clips[:CLIPS_A_SPEAKER]]
    return [speaker for speaker, _ in owned], torch.stack([clip for _, clip in owned])


def copies(vocoder: Vocoder, levels: Tensor) -> tuple[Tensor, float]:
    """Copies one by one, as a cloner makes them, and seconds of work a second of sound."""
    with torch.no_grad():
        vocoder(levels[:1])
        started = time.perf_counter()
        made = torch.cat([vocoder(one[None]) for one in levels])
        took_s = time.perf_counter() - started
    return made, took_s * RATE / made.numel()


def judged(made: Tensor, speech: Tensor, owners: list[str]) -> dict[str, dict[str, float]]:
    found = {}
    own = torch.eye(len(owners), dtype=torch.bool)
    others = torch.tensor([[a != b for b in owners] for a in owners])
    for judge in JUDGES:
        verifier = loading.verifier(judge)
        with torch.no_grad():
            mine, original = (F.normalize(verifier.embedder(sound), dim=1) for sound in (made, speech))
        scores = mine @ original.T
        accepted = (scores >= verifier.threshold).float()
        found[judge] = {
            "threshold": verifier.threshold,
            "score": float(scores[own].mean()),
            "accepted_percent": 100.0 * float(accepted[own].mean()),
            "others_accepted_percent": 100.0 * float(accepted[others].mean()),
        }
    return found


def row(made: Tensor, speech: Tensor, owners: list[str]) -> dict[str, Any]:
    mel = StandardMel()
    pairs = [(o.double().numpy(), m.double().numpy()) for o, m in zip(speech, made, strict=True)]
    return {
        "mel_error_db": SPREAD * NEPER_DB * float((mel(made) - mel(speech)).abs().mean()),
        "pesq": float(np.mean([quality.pesq(original, copy, RATE) for original, copy in pairs])),
        "stoi": float(np.mean([quality.stoi(original, copy, RATE) for original, copy in pairs])),
        "dnsmos": mos(list(made)),
        "judges": judged(made, speech, owners),
    }


def cloned_mos(vocoder: Vocoder, speech: Tensor) -> float | None:
    cloner = ConversionCloner(loading.converter("adain-vc"), adaptation_steps=0, vocoder=vocoder)
    voices = speech[::CLIPS_A_SPEAKER]
    return mos([cloner([voice], [said])[0] for voice, said in zip(voices, voices.roll(-1, 0), strict=True)])


def table(rows: Mapping[str, Mapping[str, Any]]) -> str:
    lines = [
        "# The vocoders of the small converters",
        "",
        "Copy synthesis: recorded speech → 80 mel levels → speech, two clips of 6 s of each of five speakers of",
        "LibriSpeech test-other, of whom the HiFi-GAN heard nothing. Log mel error: mean absolute difference of the",
        "levels. PESQ (wide band) and STOI: the copy's against the original. Accepted: copies whose similarity to",
        "their own original reaches a verifier's threshold (in brackets: to the originals of the four others), and",
        "the mean similarity. Clones: DNSMOS of five clones by AdaIN-VC, not adapted. × real time: one thread, clip by",
        "clip; other work may have run on the machine.",
        "",
        f"| vocoder | log mel error, dB | PESQ | STOI | DNSMOS | {' | '.join(JUDGES)} | clones | × real time |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, found in rows.items():
        verdicts = [
            f"{j['accepted_percent']:.0f} % ({j['others_accepted_percent']:.0f} %), {j['score']:.2f}"
            for j in found["judges"].values()
        ]
        heard, clones = (_written(found[key], 2) for key in ("dnsmos", "clone_dnsmos"))
        speed = _written(found["real_time_factor"], 3)
        lines.append(
            f"| {name} | {found['mel_error_db']:.2f} | {found['pesq']:.2f} | {found['stoi']:.3f} | {heard} "
            f"| {' | '.join(verdicts)} | {clones} | {speed} |"
        )
    return "\n".join([*lines, "", "Again: `python benchmarks/vocoders.py --corpus LIBRISPEECH/test-other`", ""])


def _written(figure: float | None, digits: int) -> str:
    return "–" if figure is None else f"{figure:.{digits}f}"


def main() -> None:
    options = corpus_argument(__doc__).parse_args()
    torch.set_num_threads(1)
    owners, speech = chosen({name: [clip for _, clip in found] for name, found in utterances(options.corpus).items()})
    rows = {"none: the recording": {**row(speech, speech, owners), "clone_dnsmos": None, "real_time_factor": None}}
    for name, vocoder in vocoders().items():
        made, factor = copies(vocoder, StandardMel()(speech))
        clones = cloned_mos(vocoder, speech)
        rows[name] = {**row(made, speech, owners), "clone_dnsmos": clones, "real_time_factor": factor}
        print(name, json.dumps(rows[name]), flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "vocoder.json").write_text(json.dumps(rows, indent=1) + "\n")
    (options.out / "vocoder.md").write_text(table(rows))


if __name__ == "__main__":
    main()
