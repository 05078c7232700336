"""One cell of a benchmark, as frozen data: a slice of a corpus, and a part for every station of the arrow.

    speech → protection → channel → purification → cloner → verifier

A cell's key is a hash of everything that its numbers depend on, so that a finished cell is never computed twice and a
changed one always is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from voxveil.errors import VoxveilError

STATIONS = ("protection", "channel", "purification", "cloner", "verifier")
NONE = "none"


@dataclass(frozen=True)
class Part:
    """A part by name, with its settings; a setting is a number, a word, a list of words, or another part.

    >>> str(Part("veil", (("strength", "strong"),))), str(Part("none"))
    ('veil (strength strong)', 'none')
    """

    name: str
    settings: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        words = ", ".join(str(value) if key == "of" else f"{key} {_words(value)}" for key, value in self.settings)
        return f"{self.name} ({words})" if words else self.name

    @property
    def plain(self) -> Any:
        """Itself as plain data, the same for the same part."""
        settings = {key: value.plain if isinstance(value, Part) else value for key, value in sorted(self.settings)}
        return [self.name, settings]


@dataclass(frozen=True)
class Slice:
    """Which speech: ``fingerprint`` is a hash of the recordings; a speaker has so many references and contents.

    No clip is longer than ``clip_s``.
    """

    fingerprint: str
    speakers: int
    references: int
    contents: int
    clip_s: float


@dataclass(frozen=True)
class Scenario:
    """A cell: the parts in the order of :data:`STATIONS`, and whose opinion is asked on what the verifier judges.

    >>> speech = Slice("00", speakers=2, references=1, contents=2, clip_s=4.0)
    >>> cell = Scenario(speech, (Part("veil"), Part("none"), Part("none"), Part("knn-vc"), Part("DV-COS")), seed=0)
    >>> cell.key(["ab"], "1.0") == cell.key(["ab"], "1.0"), cell.key(["ab"], "1.0") == cell.key(["cd"], "1.0")
    (True, False)
    """

    speech: Slice
    parts: tuple[Part, ...]
    seed: int
    opinions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.parts) != len(STATIONS):
            raise VoxveilError(f"A scenario names a part for each of: {', '.join(STATIONS)}.")

    def key(self, weights: Sequence[str], version: str) -> str:
        """64 hexadecimal digits of itself, of the ``weights``' sha256 and of the ``version`` that computes it."""
        return digest([key_of(self.speech, self.parts, self.seed, weights, version), list(self.opinions)])


def key_of(speech: Slice, parts: Sequence[Part], seed: int, weights: Sequence[str], version: str) -> str:
    """The key of the first stations, one or more: what comes out of them is the same for all cells that agree so far.

    >>> speech = Slice("00", speakers=2, references=1, contents=2, clip_s=4.0)
    >>> len(key_of(speech, [Part("veil")], 0, [], "1.0"))
    64
    """
    numbers = [speech.fingerprint, speech.speakers, speech.references, speech.contents, speech.clip_s]
    return digest([numbers, [part.plain for part in parts], seed, list(weights), version])


def digest(plain: Any) -> str:
    """The sha256 of plain data in its canonical form, as 64 hexadecimal digits.

    >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    True
    """
    canonical = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _words(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
