"""ResNetSE34L and ResNetSE34V2, the speaker encoders of voxceleb_trainer, differentiable from the waveform.

J. S. Chung et al., "In Defence of Metric Learning for Speaker Recognition", Interspeech 2020 (L: a thin ResNet-34
with self-attentive pooling); Y. Kwon, H. S. Heo, B.-J. Lee, J. S. Chung, "The ins and outs of speaker recognition:
lessons from VoxSRC 2020", ICASSP 2021 (V2, also H/ASP: half-width ResNet-34 with attentive statistics pooling).
State dicts as published, the front end's buffers included: :func:`network_state` takes the trainer's prefixes off,
and the rest loads with ``strict=True``.

Front end: :mod:`voxveil.audio.hamming_mel` up to 8 kHz, in V2 with pre-emphasis, log(x + 1e-6), and every mel band
normalised to zero mean and unit variance over the clip. That last step makes the embedding nearly blind to level and
equaliser. A clip is embedded whole; the published error rates compare ten crops of four seconds of each recording
pairwise.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from voxveil.audio.hamming_mel import HammingMel, PreEmphasis
from voxveil.audio.lengths import repeated
from voxveil.roles import Speech

TOP_HZ = 8000.0
BLOCKS = (3, 4, 6, 3)
MIN_SAMPLES = 1600
"""Shorter clips are repeated, as the trainer repeats those under four seconds; edges of 256 samples are reflected."""

Widths = tuple[int, int, int, int]


class Squeeze(nn.Module):
    """Squeeze and excitation: a gain 0 … 1 for every channel from the means of all (J. Hu et al., CVPR 2018).

    >>> Squeeze(16)(torch.ones(1, 16, 4, 5)).shape
    torch.Size([1, 16, 4, 5])
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        narrow = width // 8
        self.fc = nn.Sequential(nn.Linear(width, narrow), nn.ReLU(), nn.Linear(narrow, width), nn.Sigmoid())

    def forward(self, maps: Float[Tensor, "batch width freq frame"]) -> Float[Tensor, "batch width freq frame"]:
        """The maps, each scaled by its gain."""
        return maps * self.fc(maps.mean(dim=(2, 3)))[:, :, None, None]


class Block(nn.Module):
    """A residual block; its first activation stands before the normalisation.

    >>> Block(16, 32, stride=2, projects=True)(torch.zeros(1, 16, 8, 10)).shape
    torch.Size([1, 32, 4, 5])
    """

    def __init__(self, width_in: int, width: int, stride: int, projects: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width_in, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.se = Squeeze(width)
        self.downsample: nn.Module = nn.Identity()
        if projects:
            self.downsample = nn.Sequential(nn.Conv2d(width_in, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, maps: Float[Tensor, "batch _ freq frame"]) -> Float[Tensor, "batch width freq2 frame2"]:
        """relu(shortcut(maps) + se(bn2(conv2(bn1(relu(conv1(maps)))))))."""
        inner = self.bn1(torch.relu(self.conv1(maps)))
        return torch.relu(self.downsample(maps) + self.se(self.bn2(self.conv2(inner))))


class ResNetSE34L(nn.Module):
    """Speech [batch, time] at 16 kHz → unit vectors [batch, dim]; 1.4 million weights.

    >>> ResNetSE34L(widths=(8, 8, 8, 8), dim=16).eval()(torch.randn(2, 8000)).shape
    torch.Size([2, 16])
    """

    sample_rate = 16_000
    differentiable = True

    def __init__(self, widths: Widths = (16, 32, 64, 128), n_mels: int = 40, dim: int = 512) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, widths[0], 7, stride=(2, 1), padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.layer1, self.layer2, self.layer3, self.layer4 = _stages(widths, strides=(1, 2, 2, 1))
        self.torchfb = HammingMel(n_mels, low_hz=0.0, high_hz=TOP_HZ)
        self.sap_linear = nn.Linear(widths[3], widths[3])
        self.attention = nn.Parameter(nn.init.xavier_normal_(torch.empty(widths[3], 1)))
        self.fc = nn.Linear(widths[3], dim)

    def forward(self, speech: Speech) -> Float[Tensor, "batch dim"]:
        """The embedding of every clip; clips of a batch are equally long."""
        return F.normalize(self.embed(self.features(speech)), dim=-1)

    def features(self, speech: Speech) -> Float[Tensor, "batch mel frame"]:
        """The normalised log mel spectrum."""
        return _normalised_log(self.torchfb(repeated(speech, MIN_SAMPLES)))

    def embed(self, features: Float[Tensor, "batch mel frame"]) -> Float[Tensor, "batch dim"]:
        """Mel spectra → vectors of any length, as published."""
        maps = torch.relu(self.bn1(self.conv1(features[:, None])))
        maps = self.layer4(self.layer3(self.layer2(self.layer1(maps))))
        frames = maps.mean(2).mT
        share = torch.softmax(torch.tanh(self.sap_linear(frames)) @ self.attention, dim=1)
        return self.fc((frames * share).sum(1))

    def coarse(self) -> ResNetSE34L:
        """Itself: it takes a clip in one piece."""
        return self


class ResNetSE34V2(nn.Module):
    """Speech [batch, time] at 16 kHz → unit vectors [batch, dim]; 8 million weights. ``n_mels`` is a multiple of 8.

    >>> ResNetSE34V2(widths=(8, 8, 8, 8), n_mels=16, dim=16).eval()(torch.randn(2, 8000)).shape
    torch.Size([2, 16])
    """

    sample_rate = 16_000
    differentiable = True

    def __init__(self, widths: Widths = (32, 64, 128, 256), n_mels: int = 64, dim: int = 512) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, widths[0], 3, padding=1)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.layer1, self.layer2, self.layer3, self.layer4 = _stages(widths, strides=(1, 2, 2, 2))
        self.torchfb = nn.Sequential(PreEmphasis(), HammingMel(n_mels, low_hz=0.0, high_hz=TOP_HZ))
        rows = widths[3] * n_mels // 8
        self.attention = nn.Sequential(
            nn.Conv1d(rows, 128, 1), nn.ReLU(), nn.BatchNorm1d(128), nn.Conv1d(128, rows, 1), nn.Softmax(dim=2)
        )
        self.fc = nn.Linear(2 * rows, dim)

    def forward(self, speech: Speech) -> Float[Tensor, "batch dim"]:
        """The embedding of every clip; clips of a batch are equally long."""
        return F.normalize(self.embed(self.features(speech)), dim=-1)

    def features(self, speech: Speech) -> Float[Tensor, "batch mel frame"]:
        """The normalised log mel spectrum of the pre-emphasised speech."""
        return _normalised_log(self.torchfb(repeated(speech, MIN_SAMPLES)))

    def embed(self, features: Float[Tensor, "batch mel frame"]) -> Float[Tensor, "batch dim"]:
        """Mel spectra → vectors of any length, as published."""
        maps = self.bn1(torch.relu(self.conv1(features[:, None])))
        rows = self.layer4(self.layer3(self.layer2(self.layer1(maps)))).flatten(1, 2)
        share = self.attention(rows)
        mean = (rows * share).sum(2)
        variance = (rows.square() * share).sum(2) - mean.square()
        return self.fc(torch.cat([mean, variance.clamp_min(1e-5).sqrt()], dim=1))

    def coarse(self) -> ResNetSE34V2:
        """Itself: it takes a clip in one piece."""
        return self


def network_state(checkpoint: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The network's own tensors from those of a trainer's checkpoint: prefixes off, the loss's weights left out.

    >>> zero = torch.zeros(1)
    >>> list(network_state({"__S__.fc.bias": zero, "module.__S__.conv1.weight": zero, "__L__.w": zero}))
    ['fc.bias', 'conv1.weight']
    """
    bare = {name.removeprefix("module."): tensor for name, tensor in checkpoint.items()}
    return {name.removeprefix("__S__."): tensor for name, tensor in bare.items() if not name.startswith("__L__.")}


def _stages(widths: Widths, strides: Widths) -> list[nn.Sequential]:
    stages: list[nn.Sequential] = []
    before = widths[0]
    for width, stride, count in zip(widths, strides, BLOCKS, strict=True):
        # As published, every stage but the first begins with a projection, even where no size changes.
        first = Block(before, width, stride, projects=bool(stages))
        stages.append(nn.Sequential(first, *(Block(width, width, 1, projects=False) for _ in range(count - 1))))
        before = width
    return stages


def _normalised_log(energy: Tensor) -> Tensor:
    return F.instance_norm(torch.log(energy + 1e-6))
