"""ECAPA-TDNN as R. Tao trained it on VoxCeleb2 (github.com/TaoRuijie/ECAPA-TDNN), differentiable from the waveform.

B. Desplanques, J. Thienpondt, K. Demuynck, "ECAPA-TDNN: Emphasized Channel Attention, Propagation and Aggregation in
TDNN Based Speaker Verification", Interspeech 2020. :func:`network_state` leaves the training loss out of the
published ``pretrain.model``; the rest, the front end's buffers included, loads with ``strict=True``.

It is another network than :mod:`voxveil.models.speaker.ecapa`: edges are zeros; the last of the eight slices passes
through, not the first; a block takes the sum of all before it; the aggregation is not normalised; the attention sees
the unbiased deviation; and the embedding is normalised per coordinate.

Front end: pre-emphasis, 80 HTK mels from 20 to 7600 Hz (:mod:`voxveil.audio.hamming_mel`), log(x + 1e-6), less every
band's mean over the clip. The published error rate averages a whole clip's score and those of five 3 s excerpts.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from voxveil.audio.fbank import without_mean
from voxveil.audio.hamming_mel import HammingMel, PreEmphasis
from voxveil.audio.lengths import repeated
from voxveil.roles import Speech

N_MELS = 80
SCALE = 8
DILATIONS = (2, 3, 4)
SQUEEZE_CHANNELS = 128
MIN_VARIANCE = 1e-4
MIN_SAMPLES = 257
"""Shorter clips are repeated: edges of 256 samples are reflected."""


class Squeeze(nn.Module):
    """A gain 0 … 1 for every channel, from the means of all over time (J. Hu et al., CVPR 2018).

    >>> Squeeze(16)(torch.ones(1, 16, 10)).shape
    torch.Size([1, 16, 10])
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.se = nn.Sequential(
            nn.AdaptiveAvgPool1d(1),
            nn.Conv1d(width, SQUEEZE_CHANNELS, 1),
            nn.ReLU(),
            nn.Conv1d(SQUEEZE_CHANNELS, width, 1),
            nn.Sigmoid(),
        )

    def forward(self, frames: Float[Tensor, "batch width frame"]) -> Float[Tensor, "batch width frame"]:
        """The frames, each channel scaled by its gain."""
        return frames * self.se(frames)


class Block(nn.Module):
    """frames + squeeze(mix(res2net(mix(frames)))), with activation before normalisation everywhere.

    >>> Block(16, dilation=2)(torch.ones(2, 16, 10)).shape
    torch.Size([2, 16, 10])
    """

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        part = width // SCALE
        self.conv1, self.bn1 = nn.Conv1d(width, width, 1), nn.BatchNorm1d(width)
        self.convs = nn.ModuleList(
            nn.Conv1d(part, part, 3, dilation=dilation, padding=dilation) for _ in range(SCALE - 1)
        )
        self.bns = nn.ModuleList(nn.BatchNorm1d(part) for _ in range(SCALE - 1))
        self.conv3, self.bn3 = nn.Conv1d(width, width, 1), nn.BatchNorm1d(width)
        self.se = Squeeze(width)

    def forward(self, frames: Float[Tensor, "batch width frame"]) -> Float[Tensor, "batch width frame"]:
        """The frames, each with more context."""
        mixed = self._res2net(self.bn1(torch.relu(self.conv1(frames))))
        return frames + self.se(self.bn3(torch.relu(self.conv3(mixed))))

    def _res2net(self, frames: Tensor) -> Tensor:
        *parts, last = frames.chunk(SCALE, dim=1)
        results: list[Tensor] = []
        for part, convolve, normalise in zip(parts, self.convs, self.bns, strict=True):
            taken = part + results[-1] if results else part
            results.append(normalise(torch.relu(convolve(taken))))
        return torch.cat([*results, last], dim=1)


class ECAPATaoRuijie(nn.Module):
    """Speech [batch, time] at 16 kHz → unit vectors [batch, dim]; 15.4 million weights as published.

    ``channels`` is a multiple of 8.

    >>> ECAPATaoRuijie(channels=16, pooled_channels=24, dim=8).eval()(torch.randn(2, 8000)).shape
    torch.Size([2, 8])
    """

    sample_rate = 16_000
    differentiable = True

    def __init__(
        self, channels: int = 1024, pooled_channels: int = 1536, attention_channels: int = 256, dim: int = 192
    ) -> None:
        super().__init__()
        self.torchfbank = nn.Sequential(PreEmphasis(), HammingMel(N_MELS, low_hz=20.0, high_hz=7600.0))
        self.conv1, self.bn1 = nn.Conv1d(N_MELS, channels, 5, padding=2), nn.BatchNorm1d(channels)
        self.layer1, self.layer2, self.layer3 = (Block(channels, dilation) for dilation in DILATIONS)
        self.layer4 = nn.Conv1d(3 * channels, pooled_channels, 1)
        self.attention = nn.Sequential(
            nn.Conv1d(3 * pooled_channels, attention_channels, 1),
            nn.ReLU(),
            nn.BatchNorm1d(attention_channels),
            nn.Tanh(),
            nn.Conv1d(attention_channels, pooled_channels, 1),
            nn.Softmax(dim=2),
        )
        self.bn5 = nn.BatchNorm1d(2 * pooled_channels)
        self.fc6, self.bn6 = nn.Linear(2 * pooled_channels, dim), nn.BatchNorm1d(dim)

    def forward(self, speech: Speech) -> Float[Tensor, "batch dim"]:
        """The embedding of every clip; clips of a batch are equally long."""
        return F.normalize(self.embed(self.features(speech)), dim=-1)

    def features(self, speech: Speech) -> Float[Tensor, "batch 80 frame"]:
        """The log mel spectrum around every band's mean."""
        return without_mean(torch.log(self.torchfbank(repeated(speech, MIN_SAMPLES)) + 1e-6))

    def embed(self, features: Float[Tensor, "batch 80 frame"]) -> Float[Tensor, "batch dim"]:
        """The network itself: mel spectra → vectors of any length, as published."""
        start = self.bn1(torch.relu(self.conv1(features)))
        first = self.layer1(start)
        second = self.layer2(start + first)
        third = self.layer3(start + first + second)
        frames = torch.relu(self.layer4(torch.cat([first, second, third], dim=1)))
        return self.bn6(self.fc6(self.bn5(self._pooled(frames))))

    def _pooled(self, frames: Tensor) -> Tensor:
        deviation = frames.var(2, keepdim=True).clamp_min(MIN_VARIANCE).sqrt()
        context = torch.cat([frames.mean(2, keepdim=True), deviation], dim=1).expand(-1, -1, frames.shape[2])
        shares = self.attention(torch.cat([frames, context], dim=1))
        mean = (frames * shares).sum(2)
        variance = (frames.square() * shares).sum(2) - mean.square()
        return torch.cat([mean, variance.clamp_min(MIN_VARIANCE).sqrt()], dim=1)

    def coarse(self) -> ECAPATaoRuijie:
        """Itself: it takes a clip in one piece."""
        return self


def network_state(checkpoint: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The network's own tensors from those of a trainer's checkpoint: prefixes off, the loss's weights left out.

    >>> zero = torch.zeros(1)
    >>> list(network_state({"speaker_encoder.fc6.bias": zero, "speaker_loss.weight": zero}))
    ['fc6.bias']
    """
    bare = {name.removeprefix("module."): tensor for name, tensor in checkpoint.items()}
    return {
        name.removeprefix("speaker_encoder."): tensor
        for name, tensor in bare.items()
        if not name.startswith("speaker_loss.")
    }
