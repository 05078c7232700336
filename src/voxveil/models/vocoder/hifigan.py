"""The generator of HiFi-GAN: log mel spectra in, speech out; differentiable.

J. Kong, J. Kim and J. Bae, "HiFi-GAN: Generative Adversarial Networks for Efficient and High Fidelity Speech
Synthesis", NeurIPS 2020. Transposed convolutions raise a frame to a hop of samples, stage by stage with half the
channels each; after every stage residual blocks of several kernel sizes look at it, and their outputs are averaged.

Names and shapes of the state dict are those of the published generators (the value under ``generator`` in the files
``g_…``), which load with ``strict=True``: :class:`HifiGan` for V1, ``HifiGan(**V2)`` and ``HifiGan(**V3)``. Its front
end is :attr:`HifiGan.mel`, :mod:`voxveil.audio.log_mel`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from voxveil.audio.log_mel import LogMel
from voxveil.models.vocoder.weight_norm import WeightNorm
from voxveil.roles import Speech

SLOPE = 0.1
LAST_SLOPE = 0.01
"""Before the last convolution the published code leaves the slope at PyTorch's default."""

V2: dict[str, Any] = {"width": 128}
V3: dict[str, Any] = {
    "width": 256,
    "rates": (8, 8, 4),
    "rate_kernels": (16, 16, 8),
    "block": 2,
    "block_kernels": (3, 5, 7),
    "dilations": ((1, 2), (2, 6), (3, 12)),
}


class Block1(nn.Module):
    """For every dilation: frames + convolution(dilated convolution(frames)).

    >>> Block1(8, kernel=3, dilations=(1, 3, 5))(torch.zeros(1, 8, 20)).shape
    torch.Size([1, 8, 20])
    """

    def __init__(self, width: int, kernel: int, dilations: Sequence[int]) -> None:
        super().__init__()
        self.convs1 = nn.ModuleList(_convolution(width, width, kernel, dilation) for dilation in dilations)
        self.convs2 = nn.ModuleList(_convolution(width, width, kernel) for _ in dilations)

    def forward(self, frames: Float[Tensor, "batch width frame"]) -> Float[Tensor, "batch width frame"]:
        """The frames, each with more context."""
        for first, second in zip(self.convs1, self.convs2, strict=True):
            frames = frames + second(F.leaky_relu(first(F.leaky_relu(frames, SLOPE)), SLOPE))
        return frames


class Block2(nn.Module):
    """For every dilation: frames + dilated convolution(frames).

    >>> Block2(8, kernel=3, dilations=(1, 3))(torch.zeros(1, 8, 20)).shape
    torch.Size([1, 8, 20])
    """

    def __init__(self, width: int, kernel: int, dilations: Sequence[int]) -> None:
        super().__init__()
        self.convs = nn.ModuleList(_convolution(width, width, kernel, dilation) for dilation in dilations)

    def forward(self, frames: Float[Tensor, "batch width frame"]) -> Float[Tensor, "batch width frame"]:
        """The frames, each with more context."""
        for convolution in self.convs:
            frames = frames + convolution(F.leaky_relu(frames, SLOPE))
        return frames


BLOCKS = {1: Block1, 2: Block2}


class HifiGan(nn.Module):
    """Log mel spectra [batch, mel, frame] → speech [batch, frame · hop] in −1 … 1; 13.9 million weights as V1.

    The hop is the product of ``rates``, 256 samples as published; ``width`` halves with every rate. ``block`` is the
    kind of residual block, 1 or 2, and there is one for every one of ``block_kernels``, with its ``dilations``. The
    other numbers are the front end's. For use without training, :func:`~voxveil.models.vocoder.weight_norm.folded`
    gives a copy that is faster.

    >>> vocoder = HifiGan(width=32, rates=(5, 5, 8), rate_kernels=(10, 10, 16), sample_rate=16_000, n_fft=800)
    >>> mel = vocoder.mel(torch.zeros(2, 1600))
    >>> mel.shape, vocoder(mel).shape
    (torch.Size([2, 80, 8]), torch.Size([2, 1600]))
    """

    differentiable = True

    def __init__(
        self,
        width: int = 512,
        rates: Sequence[int] = (8, 8, 2, 2),
        rate_kernels: Sequence[int] = (16, 16, 4, 4),
        block: int = 1,
        block_kernels: Sequence[int] = (3, 7, 11),
        dilations: Sequence[Sequence[int]] = ((1, 3, 5), (1, 3, 5), (1, 3, 5)),
        sample_rate: int = 22_050,
        n_fft: int = 1024,
        n_mels: int = 80,
        high_hz: float | None = 8000.0,
    ) -> None:
        super().__init__()
        self.sample_rate = sample_rate
        self.hop_samples = math.prod(rates)
        self.mel = LogMel(sample_rate, n_fft, self.hop_samples, n_mels, high_hz=high_hz)
        widths = [width >> stage for stage in range(len(rates) + 1)]
        self.conv_pre = _convolution(n_mels, width, kernel=7)
        self.ups = nn.ModuleList(
            _raise(wide, narrow, rate, kernel)
            for wide, narrow, rate, kernel in zip(widths, widths[1:], rates, rate_kernels, strict=False)
        )
        self.resblocks = nn.ModuleList(
            BLOCKS[block](narrow, kernel, dilated)
            for narrow in widths[1:]
            for kernel, dilated in zip(block_kernels, dilations, strict=True)
        )
        self.conv_post = _convolution(widths[-1], 1, kernel=7)

    def forward(self, mel: Float[Tensor, "batch mel frame"]) -> Speech:
        """The speech whose front end gives ``mel``."""
        frames = self.conv_pre(mel)
        count = len(self.resblocks) // len(self.ups)
        for stage, up in enumerate(self.ups):
            frames = up(F.leaky_relu(frames, SLOPE))
            blocks = self.resblocks[stage * count : (stage + 1) * count]
            frames = sum((block(frames) for block in blocks), start=torch.zeros_like(frames)) / count
        return torch.tanh(self.conv_post(F.leaky_relu(frames, LAST_SLOPE)))[:, 0]


def _convolution(width_in: int, width: int, kernel: int, dilation: int = 1) -> WeightNorm:
    return WeightNorm(nn.Conv1d(width_in, width, kernel, dilation=dilation, padding=dilation * (kernel - 1) // 2))


def _raise(width_in: int, width: int, rate: int, kernel: int) -> WeightNorm:
    # kernel − rate samples too many come out; where that is odd, the end keeps the odd one.
    padding, odd = (kernel - rate + 1) // 2, (kernel - rate) % 2
    return WeightNorm(nn.ConvTranspose1d(width_in, width, kernel, rate, padding, output_padding=odd))
