"""Expectation over transforms (A. Athalye et al. 2018): what must hold after a channel is optimised through it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

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


@dataclass
class Dealt:
    """``count`` of the objectives in every call, dealt from a shuffled pack and weighted to stand for all.

    Their sum on average. A descent of more and cheaper steps gets further in the same time (H. Robbins and S. Monro
    1951); and all objectives are dealt before the pack is shuffled again, so that none is met less often than another.

    >>> dealt = Dealt((lambda x: x.sum(-1), lambda x: 3 * x.sum(-1)), count=1, generator=torch.Generator())
    >>> sorted(dealt(torch.tensor([[1.0]])).item() for _ in range(2))
    [2.0, 6.0]
    """

    objectives: Sequence[Objective]
    count: int
    generator: torch.Generator
    pack: list[int] = field(default_factory=list, init=False)

    def __call__(self, adversarial: Speech) -> Loss:
        """The estimate for every clip."""
        losses = [self.objectives[self._deal()](adversarial) for _ in range(self.count)]
        return torch.stack(losses).mean(0) * len(self.objectives)

    def _deal(self) -> int:
        if not self.pack:
            self.pack = torch.randperm(len(self.objectives), generator=self.generator).tolist()
        return self.pack.pop()


@dataclass
class InTurn:
    """One of the objectives in every call, each in its turn: their mean at the price of one.

    A descent whose steps are small against what they lead to sees the mean of a few steps anyway.

    >>> either = InTurn((lambda x: x.sum(-1), lambda x: -x.sum(-1)))
    >>> [either(torch.ones(1, 2)).item() for _ in range(3)]
    [2.0, -2.0, 2.0]
    """

    objectives: Sequence[Objective]
    calls: int = field(default=0, init=False)

    def __call__(self, adversarial: Speech) -> Loss:
        """The loss of every clip, by the objective whose turn it is."""
        chosen = self.objectives[self.calls % len(self.objectives)]
        self.calls += 1
        return chosen(adversarial)
