"""From the parts that a grid names to what does the work, and to the weights that its numbers depend on."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from voxveil import catalog, cloning, hub, loading
from voxveil.api import make_protector
from voxveil.bench.scenario import NONE, STATIONS, Part
from voxveil.clone import description as programs
from voxveil.errors import MissingExtraError, ModelUnavailableError, ProgramError
from voxveil.metrics.quality import Sound
from voxveil.roles import Cloner, Protector, Transform
from voxveil.verify.verifier import Verifier

SAMPLE_RATE = 16_000
CONTROLS = (NONE, "another-speaker", "noise-of-equal-pesq")
PROTECTION_SETTINGS: Mapping[str, Any] = {
    "strength": "medium",
    "quality": None,
    "effort": "normal",
    "against": catalog.ENSEMBLE,
}
"""What a protection can be told, and what it does if it is told nothing."""

_KINDS = {"channel": "channel", "purification": "purifier"}
_GIVEN = ("sample_rate", "generator")


def known(station: str) -> list[str]:
    """The names of all parts of a station.

    >>> "veil" in known("protection"), "knn-vc" in known("cloner"), "DV-COS" in known("verifier")
    (True, True, True)
    """
    if station == "protection":
        return [*CONTROLS, *catalog.names("method")]
    if station == "verifier":
        return [*catalog.SYSTEMS, *(name for name in hub.names() if hub.card(name).kind == "speaker encoder")]
    if station == "cloner":
        return [NONE, *cloning.names()]
    return [NONE, *catalog.names(_KINDS[station])]


def known_settings(station: str, name: str) -> list[str]:
    """What the part ``name`` of a station can be told.

    >>> known_settings("channel", "white-noise"), known_settings("cloner", "adain-vc")
    (['snr_db'], ['adaptation_steps'])
    >>> known_settings("protection", "voicecloak")
    ['strength', 'quality', 'effort', 'against', 'without']
    """
    if station == "protection":
        return [] if name in CONTROLS else [*PROTECTION_SETTINGS, *_own_settings(name)]
    if station == "verifier":
        return ["criterion"]
    if station == "cloner" and name in programs.names():
        return ["checkout", "python"]
    if station == "cloner":
        return ["adaptation_steps"] if cloning.is_converter(name) else []
    if station not in _KINDS or name == NONE:
        return []
    factory = catalog.part(_KINDS[station], name)
    return [parameter for parameter in inspect.signature(factory).parameters if parameter not in _GIVEN]


def weights_of(parts: Sequence[Part]) -> list[str]:
    """The sha256 of all weights that the first stations, filled by ``parts``, work with."""
    return [sha for station, part in zip(STATIONS, parts, strict=False) for sha in weights(station, part)]


def weights(station: str, part: Part) -> list[str]:
    """The sha256 of all weights that ``part`` works with.

    >>> len(weights("verifier", Part("DV-COS"))), weights("channel", Part("telephone"))
    (1, [])
    """
    if isinstance(of := dict(part.settings).get("of"), Part):
        return weights(station, of)
    if part.name == NONE or station in _KINDS or part.name in CONTROLS:
        return []
    if station == "protection":
        against = dict(part.settings).get("against", catalog.ENSEMBLE)
        attacked = [catalog.ATTACKED[part.name]] if part.name in catalog.ATTACKED else []
        return [*(sha for name in against for sha in weights("verifier", Part(name))), *_sha256(attacked)]
    if station == "verifier":
        encoder, scorer = loading.encoder_and_scorer(part.name)
        return _sha256([encoder, loading.plda_of(encoder)] if scorer == "plda" else [encoder])
    return _sha256(cloning.cards_of(part.name))


def _sha256(cards: Iterable[str]) -> list[str]:
    return [hub.card(card).weights.sha256 for card in cards]


def opinion_weights(names: Iterable[str]) -> list[str]:
    """The sha256 of the weights of those predictors of opinions whose weights are no part of their package.

    >>> len(opinion_weights(["nisqa", "dnsmos"]))
    1
    """
    return _sha256(name for name in names if name in hub.names())


def protector(part: Part, device: str) -> Protector:
    """A protection that is no control."""
    said = {**PROTECTION_SETTINGS, **dict(part.settings)}
    own = {name: said[name] for name in _own_settings(part.name) if name in said}
    against = tuple(said["against"])
    return make_protector(part.name, said["strength"], said["quality"], said["effort"], "auto", against, device, **own)


def _own_settings(method: str) -> list[str]:
    """What a method's recipe takes beside the order."""
    _, *own = inspect.signature(catalog.part("method", method)).parameters
    return own


def transform(station: str, part: Part, seed: int) -> Transform:
    """A channel or a purifier.

    >>> transform("channel", Part("white-noise", (("snr_db", 20.0),)), seed=0).snr_db
    20.0
    """
    factory = catalog.part(_KINDS[station], part.name)
    wanted = inspect.signature(factory).parameters
    given = {"sample_rate": SAMPLE_RATE, "generator": torch.Generator().manual_seed(seed)}
    made: Transform = factory(**{key: given[key] for key in _GIVEN if key in wanted}, **dict(part.settings))
    return made


def cloner(part: Part, device: str) -> Cloner:
    """What clones; a program of others lies in the folder ``checkout``."""
    settings = dict(part.settings)
    if "checkout" in settings:
        settings["checkout"] = Path(settings["checkout"])
    return cloning.cloner(part.name, device, **settings)


def verifier(part: Part, device: str) -> Verifier:
    """What judges, at the threshold of the part's ``criterion`` (``eer`` unless it says ``frr1`` or ``far1``)."""
    return loading.verifier(part.name, device, **dict(part.settings))


def opinion(name: str) -> Callable[[Sound, int], float]:
    """What predicts the opinion of listeners on a clip and its sample rate, by the name ``nisqa`` or ``dnsmos``."""
    predict: Callable[[Sound, int], float] = catalog.part("opinion", name)
    return predict


def out_of_reach(chains: Iterable[Sequence[Part]]) -> dict[Part, str]:
    """The parts that cannot be had on this machine, each with a sentence on why and on the remedy.

    Every part of ``chains``, which are in the order of the stations, is made once to find out.

    >>> out_of_reach([[Part("none"), Part("none"), Part("none"), Part("seed-vc"), Part("DV-COS")]])
    {Part(name='seed-vc', settings=()): 'seed-vc is a program of others: name the folder of its code (--checkout).'}
    """
    make = {"protection": protector, "cloner": cloner, "verifier": verifier}
    wanted = {(station, part) for chain in chains for station, part in zip(STATIONS, chain, strict=True)}
    reasons = {}
    for station, part in wanted:
        if station in make and part.name not in CONTROLS:
            try:
                make[station](part, "cpu")
            except (MissingExtraError, ModelUnavailableError, ProgramError) as error:
                reasons[part] = str(error)
    return reasons
