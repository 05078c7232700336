"""PLDA against densities written out in NumPy, against the model that made its data, and EM's one promise."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.linalg import block_diag
from scipy.stats import multivariate_normal
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from torch import Tensor

from voxveil.verify.plda import TwoCovariance, fit_plda, joint_basis, lda
from voxveil.verify.scorers import cosine, euclidean

DIM = 4


def covariance(scale: float, generator: torch.Generator) -> Tensor:
    root = torch.randn(DIM, DIM, generator=generator, dtype=torch.float64)
    return scale * (root @ root.T / DIM + 0.1 * torch.eye(DIM, dtype=torch.float64))


@pytest.fixture
def truth(generator: torch.Generator) -> TwoCovariance:
    mean = torch.randn(DIM, generator=generator, dtype=torch.float64)
    return TwoCovariance(mean, covariance(2.0, generator), covariance(1.0, generator))


def draw(model: TwoCovariance, counts: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Embeddings of len(counts) speakers with so many recordings each, shuffled."""
    speakers = torch.arange(len(counts)).repeat_interleave(counts)
    speakers = speakers[torch.randperm(len(speakers), generator=generator)]
    white = torch.randn(len(counts), DIM, generator=generator, dtype=torch.float64)
    voices = model.mean + white @ torch.linalg.cholesky(model.between).T
    noise = torch.randn(len(speakers), DIM, generator=generator, dtype=torch.float64)
    return voices[speakers] + noise @ torch.linalg.cholesky(model.within).T, speakers


def test_the_score_is_the_ratio_of_densities(truth: TwoCovariance, generator: torch.Generator) -> None:
    a, b = 3.0 * torch.randn(2, 20, DIM, generator=generator, dtype=torch.float64)
    mean, between = truth.mean.numpy(), truth.between.numpy()
    total = between + truth.within.numpy()
    one = np.block([[total, between], [between, total]])
    wanted = [
        multivariate_normal.logpdf(pair, np.tile(mean, 2), one)
        - multivariate_normal.logpdf(pair, np.tile(mean, 2), block_diag(total, total))
        for pair in np.concatenate([a.numpy(), b.numpy()], axis=1)
    ]
    np.testing.assert_allclose(truth(a, b).numpy(), wanted, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(truth(a, b), truth(b, a))


def test_speakers_without_spread_score_nothing(truth: TwoCovariance) -> None:
    model = TwoCovariance(truth.mean, torch.zeros_like(truth.between), truth.within)
    a, b = torch.randn(2, 5, DIM, dtype=torch.float64)
    torch.testing.assert_close(model(a, b), torch.zeros(5, dtype=torch.float64), atol=1e-12, rtol=0)


def test_the_likelihood_is_one_big_gaussian(truth: TwoCovariance, generator: torch.Generator) -> None:
    counts = torch.tensor([1, 3, 2])
    embeddings, speakers = draw(truth, counts, generator)
    wanted = 0.0
    for speaker, count in enumerate(counts.tolist()):
        joint = np.kron(np.ones((count, count)), truth.between.numpy()) + np.kron(np.eye(count), truth.within.numpy())
        own = embeddings[speakers == speaker].flatten().numpy()
        wanted += multivariate_normal.logpdf(own, np.tile(truth.mean.numpy(), count), joint)
    assert float(truth.log_likelihood(embeddings, speakers)) == pytest.approx(wanted, rel=1e-10)


def test_em_never_falls_and_finds_the_model_that_made_the_data(
    truth: TwoCovariance, generator: torch.Generator
) -> None:
    embeddings, speakers = draw(truth, torch.randint(2, 9, (4000,), generator=generator), generator)
    identity = torch.eye(DIM, dtype=torch.float64)
    model = TwoCovariance(torch.zeros(DIM, dtype=torch.float64), identity, identity)
    likelihoods = []
    for _ in range(30):
        likelihoods.append(float(model.log_likelihood(embeddings, speakers)))
        model = model.em_step(embeddings, speakers)
    assert (np.diff(likelihoods) > -1e-9 * abs(likelihoods[-1])).all()
    assert likelihoods[-1] > float(truth.log_likelihood(embeddings, speakers))
    for found, wanted in ((model.between, truth.between), (model.within, truth.within)):
        assert (found - wanted).norm() < 0.06 * wanted.norm()
    assert (model.mean - truth.mean).abs().max() < 0.1


def test_em_stands_still_at_the_maximum(truth: TwoCovariance, generator: torch.Generator) -> None:
    """For speakers with equally many recordings the maximum is known: the moments of an analysis of variance."""
    count = 5
    embeddings, speakers = draw(truth, torch.full((50,), count), generator)
    means = torch.stack([embeddings[speakers == speaker].mean(0) for speaker in range(50)])
    residue = embeddings - means[speakers]
    within = residue.T @ residue / (50 * (count - 1))
    best = TwoCovariance(means.mean(0), means.T.cov(correction=0) - within / count, within)
    after = best.em_step(embeddings, speakers)
    for found, wanted in ((after.mean, best.mean), (after.between, best.between), (after.within, best.within)):
        torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-9)


def test_the_joint_basis_makes_both_diagonal(truth: TwoCovariance) -> None:
    basis, ratios = joint_basis(truth.between, truth.within)
    torch.testing.assert_close(basis.T @ truth.within @ basis, torch.eye(DIM, dtype=torch.float64))
    torch.testing.assert_close(basis.T @ truth.between @ basis, ratios.diag())
    assert (ratios.diff() <= 0).all()


def test_lda_is_scikit_learns_and_whitens(truth: TwoCovariance, generator: torch.Generator) -> None:
    embeddings, speakers = draw(truth, torch.full((20,), 30), generator)
    centred = embeddings - embeddings.mean(0)
    projection = lda(centred, speakers, 2)
    torch.testing.assert_close((centred @ projection.T).T.cov(correction=0), torch.eye(2).double(), atol=1e-5, rtol=0)
    other = LinearDiscriminantAnalysis(solver="eigen", n_components=2).fit(embeddings.numpy(), speakers.numpy())
    directions = torch.as_tensor(other.scalings_[:, :2].T)
    torch.testing.assert_close(cosine(projection, directions).abs(), torch.ones(2).double(), atol=1e-6, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_fitted_scorer_tells_new_speakers_apart(
    truth: TwoCovariance, generator: torch.Generator, dtype: torch.dtype
) -> None:
    embeddings, speakers = draw(truth, torch.full((300,), 8), generator)
    scorer = fit_plda(embeddings.to(dtype), speakers, kept=3)
    new, who = draw(truth, torch.full((100,), 2), generator)
    new = new[who.argsort(stable=True)].to(dtype)
    same, other = scorer(new[::2], new[1::2]), scorer(new[::2], new[1::2].roll(1, 0))
    assert same.dtype == dtype
    assert (same[:, None] > other).double().mean() > 0.85
    # A calibrated ratio: the costs of both kinds of trial together are well below the bit that knows nothing.
    cost = 0.5 * (torch.log1p(torch.exp(-same)).mean() + torch.log1p(torch.exp(other)).mean()) / np.log(2.0)
    assert cost < 0.8


def test_a_scorer_is_its_state(truth: TwoCovariance, generator: torch.Generator) -> None:
    embeddings, speakers = draw(truth, torch.full((30,), 4), generator)
    scorer, copy = fit_plda(embeddings, speakers, kept=3), fit_plda(embeddings.flip(0), speakers, kept=3)
    copy.load_state_dict(scorer.state_dict())
    names = {"centre", "projection", "model.mean", "model.between", "model.within"}
    assert set(scorer.state_dict()) == names
    a, b = torch.randn(2, 5, DIM, dtype=torch.float64)
    assert torch.equal(scorer(a, b), copy(a, b))
    torch.testing.assert_close(scorer(a, b), torch.cat([scorer(a[i : i + 1], b[i : i + 1]) for i in range(5)]))


def test_fewer_recordings_than_dimensions(generator: torch.Generator) -> None:
    voices = torch.randn(10, 50, generator=generator)
    noise = 0.3 * torch.randn(30, 50, generator=generator)
    scorer = fit_plda(voices.repeat(3, 1) + noise, torch.arange(10).repeat(3), kept=9)
    assert scorer(voices, voices).isfinite().all()


def test_gradients_are_finite_differences(truth: TwoCovariance, generator: torch.Generator) -> None:
    scorer = fit_plda(*draw(truth, torch.full((30,), 4), generator), kept=3)
    pair = torch.randn(2, 3, DIM, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda both: scorer(both[0], both[1]), pair)
    assert torch.autograd.gradcheck(lambda both: euclidean(both[0], both[1]), pair)


def test_distance_orders_as_the_cosine() -> None:
    a, b = torch.randn(2, 30, 8, dtype=torch.float64)
    torch.testing.assert_close(euclidean(a, b).square(), 2.0 - 2.0 * cosine(a, b))
    assert (euclidean(a, b) <= 0).all()
    same = a.clone().requires_grad_()
    euclidean(same, a).sum().backward()
    assert same.grad is not None
    assert same.grad.isfinite().all()
