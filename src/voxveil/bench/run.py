"""Running a grid: every cell that is not finished yet, here or on many workers, each written when it is done."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from voxveil import __version__
from voxveil.audio.recording import output_errors
from voxveil.bench.grid import NOISE, Grid
from voxveil.bench.kept_audio import KeptAudio
from voxveil.bench.parts import opinion_weights, out_of_reach, weights_of
from voxveil.bench.scenario import Part, Scenario
from voxveil.bench.speech import Speech, read_speech
from voxveil.bench.store import Store
from voxveil.bench.worker import Row, Worker, audio_key
from voxveil.errors import BadInputError, ModelUnavailableError

RESULTS = "results.sqlite"
AUDIO = "audio"

OnCell = Callable[[int, int, str], None]
"""(cells done, cells in all, what is running)."""

Tell = Callable[[str], None]
"""Called with the words for what is running, whenever that changes."""


@dataclass(frozen=True)
class Cell:
    """A scenario's parts, its key, and the key of the audio that its verifier hears."""

    parts: tuple[Part, ...]
    key: str
    audio: str


@dataclass(frozen=True)
class Finished:
    """The rows of a cell, and the seconds that its stations took; no cell where only clips for others were made."""

    cell: Cell | None
    rows: list[Row]
    seconds: float


Execute = Callable[[Worker, Sequence[Cell], Tell], Generator[Finished, None, None]]
"""What computes cells, in an order of its own; :func:`in_process`, or a cluster."""


def in_process(worker: Worker, cells: Sequence[Cell], tell: Tell) -> Generator[Finished, None, None]:
    """The cells one after the other, by ``worker`` itself."""
    for cell in cells:
        tell(sentence(cell.parts))
        began = time.perf_counter()
        rows = worker.rows(cell.parts)
        yield Finished(cell, rows, time.perf_counter() - began)


@dataclass(frozen=True)
class Ran:
    """How a run ended: of ``cells``, so many were ``computed`` now.

    ``stations_s`` were spent inside the stations and on making them; of many workers it is the sum. ``out_of_reach``
    says of parts why they cannot be had on this machine: their cells are not among the others.
    """

    cells: int
    computed: int
    seconds: float
    stations_s: float
    out_of_reach: Mapping[str, str] = field(default_factory=dict)


def run(
    grid: Grid,
    corpus: Path | None,
    out: Path,
    device: str = "cpu",
    keep_audio: bool = False,
    on_cell: OnCell | None = None,
    execute: Execute = in_process,
) -> Ran:
    """Computes what of ``grid`` is not in the folder ``out`` yet, and leaves all of it there.

    ``execute`` computes the cells; only this process writes. Stopped at any moment and started again, it ends with the
    same numbers.

    Raises :class:`~voxveil.errors.BadInputError` for speech that is not there or too little of it,
    :class:`~voxveil.errors.BadOutputError` for a folder that cannot be written, and what the parts and ``execute``
    raise; the cells that were finished by then are kept.
    """
    started = time.perf_counter()
    place = corpus or grid.corpus
    if place is None:
        raise BadInputError(f"The grid '{grid.name}' names no corpus: give one with --corpus.")
    speech = read_speech(grid, place)
    with output_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    store, kept = Store(out / RESULTS), KeptAudio(out / AUDIO)
    cells = cells_of(grid, speech)
    known = store.finished()
    began = time.perf_counter()
    cells, reasons = _reachable(cells, known)
    stations_s = time.perf_counter() - began
    store.describe(description(grid, cells, speech, reasons))
    todo = [cell for cell in cells if cell.key not in known]
    worker = Worker(speech, grid.seed, device, kept, grid.opinions)
    if keep_audio:
        worker.keep_clean()
    done = len(cells) - len(todo)

    def tell(words: str) -> None:
        if on_cell is not None:
            on_cell(done, len(cells), words)

    with store.adding() as add, closing(execute(worker, todo, tell)) as computed:
        for finished in computed:
            stations_s += finished.seconds
            if (cell := finished.cell) is not None:
                add(cell.key, [part.plain for part in cell.parts], finished.rows, finished.seconds)
                done += 1
    if not keep_audio:
        kept.remove()
    return Ran(len(cells), len(todo), time.perf_counter() - started, stations_s, _in_words(reasons))


def cells_of(grid: Grid, speech: Speech) -> list[Cell]:
    """The cells of ``grid`` whose parts are built, in its order."""
    found = []
    for parts in grid.cells():
        if not grid.missing(parts):
            scenario = Scenario(speech.slice, parts, grid.seed, grid.opinions)
            key = scenario.key([*weights_of(parts), *opinion_weights(grid.opinions)], __version__)
            found.append(Cell(parts, key, audio_key(speech.slice, parts[:-1], grid.seed)))
    return found


def description(
    grid: Grid, cells: Sequence[Cell], speech: Speech, out_of_reach: Mapping[Part, str]
) -> dict[str, object]:
    """The run as plain data: the key of clean speech, the cells in words, what is not computed, and the paper."""
    clean = audio_key(speech.slice, (), grid.seed)
    computed = {cell.parts for cell in cells}
    missing = [
        {"parts": [str(part) for part in parts], "why": "not built" if grid.missing(parts) else "not available"}
        for parts in grid.cells()
        if parts not in computed
    ]
    listed = [{"key": cell.key, "audio": cell.audio, "parts": [str(part) for part in cell.parts]} for cell in cells]
    paper = None if grid.paper is None else grid.paper.plain
    return {
        "name": grid.name,
        "version": __version__,
        "clean": clean,
        "cells": listed,
        "not_computed": missing,
        "out_of_reach": _in_words(out_of_reach),
        "paper": paper,
    }


def _reachable(cells: Sequence[Cell], known: Collection[str]) -> tuple[list[Cell], dict[Part, str]]:
    """The cells that are ``known`` or can be computed here, and the parts that stand in the way of the others."""
    reasons = out_of_reach(cell.parts for cell in cells if cell.key not in known)
    found = [cell for cell in cells if cell.key in known or not _needed(cell.parts) & reasons.keys()]
    if reasons and not found:
        raise ModelUnavailableError(f"No cell can be computed on this machine: {next(iter(reasons.values()))}")
    return found, reasons


def _needed(parts: Sequence[Part]) -> set[Part]:
    """The parts, and the protection whose noise one of them is."""
    return {*parts, *(dict(part.settings)["of"] for part in parts if part.name == NOISE)}


def _in_words(reasons: Mapping[Part, str]) -> dict[str, str]:
    return {str(part): reason for part, reason in reasons.items()}


def sentence(parts: Sequence[Part]) -> str:
    """The parts of a cell in a line.

    >>> sentence([Part("veil"), Part("none"), Part("none"), Part("knn-vc"), Part("DV-COS")])
    'veil → knn-vc → DV-COS'
    """
    return " → ".join(str(part) for part in parts if part.name != "none") or "none"
