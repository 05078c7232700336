"""Nothing leaves the unit ball, and the ball's edge is the promised amplitude, ratio or threshold on the waveform."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from torch import Tensor

from voxveil.audio.masking import masking_threshold
from voxveil.audio.spectrum import Stft, power
from voxveil.perturb.budgets import BandWeighted, Cube, Discs, GainRange, Linf, MaskingThreshold, Snr, Sphere
from voxveil.perturb.carriers import Additive, Filter, SpectralAdditive

BALLS = [Cube, Discs, Sphere]
SHAPES = {Cube: (2, 12), Discs: (2, 2, 3, 2), Sphere: (2, 12)}
WEIGHTS = {1600: 1.15, 4000: 0.85, 8000: 1.0}


def sizes(ball: type, parameters: Tensor) -> Tensor:
    """How long each of the ball's vectors is, written out again."""
    if ball is Cube:
        return parameters.abs()
    if ball is Discs:
        return torch.hypot(parameters[:, 0], parameters[:, 1])
    return torch.linalg.vector_norm(parameters, dim=-1) / parameters.shape[-1] ** 0.5


def drawn(ball: type, largest: float) -> st.SearchStrategy[Tensor]:
    numbers = st.floats(-largest, largest, width=32)
    return arrays.arrays("float32", SHAPES[ball], elements=numbers).map(torch.from_numpy)


@pytest.mark.parametrize("ball", BALLS)
@given(data=st.data())
def test_project_and_squash_stay_inside(ball: type, data: st.DataObject) -> None:
    parameters = data.draw(drawn(ball, 3.4028234663852886e38))
    for held in (ball.project(parameters), ball.squash(parameters)):
        assert torch.isfinite(held).all()
        assert (sizes(ball, held) <= 1.0 + 1e-6).all()


@pytest.mark.parametrize("ball", BALLS)
@given(data=st.data())
def test_project_is_idempotent_and_leaves_the_inside_alone(ball: type, data: st.DataObject) -> None:
    parameters = data.draw(drawn(ball, 1e6))
    once = ball.project(parameters)
    assert torch.allclose(ball.project(once), once, atol=1e-6)
    inside = 0.99 * ball.squash(parameters)
    assert torch.equal(ball.project(inside), inside)


@pytest.mark.parametrize("ball", BALLS)
@given(data=st.data())
def test_project_gives_the_nearest_point(ball: type, data: st.DataObject) -> None:
    """Every other point of the ball is at least as far."""
    parameters = data.draw(drawn(ball, 10.0)).double()
    nearest = ball.project(parameters)
    other = ball.project(data.draw(drawn(ball, 10.0)).double())
    assert (other - parameters).norm() >= (nearest - parameters).norm() - 1e-6


@pytest.mark.parametrize("ball", BALLS)
@given(data=st.data(), short=st.floats(0.0, 2.0), longer=st.floats(0.01, 2.0))
def test_squash_is_monotone_along_rays(ball: type, data: st.DataObject, short: float, longer: float) -> None:
    """So it is injective: farther out on a ray is farther out in the ball, on the same ray."""
    direction = ball.project(data.draw(drawn(ball, 10.0)).double())
    near, far = ball.squash(short * direction), ball.squash((short + longer) * direction)
    moves = sizes(ball, direction) > 1e-6
    assert (sizes(ball, far)[moves] > sizes(ball, near)[moves]).all()
    assert ((far * direction) >= 0.0).all()
    if ball is not Cube:
        dim = 1 if ball is Discs else -1
        assert torch.allclose(
            torch.cosine_similarity(far, direction, dim=dim)[(far * direction).sum(dim) > 1e-6],
            torch.ones(1, dtype=torch.float64),
            atol=1e-6,
        )


@pytest.mark.parametrize("ball", BALLS)
def test_squash_is_the_identity_near_zero_with_a_gradient_everywhere(ball: type) -> None:
    tiny = 1e-4 * torch.randn(SHAPES[ball], dtype=torch.float64)
    assert torch.allclose(ball.squash(tiny), tiny, rtol=1e-6, atol=0.0)
    for scale in (0.0, 1.0, 3.0):
        free = (scale * torch.randn(SHAPES[ball], dtype=torch.float64)).requires_grad_()
        assert torch.autograd.gradcheck(ball.squash, free)
        (slope,) = torch.autograd.grad(ball.project(free).sum(), free)
        assert torch.isfinite(slope).all()


@given(epsilon=st.floats(1e-4, 0.5), size=st.floats(0.0, 10.0))
def test_linf_bounds_every_sample(epsilon: float, size: float) -> None:
    clean, parameters = 0.1 * torch.randn(2, 500), size * torch.randn(2, 500)
    budget = Linf(epsilon)
    for hold in (budget.project, budget.squash):
        adversarial = Additive(budget)((budget.radius(clean) * hold(parameters),), clean)
        assert (adversarial - clean).abs().max() <= epsilon + 1e-7


@given(snr_db=st.floats(-10.0, 50.0), size=st.floats(0.0, 10.0))
def test_snr_bounds_the_energy(snr_db: float, size: float) -> None:
    clean, parameters = torch.randn(2, 500, dtype=torch.float64), size * torch.randn(2, 500, dtype=torch.float64)
    clean = clean * torch.tensor([[0.5], [0.01]], dtype=torch.float64)
    budget = Snr(snr_db)
    for hold in (budget.project, budget.squash):
        delta = Additive(budget)((budget.radius(clean) * hold(parameters),), clean) - clean
        measured_db = 10.0 * torch.log10(clean.square().sum(1) / delta.square().sum(1).clamp_min(1e-30))
        assert (measured_db >= snr_db - 1e-6).all()


def test_snr_can_be_spent_wholly() -> None:
    clean = 0.1 * torch.randn(2, 500, dtype=torch.float64)
    delta = Snr(20.0).radius(clean) * Snr.project(5.0 * torch.randn(2, 500, dtype=torch.float64))
    measured_db = 10.0 * torch.log10(clean.square().sum(1) / delta.square().sum(1))
    assert torch.allclose(measured_db, torch.full((2,), 20.0, dtype=torch.float64), atol=1e-9)


@settings(max_examples=15)
@given(range_db=st.floats(0.5, 20.0), seed=st.integers(0, 1000))
def test_gain_range_bounds_the_filter(range_db: float, seed: int) -> None:
    torch.manual_seed(seed)
    budget = GainRange(range_db)
    clean = torch.randn(1, 16_000, dtype=torch.float64)
    gains = budget.radius(clean) * budget.project(3.0 * torch.randn(1, 24, dtype=torch.float64))
    probe = torch.zeros(1, 16_000, dtype=torch.float64)
    probe[0, 8000] = 1.0
    response_db = 20.0 * torch.log10(torch.fft.rfft(Filter(budget, 16_000)((gains,), probe)).abs())
    assert response_db.abs().max() <= range_db + 0.1


SPECTRAL = [
    MaskingThreshold(-6.0, 16_000),
    MaskingThreshold(0.0, 16_000, Stft(1024, 256)),
    BandWeighted(0.01, WEIGHTS, 16_000),
]


@pytest.mark.parametrize("budget", SPECTRAL)
@pytest.mark.parametrize("size", [0.3, 1.0, 30.0])
def test_spectral_amounts_stay_below_the_threshold_of_their_grid(
    speech: Tensor, budget: MaskingThreshold | BandWeighted, size: float
) -> None:
    carrier = SpectralAdditive(budget)
    limit = budget.radius(speech)
    (shape,) = carrier.shapes(speech)
    for hold in (budget.project, budget.squash):
        amounts = limit * hold(size * torch.randn(shape))
        assert (torch.hypot(amounts[:, 0], amounts[:, 1])[:, None] <= limit * (1 + 1e-5)).all()
        # On the waveform neighbouring bins share what they have (frames overlap), but there is never more of it.
        heard = power(budget.stft((carrier((amounts,), speech) - speech).double()))
        allowed = limit.expand(-1, 1, heard.shape[1], heard.shape[2])[:, 0].double().square()
        assert (heard.sum((1, 2)) <= 1.01 * allowed.sum((1, 2))).all()


def test_masking_radius_is_the_quietest_threshold_within_the_window_shifted(speech: Tensor) -> None:
    """512 samples every 128: what frame n adds sounds through frames n − 3 … n + 3."""
    threshold = masking_threshold(speech, 16_000, Stft())
    frames = threshold.shape[-1]
    quietest = torch.stack([threshold[..., max(0, n - 3) : n + 4].amin(-1) for n in range(frames)], dim=-1)
    for offset_db in (-10.0, 0.0, 6.0):
        wanted = quietest * 10.0 ** (offset_db / 10.0)
        assert torch.allclose(MaskingThreshold(offset_db, 16_000).radius(speech)[:, 0].square(), wanted, rtol=1e-5)


def test_band_weights_are_amplitudes_of_sines() -> None:
    """A sine of exactly the allowed amplitude lies on the bound, in each of the three bands."""
    budget = BandWeighted(0.02, WEIGHTS, 16_000)
    time = torch.arange(8000, dtype=torch.float64)
    for index, weight in ((32, 1.15), (96, 0.85), (200, 1.0)):
        sine = 0.02 * weight * torch.sin(2 * torch.pi * index / 512 * time)[None]
        peak = budget.stft(sine).abs()[0, index, 20]
        assert peak.item() == pytest.approx(budget.radius(sine)[0, 0, index, 0].item(), rel=1e-6)
