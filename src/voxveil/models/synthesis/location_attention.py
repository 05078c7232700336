"""Attention that knows where it has been.

J. Chorowski et al., "Attention-Based Models for Speech Recognition", NIPS 2015, equations 8 and 9: with the query s,
the keys h_j, and the attention so far, summed over all steps, through a convolution f,

    e_j = vᵀ·tanh(W·s + h_j + L·f_j),    a = softmax(e).
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn


class LocationAttention(nn.Module):
    """A query, the keys, and how much each was attended to so far → how much each is attended to now.

    >>> attention = LocationAttention(width=8, filters=4, kernel=5)
    >>> written = torch.tensor([[True, True, True, False]])
    >>> attention(torch.randn(1, 8), torch.randn(1, 4, 8), torch.zeros(1, 4), written).sum().round(decimals=4)
    tensor(1., grad_fn=<RoundBackward1>)
    """

    def __init__(self, width: int, filters: int = 32, kernel: int = 31) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, filters, kernel, padding=kernel // 2)
        self.L = nn.Linear(filters, width, bias=False)
        self.W = nn.Linear(width, width)
        self.v = nn.Linear(width, 1, bias=False)

    def forward(
        self,
        query: Float[Tensor, "batch width"],
        keys: Float[Tensor, "batch char width"],
        attended: Float[Tensor, "batch char"],
        written: Bool[Tensor, "batch char"],
    ) -> Float[Tensor, "batch char"]:
        """Shares that add up to 1.

        Where nothing is written the energy is 0, as published, so that such places keep a share.
        """
        location = self.L(self.conv(attended[:, None]).mT)
        energy = self.v(torch.tanh(self.W(query)[:, None] + keys + location))[:, :, 0]
        return torch.softmax(energy * written, dim=1)
