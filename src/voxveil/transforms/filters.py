"""Band-limiting channels such as the telephone."""

from __future__ import annotations

from dataclasses import dataclass

from voxveil.audio.bands import band_pass
from voxveil.roles import Speech


@dataclass(frozen=True)
class BandPass:
    """Keeps ``low_hz`` … ``high_hz``; the telephone is 300 … 3,400 Hz.

    >>> import torch
    >>> hum = torch.sin(2 * torch.pi * 50 / 16_000 * torch.arange(16_000))[None]
    >>> float(BandPass(300.0, 3400.0, sample_rate=16_000)(hum)[:, 2000:-2000].abs().max()) < 1e-2
    True
    """

    low_hz: float
    high_hz: float
    sample_rate: int
    differentiable = True
    random = False
    keeps_length = True

    def __call__(self, speech: Speech) -> Speech:
        """The filtered speech."""
        return band_pass(speech, self.sample_rate, self.low_hz, self.high_hz)
