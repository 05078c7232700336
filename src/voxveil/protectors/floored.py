"""Any protector under a quality floor: as much of what it does as the floor allows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from voxveil.perturb.quality_floor import largest_share
from voxveil.protectors.channels import Channels, worst_quality
from voxveil.protectors.order import Order
from voxveil.roles import Loss, Progress, Protector, Speech


@dataclass(frozen=True)
class Floored:
    """x + s · (protected − x), with the largest share s of a clip at which no channel of it falls below ``floor``.

    ``quality`` judges (clean, protected) [batch, time] → [batch], higher is better; the mix counts as a channel. Where
    even the least share that is tried (1/64) falls below the floor, s is 0: the nearest result that there is, the
    clean speech.

    >>> class Louder:
    ...     sample_rate = 16_000
    ...     def __call__(self, speech, seed, progress=None):
    ...         return speech + 1.0
    >>> held = Floored(Louder(), lambda clean, louder: 5.0 - 4.0 * (louder - clean).mean(-1), floor=3.0)
    >>> held(torch.zeros(1, 1, 4), seed=0).flatten().tolist()
    [0.5, 0.5, 0.5, 0.5]
    """

    protector: Protector
    quality: Callable[[Speech, Speech], Loss]
    floor: float

    @property
    def sample_rate(self) -> int:
        """That of the protector."""
        return self.protector.sample_rate

    def __call__(self, speech: Channels, seed: int, progress: Progress | None = None) -> Channels:
        """The protected speech, above the floor."""
        change = self.protector(speech, seed, progress) - speech

        def shared(share: Tensor) -> Channels:
            return speech + share.to(speech)[:, None, None] * change

        with torch.no_grad():
            share = largest_share(shared, partial(worst_quality, self.quality, speech), self.floor, len(speech))
            return shared(share)


def floored(protector: Protector, order: Order) -> Protector:
    """``protector`` as it is, or under the quality floor that is ordered.

    Raises ValueError for a floor without a measure.

    >>> from voxveil.protectors.white_noise import WhiteNoise
    >>> floored(WhiteNoise(), Order(victims=()))
    WhiteNoise(snr_db=20.0)
    """
    if order.quality_floor is None:
        return protector
    if order.quality is None:
        raise ValueError("a quality floor needs a quality measure")
    return Floored(protector, order.quality, order.quality_floor)
