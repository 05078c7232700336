"""A grid file: which speech, and lists of parts for every station; the cells are their product.

    name = "smoke"
    corpus = "../speech"               # beside the file, or given on the command line
    speakers = 2
    references = 1                     # utterances of each speaker that an attacker has
    contents = 2                       # what the clones say, from other speakers
    opinions = ["nisqa", "dnsmos"]     # predicted mean opinion scores of what is judged

    [parts]
    protection = ["veil", { name = "veil", strength = "light" }]
    purification = ["none", "equalise-back"]
    cloner = ["none", "knn-vc"]
    verifier = ["DV-COS", "ECAPA-COS"]

Three rows are always there: ``none`` (clean speech), ``another-speaker`` (somebody else's clean speech), and for every
protection the white noise that costs as much PESQ. A cell whose part is named in ``not_built`` says so in reports.
``[paper]`` may hold what a paper reports for the same cells (:mod:`voxveil.bench.paper`).
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from itertools import product
from pathlib import Path
from typing import Any

from voxveil import catalog
from voxveil.audio.recording import cause
from voxveil.bench.paper import Paper, Words, paper_of
from voxveil.bench.parts import known, known_settings
from voxveil.bench.scenario import NONE, STATIONS, Part
from voxveil.errors import BadInputError, VoxveilError

ANOTHER_SPEAKER = "another-speaker"
NOISE = "noise-of-equal-pesq"
CONTROLS = (NONE, ANOTHER_SPEAKER, NOISE)


@dataclass(frozen=True)
class Grid:
    """What a grid file says; ``parts`` has a tuple for every station."""

    name: str
    corpus: Path | None
    parts: Mapping[str, tuple[Part, ...]]
    speakers: int = 5
    references: int = 5
    contents: int = 10
    clip_s: float = 6.0
    seed: int = 0
    opinions: tuple[str, ...] = ()
    not_built: tuple[str, ...] = ()
    paper: Paper | None = None

    @property
    def protections(self) -> tuple[Part, ...]:
        """The protections with the controls that every table needs, each once."""
        protecting = [part for part in self.parts["protection"] if part.name not in CONTROLS]
        noises = [Part(NOISE, (("of", part),)) for part in protecting if part.name not in self.not_built]
        return tuple(dict.fromkeys([Part(NONE), Part(ANOTHER_SPEAKER), *protecting, *noises]))

    def cells(self) -> list[tuple[Part, ...]]:
        """The parts of every cell; cells that share their first stations lie together."""
        return list(product(self.protections, *(self.parts[station] for station in STATIONS[1:])))

    def words(self) -> list[Words]:
        """The parts of every cell in words."""
        return [tuple(map(str, parts)) for parts in self.cells()]

    def missing(self, parts: Iterable[Part]) -> list[str]:
        """Which of ``parts`` are not built yet."""
        return [part.name for part in parts if part.name in self.not_built]


def read_grid(path: Path) -> Grid:
    """The grid in a TOML file.

    Raises :class:`~voxveil.errors.BadInputError` for a file that is none, and :class:`~voxveil.errors.VoxveilError`
    for parts that there are not (with the nearest that there is).

    >>> read_grid(Path("missing.toml"))
    Traceback (most recent call last):
    voxveil.errors.BadInputError: missing.toml cannot be read: no such file or directory.
    """
    try:
        raw = tomllib.loads(path.read_text())
    except OSError as error:
        raise BadInputError(f"{path} cannot be read: {cause(error)}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInputError(f"{path} is no grid file ({error}): correct it.") from error
    if unknown := sorted(set(raw) - {field.name for field in fields(Grid)}):
        raise BadInputError(f"{path} has '{unknown[0]}', which no grid has: correct or remove it.")
    try:
        return _grid(path, raw)
    except (TypeError, ValueError, AttributeError) as error:
        raise BadInputError(f"{path} is no grid file ({error}): correct it.") from error


def _grid(path: Path, raw: dict[str, Any]) -> Grid:
    not_built = tuple(raw.get("not_built", ()))
    listed = raw.get("parts", {})
    if unknown := sorted(set(listed) - set(STATIONS)):
        raise BadInputError(f"{path} has no station '{unknown[0]}': there is {', '.join(STATIONS)}.")
    if not listed.get("verifier"):
        raise BadInputError(f"{path} names no verifier: without one there is no verdict.")
    parts = {
        station: tuple(_part(station, entry, not_built, there_is) for entry in listed.get(station, [NONE]))
        for station, there_is in ((station, known(station)) for station in STATIONS)
    }
    numbers: dict[str, Any] = {
        key: raw[key] for key in ("speakers", "references", "contents", "clip_s", "seed") if key in raw
    }
    for key, least in (("speakers", 2), ("references", 1), ("contents", 1), ("clip_s", 1)):
        if numbers.get(key, least) < least:
            raise BadInputError(f"{path} asks for {key} = {numbers[key]}: give at least {least}.")
    opinions = tuple(raw.get("opinions", ()))
    for name in opinions:
        catalog.part("opinion", name)
    corpus = (path.parent / raw["corpus"]) if "corpus" in raw else None
    grid = Grid(str(raw.get("name", path.stem)), corpus, parts, **numbers, opinions=opinions, not_built=not_built)
    return replace(grid, paper=paper_of(grid.words(), **raw["paper"])) if "paper" in raw else grid


def _part(station: str, entry: str | dict[str, Any], not_built: tuple[str, ...], there_is: list[str]) -> Part:
    settings = dict(entry) if isinstance(entry, dict) else {"name": entry}
    name = str(settings.pop("name"))
    if name not in not_built:
        if name not in there_is and not name.endswith(".toml"):
            near = get_close_matches(name, there_is, 1, 0.4)
            hint = f"the nearest is '{near[0]}'." if near else f"there is: {', '.join(there_is)}."
            raise VoxveilError(f"There is no {station} '{name}'; {hint}")
        if odd := sorted(set(settings) - set(known_settings(station, name))):
            raise VoxveilError(f"The {station} '{name}' has no setting '{odd[0]}'.")
    frozen = {key: tuple(value) if isinstance(value, list) else value for key, value in settings.items()}
    return Part(name, tuple(sorted(frozen.items())))
