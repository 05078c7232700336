"""The front end of the small converters of this package: HiFi-GAN's log mel at 16 kHz, around 0 by about 1.

One front end for all of them, so that one vocoder serves all. Official weights come with front ends of their own.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from voxveil.audio.log_mel import LogMel
from voxveil.audio.mel import mel_edges_hz
from voxveil.audio.mel_inverse import spectrum_from_mel
from voxveil.roles import Speech

SAMPLE_RATE = 16_000
N_FFT = 1024
HOP_SAMPLES = 256
N_MELS = 80
CENTRE, SPREAD = -5.5, 2.1
"""Mean and standard deviation of the logarithms in LibriSpeech."""


class StandardMel(nn.Module):
    """Speech [batch, time] at 16 kHz → levels [batch, 80, time // 256].

    Raises :class:`~voxveil.errors.BadInputError` for speech of fewer than 385 samples.

    >>> import torch
    >>> mel = StandardMel()
    >>> levels = mel(torch.randn(2, 16_000))
    >>> levels.shape, mel.magnitudes(levels).shape
    (torch.Size([2, 80, 62]), torch.Size([2, 513, 62]))
    """

    sample_rate = SAMPLE_RATE
    hop_samples = HOP_SAMPLES
    n_fft = N_FFT

    def __init__(self) -> None:
        super().__init__()
        self.log_mel = LogMel(SAMPLE_RATE, N_FFT, HOP_SAMPLES, N_MELS)

    @staticmethod
    def centres_hz() -> Float[Tensor, " mel"]:
        """Where the bands have their peaks."""
        return mel_edges_hz(N_MELS, 0.0, 8000.0)[1:-1].float()

    def forward(self, speech: Speech) -> Float[Tensor, "batch mel frame"]:
        """The level of every band and frame."""
        return (self.log_mel(speech) - CENTRE) / SPREAD

    def magnitudes(self, levels: Float[Tensor, "batch mel frame"]) -> Float[Tensor, "batch freq frame"]:
        """An amplitude spectrum with these levels; frame n is centred on sample n·256 + 128."""
        return spectrum_from_mel((levels * SPREAD + CENTRE).exp(), self.log_mel.weights)
