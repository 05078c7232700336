"""Resampling as a purifier: whatever of a perturbation lies above half the lower rate is gone.

S. Hussain et al., "WaveGuard: Understanding and Mitigating Audio Adversarial Examples", USENIX Security 2021.
"""

from __future__ import annotations

from dataclasses import dataclass

from voxveil.roles import Speech
from voxveil.transforms.resample import BandLimit


@dataclass(frozen=True)
class Resample:
    """There and back through ``rate_hz``; 8 kHz leaves the telephone's band.

    >>> import torch
    >>> tone = torch.sin(2 * torch.pi * 5000 / 16_000 * torch.arange(16_000))[None]
    >>> float(Resample(16_000)(tone)[:, 1000:-1000].abs().max()) < 1e-3
    True
    """

    sample_rate: int
    rate_hz: int = 8000
    differentiable = True
    random = False
    keeps_length = True

    def __call__(self, speech: Speech) -> Speech:
        """What survives."""
        return BandLimit(self.rate_hz, self.sample_rate)(speech)
