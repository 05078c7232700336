"""The shapes in the annotations are checked while the tests run: a wrong one raises, in every layer."""

from __future__ import annotations

import pytest
import torch
from jaxtyping import TypeCheckError

from voxveil.audio.bands import band_interpolation
from voxveil.audio.voice_activity import voice_activity
from voxveil.perturb.budgets import Discs, Linf
from voxveil.perturb.carriers import Additive, Filter
from voxveil.roles import Budget, Carrier, Embedder, Transform
from voxveil.transforms.noise import WhiteNoise


def test_a_missing_batch_dimension_is_refused() -> None:
    with pytest.raises(TypeCheckError):
        voice_activity(torch.zeros(16_000), 16_000)


def test_an_additional_dimension_is_refused() -> None:
    with pytest.raises(TypeCheckError):
        band_interpolation(torch.zeros(2, 10), 4)
    with pytest.raises(TypeCheckError):
        Discs.project(torch.zeros(1, 3, 4, 4))


def test_a_wrong_type_is_refused() -> None:
    with pytest.raises(TypeCheckError):
        WhiteNoise(20.0, torch.Generator())(torch.zeros(1, 10, dtype=torch.int64))
    with pytest.raises(TypeCheckError):
        Additive(budget="loud")  # type: ignore[arg-type]


def test_sizes_must_agree_between_arguments() -> None:
    """[1, time] comes back as [2, time]: the batch of the result is not that of the speech."""
    with pytest.raises(TypeCheckError):
        Additive(Linf(0.1))((torch.zeros(2, 100),), torch.zeros(1, 100))


def test_roles_are_recognised_by_what_they_answer() -> None:
    assert isinstance(Linf(0.1), Budget)
    assert isinstance(Filter(Linf(0.1), 16_000), Carrier)
    assert isinstance(WhiteNoise(1.0, torch.Generator()), Transform)
    assert not isinstance(Linf(0.1), Embedder)
