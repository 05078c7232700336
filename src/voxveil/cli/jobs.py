"""From the words of a command line to a list of files to make."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from voxveil.audio.suffixes import MEDIA_SUFFIXES
from voxveil.errors import BadInputError


@dataclass(frozen=True)
class Job:
    """One recording to protect and where it goes."""

    source: Path
    destination: Path


def jobs(inputs: Sequence[Path], out: Path | None) -> list[Job]:
    """The jobs for files and folders (searched with all they contain).

    ``out`` is a file if there is one input file and it is not an existing folder, else a folder in which the inputs'
    structure is kept; None puts every result beside its source as ``NAME.protected.SUFFIX``.

    Raises :class:`~voxveil.errors.BadInputError` for a folder without recordings and for inputs whose results would
    overwrite each other.

    >>> jobs([Path("a.wav")], None)[0].destination.name
    'a.protected.wav'
    >>> jobs([Path("a.wav")], Path("b.wav"))[0].destination.name
    'b.wav'
    """
    single_file = len(inputs) == 1 and not _is_folder(inputs[0])
    found: list[Job] = []
    for given in inputs:
        if not _is_folder(given):
            found.append(Job(given, _target(given, Path(given.name), out, single_file)))
            continue
        inside = sorted(p for p in given.rglob("*") if p.suffix.lower() in MEDIA_SUFFIXES and p.is_file())
        inside = [p for p in inside if not p.stem.endswith(".protected")]
        if not inside:
            raise BadInputError(f"The folder {given} holds no recordings.")
        found += [Job(p, _target(p, p.relative_to(given), out, single_file)) for p in inside]
    seen: dict[Path, Path] = {}
    for job in found:
        other = seen.setdefault(job.destination, job.source)
        if other != job.source:
            raise BadInputError(
                f"{other} and {job.source} would both be written to {job.destination}: protect them one by one."
            )
    return list(dict.fromkeys(found))


def _target(source: Path, relative: Path, out: Path | None, single_file: bool) -> Path:
    if out is None:
        return source.with_name(f"{source.stem}.protected{source.suffix}")
    if single_file and not _is_folder(out):
        return out
    return out / relative


def _is_folder(path: Path) -> bool:
    # A name that the system refuses, such as one too long, is no folder; whoever opens it says what is wrong.
    with suppress(OSError):
        return path.is_dir()
    return False
