"""How well GE2E tells the speakers apart: equal error rate over all pairs of utterances, and where its threshold lies.

Writes docs/results/verification.{md,json}.
"""

from __future__ import annotations

import itertools
import json

import numpy as np
import torch
from speakers import corpus_argument, utterances

from voxveil import hub, loading
from voxveil.metrics.rates import equal_error_rate
from voxveil.models.speaker.ge2e import GE2E


def scores(embedder: torch.nn.Module, found: dict[str, list]) -> tuple[np.ndarray, np.ndarray]:
    """Cosines of all pairs of the same and of different speakers."""
    with torch.no_grad():
        spoken = [(speaker, embedder(s[None])[0]) for speaker, same in found.items() for _, s in same]
    genuine, impostor = [], []
    for (one, x), (other, y) in itertools.combinations(spoken, 2):
        (genuine if one == other else impostor).append(float(x @ y))
    return np.array(genuine), np.array(impostor)


def main() -> None:
    options = corpus_argument(__doc__).parse_args()
    found = utterances(options.corpus)
    threshold = hub.card("ge2e").thresholds["cosine"]["eer"].value
    torch.manual_seed(0)
    rows = {}
    for name, embedder in (("published weights", loading.embedder("ge2e")), ("random weights", GE2E().eval())):
        genuine, impostor = scores(embedder, found)
        rate, at = equal_error_rate(genuine, impostor)
        rows[name] = {
            "equal_error_rate_percent": 100 * rate,
            "threshold": at,
            "least_genuine": float(genuine.min()),
            "greatest_impostor": float(impostor.max()),
            "false_rejection_percent_at_card": 100 * float((genuine < threshold).mean()),
            "false_acceptance_percent_at_card": 100 * float((impostor >= threshold).mean()),
            "genuine_trials": len(genuine),
            "impostor_trials": len(impostor),
        }
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "verification.json").write_text(json.dumps(rows, indent=1) + "\n")
    (options.out / "verification.md").write_text(table(rows, threshold, len(found)))
    print(table(rows, threshold, len(found)))


def table(rows: dict[str, dict[str, float]], threshold: float, speakers: int) -> str:
    lines = [
        "# GE2E as a verifier",
        "",
        f"All pairs of whole utterances of {speakers} speakers of LibriSpeech test-other. The same network with random",
        f"weights stands beside it. FRR and FAR are at the card's threshold, {threshold}.",
        "",
        "| weights | trials same, other | EER % | at threshold | least genuine | greatest impostor | FRR % | FAR % |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {name} | {r['genuine_trials']}, {r['impostor_trials']} | {r['equal_error_rate_percent']:.2f} "
        f"| {r['threshold']:.3f} | {r['least_genuine']:.3f} | {r['greatest_impostor']:.3f} "
        f"| {r['false_rejection_percent_at_card']:.2f} | {r['false_acceptance_percent_at_card']:.2f} |"
        for name, r in rows.items()
    ]
    return "\n".join([*lines, "", "Again: `python benchmarks/verification.py --corpus LIBRISPEECH/test-other`", ""])


if __name__ == "__main__":
    main()
