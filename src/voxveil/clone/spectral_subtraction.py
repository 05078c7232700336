"""Spectral subtraction, as DiffVC's publishers end a conversion: what is heard in the quietest moment is noise.

S. F. Boll, "Suppression of Acoustic Noise in Speech Using Spectral Subtraction", IEEE TASSP 27(2), 1979, in mel bands:

    |S|² = max(|X|² − N, 0.02·N)

with the noise N of every band as low as it gets in the quietest five frames.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

QUIET_FRAMES = 5
FLOOR = 0.02


def without_noise(log_mel: Float[Tensor, "mel frame"]) -> Float[Tensor, "mel frame"]:
    """``log_mel``, natural logarithms of magnitudes, without its noise; at least six frames, others come back as is.

    As published, a band's noise is no higher than that of the band above it, nor than the median of the three around.

    >>> quiet, loud = torch.full((4, 6), -5.0), torch.zeros(4, 6)
    >>> without_noise(torch.cat([quiet, loud], dim=1)).mean(0)[[0, -1]].round(decimals=2)
    tensor([-6.9600, -0.0000])
    """
    if log_mel.shape[1] <= QUIET_FRAMES:
        return log_mel
    # Logarithms of energies: what a network says may be too large to be an energy in float32.
    level = 2.0 * log_mel
    # As published, the very last window is not looked at.
    loudness = level.logsumexp(0).unfold(0, QUIET_FRAMES, 1).logsumexp(1)[:-1]
    start = int(loudness.argmin())
    lowest = level[:, start : start + QUIET_FRAMES].amin(1)
    edged = F.pad(lowest[None, None], (1, 1), mode="replicate")[0, 0]
    noise = torch.minimum(edged[2:], edged.unfold(0, 3, 1).median(1).values)[:, None]
    left = level + torch.log1p(-(noise - level).clamp_max(0.0).exp())
    return 0.5 * torch.maximum(left, noise + math.log(FLOOR))
