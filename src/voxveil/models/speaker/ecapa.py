"""ECAPA-TDNN as SpeechBrain trained it on VoxCeleb (``spkrec-ecapa-voxceleb``), differentiable from the waveform.

B. Desplanques, J. Thienpondt, K. Demuynck, "ECAPA-TDNN: Emphasized Channel Attention, Propagation and Aggregation in
TDNN Based Speaker Verification", Interspeech 2020. Names and shapes of the state dict are those of the published
``embedding_model.ckpt``, which loads with ``strict=True``.

Front end: :mod:`voxveil.audio.fbank` with 80 bands, less every band's mean over the clip. A convolution, three
SE-Res2Net blocks with dilations 2, 3 and 4, an aggregation of all three, pooling that weighs every channel's frames
by attention, and a linear layer. Embeddings are compared by cosine; the publishers accept above 0.25.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from voxveil.audio.fbank import Fbank, without_mean
from voxveil.audio.lengths import repeated
from voxveil.models.speaker.speechbrain_layers import convolution, normalisation, time_delay
from voxveil.roles import Speech

N_MELS = 80
SCALE = 8
DILATIONS = (2, 3, 4)
MIN_VARIANCE = 1e-12
MIN_SAMPLES = 640
"""Shorter clips are repeated: reflected edges need five frames."""


class Res2Net(nn.Module):
    """Eight slices of the channels; all but the first are convolved, each together with the result before it.

    S.-H. Gao et al., "Res2Net: A New Multi-scale Backbone Architecture", 2019.

    >>> Res2Net(16, dilation=2)(torch.ones(1, 16, 10)).shape
    torch.Size([1, 16, 10])
    """

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        part = width // SCALE
        self.blocks = nn.ModuleList(time_delay(part, part, 3, dilation) for _ in range(SCALE - 1))

    def forward(self, frames: Float[Tensor, "batch width frame"]) -> Float[Tensor, "batch width frame"]:
        """The slices, side by side again."""
        first, second, *others = frames.chunk(SCALE, dim=1)
        results = [first, self.blocks[0](second)]
        for block, part in zip(self.blocks[1:], others, strict=True):
            results.append(block(part + results[-1]))
        return torch.cat(results, dim=1)


class Squeeze(nn.Module):
    """A gain 0 … 1 for every channel, from the means of all over time (J. Hu et al., CVPR 2018).

    >>> Squeeze(16, 4)(torch.ones(1, 16, 10)).shape
    torch.Size([1, 16, 10])
    """

    def __init__(self, width: int, narrow: int) -> None:
        super().__init__()
        self.conv1 = convolution(width, narrow)
        self.conv2 = convolution(narrow, width)

    def forward(self, frames: Float[Tensor, "batch width frame"]) -> Float[Tensor, "batch width frame"]:
        """The frames, each channel scaled by its gain."""
        gains = torch.sigmoid(self.conv2(torch.relu(self.conv1(frames.mean(2, keepdim=True)))))
        return frames * gains


class Block(nn.Module):
    """frames + squeeze(mix(res2net(mix(frames)))).

    >>> Block(16, narrow=4, dilation=2)(torch.ones(2, 16, 10)).shape
    torch.Size([2, 16, 10])
    """

    def __init__(self, width: int, narrow: int, dilation: int) -> None:
        super().__init__()
        self.tdnn1 = time_delay(width, width)
        self.res2net_block = Res2Net(width, dilation)
        self.tdnn2 = time_delay(width, width)
        self.se_block = Squeeze(width, narrow)

    def forward(self, frames: Float[Tensor, "batch width frame"]) -> Float[Tensor, "batch width frame"]:
        """The frames, each with more context."""
        return frames + self.se_block(self.tdnn2(self.res2net_block(self.tdnn1(frames))))


class AttentiveStatistics(nn.Module):
    """Mean and deviation of every channel, its frames weighed by attention that knows the whole clip's statistics.

    >>> AttentiveStatistics(16, 4)(torch.randn(2, 16, 10)).shape
    torch.Size([2, 32])
    """

    def __init__(self, width: int, narrow: int) -> None:
        super().__init__()
        self.tdnn = time_delay(3 * width, narrow)
        self.conv = convolution(narrow, width)

    def forward(self, frames: Float[Tensor, "batch width frame"]) -> Float[Tensor, "batch statistic"]:
        """Means, then deviations."""
        whole = statistics(frames, torch.full_like(frames, 1.0 / frames.shape[2]))
        context = whole[:, :, None].expand(-1, -1, frames.shape[2])
        attention = self.conv(torch.tanh(self.tdnn(torch.cat([frames, context], dim=1))))
        return statistics(frames, torch.softmax(attention, dim=2))


def statistics(
    frames: Float[Tensor, "batch width frame"], shares: Float[Tensor, "batch width frame"]
) -> Float[Tensor, "batch statistic"]:
    """Means and standard deviations over time under ``shares`` that sum to 1, one after the other.

    >>> statistics(torch.tensor([[[1.0, 3.0]]]), torch.tensor([[[0.5, 0.5]]])).tolist()
    [[2.0, 1.0]]
    """
    mean = (shares * frames).sum(2)
    variance = (shares * (frames - mean[:, :, None]).square()).sum(2)
    return torch.cat([mean, variance.clamp_min(MIN_VARIANCE).sqrt()], dim=1)


class ECAPA(nn.Module):
    """Speech [batch, time] at 16 kHz → unit vectors [batch, dim]; 20.8 million weights as published.

    ``channels`` is a multiple of 8; aggregation and pooling are three times as wide.

    >>> ECAPA(channels=16, dim=24).eval()(torch.randn(2, 8000)).shape
    torch.Size([2, 24])
    """

    sample_rate = 16_000
    differentiable = True

    def __init__(
        self, channels: int = 1024, squeeze_channels: int = 128, attention_channels: int = 128, dim: int = 192
    ) -> None:
        super().__init__()
        pooled = 3 * channels
        self.fbank = Fbank(N_MELS)
        context = (Block(channels, squeeze_channels, dilation) for dilation in DILATIONS)
        self.blocks = nn.ModuleList([time_delay(N_MELS, channels, kernel=5), *context])
        self.mfa = time_delay(3 * channels, pooled)
        self.asp = AttentiveStatistics(pooled, attention_channels)
        self.asp_bn = normalisation(2 * pooled)
        self.fc = convolution(2 * pooled, dim)

    def forward(self, speech: Speech) -> Float[Tensor, "batch dim"]:
        """The embedding of every clip; clips of a batch are equally long."""
        return F.normalize(self.embed(self.features(speech)), dim=-1)

    def features(self, speech: Speech) -> Float[Tensor, "batch 80 frame"]:
        """Band levels in dB around every band's mean."""
        return without_mean(self.fbank(repeated(speech, MIN_SAMPLES)))

    def embed(self, features: Float[Tensor, "batch 80 frame"]) -> Float[Tensor, "batch dim"]:
        """The network itself: band levels → vectors of any length, as published."""
        frames = self.blocks[0](features)
        contexts: list[Tensor] = []
        for block in self.blocks[1:]:
            frames = block(frames)
            contexts.append(frames)
        pooled = self.asp(self.mfa(torch.cat(contexts, dim=1)))
        return self.fc(self.asp_bn(pooled[:, :, None]))[:, :, 0]

    def coarse(self) -> ECAPA:
        """Itself: it takes a clip in one piece."""
        return self
