"""The Bark scale, smooth partitions of the frequency axis into bands, and band filters.

Bark after E. Zwicker and E. Terhardt (1980): z = 13·atan(0.00076·f) + 3.5·atan((f/7500)²); one Bark is one
critical band of hearing.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float
from scipy.fft import next_fast_len
from torch import Tensor


def hz_to_bark(frequency_hz: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Frequency in Hz to critical-band rate in Bark.

    >>> [round(z, 1) for z in hz_to_bark(torch.tensor([100.0, 1000.0, 8000.0])).tolist()]
    [1.0, 8.5, 21.3]
    """
    return 13.0 * torch.atan(0.00076 * frequency_hz) + 3.5 * torch.atan((frequency_hz / 7500.0) ** 2)


SPEECH_LOW_HZ = 100.0
_NEPER_PER_DB = 0.11512925464970229  # ln(10) / 20: 10^(dB/20) = exp(this · dB)


def band_interpolation(frequencies_hz: Float[Tensor, " freq"], bands: int) -> Float[Tensor, "freq band"]:
    """Weights that spread ``bands`` values, equally spaced in Bark, linearly over ``frequencies_hz``.

    Rows sum to 1 above 100 Hz and fade to 0 at 50 Hz: below speech there is only rumble, which a gain would make
    audible.

    >>> weights = band_interpolation(torch.tensor([0.0, 50.0, 75.0, 1000.0, 8000.0]), bands=24)
    >>> weights.sum(1).round(decimals=6).tolist()
    [0.0, 0.0, 0.5, 1.0, 1.0]
    """
    edges = torch.tensor([SPEECH_LOW_HZ, float(frequencies_hz.max())], dtype=frequencies_hz.dtype)
    low_bark, high_bark = hz_to_bark(edges).tolist()
    bark = hz_to_bark(frequencies_hz).clamp_min(low_bark)
    centres = torch.linspace(low_bark, high_bark, bands, dtype=bark.dtype, device=bark.device)
    spacing = centres[1] - centres[0]
    weights = (1.0 - (bark[:, None] - centres[None]).abs() / spacing).clamp_min(0.0)
    fade = ((frequencies_hz - SPEECH_LOW_HZ / 2) / (SPEECH_LOW_HZ / 2)).clamp(0.0, 1.0)
    return weights / weights.sum(1, keepdim=True) * fade[:, None]


@lru_cache(maxsize=32)
def band_weights(bins: int, sample_rate: int, bands: int, device: torch.device) -> Float[Tensor, "freq band"]:
    """:func:`band_interpolation` at the frequencies of a spectrum, 0 … ``sample_rate`` / 2, made once.

    >>> band_weights(257, 16_000, 24, torch.device("cpu")).shape
    torch.Size([257, 24])
    """
    return band_interpolation(torch.linspace(0.0, sample_rate / 2, bins), bands).to(device)


def band_gain(
    gains_db: Float[Tensor, "batch band *frame"], bins: int, sample_rate: int
) -> Float[Tensor, "batch freq *frame"]:
    """The factor of every one of ``bins`` frequencies, 0 … ``sample_rate`` / 2, of gains equally spaced in Bark.

    >>> band_gain(torch.full((1, 24), 20.0), 5, 16_000).round().tolist()
    [[1.0, 10.0, 10.0, 10.0, 10.0]]
    """
    weights = band_weights(bins, sample_rate, gains_db.shape[1], gains_db.device).to(gains_db.dtype)
    every_db = weights @ gains_db if gains_db.dim() == 3 else gains_db @ weights.T
    return torch.exp(_NEPER_PER_DB * every_db)


def equalised(
    speech: Float[Tensor, "batch time"], gains_db: Float[Tensor, "batch band"], sample_rate: int
) -> Float[Tensor, "batch time"]:
    """Every clip through a static equaliser without phase or delay, its gains equally spaced in Bark.

    >>> tone = torch.sin(torch.arange(16_000) * 0.4)[None]
    >>> round(float((equalised(tone, torch.full((1, 24), 6.0206), 16_000) / tone)[0, 8000]), 3)
    2.0
    """
    length = speech.shape[-1]
    # Padding keeps the filter's short response from wrapping around.
    size = next_fast_len(length + sample_rate // 16, real=True)
    gain = band_gain(gains_db, size // 2 + 1, sample_rate)
    return torch.fft.irfft(torch.fft.rfft(speech, size) * gain, size)[..., :length]


def band_pass(
    speech: Float[Tensor, "*batch time"],
    sample_rate: int,
    low_hz: float | None,
    high_hz: float | None,
    taps: int = 511,
) -> Float[Tensor, "*batch time"]:
    """What of ``speech`` lies between ``low_hz`` and ``high_hz`` (None: open), by a linear-phase FIR without delay.

    Differentiable. Raises ``ValueError`` for edges outside 0 … ``sample_rate`` / 2 or in the wrong order.

    >>> tone = torch.sin(2 * torch.pi * 1000 / 16_000 * torch.arange(16_000))[None]
    >>> float(band_pass(tone, 16_000, 2000, None)[:, 4000:12000].abs().max()) < 1e-3
    True
    """
    low = 0.0 if low_hz is None else low_hz
    high = sample_rate / 2 if high_hz is None else high_hz
    if not 0.0 <= low < high <= sample_rate / 2:
        raise ValueError(f"band edges {low:g} … {high:g} Hz must rise within 0 … {sample_rate / 2:g} Hz")
    edges = [edge for edge in (low, high) if 0.0 < edge < sample_rate / 2]
    if not edges:
        return speech
    from scipy.signal import firwin  # takes a second to import

    kernel = firwin(taps, edges, fs=sample_rate, pass_zero=low == 0.0, window=("kaiser", 9.0))
    return zero_phase_fir(speech, torch.as_tensor(np.asarray(kernel), dtype=speech.dtype, device=speech.device))


def zero_phase_fir(
    speech: Float[Tensor, "*batch time"], kernel: Float[Tensor, " taps"]
) -> Float[Tensor, "*batch time"]:
    """``speech`` convolved with an odd-length ``kernel`` centred on zero delay, by FFT.

    >>> zero_phase_fir(torch.tensor([[0.0, 1.0, 0.0]]), torch.tensor([1.0, 2.0, 3.0])).round().tolist()
    [[1.0, 2.0, 3.0]]
    """
    length, half = speech.shape[-1], kernel.shape[-1] // 2
    size = next_fast_len(length + kernel.shape[-1] - 1, real=True)
    out = torch.fft.irfft(torch.fft.rfft(speech, size) * torch.fft.rfft(kernel, size), size)
    return out[..., half : half + length]
