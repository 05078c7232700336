"""Error rates of verification: false acceptance, false rejection, and where they are equal."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]


def equal_error_rate(genuine: Scores, impostor: Scores) -> tuple[float, float]:
    """(rate, threshold) where as many impostors are accepted as genuine speakers are refused.

    ``genuine`` and ``impostor`` are scores of trials with the same and with another speaker, higher meaning more alike;
    a probe is accepted at score ≥ threshold. Where no threshold makes both rates equal, their mean at the nearest one
    is given; where a whole range of thresholds is equally good, its middle.

    >>> equal_error_rate(np.array([0.8, 0.9]), np.array([0.2, 0.3]))
    (0.0, 0.55)
    """
    scores = np.unique(np.concatenate([genuine, impostor]))
    edges = np.concatenate([[scores[0] - 1e-6], (scores[1:] + scores[:-1]) / 2.0, [scores[-1] + 1e-6]])
    refused = np.searchsorted(np.sort(genuine), edges) / len(genuine)
    accepted = 1.0 - np.searchsorted(np.sort(impostor), edges) / len(impostor)
    gap = np.abs(refused - accepted)
    best = np.flatnonzero(np.isclose(gap, gap.min()))
    middle = best[len(best) // 2]
    return float((refused[middle] + accepted[middle]) / 2.0), float(edges[middle])
