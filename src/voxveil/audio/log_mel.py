"""The mel front end that HiFi-GAN made common among vocoders and converters; differentiable.

    M[b, n] = ln max(10⁻⁵, Σ_f W[b, f]·√(|X[f, n]|² + 10⁻⁹))

with magnitudes, not powers, and Slaney's triangles W. Frame n is centred on the middle of its own hop, sample
n·hop + hop/2 (not on n·hop as in :mod:`voxveil.audio.spectrum`): every hop of sound has one frame, and a vocoder makes
one hop of every frame. The edges are reflected.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from voxveil.audio.mel import mel_filterbank
from voxveil.audio.spectrum import hann, power
from voxveil.errors import BadInputError

FLOOR = 1e-5
ROUNDING = 1e-9
"""Added to the power, so that the square root has a gradient in silence."""


class LogMel(nn.Module):
    """Speech [batch, time] → M, [batch, mel, time // hop]; ``high_hz`` None is half the sample rate.

    Raises :class:`~voxveil.errors.BadInputError` for speech that is too short to be reflected, (n_fft − hop)/2 samples,
    or for one frame.

    >>> mel = LogMel(16_000, n_fft=800, hop_samples=200, n_mels=40, high_hz=7600.0)
    >>> mel(torch.zeros(2, 1600)).shape
    torch.Size([2, 40, 8])
    """

    weights: Tensor

    def __init__(
        self,
        sample_rate: int = 22_050,
        n_fft: int = 1024,
        hop_samples: int = 256,
        n_mels: int = 80,
        low_hz: float = 0.0,
        high_hz: float | None = 8000.0,
    ) -> None:
        super().__init__()
        self.sample_rate = sample_rate
        self.n_fft = n_fft
        self.hop_samples = hop_samples
        triangles = mel_filterbank(sample_rate, n_fft, n_mels, low_hz, high_hz)
        self.register_buffer("weights", triangles.clone(), persistent=False)

    def forward(self, speech: Float[Tensor, "batch time"]) -> Float[Tensor, "batch mel frame"]:
        """The logarithm of every band's magnitude."""
        edge = (self.n_fft - self.hop_samples) // 2
        needed = max(edge + 1, self.n_fft - 2 * edge)
        if speech.shape[-1] < needed:
            raise BadInputError(
                f"Speech of {speech.shape[-1]} samples is too short for mel frames of {self.n_fft}: "
                f"give at least {needed} samples."
            )
        window = hann(self.n_fft, speech.device, speech.dtype)
        padded = F.pad(speech, (edge, edge), mode="reflect")
        spectrum = torch.stft(padded, self.n_fft, self.hop_samples, window=window, center=False, return_complex=True)
        magnitude = (power(spectrum) + ROUNDING).sqrt()
        return (self.weights @ magnitude).clamp_min(FLOOR).log()
