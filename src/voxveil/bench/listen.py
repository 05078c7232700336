"""A listening test from the clips of a run: which questions are asked about which clips, and the key to the answers.

Three kinds of question, as papers on protections ask people: how much noise is heard (five levels, the ends of ITU-T
P.800's impairment scale); whether two clips come from one speaker, and whether the listener is certain (four answers,
J. Lorenzo-Trueba et al., "The Voice Conversion Challenge 2018", Odyssey 2018); and ABX: which of a clean clip and its
protected version a third one is (W. A. Munson, M. B. Gardner, "Standardizing auditory tests", JASA 22, 1950).
"""

from __future__ import annotations

import json
import random
import secrets
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from voxveil.bench.export import results_of
from voxveil.bench.grid import ANOTHER_SPEAKER
from voxveil.bench.kept_audio import KeptAudio
from voxveil.bench.listen_page import page
from voxveil.bench.run import AUDIO
from voxveil.bench.scenario import NONE
from voxveil.errors import BadInputError
from voxveil.whole_file import check_place, write_whole

NOISE, SPEAKER, ABX = KINDS = ("noise", "speaker", "abx")
MOST_QUESTIONS = 60
"""Some twenty minutes: people who are tired answer anything."""

CLEAN = "clean"


@dataclass(frozen=True)
class Question:
    """A question as the key has it: ``clips`` are names of kept clips in the order in which they are heard.

    ``right`` is the answer to an ABX question; None where there is no right answer.
    """

    kind: str
    condition: str
    speaker: str
    clips: tuple[str, ...]
    right: str | None = None


@dataclass(frozen=True)
class Made:
    """A listening test: how many questions it has, and on how many of the run's conditions."""

    questions: int
    conditions: int
    of_conditions: int


def make(run: Path, place: Path, overwrite: bool = False) -> Made:
    """Writes the page ``place``, and beside it ``NAME.key.json``, which says what was heard and is not for listeners.

    Clips go by random names. Where the run has more to ask than :data:`MOST_QUESTIONS`, conditions take turns.

    Raises :class:`~voxveil.errors.BadInputError` for a folder without results, or without clips, and
    :class:`~voxveil.errors.BadOutputError` where the two files cannot be written.

    >>> make(Path("nowhere"), Path("test.html"))
    Traceback (most recent call last):
    voxveil.errors.BadInputError: nowhere holds no results: name the folder of a run.
    """
    results_of(run)
    key = place.with_suffix(".key.json")
    check_place(place, ".html", overwrite)
    check_place(key, ".json", overwrite)
    kept = KeptAudio(run / AUDIO)
    every = list(questions(run))
    chosen = drawn(every, MOST_QUESTIONS, random.SystemRandom())
    test = secrets.token_hex(8)
    asked = {secrets.token_hex(8): question for question in chosen}
    sounds = {name: [kept.path(clip).read_bytes() for clip in question.clips] for name, question in asked.items()}
    secret = {"test": test, "questions": {name: asdict(question) for name, question in asked.items()}}
    write_whole(key, json.dumps(secret, indent=1).encode())
    write_whole(place, page(test, {name: question.kind for name, question in asked.items()}, sounds).encode())
    conditions = ({(question.kind, question.condition) for question in some} for some in (chosen, every))
    return Made(len(chosen), *map(len, conditions))


def questions(run: Path) -> Iterator[Question]:
    """All that could be asked about the clips of ``run``.

    Noise is asked of what protections and channels leave, clean speech among it; ABX of protections; the speaker of
    everything, beside another clean clip of his where there is one.

    Raises :class:`~voxveil.errors.BadInputError` where the run did not keep all of its clips.
    """
    kept = KeptAudio(run / AUDIO)
    described = results_of(run).described()
    clean = kept.names(described.get("clean", ""))
    chains = {cell["audio"]: tuple(cell["parts"][:-1]) for cell in described["cells"]}
    clips = {chain: kept.names(audio) for audio, chain in chains.items()}
    named = [name for listed in (clean, *clips.values()) for names in listed.values() for name in names]
    if not clean or not all(clips.values()) or not all(kept.path(name).is_file() for name in named):
        raise BadInputError(f"{run} lacks its clips: run its grid into a new folder with --keep-audio.")
    for chain, listed in clips.items():
        for speaker, names in listed.items():
            for index, name in enumerate(names):
                yield from _about(chain, speaker, index, name, clean[speaker])


def drawn(every: list[Question], most: int, chance: random.Random) -> list[Question]:
    """At most ``most`` of the questions, in random order: kinds take turns, and in each of them the conditions.

    >>> asked = [Question("noise", str(number % 2), "ada", (str(number),)) for number in range(9)]
    >>> sorted(question.condition for question in drawn(asked, 4, random.Random(0)))
    ['0', '0', '1', '1']
    """
    shuffled = chance.sample(every, len(every))
    by_condition = _dealt(shuffled, lambda question: (question.kind, question.condition))
    by_kind = _dealt(by_condition, lambda question: question.kind)
    return chance.sample(by_kind[:most], min(most, len(by_kind)))


def _dealt(questions: list[Question], group: Callable[[Question], object]) -> list[Question]:
    """The first of every group, then the second of every group, and so on."""
    seen: dict[object, int] = {}
    turns = []
    for question in questions:
        turn = seen[group(question)] = seen.get(group(question), -1) + 1
        turns.append((turn, question))
    return [question for _, question in sorted(turns, key=lambda pair: pair[0])]


def _about(chain: tuple[str, ...], speaker: str, index: int, name: str, clean: list[str]) -> Iterator[Question]:
    protection, _, purification, cloner = chain
    condition = " → ".join(part for part in chain if part != NONE) or CLEAN
    if cloner == purification == NONE and protection != ANOTHER_SPEAKER:
        yield Question(NOISE, condition, speaker, (name,))
    if set(chain[1:]) == {NONE} and protection not in (NONE, ANOTHER_SPEAKER) and name != clean[index]:
        right = secrets.choice("AB")
        yield Question(ABX, condition, speaker, (clean[index], name, clean[index] if right == "A" else name), right)
    beside = clean[(index + 1) % len(clean)]
    if beside != name:
        yield Question(SPEAKER, condition, speaker, (beside, name))
