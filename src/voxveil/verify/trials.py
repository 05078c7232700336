"""Trials: which recordings a verifier has to compare, and whether one speaker made both."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from voxveil.audio.corpus import Utterance
from voxveil.audio.recording import cause
from voxveil.errors import BadInputError


@dataclass(frozen=True)
class Trial:
    """One comparison; ``same`` is the truth: genuine, or an impostor.

    The names of the speakers only tell which trials hang together (:mod:`voxveil.metrics.bootstrap`).
    """

    same: bool
    enrol: Utterance
    probe: Utterance


def all_pairs(utterances: Sequence[Utterance]) -> list[Trial]:
    """Every two of n utterances once: n · (n − 1) / 2 trials.

    >>> spoken = [Utterance("slt", Path("1.wav")), Utterance("slt", Path("2.wav")), Utterance("rms", Path("3.wav"))]
    >>> [trial.same for trial in all_pairs(spoken)]
    [True, False, False]
    """
    return [Trial(one.speaker == other.speaker, one, other) for one, other in combinations(utterances, 2)]


def read_trials(path: str | Path, root: str | Path | None = None) -> list[Trial]:
    r"""The trials of a list in VoxCeleb's format: lines ``1 ENROL PROBE`` (one speaker) or ``0 ENROL PROBE``.

    Recordings are named relative to the folder ``root``, by default that of the list. Only the label says whether a
    trial is genuine. The speakers' names are the first folder in which the recordings of the list differ (``id10270``
    of ``id10270/5r0dWxy17C8/00001.wav``); where there are no folders each recording stands for itself.

    Raises :class:`~voxveil.errors.BadInputError` for a line of another form, for a recording that does not exist, and
    for a list without trials of either kind.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("slt/1.wav", "slt/2.wav", "rms/1.wav"):
    ...         Path(folder, name).parent.mkdir(exist_ok=True)
    ...         Path(folder, name).touch()
    ...     _ = Path(folder, "trials.txt").write_text("1 slt/1.wav slt/2.wav\n0 slt/1.wav rms/1.wav\n")
    ...     [(trial.same, trial.probe.speaker) for trial in read_trials(Path(folder, "trials.txt"))]
    [(True, 'slt'), (False, 'rms')]
    """
    path = Path(path)
    root = path.parent if root is None else Path(root)
    lines: list[tuple[bool, Path, Path]] = []
    found: set[Path] = set()
    for number, line in _lines(path):
        label, *names = line.split()
        if label not in ("0", "1") or len(names) != 2:
            raise BadInputError(
                f"Line {number} of {path} is no trial: write '1 ENROL PROBE' (one speaker) or '0 ENROL PROBE' (two)."
            )
        for recording in (root / name for name in names):
            if recording not in found and not _is_file(recording):
                raise BadInputError(
                    f"Line {number} of {path} names {recording}, which does not exist: name the folder in which the "
                    "recordings lie."
                )
            found.add(recording)
        lines.append((label == "1", root / names[0], root / names[1]))
    said = _said_by_whom(found)
    return of_both_kinds([Trial(same, said[enrol], said[probe]) for same, enrol, probe in lines], path)


def of_both_kinds(trials: list[Trial], source: str | Path) -> list[Trial]:
    """``trials`` again, once it is sure that error rates exist.

    Raises :class:`~voxveil.errors.BadInputError`, naming their ``source``, where all are genuine or none is.

    >>> of_both_kinds(all_pairs([Utterance("slt", Path("1.wav")), Utterance("slt", Path("2.wav"))]), "corpus")
    Traceback (most recent call last):
    voxveil.errors.BadInputError: corpus holds no impostor trials: recordings of at least two speakers are needed.
    """
    if not any(trial.same for trial in trials):
        raise BadInputError(f"{source} holds no genuine trials: two recordings of one speaker are needed.")
    if all(trial.same for trial in trials):
        raise BadInputError(f"{source} holds no impostor trials: recordings of at least two speakers are needed.")
    return trials


def recordings(trials: Sequence[Trial]) -> list[Path]:
    """Every recording of ``trials`` once, in the order in which they come up.

    >>> one, other = Utterance("slt", Path("1.wav")), Utterance("rms", Path("2.wav"))
    >>> [path.name for path in recordings([Trial(False, one, other), Trial(True, one, one)])]
    ['1.wav', '2.wav']
    """
    return list(dict.fromkeys(utterance.path for trial in trials for utterance in (trial.enrol, trial.probe)))


def speakers(trials: Sequence[Trial]) -> list[str]:
    """Every speaker of ``trials`` once, in the order in which they come up.

    >>> one, other = Utterance("slt", Path("1.wav")), Utterance("rms", Path("2.wav"))
    >>> speakers([Trial(False, one, other), Trial(True, one, one)])
    ['slt', 'rms']
    """
    return list(dict.fromkeys(utterance.speaker for trial in trials for utterance in (trial.enrol, trial.probe)))


def _said_by_whom(found: Collection[Path]) -> dict[Path, Utterance]:
    whole = {recording: recording.absolute() for recording in found}
    above = len(Path(os.path.commonpath([path.parent for path in whole.values()])).parts) if found else 0
    return {recording: Utterance(path.parts[above], recording) for recording, path in whole.items()}


def _lines(path: Path) -> list[tuple[int, str]]:
    try:
        # What is no text at all is then a line that is no trial.
        text = path.read_text(encoding="utf-8-sig", errors="replace")
    except FileNotFoundError:
        raise BadInputError(f"{path} does not exist.") from None
    except OSError as error:
        raise BadInputError(f"{path} cannot be read: {cause(error)}.") from error
    return [(number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]


def _is_file(path: Path) -> bool:
    # A name that the system refuses, such as one too long, is no file.
    with suppress(OSError):
        return path.is_file()
    return False
