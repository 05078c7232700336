"""The x-vector network: the published names and shapes, and the same numbers as a second implementation in NumPy."""

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
    unlike_new,
)
from torch import Tensor

from voxveil.models.speaker.xvector import Statistics, XVector


def published(channels: int, pooled: int) -> Shapes:
    """The tensors of ``embedding_model.ckpt`` at these widths instead of 512 and 1500."""
    return {
        **affine("blocks.0.conv", channels, 24, 5),
        **normalisation("blocks.{i}.norm", channels, i=(2, 5, 8, 11)),
        **affine("blocks.{i}.conv", channels, channels, 3, i=(3, 6)),
        **affine("blocks.9.conv", channels, channels, 1),
        **affine("blocks.12.conv", pooled, channels, 1),
        **normalisation("blocks.14.norm", pooled),
        **affine("blocks.16.w", 512, 2 * pooled),
    }


@pytest.mark.parametrize(("channels", "pooled"), [(64, 96), (512, 1500)])
def test_names_and_shapes_are_the_published_ones(channels: int, pooled: int) -> None:
    assert shapes(XVector(channels, pooled)) == published(channels, pooled)


def test_the_published_size() -> None:
    assert sum(parameter.numel() for parameter in XVector().parameters()) == 4_211_604
    stored = sum(tensor.numel() * tensor.element_size() for tensor in XVector().state_dict().values())
    assert stored == pytest.approx(16.9e6, abs=0.05e6)


def embedded(features: np.ndarray, state: Numbers) -> np.ndarray:
    x = features
    for number, dilation in ((0, 1), (3, 2), (6, 3), (9, 1), (12, 1)):
        x = convolved(x, state, f"blocks.{number}.conv", dilation)
        x = normalised(np.where(x > 0.0, x, 0.01 * x), state, f"blocks.{number + 2}.norm")
    pooled = np.concatenate([x.mean(1) + 5e-5, x.std(1, ddof=1) + 1e-5])
    return state["blocks.16.w.weight"] @ pooled + state["blocks.16.w.bias"]


def test_the_network_is_the_one_written_in_numpy(speech: Tensor) -> None:
    network = unlike_new(XVector(channels=10, pooled_channels=14, dim=9))
    features = network.features(speech[:, :16_000].double())
    wanted = np.stack([embedded(clip.numpy(), numbers(network)) for clip in features])
    assert relative(network.embed(features), wanted) < 1e-9


def test_one_clip_has_one_embedding(speech: Tensor) -> None:
    network = XVector(16, 24, 8).eval()
    with torch.no_grad():
        assert torch.equal(network(speech), network(speech))


def test_statistics_know_no_order() -> None:
    frames = torch.randn(2, 6, 20, dtype=torch.float64)
    assert torch.allclose(Statistics()(frames[..., torch.randperm(20)]), Statistics()(frames))


def test_constant_frames_have_a_finite_gradient() -> None:
    frames = torch.ones(1, 6, 10, requires_grad=True)
    Statistics()(frames).sum().backward()
    assert frames.grad is not None and bool(frames.grad.isfinite().all())


def test_speechbrains_own_code_gives_the_same_up_to_its_noise(speech: Tensor) -> None:
    why = "a check against the package speechbrain, which Voxveil does not need"
    official = pytest.importorskip("speechbrain.lobes.models.Xvector", reason=why)
    features = pytest.importorskip("speechbrain.lobes.features", reason=why)
    reference = unlike_new(official.Xvector(in_channels=24)).float()
    network = XVector().eval()
    network.load_state_dict(reference.state_dict(), strict=True)
    levels = features.Fbank(n_mels=24)(speech)
    with torch.no_grad():
        wanted = reference(levels - levels.mean(1, keepdim=True))[:, 0].numpy()
        assert relative(network.embed(network.features(speech)), wanted) < 1e-4
