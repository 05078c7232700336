"""Clips of unequal lengths have the same embeddings together as one by one, with a real network of every kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from plain_layers import trained
from test_embedders import SMALL
from torch import Tensor

from voxveil.models.speaker.ge2e import GE2E
from voxveil.models.speaker.ivector import IVector
from voxveil.models.speaker.wavlm import WavLMXVector
from voxveil.verify.embedding import embed_clips


def ivector() -> IVector:
    extractor = IVector(components=4, factors=5, n_mfcc=5)
    state = {
        "ubm.means": 10.0 * torch.randn(4, 15),
        "ubm.variances": 100.0 * torch.rand(4, 15) + 50.0,
        "total_variability": torch.randn(4, 15, 5),
    }
    extractor.load_state_dict(extractor.state_dict() | state)
    return extractor.double()


def wavlm() -> WavLMXVector:
    pytest.importorskip("transformers", reason="WavLM needs the extra 'ssl'")
    small = {"conv_dim": (8,) * 7, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    return WavLMXVector(**small).double()


KINDS: dict[str, Callable[[], Any]] = {
    **{name: lambda build=build: trained(build()) for name, build in SMALL.items()},
    "ge2e": lambda: GE2E().double(),
    "ivector": ivector,
    "wavlm": wavlm,
}


def cut(speech: Tensor) -> list[Tensor]:
    """Clips of four lengths, some of which occur several times, and one too short for most networks."""
    lengths = (26_000, 30_001, 26_000, 30_000, 100, 26_000, 30_001)
    return [speech[i % 2, 1000 * i + 6000 : 1000 * i + 6000 + length].double() for i, length in enumerate(lengths)]


@pytest.mark.parametrize("kind", KINDS)
def test_together_is_one_by_one(kind: str, speech: Tensor) -> None:
    encoder = KINDS[kind]().eval()
    clips = cut(speech)
    together = embed_clips(encoder, clips)
    with torch.no_grad():
        apart = torch.cat([encoder(clip[None]) for clip in clips])
    assert torch.allclose(together, apart, atol=1e-9)
    assert min((together[0] - together[i]).norm() for i in (1, 2, 3)) > 1e-6, "or any order would do"
    assert not together.requires_grad


class Recorder:
    """Embeds a clip as its first sample and its length, and notes what it was given."""

    sample_rate = 16_000
    differentiable = True

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def __call__(self, speech: Tensor) -> Tensor:
        self.shapes.append(tuple(speech.shape))
        return torch.stack([speech[:, 0], torch.full((len(speech),), float(speech.shape[1]))], dim=1)

    def coarse(self) -> Recorder:
        return self


def test_no_batch_is_larger_than_allowed_and_none_is_padded() -> None:
    lengths = [10, 40, 10, 101, 10, 40, 10, 10, 101]
    clips = [torch.full((length,), float(number)) for number, length in enumerate(lengths)]
    recorder = Recorder()
    embeddings = embed_clips(recorder, clips, samples_a_batch=40)
    assert embeddings.tolist() == [[float(number), float(length)] for number, length in enumerate(lengths)]
    assert sorted(recorder.shapes) == [(1, 10), (1, 40), (1, 40), (1, 101), (1, 101), (4, 10)]
