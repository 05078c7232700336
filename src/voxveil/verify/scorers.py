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
