"""A verifier: one voiceprint from many clips, and a decision at its threshold."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from voxveil import hub
from voxveil.loading import verifier as published_verifier
from voxveil.verify.scorers import cosine
from voxveil.verify.verifier import Verifier


class FirstTwo:
    """The first two samples, normalised: an embedding that one can draw."""

    sample_rate = 16_000
    differentiable = True

    def __call__(self, speech: Tensor) -> Tensor:
        return torch.nn.functional.normalize(speech[:, :2], dim=-1)

    def coarse(self) -> FirstTwo:
        return self


def at(*degrees: float) -> Tensor:
    angles = torch.deg2rad(torch.tensor(degrees, dtype=torch.float64))
    return torch.stack([angles.cos(), angles.sin(), angles * 0.0], dim=-1)


def test_enrolment_is_the_mean_of_the_directions_and_not_of_the_lengths():
    drawn = Verifier("drawn", FirstTwo(), cosine, 0.5)
    voice = drawn.enrol([at(10.0), 100.0 * at(50.0), torch.cat([at(30.0), torch.ones(1, 7)], dim=1)])
    assert torch.allclose(voice, at(30.0)[:, :2], atol=1e-9)
    assert torch.allclose(drawn.enrol([at(77.0)]), at(77.0)[:, :2])


@given(angle=st.floats(0.0, 180.0), threshold=st.floats(-1.0, 1.0))
def test_a_probe_is_accepted_from_the_threshold_on(angle, threshold):
    drawn = Verifier("drawn", FirstTwo(), cosine, threshold)
    score = drawn.score(at(0.0)[:, :2], at(angle))
    assert float(score) == pytest.approx(float(torch.cos(torch.deg2rad(torch.tensor(angle)))), abs=1e-6)
    assert bool(drawn.decide(at(0.0)[:, :2], at(angle))) == (float(score) >= threshold)


def test_exactly_the_threshold_is_accepted():
    exact = Verifier("drawn", FirstTwo(), lambda voice, probe: torch.tensor([0.74, 0.73999]), 0.74)
    assert exact.decide(at(0.0)[:, :2], at(0.0, 0.0)).tolist() == [True, False]


def test_every_probe_of_a_batch_has_its_score():
    drawn = Verifier("drawn", FirstTwo(), cosine, 0.5)
    scores = drawn.score(at(0.0)[:, :2], at(0.0, 60.0, 90.0, 180.0))
    assert torch.allclose(scores, torch.tensor([1.0, 0.5, 0.0, -1.0], dtype=torch.float64), atol=1e-9)
    assert drawn.decide(at(0.0)[:, :2], at(0.0, 59.0, 90.0, 180.0)).tolist() == [True, True, False, False]


def test_the_cosine_does_not_mind_the_scale(generator):
    one, other = torch.randn(2, 5, 16, generator=generator)
    assert torch.allclose(cosine(3.0 * one, 0.1 * other), cosine(one, other), atol=1e-6)
    assert torch.allclose(cosine(one, other), cosine(other, one), atol=1e-6)
    assert bool((cosine(one, one) <= 1.0 + 1e-6).all())


def test_judging_takes_no_gradient():
    drawn = Verifier("drawn", FirstTwo(), cosine, 0.5)
    probe = at(10.0).requires_grad_(True)
    assert not drawn.score(drawn.enrol([probe]), probe).requires_grad


@pytest.mark.weights
@pytest.mark.usefixtures("ge2e")
def test_the_published_verifier_has_the_threshold_of_its_card():
    made = published_verifier("ge2e")
    assert made.threshold == hub.card("ge2e").thresholds["cosine"]["eer"].value
    assert made.name == "ge2e"
