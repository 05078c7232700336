"""Cloners that are on no card of their own, for lists; nothing heavy is imported."""

from __future__ import annotations

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


def without_card() -> list[Listed]:
    """The cloners that are not on a model's card: those composed of models; coqui-tts's; programs of others.

    >>> [(row.name, row.shipped, row.extra) for row in without_card()][:3]
    [('knn-vc', True, None), ('knn-vc-wavlm', False, 'ssl'), ('sv2tts', False, None)]
    """
    installed = find_spec("TTS") is not None
    composed = [_composed(name) for name in compositions.names()]
    toolkit = [
        Listed(COQUI + name, "cloner", f"coqui-tts: {model.model}", model.licence, False, installed, "coqui")
        for name, model in sorted(MODELS.items())
    ]
    described = [programs.description(name) for name in programs.names()]
    others = [Listed(d.name, "cloner", d.source, d.licence, False, False, None) for d in described]
    return [*composed, *toolkit, *others]


def _composed(name: str) -> Listed:
    cards = [hub.card(model) for model in compositions.composition(name).networks.values()]
    licence = " + ".join(sorted({card.licence for card in cards}))
    shipped = all(card.shipped for card in cards)
    here = all(hub.local_path(card) is not None for card in cards)
    source = "this package" if shipped else " + ".join(card.name for card in cards)
    extra = next((card.extra for card in cards if card.extra is not None), None)
    return Listed(name, "cloner", source, licence, shipped, here, extra)
