"""Where the direction of descent comes from: backpropagation, a stand-in for what has no gradient, or queries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from voxveil.roles import Loss, Parameters, Speech, Transform


class Autograd:
    """The gradient by backpropagation.

    >>> loss, (slope,) = Autograd()(lambda p: p[0].square().sum(-1), (torch.tensor([[3.0]]),))
    >>> slope.tolist()
    [[6.0]]
    """

    def __call__(self, loss: Callable[[Parameters], Loss], parameters: Parameters) -> tuple[Loss, Parameters]:
        """One forward and one backward pass for the whole batch."""
        leaves = tuple(p.detach().requires_grad_() for p in parameters)
        value = loss(leaves)
        return value.detach(), torch.autograd.grad(value.sum(), leaves)


@dataclass(frozen=True)
class Nes:
    """The gradient of a black box by natural evolution strategies (A. Ilyas et al. 2018), in antithetic pairs.

        g ≈ 1/(2nσ) · Σ_i u_i · [loss(p + σu_i) − loss(p − σu_i)],   u_i ~ N(0, I)

    Costs 2 · ``pairs`` queries a step and needs no gradient of the victim.

    >>> nes = Nes(pairs=2000, sigma=0.01, generator=torch.Generator().manual_seed(0))
    >>> _, (slope,) = nes(lambda p: p[0].square().sum(-1), (torch.tensor([[3.0]], dtype=torch.float64),))
    >>> abs(float(slope) - 6.0) < 0.5
    True
    """

    pairs: int
    sigma: float
    generator: torch.Generator

    def __call__(self, loss: Callable[[Parameters], Loss], parameters: Parameters) -> tuple[Loss, Parameters]:
        """The loss at ``parameters`` and its estimated gradient."""
        with torch.no_grad():
            total = tuple(torch.zeros_like(p) for p in parameters)
            for _ in range(self.pairs):
                steps = tuple(self._normal(p) for p in parameters)
                above = loss(tuple(p + self.sigma * u for p, u in zip(parameters, steps, strict=True)))
                below = loss(tuple(p - self.sigma * u for p, u in zip(parameters, steps, strict=True)))
                slope = (above - below) / (2.0 * self.sigma * self.pairs)
                total = tuple(g + _per_clip(slope, u) * u for g, u in zip(total, steps, strict=True))
            return loss(parameters), total

    def _normal(self, like: Tensor) -> Tensor:
        drawn = torch.randn(like.shape, generator=self.generator, dtype=like.dtype)
        return drawn.to(like.device)


@dataclass(frozen=True)
class StraightThrough:
    """Backward pass differentiable approximation (A. Athalye et al. 2018): backward, the transform is the identity.

    Wraps a :class:`~voxveil.roles.Transform` that keeps the length but passes no gradient, so that an expectation over
    transforms can hold it.

    >>> class Round:
    ...     differentiable, random, keeps_length = False, False, True
    ...     def __call__(self, speech):
    ...         return speech.round()
    >>> speech = torch.tensor([[0.7]], requires_grad=True)
    >>> StraightThrough(Round())(speech).sum().backward()
    >>> speech.grad.tolist()
    [[1.0]]
    """

    transform: Transform
    differentiable = True
    keeps_length = True

    @property
    def random(self) -> bool:
        """As the transform."""
        return self.transform.random

    def __call__(self, speech: Speech) -> Speech:
        """The transform's output with the identity's gradient."""
        with torch.no_grad():
            transformed = self.transform(speech)
        return transformed + (speech - speech.detach())


def _per_clip(value: Loss, like: Tensor) -> Tensor:
    return value.reshape(-1, *([1] * (like.dim() - 1)))
