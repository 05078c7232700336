"""R. Tao's ECAPA-TDNN: the published names and shapes, and the same numbers as a second implementation in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from plain_layers import (
    Numbers,
    Shapes,
    affine,
    convolved,
    normalisation,
    normalised,
    numbers,
    relative,
    shapes,
    sigmoid,
    softmax,
    unlike_new,
)
from torch import Tensor

from voxveil.models.speaker.ecapa_taoruijie import ECAPATaoRuijie, network_state


def published(channels: int) -> Shapes:
    """The network's tensors in ``pretrain.model``, were it ``channels`` wide instead of 1024."""
    part, layers = channels // 8, range(1, 4)
    return {
        "torchfbank.0.flipped_filter": (1, 1, 2),
        "torchfbank.1.spectrogram.window": (400,),
        "torchfbank.1.mel_scale.fb": (257, 80),
        **affine("conv1", channels, 80, 5),
        **normalisation("bn1", channels),
        **affine("layer{n}.conv{i}", channels, channels, 1, n=layers, i=(1, 3)),
        **normalisation("layer{n}.bn{i}", channels, n=layers, i=(1, 3)),
        **affine("layer{n}.convs.{i}", part, part, 3, n=layers, i=7),
        **normalisation("layer{n}.bns.{i}", part, n=layers, i=7),
        **affine("layer{n}.se.se.1", 128, channels, 1, n=layers),
        **affine("layer{n}.se.se.3", channels, 128, 1, n=layers),
        **affine("layer4", 1536, 3 * channels, 1),
        **affine("attention.0", 256, 4608, 1),
        **normalisation("attention.2", 256),
        **affine("attention.4", 1536, 256, 1),
        **normalisation("bn5", 3072),
        **affine("fc6", 192, 3072),
        **normalisation("bn6", 192),
    }


@pytest.mark.parametrize("channels", [256, 1024])
def test_names_and_shapes_are_the_published_ones(channels: int) -> None:
    assert shapes(ECAPATaoRuijie(channels)) == published(channels)


def test_the_published_size() -> None:
    """The trainer's log counts 14.73 million, where a million is 1024²."""
    weights = sum(parameter.numel() for parameter in ECAPATaoRuijie().parameters())
    assert weights == 15_444_544 and round(weights / 1024**2, 2) == 14.73


def test_a_trainers_checkpoint_loads_strictly() -> None:
    network = ECAPATaoRuijie(16, 24, 5, 12)
    checkpoint = {f"module.speaker_encoder.{name}": tensor + 1 for name, tensor in network.state_dict().items()}
    checkpoint["module.speaker_loss.weight"] = torch.zeros(5994, 12)
    network.load_state_dict(network_state(checkpoint), strict=True)
    assert torch.equal(network.fc6.weight, checkpoint["module.speaker_encoder.fc6.weight"])


def layer(x: np.ndarray, state: Numbers, conv: str, norm: str, dilation: int = 1) -> np.ndarray:
    return normalised(np.maximum(0.0, convolved(x, state, conv, dilation, edges="constant")), state, norm)


def block(x: np.ndarray, state: Numbers, name: str, dilation: int) -> np.ndarray:
    mixed = layer(x, state, f"{name}.conv1", f"{name}.bn1")
    part = len(mixed) // 8
    out = mixed.copy()
    before: np.ndarray | float = 0.0
    for i in range(7):
        rows = slice(i * part, (i + 1) * part)
        before = layer(mixed[rows] + before, state, f"{name}.convs.{i}", f"{name}.bns.{i}", dilation)
        out[rows] = before
    out = layer(out, state, f"{name}.conv3", f"{name}.bn3")
    narrow = np.maximum(0.0, convolved(out.mean(1, keepdims=True), state, f"{name}.se.se.1"))
    return x + out * sigmoid(convolved(narrow, state, f"{name}.se.se.3"))


def embedded(features: np.ndarray, state: Numbers) -> np.ndarray:
    outputs = [layer(features, state, "conv1", "bn1")]
    for number, dilation in ((1, 2), (2, 3), (3, 4)):
        outputs.append(block(sum(outputs), state, f"layer{number}", dilation))
    x = np.maximum(0.0, convolved(np.concatenate(outputs[1:]), state, "layer4"))
    deviation = np.sqrt(np.maximum(1e-4, x.var(1, ddof=1)))
    rows = [np.broadcast_to(stat[:, None], x.shape) for stat in (x.mean(1), deviation)]
    hidden = np.tanh(layer(np.concatenate([x, *rows]), state, "attention.0", "attention.2"))
    share = softmax(convolved(hidden, state, "attention.4"))
    mean = (share * x).sum(1)
    pooled = np.concatenate([mean, np.sqrt(np.maximum(1e-4, (share * (x - mean[:, None]) ** 2).sum(1)))])
    pooled = normalised(pooled[:, None], state, "bn5")[:, 0]
    return normalised((state["fc6.weight"] @ pooled + state["fc6.bias"])[:, None], state, "bn6")[:, 0]


@pytest.mark.parametrize("channels", [16, 32])
def test_the_network_is_the_one_written_in_numpy(speech: Tensor, channels: int) -> None:
    network = unlike_new(ECAPATaoRuijie(channels, pooled_channels=20, attention_channels=5, dim=12))
    features = network.features(speech[:, :16_000].double())
    wanted = np.stack([embedded(clip.numpy(), numbers(network)) for clip in features])
    assert relative(network.embed(features), wanted) < 1e-9
