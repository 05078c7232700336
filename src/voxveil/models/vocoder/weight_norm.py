"""Weight normalisation under the names that published files have: ``weight_g`` and ``weight_v``.

T. Salimans and D. P. Kingma, "Weight Normalization: A Simple Reparameterization to Accelerate Training of Deep Neural
Networks", NIPS 2016. Of every filter (first axis of the weight) the length g and the direction v are learned apart:

    w = g · v / ‖v‖

PyTorch's own function calls them ``parametrizations.weight.original0`` and ``original1``, and the one before is
deprecated.
"""

from __future__ import annotations

import copy
from typing import TypeVar, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call

Convolution = nn.Conv1d | nn.ConvTranspose1d | nn.Conv2d
Network = TypeVar("Network", bound=nn.Module)


class WeightNorm(nn.Module):
    """The convolution ``layer`` (with a bias), its weight learned as length and direction; at first the same weight.

    ``layer`` itself is used up: its numbers move here.

    >>> layer = WeightNorm(nn.Conv1d(4, 8, kernel_size=3))
    >>> {name: list(tensor.shape) for name, tensor in layer.state_dict().items()}
    {'bias': [8], 'weight_g': [8, 1, 1], 'weight_v': [8, 4, 3]}
    """

    def __init__(self, layer: Convolution) -> None:
        super().__init__()
        weight = layer.weight.detach()
        self.bias = cast(nn.Parameter, layer.bias)
        self.weight_g = nn.Parameter(_lengths(weight))
        self.weight_v = nn.Parameter(weight)
        # It knows stride, padding and groups. It holds no numbers, and the tuple keeps it out of the state dict.
        self.bare = (layer.to("meta"),)

    def forward(self, frames: Tensor) -> Tensor:
        """The convolution with w."""
        return functional_call(self.bare[0], {"weight": self.weight(), "bias": self.bias}, (frames,))

    def weight(self) -> Tensor:
        """The weight w."""
        return self.weight_v * (self.weight_g / _lengths(self.weight_v))

    def plain(self) -> nn.Module:
        """The convolution itself, with w as it is now."""
        layer = copy.deepcopy(self.bare[0])
        layer.weight = nn.Parameter(self.weight().detach())
        layer.bias = self.bias
        return layer


def folded(network: Network) -> Network:
    """A copy of ``network`` for inference: every w computed once, and its gradients only those of the input.

    >>> network = nn.Sequential(WeightNorm(nn.Conv1d(4, 8, kernel_size=3)))
    >>> list(folded(network).state_dict())
    ['0.weight', '0.bias']
    """
    twin = copy.deepcopy(network)
    for parent in list(twin.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, WeightNorm):
                setattr(parent, name, child.plain())
    return twin.requires_grad_(False)


def _lengths(weight: Tensor) -> Tensor:
    return torch.linalg.vector_norm(weight, dim=tuple(range(1, weight.dim())), keepdim=True)
