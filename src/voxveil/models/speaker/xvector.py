"""The x-vector network that SpeechBrain trained on VoxCeleb (``spkrec-xvect-voxceleb``), from the waveform.

D. Snyder, D. Garcia-Romero, G. Sell, D. Povey, S. Khudanpur, "X-Vectors: Robust DNN Embeddings for Speaker
Recognition", ICASSP 2018. Names and shapes of the state dict are those of the published ``embedding_model.ckpt``,
which loads with ``strict=True``.

Front end: :mod:`voxveil.audio.fbank` with 24 bands, less every band's mean over the clip. Five convolutions over 15
frames in all, mean and deviation over time, and a linear layer, whose output is the x-vector.

The published code adds random numbers between 1e-5 and 9e-5 to every mean, in evaluation too. Here it is their
centre, so that one clip has one embedding.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from voxveil.audio.fbank import Fbank, without_mean
from voxveil.audio.lengths import repeated
from voxveil.models.speaker.speechbrain_layers import convolution, normalisation
from voxveil.roles import Speech

N_MELS = 24
KERNELS = (5, 3, 3, 1, 1)
DILATIONS = (1, 2, 3, 1, 1)
MEAN_OFFSET = 5e-5
DEVIATION_OFFSET = 1e-5
MIN_VARIANCE = 1e-20
MIN_SAMPLES = 480
"""Shorter clips are repeated: reflected edges need four frames."""


class Statistics(nn.Module):
    """Mean and unbiased deviation of every channel over time.

    >>> Statistics()(torch.tensor([[[1.0, 2.0, 3.0]]])).round().tolist()
    [[2.0, 1.0]]
    """

    def forward(self, frames: Float[Tensor, "batch width frame"]) -> Float[Tensor, "batch statistic"]:
        """Means, then deviations."""
        # The bound keeps the gradient of the root finite in silence.
        deviation = frames.var(2).clamp_min(MIN_VARIANCE).sqrt()
        return torch.cat([frames.mean(2) + MEAN_OFFSET, deviation + DEVIATION_OFFSET], dim=1)


class XVector(nn.Module):
    """Speech [batch, time] at 16 kHz → unit vectors [batch, dim]; 4.2 million weights as published.

    >>> XVector(channels=16, pooled_channels=24, dim=8).eval()(torch.randn(2, 8000)).shape
    torch.Size([2, 8])
    """

    sample_rate = 16_000
    differentiable = True

    def __init__(self, channels: int = 512, pooled_channels: int = 1500, dim: int = 512) -> None:
        super().__init__()
        self.fbank = Fbank(N_MELS)
        widths = (N_MELS, channels, channels, channels, channels, pooled_channels)
        layers: list[nn.Module] = []
        for width_in, width, kernel, dilation in zip(widths, widths[1:], KERNELS, DILATIONS, strict=False):
            layers += [convolution(width_in, width, kernel, dilation), nn.LeakyReLU(), normalisation(width)]
        last: nn.Module = nn.Linear(2 * pooled_channels, dim)
        self.blocks = nn.Sequential(*layers, Statistics(), nn.Sequential(OrderedDict(w=last)))

    def forward(self, speech: Speech) -> Float[Tensor, "batch dim"]:
        """The embedding of every clip; clips of a batch are equally long."""
        return F.normalize(self.embed(self.features(speech)), dim=-1)

    def features(self, speech: Speech) -> Float[Tensor, "batch 24 frame"]:
        """Band levels in dB around every band's mean."""
        return without_mean(self.fbank(repeated(speech, MIN_SAMPLES)))

    def embed(self, features: Float[Tensor, "batch 24 frame"]) -> Float[Tensor, "batch dim"]:
        """The network itself: band levels → vectors of any length, as published."""
        return self.blocks(features)

    def coarse(self) -> XVector:
        """Itself: it takes a clip in one piece."""
        return self
