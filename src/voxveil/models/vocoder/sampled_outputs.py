"""What the last layer of a sample-by-sample vocoder means: a distribution from which the next sample is drawn.

Numbers between 0 and 1 come from outside and go through the inverse distribution function, so that whoever draws them
decides whether two calls give the same sound.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from jaxtyping import Float
from torch import Tensor

MIN_LOG_SCALE = math.log(1e-14)
RARE = 1e-5
"""Rarer samples of the logistic distribution, whose tails have no end, are not drawn."""


class SampledOutput(Protocol):
    """Logits → a sample in −1 … 1 as the network will see it again, and from such samples the sound."""

    @property
    def classes(self) -> int:
        """How many logits it takes."""

    @property
    def draws(self) -> int:
        """How many random numbers a sample takes."""

    def sample(self, logits: Float[Tensor, "row _"], chance: Float[Tensor, "row _"]) -> Float[Tensor, " row"]:
        """A sample of every row; ``chance`` is uniform in [0, 1)."""

    def sound(self, samples: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """The samples as sound."""


@dataclass(frozen=True)
class MuLaw:
    """2^bits equal steps after the μ-law, |y| = ln(1 + μ|x|) / ln(1 + μ) with μ = 2^bits − 1 (ITU-T G.711: 8 bits).

    >>> MuLaw().classes
    512
    """

    bits: int = 9
    draws: ClassVar[int] = 1

    @property
    def classes(self) -> int:
        """One for every step."""
        return 2**self.bits

    def sample(self, logits: Float[Tensor, "row _"], chance: Float[Tensor, "row 1"]) -> Float[Tensor, " row"]:
        """The middle of a step, drawn with its probability.

        >>> certain = torch.tensor([[0.0, 99.0, 0.0, 0.0]])
        >>> MuLaw(bits=2).sample(certain, torch.tensor([[0.5]])).item().__round__(3)
        -0.333
        """
        return 2.0 * _drawn(logits, chance).to(logits.dtype) / (self.classes - 1) - 1.0

    def sound(self, samples: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """The samples expanded, x = sign(y)·((1 + μ)^|y| − 1) / μ.

        >>> [round(value, 3) for value in MuLaw().sound(torch.tensor([-1.0, 0.0, 0.5])).tolist()]
        [-1.0, 0.0, 0.042]
        """
        return samples.sign() * (float(self.classes) ** samples.abs() - 1.0) / (self.classes - 1)


@dataclass(frozen=True)
class LogisticMixture:
    """A mixture of logistic distributions of the sample itself (T. Salimans et al., "PixelCNN++", ICLR 2017).

    The logits are those of the components, then their means, then the logarithms of their scales.

    >>> LogisticMixture().classes
    30
    """

    components: int = 10
    draws: ClassVar[int] = 2

    @property
    def classes(self) -> int:
        """Three for every component."""
        return 3 * self.components

    def sample(self, logits: Float[Tensor, "row _"], chance: Float[Tensor, "row 2"]) -> Float[Tensor, " row"]:
        """A component drawn with its probability, and from it a sample, cut off at ±1.

        >>> LogisticMixture(components=1).sample(torch.tensor([[0.0, 0.25, -9.0]]), torch.tensor([[0.3, 0.5]])).item()
        0.25
        """
        weights, means, log_scales = logits.view(-1, 3, self.components).unbind(1)
        chosen = _drawn(weights, chance[:, :1])[:, None]
        scale = log_scales.gather(1, chosen).clamp_min(MIN_LOG_SCALE).exp()
        sample = means.gather(1, chosen) + scale * torch.logit(chance[:, 1:], eps=RARE)
        return sample[:, 0].clamp(-1.0, 1.0)

    def sound(self, samples: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """The samples, which are sound already."""
        return samples


def _drawn(logits: Tensor, chance: Tensor) -> Tensor:
    passed = torch.softmax(logits, dim=1).cumsum(1) <= chance
    return passed.sum(1).clamp_max(logits.shape[1] - 1)
