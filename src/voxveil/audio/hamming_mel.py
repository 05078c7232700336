"""The front end of VoxCeleb trainers: pre-emphasis and a Hamming-windowed power mel spectrum, in torchaudio's names.

Filter, window and triangles are buffers of the state dict, so a published checkpoint brings its own.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from voxveil.audio.mel import mel_filterbank
from voxveil.audio.spectrum import power

SAMPLE_RATE = 16_000
N_FFT = 512
WINDOW_SAMPLES = 400
HOP_SAMPLES = 160


class PreEmphasis(nn.Module):
    """y[t] = x[t] − 0.97·x[t − 1], where x[−1] = x[1].

    >>> PreEmphasis()(torch.tensor([[0.0, 100.0, 100.0]])).round().tolist()
    [[-97.0, 100.0, 3.0]]
    """

    flipped_filter: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("flipped_filter", torch.tensor([[[-0.97, 1.0]]]))

    def forward(self, speech: Float[Tensor, "batch time"]) -> Float[Tensor, "batch time"]:
        """The speech with its high frequencies raised."""
        return F.conv1d(F.pad(speech[:, None], (1, 0), mode="reflect"), self.flipped_filter)[:, 0]


class HammingMel(nn.Module):
    """Speech [batch, time] at 16 kHz → power in HTK triangles of height 1, [batch, mel, frame]; edges are reflected.

    >>> mel = HammingMel(n_mels=80, low_hz=20.0, high_hz=7600.0)
    >>> mel(torch.randn(2, 1600)).shape, sorted(mel.state_dict())
    (torch.Size([2, 80, 11]), ['mel_scale.fb', 'spectrogram.window'])
    """

    def __init__(self, n_mels: int, low_hz: float, high_hz: float) -> None:
        super().__init__()
        triangles = mel_filterbank(SAMPLE_RATE, N_FFT, n_mels, low_hz, high_hz, scale="htk", area_norm=False)
        self.spectrogram = _holding("window", torch.hamming_window(WINDOW_SAMPLES))
        self.mel_scale = _holding("fb", triangles.T.contiguous())

    def forward(self, speech: Float[Tensor, "batch time"]) -> Float[Tensor, "batch mel frame"]:
        """The power in every band and frame."""
        window = self.spectrogram.get_buffer("window")
        spectrum = torch.stft(
            speech, N_FFT, HOP_SAMPLES, WINDOW_SAMPLES, window, pad_mode="reflect", return_complex=True
        )
        return self.mel_scale.get_buffer("fb").T @ power(spectrum)


def _holding(name: str, tensor: Tensor) -> nn.Module:
    holder = nn.Module()
    holder.register_buffer(name, tensor)
    return holder
