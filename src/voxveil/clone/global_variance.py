"""Spectra that are as lively as the reference's, and coloured like it.

A network that is trained to be near the truth on average says the average: its spectra vary too little over time, and
verifiers hear that. Each band is brought to the mean and the deviation that it has in the reference, measured where
somebody speaks (T. Toda, A. Black, K. Tokuda, "Voice Conversion Based on Maximum-Likelihood Estimation of Spectral
Parameter Trajectory", IEEE TASLP 15(8), 2007, call the deviation the global variance).
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

Levels = Float[Tensor, "mel frame"]


def with_statistics_of(levels: Levels, reference: Float[Tensor, "mel frame2"]) -> Levels:
    """Log mel ``levels`` with every band's mean and deviation as in ``reference``; both in the louder frames.

    >>> import torch
    >>> levels, reference = torch.randn(4, 1000), 3.0 + 2.0 * torch.randn(4, 1000)
    >>> abs(float(with_statistics_of(levels, reference).mean()) - 3.0) < 0.2
    True
    """
    mean, deviation = _spoken_statistics(levels)
    wanted_mean, wanted_deviation = _spoken_statistics(reference)
    return (levels - mean) / deviation.clamp_min(1e-4) * wanted_deviation + wanted_mean


def _spoken_statistics(levels: Tensor) -> tuple[Tensor, Tensor]:
    loudness = levels.mean(0)
    spoken = levels[:, loudness >= loudness.mean()]
    return spoken.mean(1, keepdim=True), spoken.std(1, keepdim=True, correction=0)
