"""Objectives: what an attack minimises, one number a clip.

The seed equation of the field (C. Huang et al. 2021; Z. Yu et al. 2023), with E the victim's speaker encoder, x the
clean speech and y another speaker's:

    minimise  L(E(x + δ), E(y)) − λ · L(E(x + δ), E(x))

Without a target only the second term stays (untargeted). Objectives add up and can be told when it is enough.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from voxveil.roles import Embedder, Loss, Objective, Speech

Distance = Literal["cosine", "mse", "euclidean"]


def embedding_distance(one: Tensor, other: Tensor, kind: Distance) -> Loss:
    """1 − cos(one, other), the mean squared or the Euclidean difference of each pair of embeddings [batch, dim].

    >>> embedding_distance(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]]), "cosine").tolist()
    [1.0]
    """
    if kind == "mse":
        return (one - other).square().mean(-1)
    if kind == "euclidean":
        # Its gradient at no difference at all is 0.
        return torch.linalg.vector_norm(one - other, dim=-1)
    return 1.0 - torch.cosine_similarity(one, other, dim=-1)


@dataclass(frozen=True)
class EmbeddingDistance:
    """L(E(x′), target) − λ · L(E(x′), source); without a target, −λ · L(E(x′), source).

    ``source`` and ``target`` are embeddings [batch, dim], computed once.

    >>> class Mean:
    ...     sample_rate, differentiable = 16_000, True
    ...     def __call__(self, speech):
    ...         return torch.stack([speech.mean(-1), torch.ones(len(speech))], -1)
    ...     def coarse(self):
    ...         return self
    >>> attack = EmbeddingDistance(Mean(), source=torch.tensor([[0.0, 1.0]]), distance="mse")
    >>> attack(torch.tensor([[2.0, 2.0]])).tolist()
    [-2.0]
    """

    embedder: Embedder
    source: Float[Tensor, "batch dim"]
    target: Float[Tensor, "batch dim"] | None = None
    weight_lambda: float = 1.0
    distance: Distance = "cosine"

    def __call__(self, adversarial: Speech) -> Loss:
        """The loss of every clip."""
        embedding = self.embedder(adversarial)
        away = -self.weight_lambda * embedding_distance(embedding, self.source, self.distance)
        if self.target is None:
            return away
        return away + embedding_distance(embedding, self.target, self.distance)


@dataclass
class Insistence:
    """λ · max(loss − enough, 0) + beyond · loss, where λ rises by ``rate`` times what is still missing, in every call.

    A method of multipliers (K. Arrow, L. Hurwicz, H. Uzawa 1958) for the condition loss ≤ ``enough``: ever more effort
    for a clip that resists, and for one that fulfils it only what ``beyond`` asks for. λ begins at ``weight``, and each
    clip has its own. It holds for one batch.

    >>> insist = Insistence(lambda adversarial: adversarial.sum(-1), enough=1.0, weight=2.0, rate=0.5, beyond=0.0)
    >>> speech = torch.tensor([[3.0], [0.5]])
    >>> insist(speech).tolist(), insist(speech).tolist()
    ([4.0, 0.0], [6.0, 0.0])
    """

    objective: Callable[[Tensor], Loss]
    enough: float
    weight: float
    rate: float
    beyond: float
    multiplier: Tensor | None = field(default=None, init=False)

    def __call__(self, adversarial: Tensor) -> Loss:
        """What of the loss is still to do, as much as it matters by now."""
        loss = self.objective(adversarial)
        excess = (loss - self.enough).clamp_min(0.0)
        now = torch.full_like(excess, self.weight).detach() if self.multiplier is None else self.multiplier
        self.multiplier = now + self.rate * excess.detach()
        return now * excess + self.beyond * loss


@dataclass(frozen=True)
class Weighted:
    """Σ weight · objective: ensembles of victims, and quality beside them.

    >>> both = Weighted(((2.0, lambda x: x.sum(-1)), (1.0, lambda x: x.square().sum(-1))))
    >>> both(torch.tensor([[3.0]])).tolist()
    [15.0]
    """

    terms: tuple[tuple[float, Objective], ...]

    def __call__(self, adversarial: Speech) -> Loss:
        """The sum."""
        return torch.stack([weight * objective(adversarial) for weight, objective in self.terms]).sum(0)
