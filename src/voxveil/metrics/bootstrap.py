"""How far an error rate may be trusted: another draw of speakers would have given another one.

Trials that share a speaker go wrong together, so resampling trials makes intervals far too narrow. Speakers are
resampled instead (the subsets bootstrap: R. M. Bolle, N. K. Ratha, S. Pankanti, Computer Vision and Image Understanding
93, 2004; N. Poh, S. Bengio, IEEE Trans. PAMI 29, 2007). An impostor trial has two speakers, and both are drawn from
the same ones: a trial counts as often as its speakers were drawn, the product of their multiplicities (A. Owen,
D. Eckles, Annals of Applied Statistics 6, 2012), and a genuine trial as often as its one speaker. Two copies of one
speaker make no trial with each other: they are the same recordings.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float64, Int

from voxveil.metrics.rates import Genuine, Impostor, nearest_crossing, thresholds

Weights = Int[np.ndarray, " trial"]
Speakers = Int[np.ndarray, "trial 2"]


def bootstrap_equal_error_rate(
    genuine: Genuine,
    impostor: Impostor,
    genuine_speakers: Int[np.ndarray, "genuine 2"],
    impostor_speakers: Int[np.ndarray, "impostor 2"],
    resamples: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """(low, high): the 95 % percentile interval of the equal error rate over draws of as many speakers.

    A draw that leaves no genuine or no impostor trial has no error rate and is drawn again. With fewer than about ten
    speakers the interval is too narrow, and without errors it is (0, 0): no draw can show what never happened.

    Args:
        genuine: Scores of genuine trials.
        impostor: Scores of impostor trials.
        genuine_speakers: Both speakers of every genuine trial, numbered 0, 1, …; commonly the same one twice.
        impostor_speakers: Both speakers of every impostor trial, from the same numbers.
        resamples: How many draws.
        seed: The same seed gives the same interval.

    >>> genuine, impostor = np.arange(10.0), np.arange(10.0) - 5.0
    >>> alone = np.arange(10)
    >>> same, other = np.stack([alone, alone], axis=1), np.stack([alone, (alone + 1) % 10], axis=1)
    >>> low, high = bootstrap_equal_error_rate(genuine, impostor, same, other, resamples=100)
    >>> low < 0.25 < high
    True
    """
    rate = weighted_equal_error_rate(genuine, impostor)
    count = 1 + max(int(genuine_speakers.max()), int(impostor_speakers.max()))
    generator = np.random.default_rng(seed)
    rates: list[float] = []
    while len(rates) < resamples:
        times_drawn = np.bincount(generator.integers(count, size=count), minlength=count)
        weights = trial_weights(times_drawn, genuine_speakers), trial_weights(times_drawn, impostor_speakers)
        if weights[0].any() and weights[1].any():
            rates.append(rate(*weights))
    low, high = np.quantile(rates, [0.025, 0.975])
    return float(low), float(high)


def trial_weights(times_drawn: Int[np.ndarray, " speaker"], speakers: Speakers) -> Weights:
    """How often every trial counts: the product over its *different* speakers of how often they were drawn.

    >>> trial_weights(np.array([2, 3, 0]), np.array([[0, 0], [0, 1], [1, 2]])).tolist()
    [2, 6, 0]
    """
    first, second = speakers.T
    return np.where(first == second, times_drawn[first], times_drawn[first] * times_drawn[second])


def weighted_equal_error_rate(genuine: Genuine, impostor: Impostor) -> Callable[[Weights, Weights], float]:
    """The equal error rate as a function of how often each genuine and each impostor trial counts.

    Where each counts once it is :func:`~voxveil.metrics.rates.equal_error_rate`. Scores are sorted here, so that the
    function only adds up; it needs a weight above 0 on either side.

    >>> rate = weighted_equal_error_rate(np.array([0.2, 0.8]), np.array([0.1, 0.5]))
    >>> rate(np.array([1, 1]), np.array([1, 1])), rate(np.array([0, 1]), np.array([1, 1]))
    (0.5, 0.0)
    """
    edges = thresholds(genuine, impostor)
    refused_share, below_share = _share_below(genuine, edges), _share_below(impostor, edges)

    def rate(genuine_weights: Int[np.ndarray, " genuine"], impostor_weights: Int[np.ndarray, " impostor"]) -> float:
        refused, accepted = refused_share(genuine_weights), 1.0 - below_share(impostor_weights)
        crossing = nearest_crossing(accepted, refused)
        return float((accepted + refused)[crossing] / 2.0)

    return rate


def _share_below(
    scores: Float64[np.ndarray, " trial"], edges: Float64[np.ndarray, " edge"]
) -> Callable[[Weights], Float64[np.ndarray, " edge"]]:
    rising = np.argsort(scores)
    below = np.searchsorted(scores[rising], edges)

    def share(weights: Weights) -> Float64[np.ndarray, " edge"]:
        reached = np.concatenate([[0], np.cumsum(weights[rising])])
        return reached[below] / reached[-1]

    return share
