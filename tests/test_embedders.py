"""What holds for every convolutional speaker encoder: the role, batches, gradients, silence and very short clips."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from plain_layers import trained
from torch import Tensor

from voxveil.models.speaker.ecapa import ECAPA
from voxveil.models.speaker.ecapa_taoruijie import ECAPATaoRuijie
from voxveil.models.speaker.resnet34 import ResNetSE34L, ResNetSE34V2
from voxveil.models.speaker.xvector import XVector
from voxveil.roles import Embedder

SMALL: dict[str, Callable[[], Any]] = {
    "ecapa": lambda: ECAPA(channels=16, squeeze_channels=8, attention_channels=8, dim=12),
    "ecapa_taoruijie": lambda: ECAPATaoRuijie(channels=16, pooled_channels=24, attention_channels=8, dim=12),
    "resnetse34l": lambda: ResNetSE34L(widths=(8, 8, 16, 16), n_mels=24, dim=12),
    "resnetse34v2": lambda: ResNetSE34V2(widths=(8, 8, 16, 16), n_mels=24, dim=12),
    "xvector": lambda: XVector(channels=16, pooled_channels=24, dim=12),
}


@pytest.fixture(params=SMALL)
def network(request: pytest.FixtureRequest) -> Any:
    return trained(SMALL[request.param]())


def test_it_plays_the_role(network: Any, speech: Tensor) -> None:
    assert isinstance(network, Embedder) and network.coarse() is network
    embedding = network(speech.double())
    assert embedding.shape == (2, 12)
    assert torch.allclose(embedding.norm(dim=1), torch.ones(2, dtype=torch.float64))
    assert (embedding[0] - embedding[1]).norm() > 0.01, "or comparisons would say little"


def test_the_raw_embedding_has_the_same_direction(network: Any, speech: Tensor) -> None:
    raw = network.embed(network.features(speech.double()))
    assert not torch.allclose(raw.norm(dim=1), torch.ones(2, dtype=torch.float64), atol=1e-2)
    assert torch.allclose(torch.nn.functional.normalize(raw), network(speech.double()))


def test_a_batch_is_its_clips_one_by_one(network: Any, speech: Tensor) -> None:
    clips = torch.cat([speech, 1e-3 * speech, 0.0 * speech[:1]]).double()
    apart = torch.cat([network(clip[None]) for clip in clips])
    assert torch.allclose(network(clips), apart, atol=1e-9)


def test_polarity_does_not_matter(network: Any, speech: Tensor) -> None:
    assert torch.allclose(network(-speech.double()), network(speech.double()))


@pytest.mark.parametrize("name", ["ecapa", "xvector"])
@pytest.mark.parametrize("gain", [0.3, 3.0])
def test_loudness_does_not_matter(speech: Tensor, name: str, gain: float) -> None:
    network = trained(SMALL[name]())
    assert torch.allclose(network(gain * speech.double()), network(speech.double()), atol=1e-9)


@pytest.mark.parametrize("samples", [1, 160, 256, 257, 479, 480, 639, 640, 4001])
def test_every_length_has_an_embedding(network: Any, speech: Tensor, samples: int) -> None:
    embedding = network(speech[:, 9000 : 9000 + samples].double())
    assert embedding.shape == (2, 12) and bool(embedding.isfinite().all())


def test_gradient_is_that_of_finite_differences(network: Any, speech: Tensor) -> None:
    # A little noise and a tiny step: a sum of 10⁵ rectifiers has a kink close to every quiet clip.
    clip = (speech[:1, 6400:11_200].double() + 0.01 * torch.randn(1, 4800)).requires_grad_()
    weights = torch.randn(12, dtype=torch.float64)
    (gradient,) = torch.autograd.grad((network(clip) @ weights).sum(), clip)
    for _ in range(3):
        direction = torch.randn_like(clip)
        with torch.no_grad():
            ahead, behind = (network(clip + step * direction) @ weights for step in (1e-9, -1e-9))
        slope = float((ahead - behind).sum()) / 2e-9
        assert float((gradient * direction).sum()) == pytest.approx(slope, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("scale", [0.0, 1e-8])
def test_silence_has_a_finite_gradient(network: Any, scale: float) -> None:
    silence = (scale * torch.randn(1, 8000, dtype=torch.float64)).requires_grad_()
    embedding = network(silence)
    embedding.sum().backward()
    assert silence.grad is not None
    assert bool(embedding.isfinite().all()) and bool(silence.grad.isfinite().all())


def test_it_trains(speech: Tensor) -> None:
    """In training mode every weight has a gradient."""
    for build in SMALL.values():
        network = build().train()
        network.embed(network.features(speech[:, :16_000])).square().sum().backward()
        assert all(parameter.grad is not None for parameter in network.parameters())
