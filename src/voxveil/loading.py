"""Encoders, scorers, verification systems, converters and vocoders by name, with their weights: from a card to a call.

A name is that of a model's card, or the path of a card of one's own (``mine.toml``). Each is loaded once a process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from voxveil import catalog, hub
from voxveil.errors import ModelUnavailableError, VoxveilError
from voxveil.models.speaker.known_answer import known_answer
from voxveil.models.vocoder.hifigan import HifiGan
from voxveil.roles import Embedder, Scorer
from voxveil.verify.verifier import Verifier

LeftOut = Callable[[str], None]
"""Called with a sentence for everything that a default goes without."""

Made = TypeVar("Made")


def embedder(name: str, device: str = "cpu") -> Embedder:
    """A speaker encoder, its weights verified and proved to be loaded.

    Raises :class:`~voxveil.errors.ModelUnavailableError` where they cannot be had.
    """
    loaded: Embedder = _of_kind("speaker encoder", name, device)
    return loaded


def converter(name: str, device: str = "cpu") -> nn.Module:
    """A voice converter, its weights verified and proved to be loaded.

    Raises :class:`~voxveil.errors.ModelUnavailableError` where they cannot be had.

    >>> converter("ecapa")
    Traceback (most recent call last):
    voxveil.errors.ModelUnavailableError: 'ecapa' is a speaker encoder, not a voice converter.
    """
    loaded: nn.Module = _of_kind("voice converter", name, device)
    return loaded


def vocoder(name: str, device: str = "cpu") -> HifiGan:
    """A vocoder, its weights verified and proved to be loaded.

    Raises :class:`~voxveil.errors.ModelUnavailableError` where they cannot be had.

    >>> vocoder("ecapa")
    Traceback (most recent call last):
    voxveil.errors.ModelUnavailableError: 'ecapa' is a speaker encoder, not a vocoder.
    """
    loaded: HifiGan = _of_kind("vocoder", name, device)
    return loaded


def network(name: str, architecture: str, device: str = "cpu") -> nn.Module:
    """The network of a given ``architecture`` with the weights of the model ``name``, verified and proved to be loaded.

    Raises :class:`~voxveil.errors.ModelUnavailableError` where they cannot be had, or belong to another network.

    >>> network("ecapa", "wavernn")
    Traceback (most recent call last):
    voxveil.errors.ModelUnavailableError: 'ecapa' is a network 'ecapa', where a 'wavernn' is needed.
    """
    card = hub.card(name)
    if card.network.architecture != architecture:
        found = card.network.architecture
        raise ModelUnavailableError(f"'{name}' is a network '{found}', where a '{architecture}' is needed.")
    loaded: nn.Module = _network(name, card.weights.sha256, device)
    return loaded


def scorer(kind: str, encoder: str, device: str = "cpu") -> Scorer:
    """A scorer for the embeddings of ``encoder``: ``cosine``, ``euclidean``, or ``plda``, which is trained for it.

    The PLDA of the encoder on card X is on card X-plda, in the same folder.
    """
    if kind != "plda":
        made: Scorer = catalog.part("scorer", kind)
        return made
    name = plda_of(encoder)
    trained: Scorer = _network(name, hub.card(name).weights.sha256, device)
    return trained


def encoder_and_scorer(system: str) -> tuple[str, str]:
    """The two names that a verification system is made of; an encoder by itself goes with the cosine.

    Raises :class:`~voxveil.errors.ModelUnavailableError` for an unknown name.

    >>> encoder_and_scorer("RN-EU"), encoder_and_scorer("mine.toml")
    (('resnetse34l', 'euclidean'), ('mine.toml', 'cosine'))
    """
    if system in catalog.SYSTEMS:
        return catalog.SYSTEMS[system]
    if not system.endswith(".toml") and system not in hub.names():
        raise ModelUnavailableError(
            f"There is no system '{system}'; there is: {', '.join(catalog.SYSTEMS)}, "
            "and every speaker encoder of 'voxveil models list' by its name."
        )
    return system, "cosine"


def threshold(system: str, criterion: str = "eer") -> float | None:
    """The score from which a system accepts, as its card gives it for ``criterion``: ``eer``, ``frr1`` or ``far1``.

    For a model whose card has no calibrated ones it is the publishers'; None where there are neither.

    >>> threshold("ecapa-voxceleb")
    0.25
    """
    encoder, kind = encoder_and_scorer(system)
    known = hub.card(plda_of(encoder) if kind == "plda" else encoder).thresholds.get(kind, {})
    figure = known.get(criterion, known.get("published"))
    return None if figure is None else figure.value


def verifier(name: str, device: str = "cpu", criterion: str = "eer") -> Verifier:
    """A verification system (one of ``catalog.SYSTEMS``), or an encoder with the cosine, at its :func:`threshold`.

    Raises :class:`~voxveil.errors.VoxveilError` where its card gives none.
    """
    encoder, kind = encoder_and_scorer(name)
    loaded = embedder(encoder, device)
    found = threshold(name, criterion)
    if found is None:
        raise VoxveilError(f"The card of '{encoder}' gives no threshold for {kind} at {criterion}: calibrate it first.")
    label = name if name in catalog.SYSTEMS else hub.card(encoder).name
    return Verifier(label, loaded, scorer(kind, encoder, device), found)


def available(names: Iterable[str], make: Callable[[str], Made], on_left_out: LeftOut | None = None) -> dict[str, Made]:
    """What ``make`` makes of every name for which it can: defaults go without what is not to be had, and say so.

    Raises :class:`~voxveil.errors.ModelUnavailableError` if nothing is left.

    >>> available(["ivector", "nobody"], lambda name: hub.card(name).kind, print)  # doctest: +ELLIPSIS
    nobody is left out: There is no model 'nobody'; ...
    {'ivector': 'speaker encoder'}
    """
    made: dict[str, Made] = {}
    for name in names:
        try:
            made[name] = make(name)
        except VoxveilError as error:
            if on_left_out is not None:
                on_left_out(f"{name} is left out: {error}")
    if not made:
        raise ModelUnavailableError("No speaker encoder can be had: run 'voxveil models pull ge2e' once, online.")
    return made


def _of_kind(kind: str, name: str, device: str) -> Any:
    card = hub.card(name)
    if card.kind != kind:
        raise ModelUnavailableError(f"'{name}' is a {card.kind}, not a {kind}.")
    return _network(name, card.weights.sha256, device)


@lru_cache(maxsize=32)
def _network(name: str, sha256: str, device: str) -> Any:
    # The sha256 is there to tell a card from an older one of the same name: a network can be trained anew.
    check_device(device)
    card = hub.card(name)
    architecture = card.network.architecture
    network = _empty(card)
    rename = catalog.part("checkpoint", architecture) if architecture in catalog.PARTS["checkpoint"] else None
    self_test = known_answer if card.kind == "speaker encoder" else None
    hub.load_into(network, card, self_test=self_test, rename=rename)
    return network.to(device)


def _empty(card: hub.Card) -> nn.Module:
    make = catalog.part("architecture", card.network.architecture)
    try:
        network: nn.Module = make(**card.network.size)
    except VoxveilError:
        raise
    except Exception as error:  # sizes that do not go together can break a network in any way
        reason = str(error).partition("\n")[0].rstrip(".")
        raise ModelUnavailableError(
            f"The sizes of '{card.name}' make no network '{card.network.architecture}' ({reason}); correct them."
        ) from error
    return network


def plda_of(encoder: str) -> str:
    """The card of the PLDA that was trained for ``encoder``; it lies in the same folder.

    >>> plda_of("ivector"), plda_of("mine/net.toml")
    ('ivector-plda', 'mine/net-plda.toml')
    """
    path = Path(encoder)
    return str(path.with_name(f"{path.stem}-plda.toml")) if path.suffix == ".toml" else f"{encoder}-plda"


def check_device(device: str) -> None:
    """Raises :class:`~voxveil.errors.VoxveilError` for a device that this machine does not have.

    >>> check_device("tpu")
    Traceback (most recent call last):
    voxveil.errors.VoxveilError: There is no device 'tpu'; use cpu or cuda.
    """
    try:
        kind, index = torch.device(device).type, torch.device(device).index or 0
    except RuntimeError:
        kind, index = "unknown", 0
    if kind not in ("cpu", "cuda"):
        raise VoxveilError(f"There is no device '{device}'; use cpu or cuda.")
    if kind == "cuda" and index >= torch.cuda.device_count():
        raise VoxveilError(f"There is no device '{device}' on this machine; use --device cpu.")
