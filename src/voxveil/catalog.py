"""Every part by name, as ``"module:factory"`` strings that are resolved when asked for.

Nothing heavy is imported before a part is used, and a new part is one line here.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from voxveil.errors import VoxveilError

PARTS: dict[str, dict[str, str]] = {
    "embedder": {
        "ecapa-voxceleb": "voxveil.models.speaker.ecapa:load",
        "ge2e": "voxveil.models.speaker.ge2e:load",
    },
    "method": {"veil": "voxveil.protectors.veil:Veil"},
    "scorer": {"cosine": "voxveil.verify.scorers:cosine"},
}


def names(kind: str) -> list[str]:
    """The names of all parts of a kind.

    >>> names("method")
    ['veil']
    """
    return sorted(PARTS[kind])


def part(kind: str, name: str) -> Any:
    """The part ``name``; raises :class:`~voxveil.errors.VoxveilError` for an unknown one, listing what there is.

    >>> part("method", "cloak")
    Traceback (most recent call last):
    voxveil.errors.VoxveilError: There is no method 'cloak'; there is: veil.
    """
    if name not in PARTS[kind]:
        raise VoxveilError(f"There is no {kind} '{name}'; there is: {', '.join(names(kind))}.")
    module, attribute = PARTS[kind][name].split(":")
    return getattr(import_module(module), attribute)
