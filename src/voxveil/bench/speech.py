"""The speech of a benchmark: for every speaker what an attacker has, what enrols him, and what clones of him say."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from voxveil.audio.corpus import read_corpus, read_mono
from voxveil.bench.grid import Grid
from voxveil.bench.scenario import Slice
from voxveil.errors import BadInputError
from voxveil.roles import Clip

SAMPLE_RATE = 16_000
LEAST_S = 2.0
"""Shorter utterances are left out: verifiers are unsure of them whoever speaks."""

SENTENCES = (
    "The birch canoe slid on the smooth planks.",
    "Glue the sheet to the dark blue background.",
    "It's easy to tell the depth of a well.",
    "These days a chicken leg is a rare dish.",
    "Rice is often served in round bowls.",
    "The juice of lemons makes fine punch.",
    "The box was thrown beside the parked truck.",
    "The hogs were fed chopped corn and garbage.",
    "Four hours of steady work faced us.",
    "A large size in stockings is hard to sell.",
)
"""The first Harvard sentences (IEEE Recommended Practice for Speech Quality Measurements, 1969): what cloners say
that take text, in turn, one in the place of each content."""


@dataclass(frozen=True)
class Take:
    """An utterance at 16 kHz under the name of its file."""

    name: str
    clip: Clip


Takes = Mapping[str, tuple[Take, ...]]
"""By speaker."""


@dataclass(frozen=True)
class Speech:
    """``references`` are what the attacker gets, ``enrolment`` is what he never hears; ``contents`` others say."""

    references: Takes
    enrolment: Takes
    contents: Takes
    slice: Slice

    @property
    def speakers(self) -> list[str]:
        """Their names, in order."""
        return list(self.references)


def read_speech(grid: Grid, corpus: Path) -> Speech:
    """The first speakers of ``corpus`` who have enough utterances, and these cut to the grid's length.

    A speaker's first utterances are his references, the others enrol him. Contents are taken in turn from the
    enrolment of the other speakers: no clone says what its reference says.

    Raises :class:`~voxveil.errors.BadInputError` for a corpus with too few of either.
    """
    by_speaker: dict[str, list[Path]] = {}
    for utterance in read_corpus(corpus):
        by_speaker.setdefault(utterance.speaker, []).append(utterance.path)
    references: dict[str, tuple[Take, ...]] = {}
    enrolment: dict[str, tuple[Take, ...]] = {}
    for speaker, paths in by_speaker.items():
        if len(references) == grid.speakers:
            break
        takes = [take for path in paths if len((take := _take(path, grid.clip_s)).clip) >= LEAST_S * SAMPLE_RATE]
        if len(takes) > grid.references:
            references[speaker] = tuple(takes[: grid.references])
            enrolment[speaker] = tuple(takes[grid.references :])
    if len(references) < grid.speakers:
        raise BadInputError(
            f"{corpus} has {len(references)} speakers with more than {grid.references} utterances of {LEAST_S:g} s "
            f"or more, and the grid asks for {grid.speakers}: name a larger corpus, or ask for less."
        )
    contents = {speaker: _contents(speaker, enrolment, grid.contents) for speaker in references}
    numbers = (grid.speakers, grid.references, grid.contents, grid.clip_s)
    return Speech(references, enrolment, contents, Slice(fingerprint(references, enrolment), *numbers))


def _take(path: Path, clip_s: float) -> Take:
    return Take(path.stem, torch.as_tensor(read_mono(path, SAMPLE_RATE)[: round(clip_s * SAMPLE_RATE)]))


def _contents(speaker: str, enrolment: Takes, count: int) -> tuple[Take, ...]:
    others = [takes for name, takes in enrolment.items() if name != speaker]
    return tuple(others[i % len(others)][i // len(others) % len(others[i % len(others)])] for i in range(count))


def fingerprint(*groups: Takes) -> str:
    """The sha256 of all takes with their names, as 64 hexadecimal digits.

    >>> fingerprint({"ada": (Take("1", torch.zeros(9)),)}) == fingerprint({"ada": (Take("2", torch.zeros(9)),)})
    False
    """
    every = hashlib.sha256()
    for takes in groups:
        for speaker, spoken in takes.items():
            for take in spoken:
                every.update(f"{speaker}/{take.name}\n".encode())
                every.update(take.clip.numpy().tobytes())
    return every.hexdigest()
