"""Within-class covariance normalisation: what one voice varies in counts less, what it is steady in counts more.

A. Hatch, S. Kajarekar, A. Stolcke, "Within-Class Covariance Normalization for SVM-based Speaker Recognition",
Interspeech 2006; N. Dehak et al., IEEE TASLP 19(4), 2011, for cosine scores. With W the mean covariance of a
speaker's embeddings x, and μ the mean of all:

    x → W^(−½) · (x − μ)

It is linear, so it becomes part of a network whose last layer is linear, and the architecture stays as published.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

LEAST_SHARE = 1e-6
"""Directions with a smaller share of the greatest variance hold nothing but rounding: they are left out."""


def whitening(
    embeddings: Float[Tensor, "clip dim"], classes: Int[Tensor, " clip"]
) -> tuple[Float[Tensor, " dim"], Float[Tensor, "dim dim"]]:
    """μ and W^(−½), in float64.

    >>> x = torch.tensor([[4.0, 1.0], [0.0, 1.0], [4.0, -1.0], [0.0, -1.0]])
    >>> centre, matrix = whitening(x, torch.tensor([0, 0, 1, 1]))
    >>> centre.tolist(), matrix.round(decimals=4).tolist()
    ([2.0, 0.0], [[0.5, 0.0], [0.0, 0.0]])
    """
    precise = embeddings.double()
    counts = torch.bincount(classes).clamp_min(1).to(precise)
    sums = precise.new_zeros(len(counts), precise.shape[1]).index_add(0, classes, precise)
    residue = precise - (sums / counts[:, None])[classes]
    variances, directions = torch.linalg.eigh(residue.T @ residue / len(precise))
    steady = variances > LEAST_SHARE * variances[-1]
    scale = torch.where(steady, variances.clamp_min(1e-300).rsqrt(), 0.0)
    return precise.mean(0), (directions * scale) @ directions.T


def fold(last: nn.Linear | nn.Conv1d, centre: Float[Tensor, " dim"], matrix: Float[Tensor, "dim dim"]) -> None:
    """Makes ``matrix`` · (x − ``centre``) part of the layer that gives x.

    >>> last, x = nn.Linear(2, 3), torch.randn(5, 2)
    >>> centre, matrix = torch.randn(3), torch.randn(3, 3)
    >>> wanted = (last(x) - centre) @ matrix.T
    >>> fold(last, centre, matrix)
    >>> bool(torch.allclose(last(x), wanted, atol=1e-5))
    True
    """
    assert last.bias is not None
    with torch.no_grad():
        precise = matrix.to(last.weight.device, torch.float64)
        folded = precise @ last.weight.double().flatten(1)
        last.weight.copy_(folded.view_as(last.weight))
        last.bias.copy_(precise @ (last.bias.double() - centre.to(precise)))
