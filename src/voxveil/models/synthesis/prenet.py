"""The prenet of Tacotron: two layers that forget half of what they see, in training and ever after.

Y. Wang et al., "Tacotron: Towards End-to-End Speech Synthesis", Interspeech 2017, section 3.1. That the dropout stays
on makes speech a matter of chance, so whoever generates gives a generator of random numbers.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class Prenet(nn.Module):
    """Two dense layers, each rectified and thinned out by ``dropout``, the chance of an entry to be lost, below 1.

    >>> Prenet(6, 8, dropout=0.5)(torch.randn(2, 5, 6), torch.Generator().manual_seed(0)).shape
    torch.Size([2, 5, 8])
    """

    def __init__(self, width_in: int, width: int, dropout: float) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width_in, width)
        self.fc2 = nn.Linear(width, width)
        self.dropout = dropout

    def forward(
        self, frames: Float[Tensor, "batch *frame width_in"], generator: torch.Generator | None = None
    ) -> Float[Tensor, "batch *frame width"]:
        """The frames' features; with a ``generator``, all clips of a batch lose the same entries."""
        for layer in (self.fc1, self.fc2):
            frames = self._thinned(torch.relu(layer(frames)), generator)
        return frames

    def _thinned(self, frames: Tensor, generator: torch.Generator | None) -> Tensor:
        if generator is None:
            return F.dropout(frames, self.dropout)
        kept = torch.empty(frames.shape[1:]).bernoulli_(1.0 - self.dropout, generator=generator)
        return frames * kept.to(frames) / (1.0 - self.dropout)
