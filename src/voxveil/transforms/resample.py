"""There and back through a lower sample rate: what lies above its half is lost."""

from __future__ import annotations

from dataclasses import dataclass

from voxveil.audio.bands import band_pass
from voxveil.roles import Speech


@dataclass(frozen=True)
class BandLimit:
    """The speech that survives resampling to ``rate_hz`` and back, as an ideal resampler leaves it.

    Resampling down and up again by linear-phase filters is, but for the rate in between, a low pass at rate/2; written
    so, it costs one filter and passes its gradient.

    >>> import torch
    >>> tone = torch.sin(2 * torch.pi * 5000 / 16_000 * torch.arange(16_000))[None]
    >>> float(BandLimit(8_000, sample_rate=16_000)(tone)[:, 1000:-1000].abs().max()) < 1e-3
    True
    """

    rate_hz: int
    sample_rate: int
    differentiable = True
    random = False
    keeps_length = True

    def __call__(self, speech: Speech) -> Speech:
        """The band-limited speech."""
        return band_pass(speech, self.sample_rate, None, 0.475 * self.rate_hz)
