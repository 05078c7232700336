"""Expectation over transforms (A. Athalye et al. 2018): what must hold after a channel is optimised through it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from voxveil.roles import Loss, Objective, Speech, Transform


@dataclass(frozen=True)
class Expectation:
    """mean_i objective(t_i(x′)): ``draws`` of the transforms, each applied one after the other.

    A random transform draws anew on each call from the generator it was built with.

    >>> class Half:
    ...     differentiable, random, keeps_length = True, False, True
    ...     def __call__(self, speech):
    ...         return speech / 2
    >>> Expectation(lambda x: x.sum(-1), [Half()])(torch.tensor([[4.0]])).tolist()
    [2.0]
    """

    objective: Objective
    transforms: Sequence[Transform]
    draws: int = 1

    def __post_init__(self) -> None:
        blocked = [type(t).__name__ for t in self.transforms if not t.differentiable]
        if blocked:
            raise ValueError(f"{', '.join(blocked)} passes no gradient: wrap it in StraightThrough")

    def __call__(self, adversarial: Speech) -> Loss:
        """The mean loss of every clip."""
        losses = []
        for _ in range(self.draws):
            speech = adversarial
            for transform in self.transforms:
                speech = transform(speech)
            losses.append(self.objective(speech))
        return torch.stack(losses).mean(0)
