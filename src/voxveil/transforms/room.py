"""A room: the direct sound and a tail of noise that dies away exponentially (J.-D. Polack 1988)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from scipy.fft import next_fast_len

from voxveil.audio.levels import with_loudness_of
from voxveil.roles import Speech


@dataclass(frozen=True)
class Room:
    """Reverberation by a random room.

    The tail falls by 60 dB in ``rt60_s`` and carries ``direct_to_reverberant_db`` less than the direct sound. Every
    call draws a new room; the loudness is kept.

    >>> room = Room(rt60_s=0.3, direct_to_reverberant_db=6.0, sample_rate=16_000,
    ...             generator=torch.Generator().manual_seed(0))
    >>> room(torch.randn(2, 8000)).shape
    torch.Size([2, 8000])
    """

    rt60_s: float
    direct_to_reverberant_db: float
    sample_rate: int
    generator: torch.Generator
    differentiable = True
    random = True
    keeps_length = True

    def response(self) -> torch.Tensor:
        """A room's impulse response, [time]: 1 at zero, then the tail."""
        length = max(2, round(self.rt60_s * self.sample_rate))
        time_s = torch.arange(length) / self.sample_rate
        tail = torch.randn(length, generator=self.generator) * torch.exp(-3.0 * math.log(10.0) * time_s / self.rt60_s)
        tail[0] = 0.0
        tail = tail / tail.square().sum().sqrt() * 10.0 ** (-self.direct_to_reverberant_db / 20.0)
        tail[0] = 1.0
        return tail

    def __call__(self, speech: Speech) -> Speech:
        """The speech as heard in the room."""
        response = self.response().to(speech)
        size = next_fast_len(speech.shape[-1] + response.shape[-1], real=True)
        wet = torch.fft.irfft(torch.fft.rfft(speech, size) * torch.fft.rfft(response, size), size)
        return with_loudness_of(wet[..., : speech.shape[-1]], speech, self.sample_rate)
