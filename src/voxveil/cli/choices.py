"""The words that options take; the values they stand for live with the protections."""

from __future__ import annotations

from enum import StrEnum

from voxveil.catalog import ENSEMBLE
from voxveil.cli.complaint import complain
from voxveil.errors import VoxveilError


class Strength(StrEnum):
    """How far the voice is led away from its speaker."""

    light = "light"
    medium = "medium"
    strong = "strong"


class Effort(StrEnum):
    """How many steps of descent."""

    fast = "fast"
    normal = "normal"
    thorough = "thorough"


class Precision(StrEnum):
    """What a network computes in while it is trained; its parameters are always float32."""

    bf16 = "bf16"
    fp32 = "fp32"


class Criterion(StrEnum):
    """Which of a system's thresholds decides: equal error rates, or 1 % false rejection or acceptance."""

    eer = "eer"
    frr1 = "frr1"
    far1 = "far1"


def encoders(against: str | None, left_out: str | None) -> list[str]:
    """The speaker encoders that ``--against`` and ``--except`` leave, both comma-separated.

    Raises :class:`~voxveil.errors.VoxveilError` if one is left out that is not there, or none is left.

    >>> encoders("ge2e, ecapa", None), encoders("ge2e,ecapa,xvector", "ge2e")
    (['ge2e', 'ecapa'], ['ecapa', 'xvector'])
    """
    chosen = names(against) or (list(ENSEMBLE) if against is None else [])
    without = names(left_out) or []
    if odd := [name for name in without if name not in chosen]:
        raise VoxveilError(f"'{odd[0]}' cannot be left out of {', '.join(chosen)}: it is not among them.")
    left = [name for name in chosen if name not in without]
    if not left:
        raise VoxveilError(f"Name at least one speaker encoder; there is: {', '.join(ENSEMBLE)}.")
    return left


def at_hand(chosen: list[str], device: str) -> list[str]:
    """Those of the default encoders that can be had, with a complaint for what cannot."""
    from voxveil.loading import available, check_device, embedder

    check_device(device)
    return list(available(chosen, lambda name: embedder(name, device), complain))


def names(text: str | None) -> list[str] | None:
    """What stands between the commas; None where the option was not given.

    >>> names("IV-COS, RN-EU"), names(None)
    (['IV-COS', 'RN-EU'], None)
    """
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]
