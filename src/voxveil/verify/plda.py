"""PLDA: is it likelier that one speaker made both embeddings, or two? The usual back end of i- and x-vectors.

N. Brümmer, E. de Villiers, "The speaker partitioning problem", Odyssey 2010 (the two-covariance model);
D. Garcia-Romero, C. Espy-Wilson, "Analysis of i-vector length normalization", Interspeech 2011. An embedding is
centred, projected onto the directions that tell speakers apart (LDA), whitened, and scaled to length one; then

    speaker y ~ N(μ, B),   embedding x ~ N(y, W)

Both covariances come from the EM algorithm, and the score of a pair is the logarithm of
p(x₁, x₂ | one speaker) / (p(x₁) · p(x₂)), in closed form.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from voxveil.roles import Loss

RIDGE = 1e-6
"""Share of the mean variance within speakers that LDA adds to it: few recordings leave directions without any."""


class TwoCovariance(nn.Module):
    """A Gaussian of speakers around ``mean``, and a Gaussian of embeddings around each speaker.

    >>> model = TwoCovariance(torch.zeros(1), torch.tensor([[3.0]]), torch.tensor([[1.0]]))
    >>> a, b = torch.tensor([[2.0], [2.0]]), torch.tensor([[2.0], [-2.0]])
    >>> [round(score, 2) for score in model(a, b).tolist()]
    [0.84, -2.59]
    """

    mean: Tensor
    between: Tensor
    within: Tensor

    def __init__(
        self, mean: Float[Tensor, " dim"], between: Float[Tensor, "dim dim"], within: Float[Tensor, "dim dim"]
    ) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("between", between)
        self.register_buffer("within", within)

    def forward(self, enrolled: Float[Tensor, "batch dim"], probe: Float[Tensor, "batch dim"]) -> Loss:
        """The log-likelihood ratio of every pair.

        The sum and the difference of two embeddings of one speaker are independent, with covariances 2·(2B + W) and
        2·W; of two speakers, both have 2·(B + W).
        """
        basis, ratios = joint_basis(self.between, self.within)
        sums, differences = (enrolled + probe - 2.0 * self.mean) @ basis, (enrolled - probe) @ basis
        apart = (sums.square() + differences.square()) / (1.0 + ratios)
        together = sums.square() / (1.0 + 2.0 * ratios) + differences.square()
        volume = 2.0 * torch.log1p(ratios) - torch.log1p(2.0 * ratios)
        return 0.5 * volume.sum() + 0.25 * (apart - together).sum(-1)

    def log_likelihood(
        self, embeddings: Float[Tensor, "clip dim"], speakers: Int[Tensor, " clip"]
    ) -> Float[Tensor, ""]:
        """The logarithm of the density of all ``embeddings``, those of a speaker (0, 1, …) sharing one y.

        >>> model = TwoCovariance(torch.zeros(1), torch.eye(1), torch.eye(1))
        >>> round(model.log_likelihood(torch.zeros(2, 1), torch.tensor([0, 0])).item(), 4)  # −log 2π − ½ log 3
        -2.3872
        """
        counts, means = _by_speaker(embeddings, speakers)
        basis, ratios = joint_basis(self.between, self.within)
        inside = ((embeddings - means[speakers]) @ basis).square().sum()
        spread = 1.0 + counts[:, None] * ratios
        outside = (counts[:, None] * ((means - self.mean) @ basis).square() / spread + spread.log()).sum()
        volume = len(embeddings) * torch.linalg.slogdet(self.within).logabsdet
        return -0.5 * (inside + outside + volume + embeddings.numel() * math.log(2.0 * math.pi))

    def em_step(self, embeddings: Float[Tensor, "clip dim"], speakers: Int[Tensor, " clip"]) -> TwoCovariance:
        """A model under which ``embeddings`` are at least as likely.

        E: y of every speaker, N(ŷ, (B⁻¹ + n·W⁻¹)⁻¹). M: the mean, and both covariances about it and about ŷ.

        >>> truth = TwoCovariance(torch.zeros(1), torch.eye(1), torch.eye(1))
        >>> x, speakers = torch.tensor([[5.0], [5.0], [9.0], [9.0]]), torch.tensor([0, 0, 1, 1])
        >>> better = truth.em_step(x, speakers)
        >>> bool(better.log_likelihood(x, speakers) > truth.log_likelihood(x, speakers))
        True
        """
        basis, ratios = joint_basis(self.between, self.within)
        back = basis.T @ self.within  # basis⁻¹
        points = (embeddings - self.mean) @ basis
        counts, means = _by_speaker(points, speakers)
        doubt = ratios / (1.0 + counts[:, None] * ratios)
        voices = counts[:, None] * doubt * means
        centre = voices.mean(0)
        between = (voices - centre).T @ (voices - centre) / len(counts) + doubt.mean(0).diag()
        residue = points - voices[speakers]
        within = (residue.T @ residue + (counts @ doubt).diag()) / len(points)
        return TwoCovariance(self.mean + centre @ back, back.T @ between @ back, back.T @ within @ back)


class Plda(nn.Module):
    """The scorer: (enrolled, probe) [batch, dim] → log-likelihood ratio [batch].

    A new one keeps the first ``kept`` dimensions as they are and waits for :func:`fit_plda` or ``load_state_dict``
    (``centre`` [dim], ``projection`` [kept, dim], ``model.mean``, ``model.between``, ``model.within``).

    >>> Plda(dim=4, kept=2)(torch.randn(3, 4), torch.randn(3, 4)).shape
    torch.Size([3])
    """

    centre: Tensor
    projection: Tensor

    def __init__(self, dim: int, kept: int) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(dim))
        self.register_buffer("projection", torch.eye(kept, dim))
        self.model = TwoCovariance(torch.zeros(kept), torch.eye(kept), torch.eye(kept))

    def forward(self, enrolled: Float[Tensor, "batch dim"], probe: Float[Tensor, "batch dim"]) -> Loss:
        """The score of every pair; above 0, one speaker is the likelier cause."""
        return self.model(self.project(enrolled), self.project(probe))

    def project(self, embeddings: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch kept"]:
        """Centred, projected, whitened, and of length one."""
        return F.normalize((embeddings - self.centre) @ self.projection.T, dim=-1)


def fit_plda(
    embeddings: Float[Tensor, "clip dim"], speakers: Int[Tensor, " clip"], kept: int, iterations: int = 20
) -> Plda:
    """A scorer from the embeddings of speakers 0, 1, …, each with several recordings; computed in float64.

    Args:
        embeddings: One row a recording.
        speakers: Who speaks in it; every number from 0 to the greatest occurs.
        kept: Dimensions that LDA leaves, at most dim, and fewer than there are speakers.
        iterations: EM steps.

    >>> voices = 3.0 * torch.randn(40, 3)
    >>> scorer = fit_plda(voices.repeat(5, 1) + torch.randn(200, 3), torch.arange(40).repeat(5), kept=2)
    >>> bool(scorer(voices, voices).mean() > scorer(voices, voices.roll(1, 0)).mean())
    True
    """
    precise = embeddings.double()
    scorer = Plda(embeddings.shape[1], kept).double()
    scorer.centre = precise.mean(0)
    scorer.projection = lda(precise - scorer.centre, speakers, kept)
    points = scorer.project(precise)
    _, means = _by_speaker(points, speakers)
    model = TwoCovariance(points.mean(0), means.T.cov(correction=0), (points - means[speakers]).T.cov(correction=0))
    for _ in range(iterations):
        model = model.em_step(points, speakers)
    scorer.model = model
    return scorer.to(embeddings.dtype)


def lda(centred: Float[Tensor, "clip dim"], speakers: Int[Tensor, " clip"], kept: int) -> Float[Tensor, "kept dim"]:
    """The ``kept`` directions in which speakers differ most beside their own spread, scaled to variance one.

    >>> points = torch.tensor([[10.0, 1.0], [10.0, -1.0], [-10.0, 1.0], [-10.0, -1.0]])
    >>> lda(points, torch.tensor([0, 0, 1, 1]), 1).abs().mul(10.0).round().tolist()
    [[1.0, 0.0]]
    """
    _, means = _by_speaker(centred, speakers)
    residue = centred - means[speakers]
    within = residue.T @ residue / len(centred)
    within = within + RIDGE * within.diagonal().mean() * torch.eye(len(within)).to(within)
    between = means[speakers].T @ means[speakers] / len(centred)
    basis, ratios = joint_basis(between, within)
    # In this basis the spread within speakers is 1 and that between them is the ratio: whitening is a scale.
    return (basis / (1.0 + ratios).sqrt()).T[:kept].contiguous()


def joint_basis(
    between: Float[Tensor, "dim dim"], within: Float[Tensor, "dim dim"]
) -> tuple[Float[Tensor, "dim dim"], Float[Tensor, " dim"]]:
    """V and λ, greatest first, such that Vᵀ·within·V = I and Vᵀ·between·V = diag(λ).

    >>> basis, ratios = joint_basis(torch.diag(torch.tensor([4.0, 3.0])), torch.diag(torch.tensor([4.0, 1.0])))
    >>> basis.abs().tolist(), ratios.tolist()
    ([[0.0, 0.5], [1.0, 0.0]], [3.0, 1.0])
    """
    root = torch.linalg.cholesky(within)
    half = torch.linalg.solve_triangular(root, between, upper=False)
    whitened = torch.linalg.solve_triangular(root, half.mT, upper=False)
    ratios, rotation = torch.linalg.eigh(0.5 * (whitened + whitened.mT))
    basis = torch.linalg.solve_triangular(root.mT, rotation, upper=True)
    # Rounding may leave a ratio just below the zero that it is.
    return basis.flip(1), ratios.flip(0).clamp_min(0.0)


def _by_speaker(points: Tensor, speakers: Tensor) -> tuple[Tensor, Tensor]:
    counts = torch.bincount(speakers).to(points)
    sums = points.new_zeros(len(counts), points.shape[1]).index_add(0, speakers, points)
    return counts, sums / counts[:, None]
