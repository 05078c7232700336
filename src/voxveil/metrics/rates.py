"""Error rates of verification: false acceptance, false rejection, and the thresholds between them.

``genuine`` and ``impostor`` are scores of trials with the same and with another speaker, at least one of each, higher
meaning more alike. A probe is accepted at score ≥ threshold. Rates are fractions 0 … 1.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64

Genuine = Float64[np.ndarray, " genuine"]
Impostor = Float64[np.ndarray, " impostor"]
Edges = Float64[np.ndarray, " edge"]


def false_rejection_rate(genuine: Genuine, threshold: float) -> float:
    """The share of genuine trials that are refused (FRR, also P_miss).

    >>> false_rejection_rate(np.array([0.6, 0.7, 0.8, 0.9]), 0.7)
    0.25
    """
    return float(np.mean(genuine < threshold))


def false_acceptance_rate(impostor: Impostor, threshold: float) -> float:
    """The share of impostor trials that are accepted (FAR, also P_fa).

    >>> false_acceptance_rate(np.array([0.1, 0.2, 0.3, 0.7]), 0.7)
    0.25
    """
    return float(np.mean(impostor >= threshold))


def thresholds(genuine: Genuine, impostor: Impostor) -> Edges:
    """One threshold for every decision that differs, rising: midway between neighbours among all scores, and beyond.

    Equal scores are accepted or refused together, so there is no threshold between them. The first accepts every
    trial and the last none.

    >>> thresholds(np.array([0.8, 0.4]), np.array([0.2, 0.4])).round(3).tolist()
    [0.2, 0.3, 0.6, 0.8]
    """
    scores = np.unique(np.concatenate([genuine, impostor]))
    return np.concatenate([[scores[0] - 1e-6], (scores[1:] + scores[:-1]) / 2.0, [scores[-1] + 1e-6]])


def det_points(genuine: Genuine, impostor: Impostor) -> tuple[Edges, Edges]:
    """(false acceptance, false rejection) at each of :func:`thresholds`, from (1, 0) to (0, 1).

    On normal-deviate axes they are the detection error trade-off curve (A. Martin et al., Eurospeech 1997).

    >>> accepted, refused = det_points(np.array([0.8, 0.9]), np.array([0.2, 0.85]))
    >>> accepted.tolist(), refused.tolist()
    ([1.0, 0.5, 0.5, 0.0, 0.0], [0.0, 0.0, 0.5, 0.5, 1.0])
    """
    edges = thresholds(genuine, impostor)
    # Counts before shares: 1 − 99 / 100 is a little more than 1 / 100.
    accepted = len(impostor) - np.searchsorted(np.sort(impostor), edges)
    return accepted / len(impostor), np.searchsorted(np.sort(genuine), edges) / len(genuine)


def equal_error_rate(genuine: Genuine, impostor: Impostor) -> tuple[float, float]:
    """(rate, threshold) where as many impostors are accepted as genuine speakers are refused.

    Where no threshold makes both rates equal, their mean at the nearest one is given; where a whole range of thresholds
    is equally good, its middle.

    >>> equal_error_rate(np.array([0.8, 0.9]), np.array([0.2, 0.3]))
    (0.0, 0.55)
    """
    accepted, refused = det_points(genuine, impostor)
    crossing = nearest_crossing(accepted, refused)
    return float((accepted + refused)[crossing] / 2.0), float(thresholds(genuine, impostor)[crossing])


def nearest_crossing(accepted: Edges, refused: Edges) -> int:
    """The index where the two rates are most nearly equal; the middle one of several.

    >>> nearest_crossing(np.array([1.0, 0.5, 0.2, 0.0]), np.array([0.0, 0.1, 0.3, 1.0]))
    2
    """
    gap = np.abs(refused - accepted)
    best = np.flatnonzero(np.isclose(gap, gap.min()))
    return int(best[len(best) // 2])


def threshold_at_false_rejection(genuine: Genuine, impostor: Impostor, rate: float) -> float:
    """The greatest of :func:`thresholds` at which at most the share ``rate`` of genuine trials is refused.

    Every threshold up to the lowest genuine score that has to be accepted refuses as few. The one given lies midway
    between that score and the next lower of all scores, and so accepts no more impostors than that score itself would.

    >>> threshold_at_false_rejection(np.array([3.0, 7.0, 8.0, 9.0]), np.array([1.0, 6.0]), rate=0.25)
    6.5
    """
    refused = det_points(genuine, impostor)[1]
    return float(thresholds(genuine, impostor)[np.flatnonzero(refused <= rate)[-1]])


def threshold_at_false_acceptance(genuine: Genuine, impostor: Impostor, rate: float) -> float:
    """The least of :func:`thresholds` at which at most the share ``rate`` of impostor trials is accepted.

    It lies midway between the highest impostor score that has to be refused and the next higher of all scores, and so
    refuses no more genuine trials than it must.

    >>> threshold_at_false_acceptance(np.array([7.0, 9.0]), np.array([1.0, 2.0, 6.0, 8.0]), rate=0.25)
    6.5
    """
    accepted = det_points(genuine, impostor)[0]
    return float(thresholds(genuine, impostor)[np.flatnonzero(accepted <= rate)[0]])


def min_dcf(
    genuine: Genuine, impostor: Impostor, p_target: float = 0.01, c_miss: float = 1.0, c_false_alarm: float = 1.0
) -> float:
    """The normalised detection cost at the best threshold, 0 … 1 (NIST speaker recognition evaluations).

    cost = c_miss · p_target · FRR + c_false_alarm · (1 − p_target) · FAR, divided by that of the better of two
    decisions that listen to nothing: always yes, or always no.

    Args:
        genuine: Scores of genuine trials.
        impostor: Scores of impostor trials.
        p_target: How probable a genuine trial is, inside 0 … 1.
        c_miss: The cost of a false rejection, above 0.
        c_false_alarm: The cost of a false acceptance, above 0.

    >>> min_dcf(np.array([0.3, 0.8, 0.9, 1.0]), np.array([0.1, 0.2, 0.4, 0.5]))
    0.25
    """
    accepted, refused = det_points(genuine, impostor)
    miss, false_alarm = c_miss * p_target, c_false_alarm * (1.0 - p_target)
    return float(np.min(miss * refused + false_alarm * accepted) / min(miss, false_alarm))
