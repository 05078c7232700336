"""What is asked of a protection, in words that mean the same for every method."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn

from voxveil.errors import ModelUnavailableError
from voxveil.roles import Loss, Speech
from voxveil.verify.verifier import Verifier

StrengthName = Literal["light", "medium", "strong"]
EffortName = Literal["fast", "normal", "thorough"]


@dataclass(frozen=True)
class Order:
    """One protection, as it is ordered; a method's recipe, ``recipe(order)``, makes the protector of it.

    ``victims`` are the verifiers whose speaker encoders are to be led astray. ``strength`` says how far the voice is
    led away and what that may cost, ``effort`` how long to think; every recipe says what they mean for it. ``target``
    is another speaker's speech [1, time] at 16 kHz to steer to; None leaves that to the recipe. ``quality`` judges
    (clean, protected) [batch, time] → [batch], and ``quality_floor`` is what it must not fall below. ``converter``
    loads the voice converter that the method attacks.

    >>> Order(victims=()).strength
    'medium'
    """

    victims: tuple[Verifier, ...]
    strength: StrengthName = "medium"
    effort: EffortName = "normal"
    target: Speech | None = None
    quality_floor: float | None = None
    quality: Callable[[Speech, Speech], Loss] | None = None
    converter: Callable[[], nn.Module] | None = None

    def attacked(self) -> Any:
        """The voice converter that the method attacks.

        Raises :class:`~voxveil.errors.ModelUnavailableError` where the order has none.

        >>> Order(victims=()).attacked()
        Traceback (most recent call last):
        voxveil.errors.ModelUnavailableError: This method attacks a voice converter, and the order names none.
        """
        if self.converter is None:
            raise ModelUnavailableError("This method attacks a voice converter, and the order names none.")
        return self.converter()
