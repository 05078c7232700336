"""The front end of AutoVC, differentiable from the waveform.

16 kHz; a Butterworth high pass of order 5 at 30 Hz, forth and back; times 0.96; magnitudes of 1024-sample Hann windows
every 256, edges reflected; 80 Slaney mel bands from 90 to 7600 Hz; level_db = 20·log10(max(1e-5, ·)) − 16, of which
−100 … 0 dB becomes 0 … 1.

The publishers also add noise of amplitude 5e-7. It is left out: it moves the quietest levels by a few 1e-4.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float
from scipy.signal import butter, lfilter
from torch import Tensor, nn

from voxveil.audio.mel import mel_filterbank
from voxveil.audio.mel_inverse import spectrum_from_mel
from voxveil.audio.spectrum import Stft, power
from voxveil.errors import BadInputError
from voxveil.roles import Speech

SAMPLE_RATE = 16_000
STFT = Stft(n_fft=1024, hop_samples=256, pad_mode="reflect")
GAIN = 0.96
FLOOR = 1e-5
TOP_DB = 16.0
RANGE_DB = 100.0
HIGH_PASS_ORDER = 5
HIGH_PASS_HZ = 30.0
EDGE_SAMPLES = 3 * (HIGH_PASS_ORDER + 1)
RESPONSE_SAMPLES = SAMPLE_RATE // 2
"""The slowest pole, 30 Hz · 2π · cos 72°, falls to e⁻²⁹ in half a second."""


class AutoVCMel(nn.Module):
    """Speech [batch, time] at 16 kHz → levels [batch, 80, frame] between 0 and 1, a frame every 256 samples.

    Raises :class:`~voxveil.errors.BadInputError` for speech of fewer than 513 samples: its edges are reflected.

    >>> mel = AutoVCMel()
    >>> levels = mel(torch.randn(2, 16_000))
    >>> levels.shape, mel.magnitudes(levels).shape
    (torch.Size([2, 80, 63]), torch.Size([2, 513, 63]))
    """

    weights: Tensor
    sample_rate = SAMPLE_RATE

    def __init__(self, n_mels: int = 80) -> None:
        super().__init__()
        triangles = mel_filterbank(SAMPLE_RATE, STFT.n_fft, n_mels, low_hz=90.0, high_hz=7600.0)
        self.register_buffer("weights", triangles.clone(), persistent=False)

    def forward(self, speech: Speech) -> Float[Tensor, "batch mel frame"]:
        """The level of every band and frame."""
        if speech.shape[1] <= STFT.n_fft // 2:
            raise BadInputError(
                f"AutoVC needs {STFT.n_fft // 2 + 1} samples of speech and got {speech.shape[1]}: give it more."
            )
        # Below 1e-20 no power reaches the floor, and the root's gradient grows without bound.
        amplitude = self.weights @ power(STFT(GAIN * high_passed(speech))).clamp_min(1e-20).sqrt()
        level_db = 20.0 * torch.log10(amplitude.clamp_min(FLOOR)) - TOP_DB
        return (level_db / RANGE_DB + 1.0).clamp(0.0, 1.0)

    def magnitudes(self, levels: Float[Tensor, "batch mel frame"]) -> Float[Tensor, "batch freq frame"]:
        """An amplitude spectrum with these levels, at the loudness of the speech; what a vocoder adds is the phase."""
        level_db = (levels.clamp(0.0, 1.0) - 1.0) * RANGE_DB + TOP_DB
        return spectrum_from_mel(10.0 ** (level_db / 20.0) / GAIN, self.weights)


def high_passed(speech: Speech) -> Speech:
    """``speech`` without what lies below 30 Hz, no phase changed: ``scipy.signal.filtfilt`` with a gradient.

    As there, the clip goes on at both ends as its own point reflection, and the filter has rested on the first value
    for ever. It lets no constant pass, so that is the same as to subtract that value and to begin in silence.

    >>> high_passed(torch.full((1, 4000), 0.5)).abs().max().item()
    0.0
    """
    before = 2.0 * speech[:, :1] - speech[:, 1 : EDGE_SAMPLES + 1].flip(1)
    after = 2.0 * speech[:, -1:] - speech[:, -EDGE_SAMPLES - 1 : -1].flip(1)
    # In single precision, the rounding of loud bands would be heard in the quiet ones.
    longer = torch.cat([before, speech, after], dim=1).double()
    for _ in range(2):
        longer = _filtered(longer - longer[:, :1]).flip(1)
    return longer[:, EDGE_SAMPLES:-EDGE_SAMPLES].to(speech)


def _filtered(speech: Tensor) -> Tensor:
    size = speech.shape[1] + RESPONSE_SAMPLES
    response = torch.fft.rfft(_response().to(speech), size)
    return torch.fft.irfft(torch.fft.rfft(speech, size) * response, size)[:, : speech.shape[1]]


@lru_cache(maxsize=1)
def _response() -> Float[Tensor, " time"]:
    """The answer of the high pass to one sample."""
    numerator, denominator = butter(HIGH_PASS_ORDER, HIGH_PASS_HZ, btype="high", fs=SAMPLE_RATE)
    return torch.as_tensor(lfilter(numerator, denominator, np.eye(1, RESPONSE_SAMPLES)[0]))
