"""Does the protection reach a verifier that it was not computed against? Every encoder in turn is left out.

``veil`` at default strength against all encoders but one, judged by that one; beside it white noise of equal PESQ, and
the protection that knew it. Writes docs/results/leave_one_out.{md,json}.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
import torch
from speakers import RATE, Clip, batches, clips, corpus_argument, ensemble, few, scores
from torch import Tensor

from voxveil.metrics import quality
from voxveil.metrics.noise_control import noise_of_equal_quality
from voxveil.protectors.veil import Veil
from voxveil.verify.verifier import Verifier

CLIPS_A_SPEAKER = 3


def protected_by(victims: Mapping[str, Verifier], groups: list[list[Clip]]) -> list[Tensor]:
    veil = Veil(tuple(victims.values()))
    return [veil(torch.stack([c.speech for c in group])[:, None], seed=0)[:, 0] for group in groups]


def judged(name: str, verifier: Verifier, sounds: list[Tensor], groups: list[list[Clip]]) -> dict[str, float]:
    parts = [scores(s, group, {name: verifier})[name] for s, group in zip(sounds, groups, strict=True)]
    found = np.concatenate(parts)
    return {"score": float(found.mean()), "accepted_percent": 100.0 * float((found >= verifier.threshold).mean())}


def pesq_of(sounds: list[Tensor], groups: list[list[Clip]]) -> list[float]:
    pairs = [
        (c.speech, s) for group, batch in zip(groups, sounds, strict=True) for c, s in zip(group, batch, strict=True)
    ]
    return [quality.pesq(c.double().numpy(), s.double().numpy(), RATE) for c, s in pairs]


def noisy(groups: list[list[Clip]], pesq: float) -> list[Tensor]:
    clean = [c.speech.double().numpy() for group in groups for c in group]
    made, _ = noise_of_equal_quality(clean, lambda c, n: quality.pesq(c, n, RATE), pesq, seed=0)
    rest = iter(made)
    return [torch.as_tensor(np.stack([next(rest) for _ in group]), dtype=torch.float32) for group in groups]


def main() -> None:
    options = corpus_argument(__doc__).parse_args()
    verifiers = ensemble()
    groups = batches(few(clips(options.corpus, verifiers), CLIPS_A_SPEAKER))
    clean = [torch.stack([c.speech for c in group]) for group in groups]
    known = protected_by(verifiers, groups)
    rows = {}
    for name, verifier in verifiers.items():
        unknown = protected_by({n: v for n, v in verifiers.items() if n != name}, groups)
        pesq = float(np.mean(pesq_of(unknown, groups)))
        versions = {"clean": clean, "noise": noisy(groups, pesq), "left_out": unknown, "known": known}
        found = {version: judged(name, verifier, sounds, groups) for version, sounds in versions.items()}
        rows[name] = {"threshold": verifier.threshold, "pesq_wb": pesq, **found}
        print(name, json.dumps(rows[name]), flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "leave_one_out.json").write_text(json.dumps(rows, indent=1) + "\n")
    (options.out / "leave_one_out.md").write_text(table(rows, sum(map(len, groups))))


def table(rows: dict[str, dict], count: int) -> str:
    lines = [
        "# Leave one out: verifiers that the protection did not know",
        "",
        f"{count} clips of five speakers of LibriSpeech test-other. `veil` at default strength against all encoders of",
        "the ensemble but one, judged by that one; beside it the protection that knew it, too. Mean scores, and in",
        "brackets how many of a hundred clips are accepted at the threshold of the card.",
        "",
        "| judge | threshold | clean | noise of equal PESQ | protected, judge left out | judge known | PESQ-wb |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in rows.items():
        cells = [
            f"{row[v]['score']:.3f} ({row[v]['accepted_percent']:.0f})" for v in ("clean", "noise", "left_out", "known")
        ]
        lines.append(f"| {name} | {row['threshold']:.3f} | {' | '.join(cells)} | {row['pesq_wb']:.2f} |")
    return "\n".join([*lines, "", "Again: `python benchmarks/leave_one_out.py --corpus LIBRISPEECH/test-other`", ""])


if __name__ == "__main__":
    main()
