"""Scores of a pair of embeddings: higher means more alike."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from voxveil.roles import Loss


def cosine(enrolled: Float[Tensor, "batch dim"], probe: Float[Tensor, "batch dim"]) -> Loss:
    """The cosine of the angle between them, −1 … 1.

    >>> cosine(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 2.0]])).tolist()
    [0.0]
    """
    return torch.cosine_similarity(enrolled, probe, dim=-1)


def euclidean(enrolled: Float[Tensor, "batch dim"], probe: Float[Tensor, "batch dim"]) -> Loss:
    """Minus the distance of the two as unit vectors, −2 … 0; the score of voxceleb_trainer.

    >>> euclidean(torch.tensor([[1.0, 0.0]]), torch.tensor([[-2.0, 0.0]])).tolist()
    [-2.0]
    """
    apart = torch.nn.functional.normalize(enrolled, dim=-1) - torch.nn.functional.normalize(probe, dim=-1)
    return -torch.linalg.vector_norm(apart, dim=-1)
