"""White noise."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from voxveil.audio.levels import add_at_snr
from voxveil.roles import Speech


@dataclass(frozen=True)
class WhiteNoise:
    """Gaussian noise ``snr_db`` below each clip, drawn anew on every call.

    >>> noisy = WhiteNoise(20.0, torch.Generator().manual_seed(0))(torch.ones(1, 1000))
    >>> round(float((noisy - 1.0).square().mean().sqrt()), 2)
    0.1
    """

    snr_db: float
    generator: torch.Generator
    differentiable = True
    random = True
    keeps_length = True

    def __call__(self, speech: Speech) -> Speech:
        """The noisy speech."""
        noise = torch.randn(speech.shape, generator=self.generator, dtype=speech.dtype).to(speech.device)
        return add_at_snr(speech, noise, self.snr_db)
