"""Cloners that are on no card of their own, for lists; nothing heavy is imported."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec

from voxveil import hub
from voxveil.clone import composition as compositions
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
    """The cloners that are not on a model's card.

    ``mine``, which need no weights; those that are composed of models; coqui-tts's; programs of others.

    >>> [(row.name, row.shipped, row.extra) for row in without_card(["knn-vc"])][:3]
    [('knn-vc', True, None), ('sv2tts', False, None), ('coqui/freevc', False, 'coqui')]
    """
    installed = find_spec("TTS") is not None
    ours = [Listed(name, "cloner", "this package", "Apache-2.0", True, True, None) for name in mine]
    composed = [_composed(name) for name in compositions.names()]
    toolkit = [
        Listed(COQUI + name, "cloner", f"coqui-tts: {model.model}", model.licence, False, installed, "coqui")
        for name, model in sorted(MODELS.items())
    ]
    described = [programs.description(name) for name in programs.names()]
    others = [Listed(d.name, "cloner", d.source, d.licence, False, False, None) for d in described]
    return [*ours, *composed, *toolkit, *others]


def _composed(name: str) -> Listed:
    cards = [hub.card(model) for model in compositions.composition(name).networks.values()]
    licence = " + ".join(sorted({card.licence for card in cards}))
    here = all(hub.local_path(card) is not None for card in cards)
    return Listed(name, "cloner", " + ".join(card.name for card in cards), licence, False, here, None)
