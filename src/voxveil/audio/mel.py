"""Mel spectrograms and cepstra, differentiable, equal to librosa's to 1e-5.

Two mel scales are in use and are not interchangeable: Slaney's (linear below 1 kHz, librosa's default) and
HTK's, mel = 2595·log10(1 + f/700). Slaney normalisation gives every triangle the same area. The scale ``"linear"``, in
Hz, makes linear-frequency cepstra of the same parts.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Literal

import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn

from voxveil.audio.spectrum import Stft, power

MelScale = Literal["slaney", "htk", "linear"]

_LINEAR_HZ_PER_MEL = 200.0 / 3.0
_LOG_START_HZ = 1000.0
_LOG_STEP = math.log(6.4) / 27.0


def hz_to_mel(frequency_hz: Float[Tensor, "*shape"], scale: MelScale = "slaney") -> Float[Tensor, "*shape"]:
    """Frequency in Hz to mel.

    >>> hz_to_mel(torch.tensor([0.0, 1000.0, 6400.0])).tolist()
    [0.0, 15.0, 42.0]
    """
    if scale == "linear":
        return frequency_hz
    if scale == "htk":
        return 2595.0 * torch.log10(1.0 + frequency_hz / 700.0)
    linear = frequency_hz / _LINEAR_HZ_PER_MEL
    start = _LOG_START_HZ / _LINEAR_HZ_PER_MEL
    logarithmic = start + torch.log(frequency_hz.clamp_min(1e-9) / _LOG_START_HZ) / _LOG_STEP
    return torch.where(frequency_hz < _LOG_START_HZ, linear, logarithmic)


def mel_to_hz(mel: Float[Tensor, "*shape"], scale: MelScale = "slaney") -> Float[Tensor, "*shape"]:
    """Mel to frequency in Hz, the inverse of :func:`hz_to_mel`.

    >>> mel_to_hz(torch.tensor([15.0, 42.0], dtype=torch.float64)).round().tolist()
    [1000.0, 6400.0]
    """
    if scale == "linear":
        return mel
    if scale == "htk":
        return 700.0 * (10.0 ** (mel / 2595.0) - 1.0)
    start = _LOG_START_HZ / _LINEAR_HZ_PER_MEL
    logarithmic = _LOG_START_HZ * torch.exp(_LOG_STEP * (mel - start))
    return torch.where(mel < start, mel * _LINEAR_HZ_PER_MEL, logarithmic)


def mel_edges_hz(
    n_mels: int, low_hz: float, high_hz: float, scale: MelScale = "slaney"
) -> Float64[Tensor, " {n_mels}+2"]:
    """The corners of ``n_mels`` triangles: the k-th rises from edge k, has its centre at k + 1 and ends at k + 2.

    >>> mel_edges_hz(3, 0.0, 800.0).tolist()
    [0.0, 200.0, 400.0, 600.0, 800.0]
    """
    ends = hz_to_mel(torch.tensor([low_hz, high_hz], dtype=torch.float64), scale)
    return mel_to_hz(torch.linspace(float(ends[0]), float(ends[1]), n_mels + 2, dtype=torch.float64), scale)


@lru_cache(maxsize=32)
def mel_filterbank(
    sample_rate: int,
    n_fft: int,
    n_mels: int,
    low_hz: float = 0.0,
    high_hz: float | None = None,
    scale: MelScale = "slaney",
    area_norm: bool = True,
) -> Float[Tensor, "mel freq"]:
    """Triangular filters between ``low_hz`` and ``high_hz`` (default: half the sample rate), float32.

    >>> mel_filterbank(16_000, 400, 40).shape
    torch.Size([40, 201])
    """
    edges = mel_edges_hz(n_mels, low_hz, high_hz or sample_rate / 2, scale)
    bins = torch.linspace(0.0, sample_rate / 2, n_fft // 2 + 1, dtype=torch.float64)
    rising = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    weights = torch.minimum(rising, falling).clamp_min(0.0)
    if area_norm:
        weights = weights * (2.0 / (edges[2:] - edges[:-2]))[:, None]
    return weights.float()


class MelSpectrogram(nn.Module):
    """Power mel spectrogram, ``[..., time]`` → ``[..., mel, frame]``, without logarithm.

    >>> mel = MelSpectrogram(16_000, Stft(400, 160), n_mels=40)
    >>> mel(torch.zeros(2, 1600)).shape
    torch.Size([2, 40, 11])
    """

    weights: Tensor

    def __init__(
        self,
        sample_rate: int,
        stft: Stft,
        n_mels: int,
        low_hz: float = 0.0,
        high_hz: float | None = None,
        scale: MelScale = "slaney",
        area_norm: bool = True,
    ) -> None:
        super().__init__()
        self.stft = stft
        filters = mel_filterbank(sample_rate, stft.n_fft, n_mels, low_hz, high_hz, scale, area_norm)
        self.register_buffer("weights", filters.clone(), persistent=False)

    def forward(self, speech: Float[Tensor, "*batch time"]) -> Float[Tensor, "*batch mel frame"]:
        """The power in every mel band and frame."""
        return self.weights @ power(self.stft(speech))


def power_to_db(energy: Float[Tensor, "*batch mel frame"], range_db: float = 80.0) -> Tensor:
    """10·log10 of ``energy``, floored ``range_db`` below the loudest value of each clip (librosa's ``top_db``).

    >>> power_to_db(torch.tensor([[[1.0, 0.0]]])).tolist()
    [[[0.0, -80.0]]]
    """
    level_db = 10.0 * torch.log10(energy.clamp_min(1e-10))
    return torch.maximum(level_db, level_db.amax(dim=(-2, -1), keepdim=True) - range_db)


class Mfcc(nn.Module):
    """Mel-frequency cepstral coefficients: orthonormal DCT-II of the mel spectrum in dB (librosa's definition).

    >>> Mfcc(MelSpectrogram(16_000, Stft(512, 160), n_mels=40), n_mfcc=20)(torch.rand(1, 1600)).shape
    torch.Size([1, 20, 11])
    """

    dct: Tensor

    def __init__(self, mel: MelSpectrogram, n_mfcc: int = 20) -> None:
        super().__init__()
        self.mel = mel
        self.register_buffer("dct", dct_matrix(n_mfcc, mel.weights.shape[0]), persistent=False)

    def forward(self, speech: Float[Tensor, "*batch time"]) -> Float[Tensor, "*batch mfcc frame"]:
        """The cepstrum of every frame."""
        return self.dct @ power_to_db(self.mel(speech))


def dct_matrix(rows: int, columns: int) -> Float[Tensor, "rows columns"]:
    """The first ``rows`` of the orthonormal DCT-II of ``columns`` points.

    >>> D = dct_matrix(8, 8)
    >>> bool(torch.allclose(D @ D.T, torch.eye(8), atol=1e-6))
    True
    """
    k = torch.arange(rows, dtype=torch.float64)[:, None]
    n = torch.arange(columns, dtype=torch.float64)[None]
    matrix = torch.cos(math.pi / columns * (n + 0.5) * k) * math.sqrt(2.0 / columns)
    matrix[0] /= math.sqrt(2.0)
    return matrix.float()
