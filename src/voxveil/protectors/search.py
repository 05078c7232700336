"""A search for a carrier's amounts that is made again for the clips that are not good enough yet.

One batch, one solver, and as many objectives as there are tries. Every try begins at clean speech, with the same draws:
to go on from where the last one ended, in half the steps, left the voice of the README's example to one encoder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from voxveil.perturb.quality_floor import largest_share
from voxveil.perturb.solvers import Descent
from voxveil.progress import part
from voxveil.roles import Carrier, Loss, Objective, Parameters, Progress, Speech


@dataclass(frozen=True)
class Search:
    """The search on one batch of clean speech.

    ``objective`` makes what is minimised for some of the clips, with a share of the disturbance that is allowed, and
    draws from the generator it is given; every try has one of the same ``seed``.

    >>> from voxveil.perturb.budgets import Linf
    >>> from voxveil.perturb.carriers import Additive
    >>> from voxveil.perturb.solvers import adam
    >>> def louder(clean, share, generator):
    ...     return lambda speech: (speech - share).square().mean(-1)
    >>> search = Search(adam(80), Additive(Linf(1.0)), torch.zeros(2, 8), louder, seed=0)
    >>> found = search.first()
    >>> found = search.again(found, (0.5,), lambda amounts: torch.tensor([True, False]))
    >>> [round(loudness, 1) for loudness in search.speech(found).mean(-1).tolist()]
    [1.0, 0.5]
    """

    solver: Descent
    carrier: Carrier
    clean: Speech
    objective: Callable[[Speech, float, torch.Generator], Objective]
    seed: int

    def first(self, progress: Progress | None = None) -> Parameters:
        """The amounts that are found with all of the disturbance allowed."""
        return self._found(self.clean, 1.0, progress)

    def again(
        self,
        amounts: Parameters,
        shares: Sequence[float],
        good: Callable[[Parameters], Bool[Tensor, " batch"]],
        progress: Progress | None = None,
    ) -> Parameters:
        """The amounts, found again for every clip that is not ``good`` yet, with one share after the other."""
        for index, share in enumerate(shares):
            rest = ~good(amounts)
            if not bool(rest.any()):
                break
            told = part(progress, index / len(shares), (index + 1) / len(shares))
            found = self._found(self.clean[rest], share, told)
            amounts = tuple(a.index_put((rest,), b) for a, b in zip(amounts, found, strict=True))
        return amounts

    def speech(self, amounts: Parameters) -> Speech:
        """The clean speech, changed."""
        return self.carrier(amounts, self.clean)

    def above(self, floor: float, amounts: Parameters, quality: Callable[[Parameters], Loss]) -> Parameters:
        """The largest share of every clip's amounts that keeps the ``quality``."""

        def scaled(share: Float[Tensor, " batch"]) -> Parameters:
            return tuple(a * share.to(a.device).view(-1, *([1] * (a.dim() - 1))) for a in amounts)

        return scaled(largest_share(scaled, quality, floor, clips=self.clean.shape[0]))

    def _found(self, clean: Speech, share: float, progress: Progress | None) -> Parameters:
        generator = torch.Generator().manual_seed(self.seed)
        objective = self.objective(clean, share, generator)
        return self.solver(objective, self.carrier, clean, generator, progress=progress)
