"""Additive angular margin softmax: the loss that speaker encoders are trained with.

J. Deng, J. Guo, N. Xue, S. Zafeiriou, "ArcFace: Additive Angular Margin Loss for Deep Face Recognition", CVPR 2019.
With θ_c the angle between an embedding and the centre of class c, and y the true class:

    loss = −log softmax(s · [cos θ_c, or cos(θ_y + m) for the true class])_y
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn


class AngularMargin(nn.Module):
    """Unit vectors [batch, dim] and their classes → loss [batch].

    ``margin`` m is in radians and ``scale`` s sharpens the softmax. The margin may be raised while training: a large
    one from the first step on keeps it from getting going.

    >>> head = AngularMargin(dim=2, classes=2, margin=0.0, scale=1.0)
    >>> _ = head.centres.data.copy_(torch.eye(2))
    >>> head(torch.tensor([[1.0, 0.0]]), torch.tensor([0])).item().__round__(4)  # log(1 + 1/e)
    0.3133
    """

    def __init__(self, dim: int, classes: int, margin: float = 0.2, scale: float = 30.0) -> None:
        super().__init__()
        self.centres = nn.Parameter(nn.init.xavier_normal_(torch.empty(classes, dim)))
        self.margin, self.scale = margin, scale

    def forward(
        self, embeddings: Float[Tensor, "batch dim"], classes: Int[Tensor, " batch"]
    ) -> Float[Tensor, " batch"]:
        """The loss of every embedding."""
        cosines = embeddings @ F.normalize(self.centres, dim=1).T
        true = cosines.gather(1, classes[:, None])
        return F.cross_entropy(
            self.scale * cosines.scatter(1, classes[:, None], widened(true, self.margin)), classes, reduction="none"
        )


def widened(cosine: Float[Tensor, "*shape"], margin: float) -> Float[Tensor, "*shape"]:
    """cos(θ + m) from cos θ; where θ + m would pass π and the cosine rise again, cos θ − m · sin m instead.

    It falls as θ grows from 0 to π, with a step down where θ + m = π, and its gradient is finite everywhere.

    >>> [round(value, 4) for value in widened(torch.tensor([1.0, 0.0]), 0.5).tolist()]  # cos 0.5, −sin 0.5
    [0.8776, -0.4794]
    """
    # The bound keeps the gradient of the root finite where the angle is zero.
    sine = (1.0 - cosine.square()).clamp_min(1e-12).sqrt()
    inside = cosine * math.cos(margin) - sine * math.sin(margin)
    return torch.where(cosine > -math.cos(margin), inside, cosine - margin * math.sin(margin))
