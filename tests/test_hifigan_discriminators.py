"""HiFi-GAN's discriminators: the published names and shapes, and the same numbers as a second implementation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from plain_layers import Numbers, Shapes, numbers, relative, shapes
from torch import nn

from voxveil.models.vocoder.hifigan_discriminators import (
    GROUPS,
    KERNELS,
    PERIODS,
    STRIDES,
    MultiPeriodDiscriminator,
    MultiScaleDiscriminator,
    PeriodDiscriminator,
    ScaleDiscriminator,
    Verdict,
)
from voxveil.models.vocoder.weight_norm import folded


def published_periods() -> Shapes:
    table: Shapes = {}
    for index in range(5):
        before = 1
        for layer, (width, kernel) in enumerate([(32, 5), (128, 5), (512, 5), (1024, 5), (1024, 5), (1, 3)]):
            name = f"discriminators.{index}.{'conv_post' if layer == 5 else f'convs.{layer}'}"
            table[f"{name}.bias"] = (width,)
            table[f"{name}.weight_g"] = (width, 1, 1, 1)
            table[f"{name}.weight_v"] = (width, before, kernel, 1)
            before = width
    return table


def published_scales() -> Shapes:
    table: Shapes = {}
    layers = [(128, 1, 15), (128, 32, 41), (256, 8, 41), (512, 16, 41), (1024, 32, 41), (1024, 64, 41), (1024, 1024, 5)]
    for index in range(3):
        for layer, (width, fan_in, kernel) in enumerate([*layers, (1, 1024, 3)]):
            name = f"discriminators.{index}.{'conv_post' if layer == 7 else f'convs.{layer}'}"
            table[f"{name}.bias"] = (width,)
            if index == 0:
                table[f"{name}.weight_orig"] = (width, fan_in, kernel)
                table[f"{name}.weight_u"] = (width,)
                table[f"{name}.weight_v"] = (fan_in * kernel,)
            else:
                table[f"{name}.weight_g"] = (width, 1, 1)
                table[f"{name}.weight_v"] = (width, fan_in, kernel)
    return table


def test_names_and_shapes_are_the_published_ones() -> None:
    assert shapes(MultiPeriodDiscriminator()) == published_periods()
    assert shapes(MultiScaleDiscriminator()) == published_scales()


def convolved(x: np.ndarray, state: Numbers, name: str, stride: int, groups: int = 1) -> np.ndarray:
    """One clip [channel, time] through a strided, grouped convolution with zeros around it."""
    weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
    kernel = weight.shape[2]
    padded = np.pad(x, ((0, 0), (kernel // 2, kernel // 2)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, kernel, axis=1)[:, ::stride]
    parts = zip(np.split(windows, groups), np.split(weight, groups), strict=True)
    return np.concatenate([np.einsum("ctk,ock->ot", window, part) for window, part in parts]) + bias[:, None]


def judged(x: np.ndarray, state: Numbers, strides: tuple[int, ...], groups: tuple[int, ...]) -> list[np.ndarray]:
    features = []
    for layer, (stride, group) in enumerate(zip(strides, groups, strict=True)):
        x = convolved(x, state, f"convs.{layer}", stride, group)
        x = np.where(x < 0.0, 0.1 * x, x)
        features.append(x)
    return [*features, convolved(x, state, "conv_post", 1)]


@pytest.mark.parametrize("period", PERIODS)
@pytest.mark.parametrize("length", [231, 240])
def test_a_period_discriminator_judges_every_column_by_itself(period: int, length: int) -> None:
    judge = PeriodDiscriminator(period, widths=(4, 6, 6, 8, 8)).double().requires_grad_(False)
    clip = torch.randn(length, dtype=torch.float64)
    state = {name: tensor[..., 0] if tensor.ndim == 4 else tensor for name, tensor in numbers(folded(judge)).items()}
    padded = np.pad(clip.numpy(), (0, -length % period), mode="reflect")
    columns = [judged(padded[None, start::period], state, (3, 3, 3, 3, 1), (1,) * 5) for start in range(period)]
    score, features = judge(clip[None])
    assert len(features) == 6
    for layer, feature in enumerate(features):
        assert relative(feature[0], np.stack([column[layer] for column in columns], axis=2)) < 1e-12
    assert torch.equal(score, features[-1].flatten(1))


def test_scale_discriminators_judge_averages() -> None:
    judges = MultiScaleDiscriminator(widths=(16, 16, 32, 32, 32, 32, 24)).double().eval().requires_grad_(False)
    clip = torch.randn(500, dtype=torch.float64)
    sound, state = clip.numpy()[None], numbers(folded(judges))
    for index, verdict in enumerate(judges(clip[None])):
        prefix = f"discriminators.{index}."
        own = {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
        if index == 0:
            for name in [name for name in own if name.endswith("_orig")]:
                stem = name.removesuffix("_orig")
                slope = own[f"{stem}_u"] @ own[name].reshape(len(own[name]), -1) @ own[f"{stem}_v"]
                own[stem] = own[name] / slope
        wanted = judged(sound, own, STRIDES, GROUPS)
        assert [relative(a[0], b) < 1e-12 for a, b in zip(verdict.features, wanted, strict=True)] == [True] * 8
        assert torch.equal(verdict.score, verdict.features[-1].flatten(1))
        padded = np.pad(sound[0], 2)
        sound = np.array([[padded[2 * n : 2 * n + 4].mean() for n in range((len(padded) - 4) // 2 + 1)]])
    assert [len(numbers) for numbers in (KERNELS, STRIDES, GROUPS)] == [7, 7, 7]


def test_spectral_normalisation_bounds_every_slope() -> None:
    judge = ScaleDiscriminator((16,) * 7, spectral=True).train()
    for _ in range(200):
        judge(torch.zeros(1, 200))
    for layer in [*judge.convs, judge.conv_post]:
        assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize(
    "judges", [MultiPeriodDiscriminator(widths=(4,) * 5), MultiScaleDiscriminator(widths=(16,) * 7)]
)
def test_gradients_reach_the_speech(judges: nn.Module) -> None:
    judges = judges.double().eval().requires_grad_(False)
    speech = torch.randn(1, 60, dtype=torch.float64, requires_grad=True)

    def scores(sound: torch.Tensor) -> tuple[torch.Tensor, ...]:
        verdicts: list[Verdict] = judges(sound)
        return tuple(verdict.score for verdict in verdicts)

    assert torch.autograd.gradcheck(scores, speech, fast_mode=True)
