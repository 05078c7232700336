"""How long DiffVC's sampler takes, at the published size and at that of the recipe.

4 s of sound for source and reference (what it holds is of no account, nor are the weights: random), one reference or
five in a batch, one thread and two. Every step is as much work as every other, so at the published size only two steps
are timed and multiplied. Writes docs/results/diffvc_sampler.{md,json}.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from voxveil.clone.diffvc import DiffVCConverter
from voxveil.models.conversion.diffvc import DiffVC
from voxveil.train.recipes import CONVERTERS

AUDIO_S = 4.0
STEPS = (6, 30, 100)
REFERENCES = (1, 5)
THREADS = (1, 2)


@dataclass(frozen=True)
class Size:
    """A network, its frames a second, the width of its speaker embedding, and the numbers of steps that are timed."""

    network: DiffVC
    frames_per_s: float
    dim: int
    timed: tuple[int, ...]


def sizes() -> Mapping[str, Size]:
    recipe = CONVERTERS["diffvc"].size
    small = DiffVCConverter(**recipe).network
    return {
        "published": Size(DiffVC(), 22_050 / 256, 256, (2,)),
        "recipe": Size(small, 16_000 / 256, recipe["dim"], STEPS),
    }


@torch.no_grad()
def taken_s(size: Size, references: int, steps: int) -> tuple[float, float]:
    """Seconds for the average voices, and for the sampler."""
    frames = round(AUDIO_S * size.frames_per_s)
    network, generator = size.network.eval(), torch.Generator().manual_seed(0)
    began = time.perf_counter()
    source = network.utterance(torch.randn(1, network.n_mels, frames))
    reference = network.utterance(torch.randn(references, network.n_mels, frames))
    between = time.perf_counter()
    network.convert(source, reference, torch.randn(references, size.dim), steps=steps, generator=generator)
    return between - began, time.perf_counter() - between


def rows() -> list[dict[str, Any]]:
    found = []
    for name, size in sizes().items():
        for threads in THREADS:
            torch.set_num_threads(threads)
            taken_s(size, 1, 1)
            for references in REFERENCES:
                timed = {steps: taken_s(size, references, steps) for steps in size.timed}
                for steps in STEPS:
                    encoder_s, sampler_s = timed.get(steps) or timed[size.timed[-1]]
                    seconds = encoder_s + sampler_s * (1.0 if steps in timed else steps / size.timed[-1])
                    found.append(
                        {
                            "size": name,
                            "parameters": sum(p.numel() for p in size.network.parameters()),
                            "threads": threads,
                            "references": references,
                            "steps": steps,
                            "timed": steps in timed,
                            "seconds": seconds,
                            "real_time_factor": seconds / (references * AUDIO_S),
                        }
                    )
                    print(json.dumps(found[-1]), flush=True)
    return found


def table(found: list[dict[str, Any]]) -> str:
    lines = [
        "# Speed of DiffVC's sampler",
        "",
        f"Seconds (and × real time, of all the speech that is made) from mel spectra to mel spectra: {AUDIO_S:g} s of",
        "source in the voices of one reference, or of five in one batch, each as long. Average voices included, no",
        "vocoder. Random weights. ≈: two steps timed and multiplied.",
        "",
        f"| size | million parameters | threads | references | {' | '.join(f'{n} steps' for n in STEPS)} |",
        "|---|---|---|---|---|---|---|",
    ]
    for at in range(0, len(found), len(STEPS)):
        first = found[at]
        cells = [
            f"{'' if row['timed'] else '≈ '}{row['seconds']:.3g} ({row['real_time_factor']:.3g})"
            for row in found[at : at + len(STEPS)]
        ]
        head = f"| {first['size']} | {first['parameters'] / 1e6:.1f} | {first['threads']} | {first['references']} "
        lines.append(f"{head}| {' | '.join(cells)} |")
    return "\n".join([*lines, "", "Again: `python benchmarks/diffvc_sampler.py`", ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/results"), help="where the table goes")
    options = parser.parse_args()
    found = rows()
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "diffvc_sampler.json").write_text(json.dumps(found, indent=1) + "\n")
    (options.out / "diffvc_sampler.md").write_text(table(found))


if __name__ == "__main__":
    main()
