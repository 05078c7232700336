"""Playing speech faster or slower: pitch, formants and tempo move together."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from voxveil.roles import Speech


@dataclass(frozen=True)
class RandomSpeed:
    """The speech at 1 − ``spread`` to 1 + ``spread`` times its speed, drawn anew on every call.

    An encoder hears somebody else then, in a way, and what misleads it at every speed misleads other encoders more
    often: input diversity (C. Xie et al., CVPR 2019). Samples are interpolated linearly, which is quick and loses a
    little at the top.

    >>> varied = RandomSpeed(0.2, torch.Generator().manual_seed(0))(torch.ones(2, 12_000))
    >>> 10_000 <= varied.shape[1] <= 15_000
    True
    """

    spread: float
    generator: torch.Generator
    differentiable = True
    random = True
    keeps_length = False

    def __call__(self, speech: Speech) -> Float[Tensor, "batch time_varied"]:
        """The speech, time / speed samples of it."""
        speed = 1.0 + self.spread * (2.0 * float(torch.rand((), generator=self.generator)) - 1.0)
        samples = max(1, round(speech.shape[-1] / speed))
        return F.interpolate(speech[:, None], size=samples, mode="linear", align_corners=False)[:, 0]
