"""Cloners that are on no card, for lists; nothing heavy is imported."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec

from voxveil.clone import description as programs
from voxveil.clone.coqui_models import MODELS

COQUI = "coqui/"


@dataclass(frozen=True)
class Listed:
    """A cloner without a card of ours, in the words of ``voxveil models list``; ``extra`` is what it needs."""

    name: str
    kind: str
    source: str
    licence: str
    shipped: bool
    available: bool
    extra: str | None


def without_card(mine: Iterable[str]) -> list[Listed]:
    """The cloners that are not on a model's card: ``mine``, which need no weights, coqui-tts's, programs of others.

    >>> [(row.name, row.shipped, row.extra) for row in without_card(["knn-vc"])][:2]
    [('knn-vc', True, None), ('coqui/freevc', False, 'coqui')]
    """
    installed = find_spec("TTS") is not None
    ours = [Listed(name, "cloner", "this package", "Apache-2.0", True, True, None) for name in mine]
    toolkit = [
        Listed(COQUI + name, "cloner", f"coqui-tts: {model.model}", model.licence, False, installed, "coqui")
        for name, model in sorted(MODELS.items())
    ]
    described = [programs.description(name) for name in programs.names()]
    return ours + toolkit + [Listed(d.name, "cloner", d.source, d.licence, False, False, None) for d in described]
