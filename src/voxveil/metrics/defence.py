"""When a protection has succeeded against a cloner: the clone is nobody's voice, and not even good speech.

Q. Hu et al.: VoiceCloak, arXiv 2505.12332, 2025. The share of clones that a verifier accepts, which papers call attack
success rate or speaker verification accuracy, is :func:`voxveil.metrics.rates.false_acceptance_rate` of their scores.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64

PUBLISHED_THRESHOLD = 0.25
"""From this cosine ECAPA-TDNN's publishers take two recordings for one speaker's."""

PUBLISHED_QUALITY = 3.0
"""From this NISQA on, of 1 … 5, a clone counts as usable."""

Scores = Float64[np.ndarray, " clone"]


def defence_success_rate(
    scores: Scores, nisqa: Scores, threshold: float = PUBLISHED_THRESHOLD, quality: float = PUBLISHED_QUALITY
) -> float:
    """The share 0 … 1 of clones that score below ``threshold`` and sound worse than ``quality``.

    A clone that fails in one of the two only is no success.

    >>> defence_success_rate(np.array([0.1, 0.1, 0.6]), np.array([2.0, 4.0, 2.0]))
    0.3333333333333333
    """
    return float(np.mean((scores < threshold) & (nisqa < quality)))
