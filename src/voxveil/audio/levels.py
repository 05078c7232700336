"""Levels of sound in dB relative to full scale."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float
from scipy.fft import next_fast_len
from torch import Tensor

SILENCE_DBFS = -100.0


def rms(speech: Float[Tensor, "*batch time"]) -> Float[Tensor, "*batch 1"]:
    """Root mean square over time, at least 1e-10; its gradient is finite in silence.

    >>> rms(torch.tensor([[3.0, -3.0]])).tolist()
    [[3.0]]
    """
    return speech.square().mean(-1, keepdim=True).clamp_min(1e-20).sqrt()


def rms_dbfs(speech: Float[Tensor, "*batch time"]) -> Float[Tensor, " *batch"]:
    """RMS level in dB re full scale (a full-scale square wave is 0 dBFS).

    >>> rms_dbfs(torch.tensor([[0.1, -0.1]])).round().tolist()
    [-20.0]
    """
    return 20.0 * torch.log10(rms(speech)[..., 0])


def with_loudness_of(
    speech: Float[Tensor, "batch time"], reference: Float[Tensor, "batch time"], sample_rate: int
) -> Float[Tensor, "batch time"]:
    """``speech`` scaled so that its K-weighted energy is that of ``reference`` (ITU-R BS.1770); differentiable.

    >>> tone = torch.sin(torch.arange(4000) * 0.4)[None]
    >>> bool(torch.allclose(with_loudness_of(3 * tone, tone, 16_000), tone, atol=1e-4))
    True
    """
    # A Fourier transform of an awkward length costs many times that of a round one.
    size = next_fast_len(speech.shape[-1], real=True)
    weights = k_weighting(size // 2 + 1, sample_rate, speech.device)

    def energy(sound: Tensor) -> Tensor:
        spectrum = torch.fft.rfft(sound, size)
        squares = spectrum.real.square() + spectrum.imag.square()
        return (squares @ weights.to(sound.dtype))[:, None].clamp_min(1e-20)

    return speech * (energy(reference) / energy(speech)).sqrt()


@lru_cache(maxsize=16)
def k_weighting(bins: int, sample_rate: int, device: torch.device) -> Float[Tensor, " freq"]:
    """|K(f)|², the power response of BS.1770's ear weighting, at ``bins`` frequencies from 0 to ``sample_rate`` / 2.

    A high shelf of +4 dB above 2 kHz (the head) and a high pass at 38 Hz; coefficients for 48 kHz as in the
    recommendation, evaluated at the wanted frequencies. 0 dB at 200 Hz, within a quarter of a dB.

    >>> response = k_weighting(5, 48_000, torch.device("cpu"))
    >>> float(response[0]) < 1e-6, [round(float(10 * p.log10()), 1) for p in response[1:4]]
    (True, [4.0, 4.0, 4.0])
    """
    from scipy.signal import freqz  # takes a second to import

    frequencies = np.linspace(0.0, sample_rate / 2, bins)
    shelf = ([1.53512485958697, -2.69169618940638, 1.19839281085285], [1.0, -1.69065929318241, 0.73248077421585])
    high_pass = ([1.0, -2.0, 1.0], [1.0, -1.99004745483398, 0.99007225036621])
    # The filters are defined up to 24 kHz; nothing above can be heard.
    held = np.minimum(frequencies, 23_999.0)
    response = freqz(*shelf, worN=held, fs=48_000)[1] * freqz(*high_pass, worN=held, fs=48_000)[1]
    return torch.as_tensor(np.abs(response) ** 2, dtype=torch.float32, device=device)


def add_at_snr(
    speech: Float[Tensor, "*batch time"], noise: Float[Tensor, "*batch time"], snr_db: float
) -> Float[Tensor, "*batch time"]:
    """``speech`` + ``noise``, the noise scaled to lie ``snr_db`` below the speech.

    >>> speech, noise = torch.ones(1, 8), torch.tensor([[5.0, -5.0] * 4])
    >>> (add_at_snr(speech, noise, 20.0) - speech).abs().mean().item().__round__(3)
    0.1
    """
    return speech + noise * (rms(speech) / rms(noise)) * 10.0 ** (-snr_db / 20.0)
