"""What listeners answered, in percent, with intervals over listeners."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from voxveil.audio.recording import cause
from voxveil.bench.listen import ABX, NOISE, SPEAKER
from voxveil.bench.listen_page import ASKED
from voxveil.errors import BadInputError

HEADLINES: Mapping[str, tuple[str, frozenset[str]]] = {
    NOISE: ("hear no noise, or a little", frozenset({"1", "2"})),
    SPEAKER: ("hear the same person", frozenset({"same-certain", "same-uncertain"})),
    ABX: ("right (chance: 50)", frozenset({"right"})),
}
"""By kind of question: what its line says, and the answers that count for it."""


@dataclass(frozen=True)
class Share:
    """How many answer so, in percent, and the 95 % interval."""

    percent: float
    low_percent: float
    high_percent: float


@dataclass(frozen=True)
class Heard:
    """What was answered to one kind of question about one condition; ``each`` is by answer."""

    kind: str
    condition: str
    listeners: int
    answers: int
    headline: Share
    each: Mapping[str, Share]


def score(answers: Sequence[Path], key: Path) -> list[Heard]:
    """A row for every kind and condition that somebody answered, in the key's order of kinds, conditions by name.

    Raises :class:`~voxveil.errors.BadInputError` for files that are not answers to the test of ``key``, and for a
    listener who is there twice.

    >>> score([], Path("missing.key.json"))
    Traceback (most recent call last):
    voxveil.errors.BadInputError: missing.key.json cannot be read: no such file or directory.
    """
    known = _key(key)
    given: dict[tuple[str, str], dict[str, list[str]]] = {}
    listeners: dict[str, Path] = {}
    for path in answers:
        said = _plain(path, "file of answers", {"test": str, "listener": str, "answers": dict})
        if said["test"] != known["test"]:
            raise BadInputError(f"{path} answers another test than that of {key}: name its own key.")
        if (first := listeners.setdefault(said["listener"], path)) is not path:
            raise BadInputError(f"{first} and {path} are by the same listener: leave one out.")
        for name, answer in said["answers"].items():
            question = known["questions"].get(name)
            if question is None or answer not in _choices(question["kind"]):
                raise BadInputError(f"{path} has an answer '{answer}' to '{name}', which were not asked: leave it out.")
            cell = given.setdefault((question["kind"], question["condition"]), {})
            cell.setdefault(said["listener"], []).append(_counted(question, answer))
    return [_heard(*which, given[which]) for which in sorted(given, key=lambda w: (list(ASKED).index(w[0]), w[1]))]


def share(of_listeners: Sequence[float]) -> Share:
    """The mean of the share (0 to 1) of every listener's answers, each listener's as heavy.

    The interval is Clopper's and Pearson's [1] with a listener for a trial: as if all answers of one listener were
    alike, so it is never too narrow, and too wide where they differ.

    [1] C. J. Clopper, E. S. Pearson, "The use of confidence or fiducial limits", Biometrika 26, 1934.

    >>> share([1.0, 0.0, 1.0, 0.0, 0.5, 0.5])
    Share(percent=50.0, low_percent=11.81, high_percent=88.19)
    """
    from scipy.stats import beta

    count, hits = len(of_listeners), sum(of_listeners)
    low = beta.ppf(0.025, hits, count - hits + 1) if hits > 0 else 0.0
    high = beta.ppf(0.975, hits + 1, count - hits) if hits < count else 1.0
    return Share(*(round(100.0 * float(value), 2) for value in (hits / count, low, high)))


def lines(heard: Sequence[Heard]) -> list[str]:
    """A line a row, for people.

    >>> row = Heard("abx", "veil", 4, 12, share([0.5] * 4), {})
    >>> lines([row])
    ['abx      veil: 50 % [7, 93] right (chance: 50); answers: 12, listeners: 4']
    """
    return [
        f"{row.kind:<9}{row.condition}: {_words(row.headline)} {HEADLINES[row.kind][0]}; "
        f"answers: {row.answers}, listeners: {row.listeners}"
        for row in heard
    ]


def _words(found: Share) -> str:
    return f"{found.percent:.0f} % [{found.low_percent:.0f}, {found.high_percent:.0f}]"


def _heard(kind: str, condition: str, given: Mapping[str, list[str]]) -> Heard:
    def of(counting: Iterable[str]) -> Share:
        wanted = set(counting)
        return share([fmean(answer in wanted for answer in answers) for answers in given.values()])

    each = {answer: of({answer}) for answer in (("right", "wrong") if kind == ABX else _choices(kind))}
    count = sum(map(len, given.values()))
    return Heard(kind, condition, len(given), count, of(HEADLINES[kind][1]), each)


def _counted(question: Mapping[str, Any], answer: str) -> str:
    if question["kind"] != ABX:
        return answer
    return "right" if answer == question["right"] else "wrong"


def _choices(kind: str) -> list[str]:
    return [value for value, _ in ASKED[kind][2]]


def _key(path: Path) -> dict[str, Any]:
    key = _plain(path, "key", {"test": str, "questions": dict})
    for question in key["questions"].values():
        if not isinstance(question, dict) or question.get("kind") not in ASKED or "condition" not in question:
            raise BadInputError(f"{path} is no key of a listening test: a question in it lacks kind or condition.")
    return key


def _plain(path: Path, what: str, entries: Mapping[str, type]) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except OSError as error:
        raise BadInputError(f"{path} cannot be read: {cause(error)}.") from error
    except ValueError as error:
        raise BadInputError(f"{path} is no {what} of a listening test: it is not JSON.") from error
    if not isinstance(found, dict) or any(not isinstance(found.get(e), kind) for e, kind in entries.items()):
        raise BadInputError(f"{path} is no {what} of a listening test: it lacks {' or '.join(entries)}.")
    return found
