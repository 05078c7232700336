"""Another microphone in another room: a random colour and a random noise, for expectations over transforms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from voxveil.audio.bands import equalised
from voxveil.audio.levels import rms
from voxveil.roles import Speech

BANDS = 24
KNOTS = 6
"""The colour is drawn at so many points from low to high and glides between them, as microphones do."""


@dataclass(frozen=True)
class RandomMicrophone:
    """Gains of 24 Bark bands with a deviation of ``colour_db``, and white noise ``snr_db`` = (least, most) below.

    Every clip gets its own on every call.

    >>> heard = RandomMicrophone(16_000, 6.0, (20.0, 40.0), Generator().manual_seed(0))
    >>> clip = torch.sin(torch.arange(16_000) * 0.4)[None]
    >>> bool((heard(clip) - heard(clip)).abs().max() > 1e-3)
    True
    """

    sample_rate: int
    colour_db: float
    snr_db: tuple[float, float]
    generator: Generator
    differentiable = True
    random = True
    keeps_length = True

    def __call__(self, speech: Speech) -> Speech:
        """What such microphones record."""
        least_db, most_db = self.snr_db
        snr_db = least_db + (most_db - least_db) * self._drawn(torch.rand, (len(speech), 1), speech)
        noise = self._drawn(torch.randn, tuple(speech.shape), speech)
        level = rms(speech) * 10.0 ** (-snr_db / 20.0)
        knots_db = self.colour_db * self._drawn(torch.randn, (len(speech), 1, KNOTS), speech)
        gains_db = F.interpolate(knots_db, BANDS, mode="linear", align_corners=True)[:, 0]
        return equalised(speech, gains_db, self.sample_rate) + level * noise

    def _drawn(self, how: Callable[..., Tensor], shape: tuple[int, ...], like: Speech) -> Tensor:
        return how(shape, generator=self.generator).to(like)
