"""Clips that are too short for a network's edges."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor


def repeated(speech: Float[Tensor, "batch time"], min_samples: int) -> Float[Tensor, "batch longer"]:
    """``speech`` itself if it has ``min_samples``, else as many whole copies in a row as it takes.

    Copies keep what a speaker encoder averages, where padding with silence would change it.

    >>> import torch
    >>> repeated(torch.tensor([[1.0, 2.0]]), 3).tolist()
    [[1.0, 2.0, 1.0, 2.0]]
    """
    times = -(-min_samples // speech.shape[-1])
    return speech.repeat(1, times) if times > 1 else speech
