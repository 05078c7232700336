"""A small frame encoder that hears what is said and not who says it: kNN-VC's features where WavLM is too large.

It is trained so that a frame and the same frame in another voice belong to one cluster of sounds
(:mod:`voxveil.train.content`). Sounds of one cluster it hardly tells apart; the cepstra beside it do
(:mod:`voxveil.models.conversion.stacked_cepstra`), with as much say.

What stays the same through a clip, voice and microphone above all, is taken out twice: every band has mean 0 and
deviation 1, and so has every channel after every convolution (instance normalisation, as in the content encoder of
J.-C. Chou et al., "One-shot Voice Conversion by Separating Speaker and Content Representations with Instance
Normalization", Interspeech 2019). Convolutions that look ever wider apart (A. Waibel et al., "Phoneme Recognition Using
Time-Delay Neural Networks", IEEE TASSP 37(3), 1989) tell where in a sound a frame lies.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from voxveil.audio.mel import MelSpectrogram, mel_edges_hz, power_to_db
from voxveil.audio.spectrum import Stft
from voxveil.models.conversion.stacked_cepstra import StackedCepstra
from voxveil.roles import Speech

SAMPLE_RATE = 16_000
STFT = Stft(n_fft=512, hop_samples=160)
N_MELS = 40
NEPER_DB = 20.0 / math.log(10.0)

Levels = Float[Tensor, "batch mel frame"]


class ContentEncoder(nn.Module):
    """Speech [batch, time] at 16 kHz → features [batch, frame, 91 + dim], frame n centred on sample 160·n.

    The first 91 are cepstra, the others the network's answer, and each of the two is a unit vector. ``channels`` is the
    width, ``blocks`` the number of residual convolutions, whose reach doubles from one to the next.

    >>> encoder = ContentEncoder(channels=8, blocks=2, dim=6)
    >>> frames = encoder(torch.randn(2, 16_000))
    >>> frames.shape, bool(torch.allclose(frames[:, :, 91:].norm(dim=2), torch.ones(2, 101), atol=1e-5))
    (torch.Size([2, 101, 97]), True)
    """

    sample_rate = SAMPLE_RATE
    hop_samples = STFT.hop_samples
    first_sample = 0

    def __init__(self, channels: int = 128, blocks: int = 3, dim: int = 64) -> None:
        super().__init__()
        self.cepstra = StackedCepstra()
        self.mel = MelSpectrogram(SAMPLE_RATE, STFT, N_MELS)
        self.first = nn.Conv1d(N_MELS, channels, 5, padding=2)
        self.blocks = nn.ModuleList(
            nn.Conv1d(channels, channels, 3, dilation=2**n, padding=2**n) for n in range(blocks)
        )
        self.last = nn.Conv1d(channels, dim, 1)

    @property
    def centres_hz(self) -> Float[Tensor, " mel"]:
        """Where the bands have their peaks."""
        return mel_edges_hz(N_MELS, 0.0, SAMPLE_RATE / 2)[1:-1].float()

    def levels(self, speech: Speech) -> Levels:
        """Natural logarithms of the bands' amplitudes, floored 80 dB below the loudest of each clip."""
        return power_to_db(self.mel(speech)) / NEPER_DB

    def encode(self, levels: Levels) -> Float[Tensor, "batch frame dim"]:
        """The network's answer, unit vectors, to clips whose levels, maybe in disguise, are given."""
        frames = torch.relu(_standardised(self.first(_standardised(levels))))
        for block in self.blocks:
            frames = frames + torch.relu(_standardised(block(frames)))
        return F.normalize(self.last(frames).float().mT, dim=2)

    def forward(self, speech: Speech) -> Float[Tensor, "batch frame dim"]:
        """The features of every frame of every clip."""
        return torch.cat([F.normalize(self.cepstra(speech), dim=2), self.encode(self.levels(speech))], dim=2)


def _standardised(frames: Float[Tensor, "batch channel frame"]) -> Float[Tensor, "batch channel frame"]:
    """Each channel of each clip with mean 0 and deviation 1; a clip of a single frame becomes zeros."""
    variance, mean = torch.var_mean(frames.float(), dim=2, keepdim=True, correction=0)
    return ((frames - mean) * torch.rsqrt(variance + 1e-5)).to(frames.dtype)
