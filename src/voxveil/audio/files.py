"""Sound files in and out, block by block: a new file is stored as the old one was, or does not appear at all.

libsndfile reads and writes what it can (WAV, RF64, AIFF, FLAC, Ogg, MP3, …): ``libsndfile.py`` and
``libsndfile_encoder.py``. The rest goes through ffmpeg: ``media.py`` and ``remux.py``.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedIOBase
from pathlib import Path

import numpy as np
import soundfile as sf

from voxveil.audio import libsndfile, libsndfile_encoder, media, remux
from voxveil.audio.recording import Recording, Writer, cause, check_place, output_errors
from voxveil.audio.resample import Samples
from voxveil.errors import BadInputError, BadOutputError

__all__ = ["Recording", "Writer", "blocks", "creating", "probe", "read", "writing"]

LOWEST_RATE_HZ, HIGHEST_RATE_HZ, MOST_CHANNELS = 8_000, 192_000, 8

# Suffixes that are two spellings of one container.
_SPELLINGS = [{".wav", ".wave"}, {".aif", ".aiff"}, {".au", ".snd"}, {".ogg", ".oga"}, {".mpg", ".mpeg"}]
_BLOCK_FRAMES = 65_536
_UNKNOWN_FRAMES = 2**60


def probe(path: str | Path) -> Recording:
    """How the file stores its sound; raises BadInputError when it cannot be used, and says why.

    >>> probe("missing.wav")
    Traceback (most recent call last):
    voxveil.errors.BadInputError: missing.wav does not exist.
    """
    path = _readable(Path(path))
    libsndfile.refuse_short_data(path)
    try:
        # libsndfile takes .raw to mean "no header", which tells nothing about the sound.
        recording = media.probe(path) if path.suffix.lower() == ".raw" else libsndfile.probe(path)
    except sf.LibsndfileError:
        recording = media.probe(path)
    if recording.frames >= _UNKNOWN_FRAMES:
        raise BadInputError(f"{path} does not say how long it is (FLAC from a pipe): encode it again.")
    if recording.frames <= 0:
        raise BadInputError(f"{path} holds no sound.")
    if not LOWEST_RATE_HZ <= recording.sample_rate <= HIGHEST_RATE_HZ:
        raise BadInputError(
            f"{path} has a sample rate of {recording.sample_rate} Hz: resample it to between "
            f"{LOWEST_RATE_HZ} and {HIGHEST_RATE_HZ} Hz."
        )
    if not 1 <= recording.channels <= MOST_CHANNELS:
        raise BadInputError(f"{path} has {recording.channels} channels: mix it down to at most {MOST_CHANNELS}.")
    return recording


def read(path: str | Path) -> tuple[Samples, int]:
    """All sound of a file [channel, time] and its sample rate in Hz; for files that fit into memory.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     sf.write(Path(folder, "a.wav"), np.zeros((100, 2)), 16_000)
    ...     sound, rate = read(Path(folder, "a.wav"))
    >>> sound.shape, rate
    ((2, 100), 16000)
    """
    recording = probe(path)
    return np.concatenate(list(blocks(recording, _BLOCK_FRAMES)), axis=1), recording.sample_rate


def blocks(recording: Recording, block_frames: int) -> Iterator[Samples]:
    """The sound in blocks [channel, ``block_frames``] (the last one is shorter), in constant memory.

    Raises BadInputError on the way when the file is damaged, ends early or holds values that are not numbers.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     sf.write(Path(folder, "a.wav"), np.zeros(100), 16_000)
    ...     [block.shape for block in blocks(probe(Path(folder, "a.wav")), 64)]
    [(1, 64), (1, 36)]
    """
    return (media if recording.backend == "av" else libsndfile).blocks(recording, block_frames)


@contextmanager
def writing(path: str | Path, like: Recording, overwrite: bool = False) -> Iterator[Writer]:
    """A writer of a new file with ``like``'s container, codec, bit depth, byte order, rate and tags.

    The file appears at ``path`` when the ``with`` block ends well and never otherwise. Integer formats round
    to their own step and limit to [−1, 1]; float formats take every value. MP3, Vorbis and Opus are encoded
    at about the bit rate of ``like``.

    Raises BadOutputError when ``path`` is the input itself, exists and ``overwrite`` is not set, has a suffix
    of another container, or its folder is missing, forbidden or full.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     sf.write(Path(folder, "a.wav"), np.zeros(100), 16_000)
    ...     like = probe(Path(folder, "a.wav"))
    ...     with writing(Path(folder, "b.wav"), like) as writer:
    ...         writer.write(np.full((1, 100), 0.5))
    ...     read(Path(folder, "b.wav"))[0].mean()
    np.float64(0.5)
    """
    path = Path(path)
    _check_target(path, like, overwrite)
    with _appearing(path) as (part, file):
        av = like.backend == "av"
        with remux.writing(file, path, like) if av else libsndfile_encoder.writing(part, path, like) as writer:
            yield writer


@contextmanager
def creating(new: Recording, overwrite: bool = False) -> Iterator[Writer]:
    """A writer of the file ``new``, which is like no other; its ``frames`` are not looked at.

    It appears at ``new.path`` as :func:`writing` lets files appear, and as one that libsndfile writes. Vorbis,
    Opus and MP3 get libsndfile's own bit rate. Raises BadOutputError when the place exists and ``overwrite`` is not
    set, libsndfile has no encoder for the format, or the folder is missing, forbidden or full.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     new = Recording(Path(folder, "a.flac"), 16_000, 1, 0, "FLAC", "PCM_16", {"title": "Half"}, "soundfile")
    ...     with creating(new) as writer:
    ...         writer.write(np.full((1, 100), 0.5))
    ...     probe(new.path).frames, probe(new.path).tags
    (100, {'title': 'Half'})
    """
    check_place(new.path, overwrite)
    with (
        _appearing(new.path) as (part, _),
        libsndfile_encoder.writing(part, new.path, new, at_its_bit_rate=False) as writer,
    ):
        yield writer


@contextmanager
def _appearing(path: Path) -> Iterator[tuple[Path, BufferedIOBase]]:
    """A file beside ``path`` and its place, renamed to ``path`` when all ends well and gone when not."""
    # Not the target's own name with a suffix: that name may already have the 255 bytes that a name can have.
    part = path.with_name(f".voxveil-{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]}.part")
    with output_errors(path):
        part.unlink(missing_ok=True)
        file = part.open("xb")
    try:
        yield part, file
        with output_errors(path):
            file.flush()
            os.fsync(file.fileno())
            file.close()
            part.replace(path)
    finally:
        # On success neither is left to do; after a failure their errors say nothing new.
        with suppress(OSError):
            file.close()
        with suppress(OSError):
            part.unlink(missing_ok=True)


def _readable(path: Path) -> Path:
    try:
        str(path).encode()
        if path.is_dir():
            raise BadInputError(f"{path} is a folder: name a file in it.")
        with path.open("rb") as file:
            if not file.read(1):
                raise BadInputError(f"{path} is empty.")
    except FileNotFoundError:
        raise BadInputError(f"{path} does not exist.") from None
    except UnicodeEncodeError:
        raise BadInputError(f"{str(path)!a} is not a Unicode name: rename the file.") from None
    except (OSError, ValueError) as error:
        raise BadInputError(f"{path} cannot be read: {cause(error)}.") from error
    return path


def _check_target(path: Path, like: Recording, overwrite: bool) -> None:
    suffix, wanted = path.suffix.lower(), like.path.suffix.lower()
    if suffix != wanted and {suffix, wanted} not in _SPELLINGS:
        raise BadOutputError(
            f"{path} cannot be written: a new file keeps the container of the old one, so its name has to "
            f"end in '{wanted}'."
        )
    with output_errors(path):
        if path.exists() and path.samefile(like.path):
            raise BadOutputError(f"{path} is the input itself: choose another name.")
    check_place(path, overwrite)
