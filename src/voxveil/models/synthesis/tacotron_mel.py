"""The mel spectra that SV2TTS's synthesizer gives and its vocoder takes, differentiable from the waveform, and back.

16 kHz; pre-emphasis y[t] = x[t] − 0.97·x[t−1]; magnitudes of 800-sample Hann windows every 200, edges reflected; 80
Slaney mel bands from 55 to 7600 Hz; level_db = 20·log10(max(1e-5, ·)) − 20, of which −100 … 0 dB becomes −4 … 4.

The publishers scaled every recording to a peak of 0.9 first. Their librosa reflected the edges, as it did before
version 0.9.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from voxveil.audio.mel import mel_filterbank
from voxveil.audio.mel_inverse import spectrum_from_mel
from voxveil.audio.spectrum import Stft, power
from voxveil.errors import BadInputError
from voxveil.roles import Speech

SAMPLE_RATE = 16_000
STFT = Stft(n_fft=800, hop_samples=200, pad_mode="reflect")
EMPHASIS = 0.97
FLOOR = 1e-5
TOP_DB = 20.0
RANGE_DB = 100.0
LARGEST = 4.0


class TacotronMel(nn.Module):
    """Speech [batch, time] at 16 kHz → levels [batch, mel, frame] in −4 … 4, a frame every 200 samples.

    Raises :class:`~voxveil.errors.BadInputError` for speech of fewer than 401 samples: its edges are reflected.

    >>> mel = TacotronMel()
    >>> levels = mel(torch.randn(2, 16_000))
    >>> levels.shape, mel.magnitudes(levels).shape
    (torch.Size([2, 80, 81]), torch.Size([2, 401, 81]))
    """

    weights: Tensor
    sample_rate = SAMPLE_RATE

    def __init__(self, n_mels: int = 80) -> None:
        super().__init__()
        triangles = mel_filterbank(SAMPLE_RATE, STFT.n_fft, n_mels, low_hz=55.0, high_hz=7600.0)
        self.register_buffer("weights", triangles.clone(), persistent=False)

    def forward(self, speech: Speech) -> Float[Tensor, "batch mel frame"]:
        """The level of every band and frame."""
        if speech.shape[1] <= STFT.n_fft // 2:
            raise BadInputError(
                f"Tacotron's mel needs {STFT.n_fft // 2 + 1} samples of speech and got {speech.shape[1]}: give it more."
            )
        emphasised = torch.cat([speech[:, :1], speech[:, 1:] - EMPHASIS * speech[:, :-1]], dim=1)
        # Below 1e-20 no power reaches the floor, and the root's gradient grows without bound.
        amplitude = self.weights @ power(STFT(emphasised)).clamp_min(1e-20).sqrt()
        level_db = 20.0 * torch.log10(amplitude.clamp_min(FLOOR)) - TOP_DB
        return (2.0 * LARGEST * (level_db / RANGE_DB + 1.0) - LARGEST).clamp(-LARGEST, LARGEST)

    def amplitudes(self, levels: Float[Tensor, "batch mel frame"]) -> Float[Tensor, "batch mel frame"]:
        """The amplitude in every band, of levels that need not be within −4 … 4.

        >>> TacotronMel().amplitudes(torch.tensor([[[-4.0, 4.0, 9.0]]])).log10().round().tolist()
        [[[-4.0, 1.0, 1.0]]]
        """
        level_db = ((levels.clamp(-LARGEST, LARGEST) + LARGEST) / (2.0 * LARGEST) - 1.0) * RANGE_DB
        return 10.0 ** ((level_db + TOP_DB) / 20.0)

    def magnitudes(self, levels: Float[Tensor, "batch mel frame"]) -> Float[Tensor, "batch freq frame"]:
        """An amplitude spectrum with these levels, of speech that is still pre-emphasised.

        The publishers take a pseudo-inverse instead, cut off what is negative, and raise the rest to the power of 1.5.
        """
        return spectrum_from_mel(self.amplitudes(levels), self.weights)
