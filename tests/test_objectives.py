"""Objectives against NumPy and finite differences; the perceptual terms forgive what listeners forgive."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch
from hypothesis import given
from hypothesis import strategies as st
from running import DATA
from torch import Tensor

from conftest import tone
from voxveil.audio.bands import band_pass
from voxveil.audio.levels import add_at_snr, rms
from voxveil.metrics import quality
from voxveil.perturb.budgets import GainRange
from voxveil.perturb.carriers import Filter
from voxveil.perturb.objectives import EmbeddingDistance, Insistence, Weighted, embedding_distance
from voxveil.perturb.perceptual import EnvelopeDistortion, LoudnessDisturbance, bark_power, listened_power
from voxveil.perturb.quality_floor import largest_share

TERMS = [LoudnessDisturbance, EnvelopeDistortion]


class Projection:
    """A linear stand-in for a speaker encoder."""

    sample_rate, differentiable = 16_000, True

    def __init__(self) -> None:
        self.matrix = torch.randn(60, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def __call__(self, speech: Tensor) -> Tensor:
        return torch.nn.functional.normalize(speech @ self.matrix, dim=-1)

    def coarse(self) -> Projection:
        return self


def like(speech: Tensor) -> Tensor:
    """Noise with the spectrum of the speech, its phases drawn by chance."""
    spectrum = torch.fft.rfft(speech)
    return torch.fft.irfft(spectrum * torch.fft.rfft(torch.randn_like(speech)).sgn(), speech.shape[-1])


def numpy_distance(one: np.ndarray, other: np.ndarray, kind: str) -> np.ndarray:
    if kind == "mse":
        return np.square(one - other).mean(-1)
    if kind == "euclidean":
        return np.linalg.norm(one - other, axis=-1)
    return 1.0 - (one * other).sum(-1) / np.linalg.norm(one, axis=-1) / np.linalg.norm(other, axis=-1)


@pytest.mark.parametrize("kind", ["cosine", "mse", "euclidean"])
@pytest.mark.parametrize("weight", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("targeted", [True, False])
def test_the_seed_equation(kind: str, weight: float, targeted: bool) -> None:
    adversarial = torch.randn(3, 60, dtype=torch.float64)
    source, target = torch.randn(2, 3, 8, dtype=torch.float64)
    attack = EmbeddingDistance(Projection(), source, target if targeted else None, weight, kind)
    embedding = Projection()(adversarial).numpy()
    wanted = -weight * numpy_distance(embedding, source.numpy(), kind)
    if targeted:
        wanted = wanted + numpy_distance(embedding, target.numpy(), kind)
    assert np.allclose(attack(adversarial).numpy(), wanted, atol=1e-12)


@pytest.mark.parametrize("kind", ["cosine", "mse", "euclidean"])
def test_distances_are_zero_for_the_same_and_the_gradients_are_right(kind: str) -> None:
    embeddings = torch.randn(3, 8, dtype=torch.float64)
    assert torch.allclose(embedding_distance(embeddings, embeddings, kind), torch.zeros(3, dtype=torch.float64))
    attack = EmbeddingDistance(Projection(), embeddings, embeddings.flip(0), 0.7, kind)
    speech = torch.randn(3, 60, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(attack, speech)


def test_insistence_stops_where_it_is_enough_and_presses_what_resists() -> None:
    insist = Insistence(lambda x: x.sum(-1), enough=1.0, weight=2.0, rate=0.5, beyond=0.0)
    speech = torch.tensor([[3.0], [0.5]], requires_grad=True)
    for weight in (2.0, 3.0, 4.0):  # a half of what is missing, 2, is added in every call
        loss = insist(speech)
        (slope,) = torch.autograd.grad(loss.sum(), speech)
        assert loss.tolist() == [2.0 * weight, 0.0]
        assert slope.tolist() == [[weight], [0.0]]


def test_descent_with_insistence_ends_at_the_cheapest_point_that_is_enough() -> None:
    """min x² subject to 1 − x ≤ 0 is at x = 1, however little the condition weighs at first."""
    insist = Insistence(lambda x: 1.0 - x.sum(-1), enough=0.0, weight=0.01, rate=0.05, beyond=0.0)
    x = torch.zeros(1, 1, dtype=torch.float64, requires_grad=True)
    for _ in range(2000):
        loss = insist(x) + x.square().sum(-1)
        (slope,) = torch.autograd.grad(loss.sum(), x)
        x = (x - 0.01 * slope).detach().requires_grad_()
    assert x.item() == pytest.approx(1.0, abs=0.03)


def test_weighted_is_linear_in_its_weights(speech: Tensor) -> None:
    one, other = (lambda x: x.square().sum(-1)), (lambda x: x.abs().sum(-1))
    both = Weighted(((2.0, one), (-0.5, other)))
    assert torch.allclose(both(speech), 2.0 * one(speech) - 0.5 * other(speech))


@pytest.mark.parametrize("term", TERMS)
def test_clean_speech_costs_nothing(term: type, speech: Tensor) -> None:
    assert term(speech, 16_000)(speech).abs().max() < 1e-5


@pytest.mark.parametrize("term", TERMS)
def test_pauses_of_digital_silence_cost_nothing(term: type, speech: Tensor) -> None:
    clip = torch.cat([speech, torch.zeros(2, 32_000)], dim=1)
    assert term(clip, 16_000)(clip).abs().max() < 1e-5


@pytest.mark.parametrize("term", TERMS)
def test_more_noise_costs_more(term: type, speech: Tensor) -> None:
    """Noise with the long-term spectrum of the speech, from hardly heard to as loud."""
    cost, noise = term(speech, 16_000), like(speech)
    costs = torch.stack([cost(add_at_snr(speech, noise, snr_db)) for snr_db in (40.0, 30.0, 20.0, 10.0, 0.0)])
    assert (costs.diff(dim=0) > 0.0).all()


@pytest.mark.parametrize("term", TERMS)
@pytest.mark.parametrize("gain_db", [-6.0, 3.0])
def test_a_gain_is_forgiven(term: type, speech: Tensor, gain_db: float) -> None:
    cost = term(speech, 16_000)
    louder = speech * 10.0 ** (gain_db / 20.0)
    snr_db = (20.0 * torch.log10(rms(speech) / rms(louder - speech))).mean().item()
    noisy = add_at_snr(speech, torch.randn_like(speech), snr_db)
    assert (cost(louder) < 0.05 * cost(noisy)).all()


@pytest.mark.parametrize("term", TERMS)
def test_colouring_is_forgiven_more_than_noise_of_equal_energy(term: type, speech: Tensor) -> None:
    cost = term(speech, 16_000)
    tilt_db = torch.linspace(-6.0, 6.0, 24).expand(2, -1)
    coloured = Filter(GainRange(6.0), 16_000)((tilt_db,), speech)
    change = coloured - speech
    noise = torch.randn_like(speech)
    noisy = speech + noise * rms(change) / rms(noise)
    assert (cost(coloured) < 0.4 * cost(noisy)).all()


RECORDINGS = sorted(DATA.glob("*-1.flac"))


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
def test_the_disturbance_is_that_of_the_published_pesq(path: Path) -> None:
    """Its raw score is 4.5 minus the disturbance; P.862.2 maps it to what is reported. Noise comes and goes."""
    clean = torch.as_tensor(sf.read(path, dtype="float32")[0])[None]
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    for snr_db in (20.0, 30.0):
        noisy = add_at_snr(clean, noise, snr_db)
        added, removed = LoudnessDisturbance(clean, 16_000)(noisy), LoudnessDisturbance(noisy, 16_000)(clean)
        assert added.item() == pytest.approx(published_disturbance(clean, noisy), rel=0.15)
        assert removed.item() == pytest.approx(published_disturbance(noisy, clean), rel=0.15)
        assert added > removed, "PESQ's asymmetry"


def published_disturbance(clean: Tensor, degraded: Tensor) -> float:
    reported = quality.pesq(clean[0].double().numpy(), degraded[0].double().numpy(), 16_000)
    return 4.5 - (3.8224 - float(np.log(4.0 / (reported - 0.999) - 1.0))) / 1.3669


def test_the_disturbance_is_capped_as_in_pesq() -> None:
    """No frame counts for more than 45: 0.1 · 45 + 0.0309 · 45 for the whole clip."""
    worst = LoudnessDisturbance(tone(1000.0).float(), 16_000)(torch.randn(1, 16_000))
    assert torch.allclose(worst, torch.tensor(0.1309 * 45.0), atol=0.05)


@pytest.mark.parametrize("term", TERMS)
def test_the_gradient_at_clean_speech_and_in_silence_is_finite(term: type, speech: Tensor) -> None:
    for clean in (speech, torch.zeros(1, 16_000), torch.cat([speech[:1], torch.zeros(1, 48_000)], 1)):
        leaf = clean.clone().requires_grad_()
        (slope,) = torch.autograd.grad(term(clean, 16_000)(leaf).sum(), leaf)
        assert torch.isfinite(slope).all()


@pytest.mark.parametrize("term", TERMS)
def test_gradients_agree_with_finite_differences(term: type, speech: Tensor) -> None:
    """Along random directions, for no one wants 8,000 of them."""
    clean = speech[:, 2000:10_000].double()
    cost = term(clean, 16_000)
    leaf = add_at_snr(clean, torch.randn_like(clean), 15.0).requires_grad_()
    (slope,) = torch.autograd.grad(cost(leaf).sum(), leaf)
    for _ in range(4):
        way = torch.randn_like(clean) * 1e-7
        with torch.no_grad():
            difference = (cost(leaf + way) - cost(leaf - way)).sum() / 2.0
        assert difference.item() == pytest.approx((slope * way).sum().item(), rel=1e-3)


def test_envelope_distortion_orders_recordings_as_stoi_does(speech: Tensor) -> None:
    snrs_db = (30.0, 20.0, 10.0, 5.0, 0.0)
    for clip in speech:
        noisy = torch.cat([add_at_snr(clip[None], torch.randn_like(clip[None]), snr_db) for snr_db in snrs_db])
        ours = EnvelopeDistortion(clip.expand(len(noisy), -1), 16_000)(noisy)
        published = [1.0 - quality.stoi(clip.double().numpy(), x.double().numpy(), 16_000) for x in noisy]
        assert ours.argsort().tolist() == list(np.argsort(published))
        assert np.corrcoef(ours.numpy(), published)[0, 1] > 0.98


def test_band_power_holds_all_the_energy(speech: Tensor) -> None:
    """Bands are a partition of the bins above 0 Hz."""
    whole = bark_power(listened_power(speech.double()), 16_000).sum(1)
    spectrum = torch.stft(
        speech.double(),
        512,
        256,
        window=torch.hann_window(512, dtype=torch.float64),
        return_complex=True,
        pad_mode="constant",
    )
    assert torch.allclose(whole, spectrum.abs().square()[:, 1:].sum(1), rtol=1e-9)


@pytest.mark.parametrize("term", TERMS)
def test_clips_are_judged_one_by_one(term: type, speech: Tensor) -> None:
    noisy = band_pass(speech, 16_000, 500.0, 2000.0)
    together = term(speech, 16_000)(noisy)
    alone = torch.cat([term(speech[i : i + 1], 16_000)(noisy[i : i + 1]) for i in range(2)])
    assert torch.allclose(together, alone, atol=1e-4)


@given(slopes=st.lists(st.floats(0.0, 8.0), min_size=1, max_size=6), floor=st.floats(0.0, 4.6))
def test_largest_share_is_brute_forces(slopes: list[float], floor: float) -> None:
    """Against trying all shares of the grid; the quality of each clip falls at its own speed from 4.5."""
    steep = torch.tensor(slopes)

    def quality(speech: Tensor) -> Tensor:
        return 4.5 - steep * speech[:, 0].square()

    got = largest_share(lambda share: share[:, None], quality, floor, clips=len(slopes), rounds=6)
    grid = torch.arange(65) / 64
    good = torch.stack([quality(share.expand(len(slopes), 1)) for share in grid]) >= floor
    wanted = torch.where(good.any(0), (good * grid[:, None]).amax(0), 0.0)
    assert torch.allclose(got, wanted, atol=1e-6)


def test_largest_share_asks_once_when_all_is_well() -> None:
    asked = []

    def quality(speech: Tensor) -> Tensor:
        asked.append(1)
        return speech[:, 0] + 5.0

    assert largest_share(lambda share: share[:, None], quality, 3.0, clips=2).tolist() == [1.0, 1.0]
    assert len(asked) == 1
