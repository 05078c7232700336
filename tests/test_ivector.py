"""The i-vector: its mixture is scikit-learn's, its posterior a plain Bayesian regression's, and EM never falls."""

from __future__ import annotations

import copy

import librosa
import numpy as np
import pytest
import torch
from sklearn.mixture import GaussianMixture as SklearnMixture
from torch import Tensor

from voxveil.models.speaker.ivector import Cepstra, GaussianMixture, IVector, deltas, factor_posterior, gram_of
from voxveil.roles import Embedder
from voxveil.train.ivector import fit_total_variability, fit_ubm, total_variability_step, ubm_step

COMPONENTS, N_MFCC, FACTORS = 6, 5, 4


@pytest.fixture
def clusters(generator: torch.Generator) -> Tensor:
    """Frames [3000, 3] of four overlapping Gaussians, far from the origin."""
    means = 3.0 * torch.randn(4, 3, generator=generator, dtype=torch.float64) + 20.0
    spreads = 0.5 + torch.rand(4, 3, generator=generator, dtype=torch.float64)
    which = torch.randint(4, (3000,), generator=generator)
    return means[which] + spreads[which] * torch.randn(3000, 3, generator=generator, dtype=torch.float64)


@pytest.fixture
def extractor(generator: torch.Generator) -> IVector:
    extractor = IVector(COMPONENTS, FACTORS, N_MFCC)
    features = 3 * N_MFCC
    state = {
        "ubm.weights": torch.softmax(torch.randn(COMPONENTS, generator=generator), 0),
        "ubm.means": 10.0 * torch.randn(COMPONENTS, features, generator=generator),
        "ubm.variances": 100.0 * (0.5 + torch.rand(COMPONENTS, features, generator=generator)),
        "total_variability": torch.randn(COMPONENTS, features, FACTORS, generator=generator),
    }
    extractor.load_state_dict(state, strict=True)
    return extractor


def begun(frames: Tensor, components: int) -> GaussianMixture:
    return GaussianMixture(
        torch.full((components,), 1.0 / components, dtype=frames.dtype),
        frames[:components].clone(),
        frames.var(0).expand(components, -1).clone(),
    )


def test_the_mixture_is_scikit_learns(clusters: Tensor) -> None:
    mine, likelihoods = begun(clusters, 4), []
    other = SklearnMixture(
        4, covariance_type="diag", max_iter=25, tol=0.0, reg_covar=0.0,
        weights_init=mine.weights.numpy(), means_init=mine.means.numpy(), precisions_init=1.0 / mine.variances.numpy(),
    )  # fmt: skip
    with pytest.warns(match="did not converge"):
        other.fit(clusters.numpy())
    for _ in range(25):
        mine, likelihood = ubm_step(mine, clusters)
        likelihoods.append(likelihood)
    assert (np.diff(likelihoods) > -1e-12).all()
    np.testing.assert_allclose(mine.weights, other.weights_, rtol=1e-8)
    np.testing.assert_allclose(mine.means, other.means_, rtol=1e-8)
    np.testing.assert_allclose(mine.variances, other.covariances_, rtol=1e-8)
    np.testing.assert_allclose(mine.posteriors(clusters), other.predict_proba(clusters.numpy()), atol=1e-8)
    assert ubm_step(mine, clusters)[1] == pytest.approx(other.score(clusters.numpy()), rel=1e-10)


def test_single_precision_is_enough(clusters: Tensor) -> None:
    """The squares multiplied out lose digits; the posteriors must not show it."""
    ubm = fit_ubm(clusters, 4, 5, torch.Generator().manual_seed(1))
    rough = copy.deepcopy(ubm).float().posteriors(clusters.float())
    torch.testing.assert_close(rough.double(), ubm.posteriors(clusters), atol=1e-3, rtol=0)


def test_blocks_of_frames_are_one_sum(clusters: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, likelihood = ubm_step(begun(clusters, 4), clusters)
    monkeypatch.setattr("voxveil.train.ivector.FRAMES_A_BLOCK", 700)
    parts, same = ubm_step(begun(clusters, 4), clusters)
    assert likelihood == pytest.approx(same, rel=1e-12)
    torch.testing.assert_close(parts.variances, whole.variances)


def test_a_component_that_nobody_needs_does_no_harm(clusters: Tensor) -> None:
    ubm = begun(clusters, 4)
    ubm.means[3] = 1e4
    for _ in range(3):
        ubm, likelihood = ubm_step(ubm, clusters)
    assert np.isfinite(likelihood)
    assert ubm.weights[3] == 0
    assert all(tensor.isfinite().all() for tensor in ubm.state_dict().values())


def test_no_component_collapses_on_one_point(clusters: Tensor) -> None:
    frames = torch.cat([torch.full((500, 3), 60.0, dtype=torch.float64), clusters])
    ubm = GaussianMixture(torch.full((2,), 0.5).double(), frames[[0, 600]], torch.ones(2, 3).double())
    better, _ = ubm_step(ubm, frames)
    torch.testing.assert_close(better.variances[0], 1e-3 * frames.var(0, correction=0))


def test_the_same_seed_gives_the_same_mixture(clusters: Tensor) -> None:
    one, two = (fit_ubm(clusters, 4, 3, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(one.means, two.means)


def test_statistics_are_sums_over_active_frames(extractor: IVector, generator: torch.Generator) -> None:
    features = 10.0 * torch.randn(2, 30, 3 * N_MFCC, generator=generator)
    active = torch.rand(2, 30, generator=generator) > 0.4
    count, first = extractor.ubm.statistics(features, active)
    torch.testing.assert_close(count.sum(1), active.sum(1).float())
    for clip in range(2):
        wanted = torch.zeros(COMPONENTS, 3 * N_MFCC)
        for frame in features[clip, active[clip]]:
            share = extractor.ubm.posteriors(frame[None])[0]
            wanted += share[:, None] * (frame - extractor.ubm.means)
        torch.testing.assert_close(first[clip], wanted, atol=1e-3, rtol=1e-4)


def test_the_posterior_is_that_of_a_bayesian_regression(generator: torch.Generator) -> None:
    """Every frame with its component known: x = m_c + T_c w + e. NumPy solves for w with one long design matrix."""
    T = torch.randn(3, 2, 4, generator=generator, dtype=torch.float64)
    variances = 0.5 + torch.rand(3, 2, generator=generator, dtype=torch.float64)
    which = torch.randint(3, (40,), generator=generator)
    offsets = torch.randn(40, 2, generator=generator, dtype=torch.float64)
    count = torch.bincount(which, minlength=3).double()[None]
    first = torch.stack([offsets[which == c].sum(0) for c in range(3)])[None]
    mean, root = factor_posterior(T, gram_of(T, variances), variances, count, first)
    scale = np.sqrt(variances[which].numpy())
    design = (T[which].numpy() / scale[:, :, None]).reshape(80, 4)
    aim = (offsets.numpy() / scale).reshape(80)
    ridge = np.concatenate([design, np.eye(4)])
    np.testing.assert_allclose(mean[0], np.linalg.lstsq(ridge, np.concatenate([aim, np.zeros(4)]))[0], rtol=1e-9)
    np.testing.assert_allclose((root @ root.mT)[0], ridge.T @ ridge, rtol=1e-9, atol=1e-9)


def made_statistics(generator: torch.Generator) -> tuple[GaussianMixture, Tensor, Tensor, Tensor]:
    """1500 clips of a known T: mixture, T, counts, first-order statistics."""
    kind = {"generator": generator, "dtype": torch.float64}
    ubm = GaussianMixture(torch.full((3,), 1 / 3).double(), torch.randn(3, 4, **kind), 0.5 + torch.rand(3, 4, **kind))
    truth = torch.randn(3, 4, 2, **kind)
    count = 5.0 + 40.0 * torch.rand(1500, 3, **kind)
    shift = torch.einsum("cfr,ur->ucf", truth, torch.randn(1500, 2, **kind))
    noise = (count[:, :, None] * ubm.variances).sqrt() * torch.randn(1500, 3, 4, **kind)
    return ubm, truth, count, count[:, :, None] * shift + noise


def test_training_finds_the_subspace_that_made_the_data(generator: torch.Generator) -> None:
    ubm, truth, count, first = made_statistics(generator)
    found = fit_total_variability(ubm, count, first, factors=2, iterations=10, generator=generator).flatten(0, 1)
    # T is known up to a rotation of w; the covariance of the shifts, T·Tᵀ, is not rotated.
    wanted = truth.flatten(0, 1) @ truth.flatten(0, 1).T
    assert (found @ found.T - wanted).norm() < 0.08 * wanted.norm()


def test_the_likelihood_of_the_matrix_never_falls(generator: torch.Generator) -> None:
    ubm, truth, count, first = made_statistics(generator)
    count, first = count[:300], first[:300]
    T, likelihoods = 0.01 * torch.randn_like(truth), []
    for _ in range(25):
        T, likelihood = total_variability_step(T, ubm, count, first)
        likelihoods.append(likelihood)
    assert (np.diff(likelihoods) > -1e-10).all()
    assert likelihoods[-1] >= total_variability_step(truth, ubm, count, first)[1]
    assert likelihoods[0] > total_variability_step(torch.zeros_like(T), ubm, count, first)[1] == 0.0


def test_the_gain_is_that_of_the_marginal_gaussians(generator: torch.Generator) -> None:
    """F/N ~ N(0, T_c T_cᵀ + Σ/N) over all components jointly, against N(0, Σ/N)."""
    ubm, T, count, first = (part[:2] if i > 1 else part for i, part in enumerate(made_statistics(generator)))
    wanted = 0.0
    for N, sums in zip(count, first, strict=True):
        x = (sums / N[:, None]).flatten()
        noise = (ubm.variances / N[:, None]).flatten().diag()
        full = noise + T.flatten(0, 1) @ T.flatten(0, 1).T
        wanted += 0.5 * float(torch.logdet(noise) - torch.logdet(full))
        wanted += 0.5 * float(x @ torch.linalg.solve(noise, x) - x @ torch.linalg.solve(full, x))
    assert total_variability_step(T, ubm, count, first)[1] == pytest.approx(wanted / 2, rel=1e-9)


def test_deltas_are_librosas(generator: torch.Generator) -> None:
    features = torch.randn(2, 3, 20, generator=generator, dtype=torch.float64)
    wanted = librosa.feature.delta(features.numpy(), width=5, mode="nearest")
    np.testing.assert_allclose(deltas(features), wanted, atol=1e-6)


def test_cepstra_have_no_mean_where_somebody_speaks(speech: Tensor) -> None:
    padded = torch.cat([torch.zeros(2, 16_000), speech, torch.zeros(2, 16_000)], dim=1)
    features, active = Cepstra()(padded)
    assert features.shape == (2, 80_000 // 160 + 1, 72)
    assert not active[:, :80].any()
    assert active.float().mean() > 0.3
    for clip in range(2):
        torch.testing.assert_close(features[clip, active[clip]].mean(0), torch.zeros(72), atol=1e-3, rtol=0)


def test_unit_vectors_one_by_one_as_in_a_batch(extractor: IVector, speech: Tensor) -> None:
    assert isinstance(extractor, Embedder)
    together = extractor(speech)
    torch.testing.assert_close(together.norm(dim=1), torch.ones(2))
    torch.testing.assert_close(together, torch.cat([extractor(clip[None]) for clip in speech]), atol=1e-4, rtol=1e-4)
    assert torch.equal(extractor.coarse()(speech), together)


def test_a_fixed_equaliser_hardly_matters(extractor: IVector, speech: Tensor) -> None:
    """A filter is an offset of the cepstrum, and its mean is taken away."""
    noisy = speech + 0.003 * torch.randn(speech.shape)
    tilted = noisy.clone()
    tilted[:, 1:] -= 0.7 * noisy[:, :-1]
    apart = 1.0 - torch.cosine_similarity(*extractor(noisy)[:, None])
    assert (1.0 - torch.cosine_similarity(extractor(noisy), extractor(tilted)) < 0.1 * apart).all()


@pytest.mark.parametrize("length", [1, 500, 16_000])
def test_short_and_silent_clips_have_an_embedding(extractor: IVector, length: int) -> None:
    clips = torch.cat([torch.zeros(1, length), 0.1 * torch.randn(1, length)])
    assert extractor(clips).isfinite().all()


def test_the_state_is_the_four_published_tensors(extractor: IVector) -> None:
    assert {name: tuple(tensor.shape) for name, tensor in extractor.state_dict().items()} == {
        "ubm.weights": (COMPONENTS,),
        "ubm.means": (COMPONENTS, 3 * N_MFCC),
        "ubm.variances": (COMPONENTS, 3 * N_MFCC),
        "total_variability": (COMPONENTS, 3 * N_MFCC, FACTORS),
    }
    other = IVector(COMPONENTS, FACTORS, N_MFCC)
    other.load_state_dict(extractor.state_dict())
    torch.testing.assert_close(other.gram, gram_of(extractor.total_variability, extractor.ubm.variances))


def test_gradients_are_finite_differences(extractor: IVector, speech: Tensor) -> None:
    precise = extractor.double()
    clip = speech[:1, 4000:10_000].double()
    clip = (clip + 0.001 * torch.randn_like(clip)).requires_grad_()
    towards = torch.randn(FACTORS, dtype=torch.float64)
    (gradient,) = torch.autograd.grad(precise(clip)[0] @ towards, clip)
    assert gradient.isfinite().all()
    assert gradient.abs().max() > 0
    for _ in range(3):
        step = 1e-8 * torch.randn_like(clip)
        with torch.no_grad():
            change = (precise(clip + step) - precise(clip - step))[0] @ towards
        assert float(change / 2) == pytest.approx(float((gradient * step).sum()), rel=1e-4, abs=1e-13)


def test_a_trained_extractor_knows_two_voices(speech: Tensor) -> None:
    """Train on the halves of two synthetic voices, and find each voice nearest to itself."""
    front, halves = Cepstra(N_MFCC), torch.cat([speech[:, :24_000], speech[:, 24_000:]])
    features, active = front(halves)
    generator = torch.Generator().manual_seed(0)
    ubm = fit_ubm(features[active], COMPONENTS, 8, generator)
    T = fit_total_variability(ubm, *ubm.statistics(features, active), 2, 5, generator)
    extractor = IVector(COMPONENTS, 2, N_MFCC)
    state = {f"ubm.{name}": tensor for name, tensor in ubm.state_dict().items()}
    extractor.load_state_dict(state | {"total_variability": T})
    first, second = extractor(halves)[:2], extractor(halves)[2:]
    assert ((first @ second.T).argmax(1) == torch.arange(2)).all()
