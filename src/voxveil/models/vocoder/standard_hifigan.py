"""A small HiFi-GAN for the levels of :class:`~voxveil.models.conversion.standard_mel.StandardMel`.

It is V3 of the paper (J. Kong et al., NeurIPS 2020) at another width and at 16 kHz: three stages of 8, 8 and 4 samples
instead of four stages, and half the convolutions, so that a CPU trains it.
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from voxveil.models.conversion.standard_mel import CENTRE, N_FFT, N_MELS, SAMPLE_RATE, SPREAD
from voxveil.models.vocoder.hifigan import V3, HifiGan
from voxveil.models.vocoder.weight_norm import folded
from voxveil.roles import Speech


def standard_hifigan(width: int) -> HifiGan:
    """HiFi-GAN V3 of ``width`` channels, a multiple of 8, with the front end of the small converters.

    >>> vocoder = standard_hifigan(width=32)
    >>> vocoder.sample_rate, vocoder.hop_samples
    (16000, 256)
    """
    return HifiGan(**{**V3, "width": width}, sample_rate=SAMPLE_RATE, n_fft=N_FFT, n_mels=N_MELS)


@dataclass(frozen=True)
class LevelsVocoder:
    """Levels [batch, 80, frame] → speech [batch, 256 · frame]; differentiable.

    >>> import torch
    >>> LevelsVocoder.of(standard_hifigan(width=32))(torch.zeros(2, 80, 10)).shape
    torch.Size([2, 2560])
    """

    generator: HifiGan

    @classmethod
    def of(cls, generator: HifiGan) -> LevelsVocoder:
        """One that speaks with a copy of ``generator``, its weight normalisation computed once."""
        return cls(folded(generator).eval())

    def __call__(self, levels: Float[Tensor, "batch mel frame"]) -> Speech:
        """The sound; frame n makes samples n·256 to n·256 + 255."""
        sound: Speech = self.generator(levels * SPREAD + CENTRE)
        return sound
