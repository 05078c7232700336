"""A search for a carrier's amounts that goes on where it ended, for the clips that are not good enough yet.

One batch, one descent (:class:`~voxveil.perturb.solvers.Descent`), and as many objectives as there are tries: what has
been found is where the next one begins, so that a try costs a part of the first search.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from voxveil.perturb.quality_floor import largest_share
from voxveil.perturb.solvers import Descent, radii
from voxveil.progress import part
from voxveil.roles import Carrier, Loss, Objective, Parameters, Progress, Speech

AGAIN_STEPS = 0.5
"""Of the first search's steps, those of every further one."""


@dataclass(frozen=True)
class Search:
    """The search on one batch of clean speech.

    ``objective`` makes what is minimised for some of the clips, with a share of the disturbance that is allowed.
    Parameters are free; :meth:`amounts` are what they stand for inside the carrier's budgets.

    >>> from voxveil.perturb.budgets import Linf
    >>> from voxveil.perturb.carriers import Additive
    >>> from voxveil.perturb.solvers import adam
    >>> def louder(clean, share):
    ...     return lambda speech: (speech - share).square().mean(-1)
    >>> generator = torch.Generator().manual_seed(0)
    >>> search = Search(adam(80), Additive(Linf(1.0)), torch.zeros(2, 8), louder, generator)
    >>> found = search.first()
    >>> found = search.again(found, (0.5,), lambda speech: torch.tensor([True, False]))
    >>> [round(loudness, 1) for loudness in search.speech(found).mean(-1).tolist()]
    [1.0, 0.5]
    """

    descent: Descent
    carrier: Carrier
    clean: Speech
    objective: Callable[[Speech, float], Objective]
    generator: torch.Generator

    def first(self, progress: Progress | None = None) -> Parameters:
        """What is found with all of the disturbance allowed."""
        begin = self.descent.start_at(self.carrier, self.clean, self.generator)
        return self.descent.free(self.objective(self.clean, 1.0), self.carrier, self.clean, begin, progress=progress)

    def again(
        self,
        found: Parameters,
        shares: Sequence[float],
        good: Callable[[Speech], Bool[Tensor, " batch"]],
        progress: Progress | None = None,
    ) -> Parameters:
        """What is found when every clip that is not ``good`` yet is searched on, with one share after the other."""
        descent = replace(self.descent, steps=max(1, round(AGAIN_STEPS * self.descent.steps)))
        for index, share in enumerate(shares):
            rest = ~good(self.speech(found))
            if not bool(rest.any()):
                break
            clean, begin = self.clean[rest], tuple(p[rest] for p in found)
            told = part(progress, index / len(shares), (index + 1) / len(shares))
            better = descent.free(self.objective(clean, share), self.carrier, clean, begin, progress=told)
            found = tuple(p.index_put((rest,), b) for p, b in zip(found, better, strict=True))
        return found

    def amounts(self, found: Parameters) -> Parameters:
        """What the parameters stand for."""
        return self.descent.held(found, self.carrier, radii(self.carrier, self.clean))

    def speech(self, found: Parameters) -> Speech:
        """The clean speech, changed."""
        return self.carrier(self.amounts(found), self.clean)

    def above(self, floor: float, found: Parameters, quality: Callable[[Speech], Loss]) -> Parameters:
        """The largest share of every clip's amounts that keeps the ``quality``; amounts, not parameters."""
        amounts = self.amounts(found)

        def scaled(share: Float[Tensor, " batch"]) -> Parameters:
            return tuple(a * share.to(a.device).view(-1, *([1] * (a.dim() - 1))) for a in amounts)

        return scaled(
            largest_share(lambda s: self.carrier(scaled(s), self.clean), quality, floor, clips=self.clean.shape[0])
        )
