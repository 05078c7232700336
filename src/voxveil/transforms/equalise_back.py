"""Equalising back: the simplest answer to a protection that filters.

An attacker need not know the filter: he brings the long-term spectrum of a recording to that of people in general. What
is left of a static equaliser then is what people differ in themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

from voxveil.audio.bands import band_weights, equalised
from voxveil.audio.spectrum import Stft, power
from voxveil.roles import Speech

RANGE_DB = 20.0
AVERAGE_DB = (
    4.0, 9.9, 9.2, 8.7, 8.8, 7.6, 5.7, 3.3, 1.5, 0.6, -0.2, -0.7,
    -0.6, -1.4, -2.9, -3.3, -3.4, -3.9, -4.4, -4.7, -5.5, -6.9, -8.7, -12.6,
)  # fmt: skip
"""Long-term levels of read speech in 24 bands equally spaced in Bark, 100 Hz … 8 kHz, their mean taken out: the mean
over 251 speakers of LibriSpeech train-clean-100, one utterance each."""


@dataclass(frozen=True)
class EqualiseBack:
    """Gains of 24 bands, within ±20 dB, that give speech the long-term spectrum of 251 other people.

    >>> coloured = torch.randn(1, 32_000).cumsum(1) / 100
    >>> error = band_levels_db(EqualiseBack(16_000)(coloured), 16_000)[0] - torch.tensor(AVERAGE_DB)
    >>> bool(error[4:-1].abs().max() < 3.0)
    True
    """

    sample_rate: int
    differentiable = True
    random = False
    keeps_length = True

    def __call__(self, speech: Speech) -> Speech:
        """The equalised speech; its loudness is left to the gains, whose mean is 0 dB."""
        missing_db = _average_db(speech.device).to(speech) - band_levels_db(speech, self.sample_rate)
        gains_db = missing_db.clamp(-RANGE_DB, RANGE_DB)
        return equalised(speech, gains_db, self.sample_rate)


@lru_cache(maxsize=8)
def _average_db(device: torch.device) -> Tensor:
    return torch.tensor(AVERAGE_DB, device=device)


def band_levels_db(speech: Speech, sample_rate: int) -> Float[Tensor, "batch band"]:
    """The long-term level of every clip in 24 bands, its mean taken out.

    >>> band_levels_db(torch.randn(2, 16_000), 16_000).shape
    torch.Size([2, 24])
    """
    stft = Stft()
    weights = band_weights(stft.n_fft // 2 + 1, sample_rate, 24, speech.device).to(speech)
    levels_db = 10.0 * torch.log10((power(stft(speech)).mean(-1) @ weights).clamp_min(1e-12))
    return levels_db - levels_db.mean(1, keepdim=True)
