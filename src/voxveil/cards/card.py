"""Model cards: what a model is, where its weights come from, how they are known again, its limits.

A card is the file ``<name>.toml`` beside this module, or any TOML file of the same form: that is how a network that
somebody trained, or a published checkpoint that has no card here, is used. A new model is a new card; no code names it.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Literal

from voxveil.cards.record import record
from voxveil.errors import ModelUnavailableError
from voxveil.fetch import check_source

_SUFFIX = {"torch": ".pt", "safetensors": ".safetensors"}


@dataclass(frozen=True)
class Weights:
    """One file of weights, known by its ``sha256``.

    Attributes:
        sha256: 64 lower-case hexadecimal digits.
        bytes: The file's exact size.
        format: ``torch`` (a checkpoint that ``weights_only`` accepts) or ``safetensors``.
        sources: Tried in this order; the forms are those of :mod:`voxveil.fetch`.
        state_key: The entry of a torch checkpoint that holds the state dict; None: it is the whole file.
    """

    sha256: str
    bytes: int
    format: Literal["torch", "safetensors"]
    sources: tuple[str, ...]
    state_key: str | None = None


Size = Mapping[str, int | tuple[int, ...]]
"""What a network is made with, by the names of its parameters."""


@dataclass(frozen=True)
class Network:
    """What the weights are poured into: a part of the catalog by name, and its sizes where they are not its default."""

    architecture: str
    size: Size = field(default_factory=dict)


@dataclass(frozen=True)
class Training:
    """How the weights came about, for those that were trained by this package: ``command`` makes them again."""

    data: str
    command: str
    seed: int
    minutes: float
    device: str


@dataclass(frozen=True)
class SelfTest:
    """The network's known answer to a fixed probe, each number within ``tolerance`` (absolute)."""

    expected: tuple[float, ...]
    tolerance: float


@dataclass(frozen=True)
class Figure:
    """A number and the ``corpus`` on which it was found; ``reported`` is the paper's own number for it."""

    value: float
    corpus: str
    reported: float | None = None


@dataclass(frozen=True)
class Card:
    """Everything that Voxveil knows of a model without opening its weights.

    The keys of ``measured`` name what the number is and its unit, such as ``eer_percent``. ``thresholds`` are ordered
    by scorer, then by criterion: ``eer`` (equal error rate), ``frr1`` and ``far1`` (1 % false rejection, acceptance),
    ``published``.

    >>> card("ge2e").filename
    'ge2e.pt'
    """

    name: str
    kind: str
    title: str
    paper: str
    citation: str
    licence: str
    weights: Weights
    network: Network
    limits: tuple[str, ...]
    extra: str | None = None
    training: Training | None = None
    self_test: SelfTest | None = None
    thresholds: Mapping[str, Mapping[str, Figure]] = field(default_factory=dict)
    measured: Mapping[str, Figure] = field(default_factory=dict)

    @property
    def filename(self) -> str:
        """What the weights' file is called in the cache and in a folder named by VOXVEIL_MODELS."""
        return self.name + _SUFFIX[self.weights.format]

    @property
    def shipped(self) -> bool:
        """Whether the weights lie beside the card, in this package or in a folder of the user's."""
        return all(source.startswith("path:") for source in self.weights.sources)


def names() -> list[str]:
    """The names of all models that have a card, sorted.

    >>> "ge2e" in names()
    True
    """
    suffix = ".toml"
    found = (entry.name for entry in files("voxveil.cards").iterdir())
    return sorted(name.removesuffix(suffix) for name in found if name.endswith(suffix))


def card(name: str) -> Card:
    """The card of the model ``name``, or the one in the file ``name`` if that ends in ``.toml``.

    A source ``path:`` may be relative to the folder that the card lies in.

    Raises:
        ModelUnavailableError: No model has this name; the file cannot be read or is no card.
        ValueError: A card of this package is malformed.

    >>> card("ge2e").kind
    'speaker encoder'
    """
    if name.endswith(".toml"):
        return _own(Path(name).expanduser())
    known = names()
    if name not in known:
        raise ModelUnavailableError(f"There is no model '{name}'; choose one of: {', '.join(known)}.")
    return _read(Path(str(files("voxveil.cards") / f"{name}.toml")))


def _own(path: Path) -> Card:
    try:
        return _read(path)
    except OSError as error:
        raise ModelUnavailableError(f"The card {path} cannot be read ({error.strerror}).") from error
    except ValueError as error:
        raise ModelUnavailableError(f"{path} is not the card of a model ({error}).") from error


def _read(path: Path) -> Card:
    parsed = parse_card(path.read_text(encoding="utf-8"), path.stem)
    here = path.resolve().parent
    sources = tuple(_beside(source, here) for source in parsed.weights.sources)
    return replace(parsed, weights=replace(parsed.weights, sources=sources))


def _beside(source: str, folder: Path) -> str:
    scheme, _, rest = source.partition(":")
    return f"path:{folder / Path(rest).expanduser()}" if scheme == "path" else source


@lru_cache(maxsize=128)
def parse_card(text: str, name: str) -> Card:
    """The card written in the TOML ``text``, which has to be the card of ``name``.

    Raises ``ValueError``, naming the card and the field, for whatever is missing, unknown or of a wrong type.

    >>> parse_card("name = 3", "mine")
    Traceback (most recent call last):
    ValueError: card 'mine': missing kind, title, paper, citation, licence, weights, network, limits
    """
    where = f"card '{name}'"
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{where}: {error}") from error
    parsed: Card = record(Card, table, where)
    if parsed.name != name:
        raise ValueError(f"{where}: name is '{parsed.name}', but the file is called '{name}.toml'")
    if not re.fullmatch("[0-9a-f]{64}", parsed.weights.sha256):
        raise ValueError(f"{where}, weights.sha256: not 64 lower-case hexadecimal digits")
    if parsed.weights.bytes <= 0:
        raise ValueError(f"{where}, weights.bytes: not a positive size")
    if not parsed.weights.sources:
        raise ValueError(f"{where}, weights.sources: empty")
    for source in parsed.weights.sources:
        try:
            check_source(source)
        except ValueError as error:
            raise ValueError(f"{where}, weights.sources: {error}") from error
    if parsed.self_test is not None and not (parsed.self_test.expected and parsed.self_test.tolerance > 0.0):
        raise ValueError(f"{where}, self_test: needs expected numbers and a positive tolerance")
    return parsed
