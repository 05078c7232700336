"""A random start: attackers and verifiers cut speech where they like."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from voxveil.roles import Speech


@dataclass(frozen=True)
class RandomStart:
    """Drops up to ``most_samples`` from the beginning, but never more than a third of the clip.

    One draw a call serves the whole batch, so clips stay equally long.

    >>> crop = RandomStart(100, torch.Generator().manual_seed(0))
    >>> 900 <= crop(torch.zeros(2, 1000)).shape[-1] <= 1000
    True
    """

    most_samples: int
    generator: torch.Generator
    differentiable = True
    random = True
    keeps_length = False

    def __call__(self, speech: Speech) -> Float[Tensor, "batch later"]:
        """The later part of every clip."""
        most = min(self.most_samples, speech.shape[-1] // 3)
        start = int(torch.randint(most + 1, (1,), generator=self.generator))
        return speech[..., start:]
