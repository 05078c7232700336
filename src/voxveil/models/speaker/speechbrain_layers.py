"""Layers under the names that SpeechBrain's state dicts give them: ``conv.conv``, ``norm.norm``."""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal

from torch import nn


def convolution(width_in: int, width: int, kernel: int = 1, dilation: int = 1) -> nn.Sequential:
    """A convolution over frames that keeps their number; the clip's edges are reflected. Tensors under ``conv``.

    >>> list(convolution(8, 16, kernel=3).state_dict())
    ['conv.weight', 'conv.bias']
    """
    reach = dilation * (kernel - 1) // 2
    # Reflecting by nothing would copy the frames for nothing.
    edges: Literal["reflect", "zeros"] = "reflect" if reach else "zeros"
    layer: nn.Module = nn.Conv1d(width_in, width, kernel, dilation=dilation, padding=reach, padding_mode=edges)
    return nn.Sequential(OrderedDict(conv=layer))


def normalisation(width: int) -> nn.Sequential:
    """Batch normalisation of every channel. Tensors under ``norm``.

    >>> list(normalisation(8).state_dict())[:2]
    ['norm.weight', 'norm.bias']
    """
    layer: nn.Module = nn.BatchNorm1d(width)
    return nn.Sequential(OrderedDict(norm=layer))


def time_delay(width_in: int, width: int, kernel: int = 1, dilation: int = 1) -> nn.Sequential:
    """Convolution, ReLU, batch normalisation, in this order. Tensors under ``conv.conv`` and ``norm.norm``.

    >>> list(time_delay(8, 16).state_dict())[:3]
    ['conv.conv.weight', 'conv.conv.bias', 'norm.norm.weight']
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        conv=convolution(width_in, width, kernel, dilation), activation=nn.ReLU(), norm=normalisation(width)
    )
    return nn.Sequential(layers)
