"""Seconds that VoiceCloak takes for a second of speech at DiffVC's published size, beside a naive formulation.

    python benchmarks/voicecloak_speed.py [--quick]

The weights are random: time does not depend on them. One step is timed, after one that is not counted, and
multiplied by the published number of steps; what is computed once is added. The naive formulation takes one backward
pass for each of the four losses and looks at the clean speech and at noise again every time. ``--quick`` times a single
step of a small network with a short clip, prints it and writes nothing.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Generator, Tensor

from voxveil.clone.diffvc import DiffVCConverter
from voxveil.models.speaker.ge2e import GE2E
from voxveil.protectors.voicecloak import VoiceCloak, Weights
from voxveil.verify.scorers import cosine
from voxveil.verify.verifier import Verifier

RESULTS = Path(__file__).parent.parent / "docs" / "results"
STEPS = 50
SECONDS = 1.0
PUBLISHED_S = 148.66
THREADS = 1


def main() -> None:
    """Measures, and writes ``docs/results/voicecloak_speed``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one step of a small network, nothing is written")
    quick = parser.parse_args().quick
    torch.manual_seed(0)
    small = {"encoder_channels": 16, "filters": 32, "layers": 1, "postnet_channels": 8, "channels": 8}
    converter = DiffVCConverter(**(small if quick else {})).eval()
    protector = VoiceCloak(converter, (Verifier("ge2e", GE2E().eval(), cosine, 0.7),))
    clean = 0.1 * torch.randn(1, round((0.25 if quick else SECONDS) * protector.sample_rate))
    torch.set_num_threads(THREADS)
    # The first calls of GE2E's recurrent layers take seconds, whatever their length: neither is to pay for them.
    seconds(joint, protector, clean[:, : clean.shape[1] // 4])
    ours, naive = (seconds(make, protector, clean) for make in (joint, apart))
    took = {"threads": THREADS, "ours_s": ours, "naive_s": naive}
    print(json.dumps(took), flush=True)
    if not quick:
        write(took)


def seconds(make: Callable[[VoiceCloak, Tensor], Callable[[], None]], protector: VoiceCloak, clean: Tensor) -> float:
    """The time for one clip: what is done once, and one step multiplied to all."""
    started = time.perf_counter()
    step = make(protector, clean)
    once_s = time.perf_counter() - started
    step()
    started = time.perf_counter()
    step()
    return once_s + STEPS * (time.perf_counter() - started)


def joint(protector: VoiceCloak, clean: Tensor) -> Callable[[], None]:
    """A step of ours: one backward pass, the clean speech known."""
    objective = protector.objective(clean, Generator().manual_seed(0))

    def step() -> None:
        adversarial = (clean + 1e-4).requires_grad_()
        torch.autograd.grad(objective(adversarial).sum(), adversarial)

    return step


def apart(protector: VoiceCloak, clean: Tensor) -> Callable[[], None]:
    """A step of the naive formulation: every loss by itself, with all that it needs."""
    names = list(asdict(Weights()))

    def step() -> None:
        for name in names:
            weights = Weights().without([other for other in names if other != name])
            alone = VoiceCloak(protector.converter, protector.victims, weights)
            joint(alone, clean)()

    return step


def write(took: dict[str, float]) -> None:
    """The table and its numbers."""
    (RESULTS / "voicecloak_speed.json").write_text(json.dumps(took, indent=2) + "\n")
    lines = [
        "# VoiceCloak's time for a clip",
        "",
        f"A clip of {SECONDS:g} s, DiffVC at its published size with random weights, GE2E as the speaker encoder,",
        f"float32 on one CPU thread. One step is timed and multiplied by {STEPS}; what is computed once is",
        f"added. The paper gives {PUBLISHED_S:g} s for a clip of about 7 s on an NVIDIA RTX 3090, for {STEPS} steps of",
        "five gradients each.",
        "",
        "| ours, s | naive, s | naive / ours |",
        "|---|---|---|",
        f"| {took['ours_s']:.0f} | {took['naive_s']:.0f} | {took['naive_s'] / took['ours_s']:.1f} |",
        "",
        "Again: `python benchmarks/voicecloak_speed.py`",
    ]
    (RESULTS / "voicecloak_speed.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
