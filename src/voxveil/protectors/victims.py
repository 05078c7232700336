"""The verifiers whose speaker encoders a published protection leads astray, all of them at once."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from voxveil.perturb.objectives import Distance, EmbeddingDistance, Weighted
from voxveil.roles import Objective, Speech
from voxveil.verify.verifier import Verifier

SAMPLE_RATE = 16_000


def check_victims(method: str, victims: Sequence[Verifier]) -> None:
    """Raises ValueError unless there are victims, their encoders differentiable and at 16 kHz.

    >>> check_victims("veil", [])
    Traceback (most recent call last):
    ValueError: veil needs at least one verifier, their embedders differentiable and at 16 kHz
    """
    encoders = [victim.embedder for victim in victims]
    if not encoders or any(e.sample_rate != SAMPLE_RATE or not e.differentiable for e in encoders):
        raise ValueError(f"{method} needs at least one verifier, their embedders differentiable and at 16 kHz")


def steering(
    victims: Sequence[Verifier],
    clean: Speech,
    target: Float[Tensor, "batch time2"],
    distance: Distance,
    weight_lambda: float = 0.0,
) -> Objective:
    """Σ_k L(E_k(x′), E_k(y)) − λ · L(E_k(x′), E_k(x)) for speech x and the target's y, one for every clip.

    Embeddings are unit vectors, so the mean squared difference is taken times the dimension: the squared distance. An
    encoder of few dimensions counts no more than another then.

    >>> from voxveil.models.speaker.xvector import XVector
    >>> from voxveil.verify.scorers import cosine
    >>> victim, clean = Verifier("tiny", XVector(16, 24, dim=8).eval(), cosine, 0.5), torch.randn(1, 8000)
    >>> steering([victim], clean, clean, "mse", 0.1)(clean).tolist()
    [0.0]
    """
    terms = []
    for victim in victims:
        encoder = victim.embedder
        with torch.no_grad():
            source, wanted = encoder(clean), encoder(target)
        weight = float(source.shape[-1]) if distance == "mse" else 1.0
        terms.append((weight, EmbeddingDistance(encoder, source, wanted, weight_lambda, distance)))
    return Weighted(tuple(terms))


def all_refuse(victims: Sequence[Verifier], clean: Speech, protected: Speech) -> Bool[Tensor, " batch"]:
    """Whether no victim takes the protected clip for the speaker of the clean one.

    >>> from voxveil.models.speaker.xvector import XVector
    >>> from voxveil.verify.scorers import cosine
    >>> victim, clean = Verifier("tiny", XVector(16, 24, dim=8).eval(), cosine, 0.5), torch.randn(1, 8000)
    >>> all_refuse([victim], clean, clean).tolist()
    [False]
    """
    with torch.no_grad():
        scores = [v.scorer(v.embedder(clean), v.embedder(protected)) - v.threshold for v in victims]
    return (torch.stack(scores) < 0.0).all(0)
