"""The short-time Fourier transform and its inverse, differentiable, with librosa's conventions.

    X[f, n] = Σ_t w[t] · x[t + n·hop − n_fft/2] · exp(−2πi·f·t / n_fft)

Frames are centred: frame n looks at ``n_fft`` samples around sample n·hop, and the edges are padded.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import torch
from jaxtyping import Complex, Float
from torch import Tensor


@lru_cache(maxsize=32)
def hann(length: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """A periodic Hann window of ``length`` samples: sums to a constant at hops of length/2, length/4, ….

    >>> hann(4, torch.device("cpu"), torch.float32).tolist()
    [0.0, 0.5, 1.0, 0.5]
    """
    return torch.hann_window(length, device=device, dtype=dtype)


@dataclass(frozen=True)
class Stft:
    """A time–frequency grid: window length and hop in samples, and how the edges are padded.

    ``pad_mode`` is ``"constant"`` (zeros: librosa 0.9 and later) or ``"reflect"`` (librosa before 0.9). A window of
    ``window_samples``, shorter than ``n_fft``, stands in its middle; None: it is as long.

    >>> stft = Stft(n_fft=512, hop_samples=128)
    >>> speech = torch.sin(torch.arange(4000.0))[None]
    >>> stft(speech).shape
    torch.Size([1, 257, 32])
    >>> bool(torch.allclose(stft.inverse(stft(speech), 4000), speech, atol=1e-5))
    True
    """

    n_fft: int = 512
    hop_samples: int = 128
    pad_mode: Literal["constant", "reflect"] = "constant"
    window_samples: int | None = None

    def __call__(self, speech: Float[Tensor, "*batch time"]) -> Complex[Tensor, "*batch freq frame"]:
        """The complex spectrum of ``speech``; ``freq`` is n_fft/2 + 1, ``frame`` is time // hop + 1."""
        flat = speech.reshape(-1, speech.shape[-1])
        spectrum = torch.stft(
            flat,
            self.n_fft,
            self.hop_samples,
            self._window_samples,
            window=hann(self._window_samples, speech.device, speech.dtype),
            center=True,
            pad_mode=self.pad_mode,
            return_complex=True,
        )
        return spectrum.reshape(*speech.shape[:-1], *spectrum.shape[-2:])

    def inverse(
        self, spectrum: Complex[Tensor, "*batch freq frame"], length_samples: int
    ) -> Float[Tensor, "*batch time"]:
        """The ``length_samples`` of sound whose spectrum is nearest to ``spectrum`` (least squares overlap-add)."""
        flat = spectrum.reshape(-1, *spectrum.shape[-2:])
        span = self._window_samples
        window = hann(span, spectrum.device, spectrum.real.dtype)
        sound = torch.istft(flat, self.n_fft, self.hop_samples, span, window, center=True, length=length_samples)
        return sound.reshape(*spectrum.shape[:-2], length_samples)

    def frequencies_hz(self, sample_rate: int) -> Float[Tensor, " freq"]:
        """The centre of every bin in Hz, from 0 to ``sample_rate`` / 2.

        >>> Stft(n_fft=4, hop_samples=1).frequencies_hz(16_000).tolist()
        [0.0, 4000.0, 8000.0]
        """
        return torch.linspace(0.0, sample_rate / 2, self.n_fft // 2 + 1)

    def frames(self, length_samples: int) -> int:
        """How many frames ``length_samples`` of sound have."""
        return length_samples // self.hop_samples + 1

    @property
    def _window_samples(self) -> int:
        return self.window_samples or self.n_fft


def power(spectrum: Complex[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """|X|² without the square root, whose gradient is infinite in silence.

    >>> power(torch.tensor([3 + 4j])).tolist()
    [25.0]
    """
    return spectrum.real.square() + spectrum.imag.square()
