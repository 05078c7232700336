"""CBHG: a bank of convolutions, highway layers and a recurrent layer that look at a sequence at every scale.

Y. Wang et al., "Tacotron: Towards End-to-End Speech Synthesis", Interspeech 2017, section 3.1, in the form of
Real-Time-Voice-Cloning, whose state-dict names these are: every convolution is rectified before it is normalised.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class Highway(nn.Module):
    """g·relu(W₁x) + (1 − g)·x with the gate g = σ(W₂x): R. K. Srivastava et al., "Highway Networks", 2015.

    >>> Highway(8)(torch.zeros(2, 5, 8)).shape
    torch.Size([2, 5, 8])
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.W1 = nn.Linear(width, width)
        self.W2 = nn.Linear(width, width)
        nn.init.zeros_(self.W1.bias)

    def forward(self, frames: Float[Tensor, "batch frame width"]) -> Float[Tensor, "batch frame width"]:
        """The frames, changed as far as the gate is open."""
        gate = torch.sigmoid(self.W2(frames))
        return gate * torch.relu(self.W1(frames)) + (1.0 - gate) * frames


class CBHG(nn.Module):
    """Frames [batch, width_in, frame] → [batch, frame, width], each with what lies around it; ``width`` is even.

    ``kernels`` is the widest kernel of the bank, which has one of every width from 1.

    >>> CBHG(width_in=6, width=8, kernels=3, highways=2)(torch.randn(2, 6, 10)).shape
    torch.Size([2, 10, 8])
    """

    def __init__(self, width_in: int, width: int, kernels: int, highways: int) -> None:
        super().__init__()
        self.conv1d_bank = nn.ModuleList(_convolution(width_in, width, kernel + 1) for kernel in range(kernels))
        self.conv_project1 = _convolution(kernels * width, width, 3)
        self.conv_project2 = _convolution(width, width_in, 3, rectified=False)
        self.pre_highway = nn.Identity() if width_in == width else nn.Linear(width_in, width, bias=False)
        self.highways = nn.ModuleList(Highway(width) for _ in range(highways))
        self.rnn = nn.GRU(width, width // 2, batch_first=True, bidirectional=True)

    def forward(self, frames: Float[Tensor, "batch width_in frame"]) -> Float[Tensor, "batch frame width"]:
        """As many frames as came in."""
        # Even kernels, and the pool of two, give one frame more than they get: the last is left out.
        count = frames.shape[2]
        bank = torch.cat([layer(frames)[:, :, :count] for layer in self.conv1d_bank], dim=1)
        pooled = F.max_pool1d(bank, kernel_size=2, stride=1, padding=1)[:, :, :count]
        around = self.pre_highway((frames + self.conv_project2(self.conv_project1(pooled))).mT)
        for layer in self.highways:
            around = layer(around)
        return self.rnn(around)[0]


def _convolution(width_in: int, width: int, kernel: int, rectified: bool = True) -> nn.Sequential:
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        conv=nn.Conv1d(width_in, width, kernel, padding=kernel // 2, bias=False),
        activation=nn.ReLU() if rectified else nn.Identity(),
        bnorm=nn.BatchNorm1d(width),
    )
    return nn.Sequential(layers)
