"""Can clones still be understood? Word error rates by a recogniser, where one is installed (extra ``asr``)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from voxveil import catalog
from voxveil.errors import MissingExtraError
from voxveil.metrics.word_error import word_errors
from voxveil.roles import Clip

RECOGNISER = "pocketsphinx"

Utterance = tuple[Path, Clip]


def recogniser() -> Callable[[Clip], str] | None:
    try:
        return catalog.part("recogniser", RECOGNISER)()
    except MissingExtraError as error:
        print(error, flush=True)
        return None


def transcripts(corpus: Path) -> dict[str, str]:
    """What is said in every recording, by its name: LibriSpeech's *.trans.txt have lines "NAME WORDS"."""
    lines = [line for path in sorted(corpus.rglob("*.trans.txt")) for line in path.read_text().splitlines()]
    return dict(line.split(maxsplit=1) for line in lines)


@dataclass(frozen=True)
class Words:
    """What was heard in the contents, and what was said in them where the corpus tells."""

    recognise: Callable[[Clip], str]
    heard: Mapping[str, str]
    said: Mapping[str, str]

    def errors_percent(self, contents: Sequence[Utterance], clones: Sequence[Clip]) -> dict[str, float | None]:
        """The rates over all words of all contents together."""
        names = [path.stem for path, _ in contents]
        clone_heard = [self.recognise(clone) for clone in clones]
        content_heard = [self.heard[name] for name in names]
        said = [self.said[name] for name in names] if set(names) <= self.said.keys() else None
        return {
            "clone_beside_content": 100.0 * word_errors(content_heard, clone_heard).rate,
            "clone_beside_transcript": None if said is None else 100.0 * word_errors(said, clone_heard).rate,
            "content_beside_transcript": None if said is None else 100.0 * word_errors(said, content_heard).rate,
        }


def words(corpus: Path, contents: Sequence[Utterance]) -> Words | None:
    """None where no recogniser is installed."""
    recognise = recogniser()
    if recognise is None:
        return None
    return Words(recognise, {path.stem: recognise(clip) for path, clip in dict(contents).items()}, transcripts(corpus))
