"""HiFi-GAN's generator: the published names and shapes, and the same numbers as a second implementation in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from plain_layers import Numbers, Shapes, convolved, numbers, relative, shapes, spelled
from torch import Tensor, nn

from voxveil.models.vocoder.hifigan import V2, V3, HifiGan
from voxveil.models.vocoder.weight_norm import WeightNorm, folded

SMALL: dict[str, Any] = {"width": 8, "rates": (4, 2), "rate_kernels": (8, 4), "n_mels": 5, "n_fft": 32}
SMALLS = [
    SMALL | {"block_kernels": (3, 5), "dilations": ((1, 3), (1, 2))},
    SMALL | {"block": 2, "block_kernels": (3, 7), "dilations": ((1, 2), (2, 6))},
    SMALL | {"rates": (5, 3), "rate_kernels": (10, 8), "block_kernels": (3,), "dilations": ((1,),)},
]


def normed(name: str, *shape: int, width: int, **numbers: object) -> Shapes:
    """The tensors of layers with weight normalisation; the bias is ``width`` long."""
    lengths = (shape[0], *(1 for _ in shape[1:]))
    return {
        key: value
        for full in spelled(name, **numbers)
        for key, value in (
            (f"{full}.bias", (width,)),
            (f"{full}.weight_g", lengths),
            (f"{full}.weight_v", shape),
        )
    }


def published(width: int, kernels: tuple[int, ...], block: dict[str, int], block_kernels: tuple[int, ...]) -> Shapes:
    """The tensors of a ``g_…`` file."""
    table = normed("conv_pre", width, 80, 7, width=width)
    for stage, kernel in enumerate(kernels):
        narrow = width // 2
        table |= normed(f"ups.{stage}", width, narrow, kernel, width=narrow)
        for index, size in enumerate(block_kernels):
            name = f"resblocks.{stage * len(block_kernels) + index}"
            for convs, count in block.items():
                table |= normed(f"{name}.{convs}.{{i}}", narrow, narrow, size, width=narrow, i=count)
        width = narrow
    return table | normed("conv_post", 1, width, 7, width=1)


PAIRED, SINGLE = {"convs1": 3, "convs2": 3}, {"convs": 2}


@pytest.mark.parametrize(
    ("size", "wanted", "tensors", "millions"),
    [
        ({}, published(512, (16, 16, 4, 4), PAIRED, (3, 7, 11)), 234, 13.92),
        (V2, published(128, (16, 16, 4, 4), PAIRED, (3, 7, 11)), 234, 0.92),
        (V3, published(256, (16, 16, 8), SINGLE, (3, 5, 7)), 69, 1.46),
    ],
)
def test_names_and_shapes_are_the_published_ones(
    size: dict[str, Any], wanted: Shapes, tensors: int, millions: float
) -> None:
    vocoder = HifiGan(**size)
    assert shapes(vocoder) == wanted
    assert len(wanted) == tensors
    assert {name for name, _ in vocoder.named_parameters()} == set(wanted)
    # The paper's table counts the weights once they are folded.
    assert sum(p.numel() for p in folded(vocoder).parameters()) / 1e6 == pytest.approx(millions, abs=0.01)
    assert (vocoder.sample_rate, vocoder.hop_samples) == (22_050, 256)


def lively(vocoder: HifiGan) -> HifiGan:
    """Filters of unequal lengths, so that each tells, float64."""
    for layer in vocoder.modules():
        if isinstance(layer, WeightNorm):
            layer.weight_g.data.mul_(torch.empty_like(layer.weight_g).uniform_(1.0, 3.0))
    return vocoder.double().requires_grad_(False)


def leaky(x: np.ndarray, slope: float = 0.1) -> np.ndarray:
    return np.where(x < 0.0, slope * x, x)


def raised(x: np.ndarray, state: Numbers, name: str, rate: int) -> np.ndarray:
    weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
    kernel, frames = weight.shape[2], x.shape[1]
    sound = np.zeros((weight.shape[1], frames * rate + kernel))
    for frame in range(frames):
        sound[:, frame * rate : frame * rate + kernel] += np.einsum("i,iok->ok", x[:, frame], weight)
    start = (kernel - rate + 1) // 2
    return sound[:, start : start + frames * rate] + bias[:, None]


def residual(x: np.ndarray, state: Numbers, name: str, dilations: tuple[int, ...]) -> np.ndarray:
    for index, dilation in enumerate(dilations):
        if f"{name}.convs.0.weight" in state:
            x = x + convolved(leaky(x), state, f"{name}.convs.{index}", dilation, edges="constant")
        else:
            inner = convolved(leaky(x), state, f"{name}.convs1.{index}", dilation, edges="constant")
            x = x + convolved(leaky(inner), state, f"{name}.convs2.{index}", edges="constant")
    return x


def spoken(mel: np.ndarray, state: Numbers, rates: tuple[int, ...], dilations: tuple[Any, ...]) -> np.ndarray:
    x = convolved(mel, state, "conv_pre", edges="constant")
    for stage, rate in enumerate(rates):
        x = raised(leaky(x), state, f"ups.{stage}", rate)
        names = [f"resblocks.{stage * len(dilations) + index}" for index in range(len(dilations))]
        x = np.mean([residual(x, state, name, d) for name, d in zip(names, dilations, strict=True)], axis=0)
    return np.tanh(convolved(leaky(x, 0.01), state, "conv_post", edges="constant"))[0]


@pytest.mark.parametrize("size", SMALLS)
def test_the_generator_is_the_one_written_in_numpy(size: dict[str, Any]) -> None:
    vocoder = lively(HifiGan(**size))
    mel = 3.0 * torch.randn(2, 5, 12, dtype=torch.float64)
    state = numbers(folded(vocoder))
    wanted = np.stack([spoken(clip.numpy(), state, size["rates"], size["dilations"]) for clip in mel])
    got = vocoder(mel)
    assert got.shape == (2, 12 * vocoder.hop_samples)
    assert float(got.std()) > 0.01
    assert relative(got, wanted) < 1e-12


@pytest.mark.parametrize("size", SMALLS)
def test_folding_changes_no_sample_and_is_strict(size: dict[str, Any]) -> None:
    vocoder = lively(HifiGan(**size))
    mel = torch.randn(1, 5, 9, dtype=torch.float64)
    plain = folded(vocoder)
    torch.testing.assert_close(plain(mel), vocoder(mel))
    assert not any("weight_" in name for name in plain.state_dict())
    assert isinstance(plain.conv_pre, nn.Conv1d) and isinstance(vocoder.conv_pre, WeightNorm)
    with pytest.raises(RuntimeError, match="Unexpected key"):
        plain.load_state_dict(vocoder.state_dict(), strict=True)
    other = HifiGan(**size).double()
    other.load_state_dict(vocoder.state_dict(), strict=True)
    assert torch.equal(other(mel), vocoder(mel))


def test_gradients_from_the_waveform_to_the_waveform() -> None:
    """Also through the folded copy, whose own weights have none."""
    vocoder = lively(HifiGan(**SMALLS[0]))
    speech = torch.randn(1, 40, dtype=torch.float64, requires_grad=True)
    for network in (vocoder, folded(vocoder)):
        assert torch.autograd.gradcheck(lambda x, network=network: network(network.mel(x)), speech)


def test_a_batch_is_its_clips() -> None:
    vocoder = lively(HifiGan(**SMALLS[1]))
    mel = torch.randn(3, 5, 7, dtype=torch.float64)
    torch.testing.assert_close(vocoder(mel), torch.cat([vocoder(clip[None]) for clip in mel]))


def test_speech_goes_in_and_as_much_comes_out(speech: Tensor) -> None:
    vocoder = HifiGan(width=16, rates=(5, 5, 4, 2), rate_kernels=(11, 11, 8, 4), sample_rate=16_000, n_fft=800)
    assert vocoder(vocoder.mel(speech[:, :8000])).shape == (2, 8000)


@pytest.mark.parametrize(
    ("layer", "lengths"),
    [
        (nn.Conv1d(4, 6, 3, padding=2, dilation=2), (6, 1, 1)),
        (nn.ConvTranspose1d(4, 6, 4, 2, padding=1), (4, 1, 1)),
        (nn.Conv2d(4, 6, (3, 1), (2, 1)), (6, 1, 1, 1)),
    ],
)
def test_weight_norm_is_pytorchs(layer: nn.Module, lengths: tuple[int, ...]) -> None:
    frames = torch.randn(2, 4, 9, 3)[..., : None if isinstance(layer, nn.Conv2d) else 1]
    frames = frames if isinstance(layer, nn.Conv2d) else frames[..., 0]
    before = layer(frames)
    ours = WeightNorm(layer)
    torch.testing.assert_close(ours(frames), before)
    assert ours.weight_g.shape == lengths
    ours.weight_g.data.mul_(torch.rand_like(ours.weight_g) + 0.5)
    theirs = nn.utils.parametrizations.weight_norm(ours.plain())
    theirs.load_state_dict(ours.state_dict(), strict=True)
    losses = [network(frames).square().sum() for network in (ours, theirs)]
    torch.testing.assert_close(losses[0], losses[1])
    for loss in losses:
        loss.backward()
    wanted = theirs.parametrizations.weight
    torch.testing.assert_close(ours.weight_g.grad, wanted.original0.grad)
    torch.testing.assert_close(ours.weight_v.grad, wanted.original1.grad)
