"""The quality floor as a budget: the largest share of a perturbation whose quality is still good enough."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from voxveil.roles import Loss

Rendered = TypeVar("Rendered")


def largest_share(
    render: Callable[[Float[Tensor, " batch"]], Rendered],
    quality: Callable[[Rendered], Loss],
    floor: float,
    clips: int,
    rounds: int = 6,
) -> Float[Tensor, " batch"]:
    """For every clip the largest share in 0 … 1 of its amounts with ``quality`` ≥ ``floor``, by bisection.

    ``render`` takes a share a clip and gives the speech, or what it is made of; ``quality`` judges it (higher is
    better, and falls as the share grows). Clips that pass at once keep the share 1; a clip that never passes gets 0,
    the clean speech.

    >>> render = lambda share: share[:, None]
    >>> largest_share(render, lambda speech: 5.0 - 4.0 * speech[:, 0], floor=3.0, clips=1).tolist()
    [0.5]
    """
    high = torch.ones(clips)
    passed = (quality(render(high)) >= floor).cpu()
    low = passed.float()
    for _ in range(rounds):
        if bool((low == high).all()):
            break
        middle = (low + high) / 2.0
        good = (quality(render(middle)) >= floor).cpu()
        low = torch.where(good, middle, low)
        high = torch.where(good, high, middle)
        high = torch.where(passed, low, high)
    return low
