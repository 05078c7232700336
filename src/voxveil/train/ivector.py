"""How an i-vector extractor is trained: its background model first, then its total-variability matrix, both by EM.

The mixture: A. P. Dempster, N. M. Laird, D. B. Rubin, JRSS B 39, 1977. The matrix: P. Kenny, G. Boulianne,
P. Dumouchel, "Eigenvoice Modeling with Sparse Training Data", IEEE TSAP 13(3), 2005, with the minimum-divergence
step of N. Brümmer ("The EM algorithm and minimum divergence", 2009). Every step returns the log-likelihood of the
parameters that it was given, which never falls from one step to the next.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from voxveil.models.speaker.ivector import GaussianMixture, factor_posterior, gram_of

FRAMES_A_BLOCK = 16_384
CLIPS_A_BLOCK = 64
VARIANCE_FLOOR = 1e-3
"""Share of the features' own variance; without a floor a component may collapse on a few frames."""

MIN_COUNT = 1e-3
"""Components to which fewer frames belong keep their parameters."""


def fit_ubm(
    features: Float[Tensor, "frame feature"], components: int, iterations: int, generator: Generator
) -> GaussianMixture:
    """A diagonal mixture of ``components`` Gaussians, begun at frames drawn by ``generator``.

    >>> features = torch.cat([torch.randn(200, 1) - 5.0, torch.randn(200, 1) + 5.0])
    >>> ubm = fit_ubm(features, 2, 10, torch.Generator().manual_seed(0))
    >>> sorted(ubm.means.round().flatten().tolist())
    [-5.0, 5.0]
    """
    chosen = torch.randperm(features.shape[0], generator=generator)[:components]
    ubm = GaussianMixture(
        features.new_full((components,), 1.0 / components),
        features[chosen],
        features.var(0, correction=0).expand(components, -1).clone(),
    )
    for _ in range(iterations):
        ubm, _log_likelihood = ubm_step(ubm, features)
    return ubm


def ubm_step(ubm: GaussianMixture, features: Float[Tensor, "frame feature"]) -> tuple[GaussianMixture, float]:
    """One EM step: the better mixture, and the mean log-likelihood a frame of ``ubm``.

    >>> ubm = GaussianMixture(torch.ones(1), torch.zeros(1, 1), torch.ones(1, 1))
    >>> better, _ = ubm_step(ubm, torch.tensor([[1.0], [3.0]]))
    >>> better.means.item(), better.variances.item()
    (2.0, 1.0)
    """
    count = torch.zeros_like(ubm.weights)
    first, second = torch.zeros_like(ubm.means), torch.zeros_like(ubm.means)
    log_likelihood = 0.0
    # About the common mean, squares lose no digits to an offset.
    centre = features.mean(0)
    for block in torch.split(features, FRAMES_A_BLOCK):
        joint = ubm.log_joint(block)
        share = torch.softmax(joint, dim=1)
        log_likelihood += float(torch.logsumexp(joint, dim=1).double().sum())
        count += share.sum(0)
        first += share.T @ (block - centre)
        second += share.T @ (block - centre).square()
    alive = (count > MIN_COUNT)[:, None]
    frames_each = count.clamp_min(MIN_COUNT)[:, None]
    shift = first / frames_each
    variances = (second / frames_each - shift.square()).maximum(VARIANCE_FLOOR * features.var(0, correction=0))
    better = GaussianMixture(
        count / count.sum(),
        torch.where(alive, centre + shift, ubm.means),
        torch.where(alive, variances, ubm.variances),
    )
    return better, log_likelihood / features.shape[0]


def fit_total_variability(
    ubm: GaussianMixture,
    count: Float[Tensor, "clip component"],
    first: Float[Tensor, "clip component feature"],
    factors: int,
    iterations: int,
    generator: Generator,
) -> Float[Tensor, "component feature factor"]:
    """The matrix T from the statistics of every clip (:meth:`GaussianMixture.statistics`).

    >>> ubm = GaussianMixture(torch.ones(1), torch.zeros(1, 2), torch.ones(1, 2))
    >>> first = torch.randn(50, 1, 1) * torch.tensor([300.0, 0.0])
    >>> T = fit_total_variability(ubm, torch.full((50, 1), 100.0), first, 1, 20, torch.Generator().manual_seed(0))
    >>> T.shape, bool(T[0, 0].abs() > 10 * T[0, 1].abs())
    (torch.Size([1, 2, 1]), True)
    """
    spread = ubm.variances.sqrt()[:, :, None]
    noise = torch.randn(*ubm.means.shape, factors, generator=generator, dtype=torch.float64)
    total_variability = 0.1 * spread * noise.to(spread)
    for _ in range(iterations):
        total_variability, _log_likelihood = total_variability_step(total_variability, ubm, count, first)
    return total_variability


def total_variability_step(
    total_variability: Float[Tensor, "component feature factor"],
    ubm: GaussianMixture,
    count: Float[Tensor, "clip component"],
    first: Float[Tensor, "clip component feature"],
) -> tuple[Float[Tensor, "component feature factor"], float]:
    """One EM step: the better T, and the mean log-likelihood a clip of the given one above that of T = 0.

    E: the moments of w in every clip. M: T_c = (Σ_u F_uc E[w]ᵀ) (Σ_u N_uc E[wwᵀ])⁻¹, and then T ← T·K^½ with
    K = mean E[wwᵀ], so that w is again of unit covariance.

    >>> ubm = GaussianMixture(torch.ones(1), torch.zeros(1, 1), torch.ones(1, 1))
    >>> N, F = torch.tensor([[3.0]]), torch.tensor([[[8.0]]])
    >>> better, gain = total_variability_step(torch.ones(1, 1, 1), ubm, N, F)  # E[w] = 2, E[w²] = 4.25
    >>> round(better.item(), 4), round(gain, 4)  # 16 / 12.75 · √4.25,  ½ · (8² / 4 − log 4)
    (2.587, 7.3069)
    """
    gram = gram_of(total_variability, ubm.variances)
    factors = total_variability.shape[-1]
    cross, square = torch.zeros_like(total_variability), torch.zeros_like(gram)
    overall = torch.zeros_like(gram[0])
    log_likelihood = 0.0
    for counts, firsts in zip(torch.split(count, CLIPS_A_BLOCK), torch.split(first, CLIPS_A_BLOCK), strict=True):
        mean, root = factor_posterior(total_variability, gram, ubm.variances, counts, firsts)
        moment = torch.cholesky_inverse(root) + mean[:, :, None] * mean[:, None]
        cross += torch.einsum("ucf,ur->cfr", firsts, mean)
        square += torch.tensordot(counts.T, moment, dims=1)
        overall += moment.sum(0)
        # wᵀLw − log|L|, the first with L = root·rootᵀ.
        reach = (root.transpose(1, 2) @ mean[:, :, None]).square().sum()
        log_likelihood += 0.5 * float(reach - 2.0 * root.diagonal(dim1=1, dim2=2).log().sum())
    alive = (count.sum(0) > MIN_COUNT)[:, None, None]
    safe = torch.where(alive, square, torch.eye(factors).to(square))
    solved = torch.linalg.solve(safe, cross.transpose(1, 2)).transpose(1, 2)
    better = torch.where(alive, solved, total_variability) @ torch.linalg.cholesky(overall / count.shape[0])
    return better, log_likelihood / count.shape[0]
