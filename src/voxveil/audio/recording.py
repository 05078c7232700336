"""How a file stores its sound, and where new sound goes: all that libsndfile's side and ffmpeg's have in common."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from voxveil.audio.resample import Samples
from voxveil.errors import BadOutputError


@dataclass(frozen=True)
class Recording:
    """A sound file as it is stored.

    ``frames`` is exact for ``soundfile`` and an estimate from the container's clock for ``av``. ``container``
    and ``subtype`` are libsndfile's names (``"WAV"``, ``"PCM_16"``) or ffmpeg's (``"matroska,webm"``,
    ``"opus"``). ``endian`` is the byte order as libsndfile says it: FILE (the usual one), LITTLE or BIG.

    >>> Recording(Path("a.wav"), 16_000, 1, 8_000, "WAV", "PCM_16", {}, "soundfile").seconds
    0.5
    """

    path: Path
    sample_rate: int
    channels: int
    frames: int
    container: str
    subtype: str
    tags: Mapping[str, str]
    backend: Literal["soundfile", "av"]
    endian: str = "FILE"

    @property
    def seconds(self) -> float:
        """The duration in seconds."""
        return self.frames / self.sample_rate


class Writer(Protocol):
    """Where the sound of a new file goes, block by block."""

    def write(self, block: Samples) -> None:
        """Append ``block`` [channel, time]; raises BadOutputError when the place takes no more."""


def check_place(path: Path, overwrite: bool) -> None:
    """Raises BadOutputError if no file can appear at ``path``: no folder, a folder itself, or there already.

    >>> check_place(Path("no/such/b.wav"), overwrite=False)
    Traceback (most recent call last):
    voxveil.errors.BadOutputError: no/such/b.wav cannot be written: the folder no/such does not exist.
    """
    with output_errors(path):
        if not path.parent.is_dir():
            raise BadOutputError(f"{path} cannot be written: the folder {path.parent} does not exist.")
        if path.is_dir():
            raise BadOutputError(f"{path} is a folder: name a file in it.")
        if not overwrite and (path.exists() or path.is_symlink()):
            raise BadOutputError(f"{path} exists already: choose another name or allow overwriting.")


@contextmanager
def output_errors(path: Path, *kinds: type[Exception]) -> Iterator[None]:
    """Turns a system error, and the library errors ``kinds``, into a BadOutputError that names ``path``.

    >>> with output_errors(Path("b.wav")):
    ...     raise OSError(28, "No space left on device")
    Traceback (most recent call last):
    voxveil.errors.BadOutputError: b.wav cannot be written: no space left on device.
    """
    expected: tuple[type[Exception], ...] = (OSError, *kinds)
    try:
        yield
    except expected as error:
        raise BadOutputError(f"{path} cannot be written: {cause(error)}.") from error


def cause(error: Exception) -> str:
    """What a system or library error says, as the end of a sentence.

    >>> cause(OSError(28, "No space left on device"))
    'no space left on device'
    """
    said = str(getattr(error, "strerror", None) or error).strip().rstrip(".")
    said = said.removeprefix("Error : ").removeprefix("System error : ").replace(". ", "; ").replace("\n", " ")
    return said[:1].lower() + said[1:]
