"""Layers of time-delay networks in NumPy, float64, one clip [channel, frame] at a time: a second implementation."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import torch
from torch import nn

Numbers = dict[str, np.ndarray]
Shapes = dict[str, tuple[int, ...]]


def unlike_new(network: nn.Module) -> nn.Module:
    """``network`` in eval mode, float64, with normalisations that do something."""
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            for tensor in (layer.weight.data, layer.running_var):
                tensor.uniform_(0.5, 1.5)
            for tensor in (layer.bias.data, layer.running_mean):
                tensor.normal_(0.0, 0.3)
    return network.double().eval().requires_grad_(False)


def trained(network: Any) -> Any:
    """An encoder as after training, float64: its statistics fit its input, and its embeddings spread around zero.

    With fresh weights, embeddings of different clips may be equal to four digits, and every comparison would pass.
    """
    unlike_new(network)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            layer.momentum = 1.0
    shape = network.features(torch.zeros(1, 16_000, dtype=torch.float64)).shape[1:]
    probe = torch.randn(8, *shape, dtype=torch.float64).cumsum(2)
    probe = (probe - probe.mean(2, keepdim=True)) / probe.std(2, keepdim=True)
    network.train().embed(probe)
    last = [layer for layer in network.modules() if getattr(layer, "bias", None) is not None][-1]
    last.bias -= network.eval().embed(probe).mean(0)
    return network


def numbers(network: nn.Module) -> Numbers:
    return {name: tensor.numpy() for name, tensor in network.state_dict().items()}


def convolved(x: np.ndarray, state: Numbers, name: str, dilation: int = 1, edges: str = "reflect") -> np.ndarray:
    weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
    reach = dilation * (weight.shape[2] // 2)
    padded = np.pad(x, ((0, 0), (reach, reach)), mode=edges)
    taps = (weight[:, :, k] @ padded[:, k * dilation : k * dilation + x.shape[1]] for k in range(weight.shape[2]))
    return sum(taps) + bias[:, None]


def normalised(x: np.ndarray, state: Numbers, name: str) -> np.ndarray:
    mean, variance, gain, bias = (state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
    return ((x.T - mean) / np.sqrt(variance + 1e-5) * gain + bias).T


def softmax(x: np.ndarray) -> np.ndarray:
    powers = np.exp(x - x.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-x))


def spelled(name: str, **numbers: object) -> list[str]:
    """``name`` for every combination of the numbers that stand for its letters."""
    letters = [range(value) if isinstance(value, int) else value for value in numbers.values()]
    return [name.format(**dict(zip(numbers, chosen, strict=True))) for chosen in product(*letters)]


def affine(name: str, *shape: int, **numbers: object) -> Shapes:
    """Weight and bias."""
    return {
        key: value
        for full in spelled(name, **numbers)
        for key, value in ((f"{full}.weight", shape), (f"{full}.bias", shape[:1]))
    }


def normalisation(name: str, width: int, **numbers: object) -> Shapes:
    """What a batch normalisation keeps."""
    shapes: Shapes = {}
    for full in spelled(name, **numbers):
        shapes |= {f"{full}.{part}": (width,) for part in ("weight", "bias", "running_mean", "running_var")}
        shapes[f"{full}.num_batches_tracked"] = ()
    return shapes


def shapes(network: nn.Module) -> Shapes:
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def relative(got: torch.Tensor, wanted: np.ndarray) -> float:
    return float(np.linalg.norm(got.numpy() - wanted) / np.linalg.norm(wanted))
