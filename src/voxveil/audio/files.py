"""Sound files in and out, block by block: a new file is stored as the old one was, or does not appear at all.

libsndfile reads and writes what it can (WAV, RF64, AIFF, FLAC, Ogg, MP3, …); the rest goes to ``media.py``.
Integer formats are read and written as integers, so that sound that nobody changed comes back bit for bit;
libsndfile's own float path would scale by 32,768 on the way in and by 32,767 on the way out.

What libsndfile does not know is not carried over: cue points, broadcast chunks, embedded pictures, channel
masks. An Ogg file that is cut off is not noticed, since its length is read off its last page.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path

import numpy as np
import soundfile as sf

from voxveil.audio import media
from voxveil.audio.media import Recording, Writer, cause, left_justified
from voxveil.audio.resample import Samples
from voxveil.errors import BadInputError, BadOutputError

__all__ = ["Recording", "Writer", "blocks", "probe", "read", "writing"]

LOWEST_RATE_HZ, HIGHEST_RATE_HZ, MOST_CHANNELS = 8_000, 192_000, 8

_FLOAT_SUBTYPES = {"FLOAT", "DOUBLE", "VORBIS", "OPUS", "MPEG_LAYER_I", "MPEG_LAYER_II", "MPEG_LAYER_III"}
_BITRATE_SUBTYPES = {"VORBIS", "OPUS", "MPEG_LAYER_III"}
# The step of the integer subtypes in bits; the companded and ADPCM ones decode to 16.
_BITS = {"PCM_S8": 8, "PCM_U8": 8, "PCM_24": 24, "PCM_32": 32, "ALAC_20": 20, "ALAC_24": 24, "ALAC_32": 32}
# Suffixes that are two spellings of one container.
_SPELLINGS = [{".wav", ".wave"}, {".aif", ".aiff"}, {".au", ".snd"}, {".ogg", ".oga"}, {".mpg", ".mpeg"}]
_CHUNK_FRAMES = 65_536
_UNKNOWN_FRAMES = 2**60
_PIPE_BYTES = 0x7FFF_0000
# libsndfile's number for "see errno", which it does not pass on.
_SYSTEM_ERROR = 2


def probe(path: str | Path) -> Recording:
    """How the file stores its sound; raises BadInputError when it cannot be used, and says why.

    >>> probe("missing.wav")
    Traceback (most recent call last):
    voxveil.errors.BadInputError: missing.wav does not exist.
    """
    path = _readable(Path(path))
    _refuse_short_data(path)
    try:
        # libsndfile takes .raw to mean "no header", which tells nothing about the sound.
        recording = media.probe(path) if path.suffix.lower() == ".raw" else _probe_soundfile(path)
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
    return np.concatenate(list(blocks(recording, _CHUNK_FRAMES)), axis=1), recording.sample_rate


def blocks(recording: Recording, block_frames: int) -> Iterator[Samples]:
    """The sound in blocks [channel, ``block_frames``] (the last one is shorter), in constant memory.

    Raises BadInputError on the way when the file is damaged, ends early or holds values that are not numbers.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     sf.write(Path(folder, "a.wav"), np.zeros(100), 16_000)
    ...     [block.shape for block in blocks(probe(Path(folder, "a.wav")), 64)]
    [(1, 64), (1, 36)]
    """
    if recording.backend == "av":
        yield from media.blocks(recording, block_frames)
        return
    path, done = recording.path, 0
    try:
        with sf.SoundFile(path) as file:
            while (block := _next_block(file, block_frames)).shape[1]:
                if not np.isfinite(block).all():
                    raise BadInputError(f"{path} holds values that are not numbers (NaN or infinity).")
                done += block.shape[1]
                yield block
    except (sf.LibsndfileError, OSError) as error:
        raise BadInputError(f"{path} is damaged or ends early: {cause(error)}.") from error
    if done < recording.frames:
        raise BadInputError(f"{path} is truncated: its header promises {recording.frames} frames and {done} are there.")


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
    # Not the target's own name with a suffix: that name may already have the 255 bytes that a name can have.
    part = path.with_name(f".voxveil-{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]}.part")
    with _failing(path):
        part.unlink(missing_ok=True)
        file = part.open("xb")
    try:
        av = like.backend == "av"
        with media.writing(file, path, like) if av else _encoding(part, path, like) as writer:
            yield writer
        with _failing(path):
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


@contextmanager
def _encoding(part: Path, path: Path, like: Recording) -> Iterator[Writer]:
    writer = _SoundFileWriter(part, path, like)
    try:
        yield writer
        writer.finish()
    finally:
        writer.close()


class _SoundFileWriter:
    """libsndfile's half of :func:`writing`, into ``part``, which is to become ``path``."""

    def __init__(self, part: Path, path: Path, like: Recording) -> None:
        self._part, self._path, self._like, self._frames = part, path, like, 0
        if not sf.check_format(like.container, like.subtype, like.endian):
            raise BadOutputError(f"{path} cannot be written: no encoder for {like.container} {like.subtype}.")
        lossy = like.subtype in _BITRATE_SUBTYPES
        with _failing(path):
            self._file = _new(part, like, _matching_level(like) if lossy else None)
            for name, value in like.tags.items():
                if value:
                    setattr(self._file, name, value)

    def write(self, block: Samples) -> None:
        """Append ``block`` [channel, time]."""
        float_format = self._like.subtype in _FLOAT_SUBTYPES
        with _failing(self._path):
            # In pieces: libsndfile's Vorbis encoder puts a whole call on the stack.
            for start in range(0, block.shape[1], _CHUNK_FRAMES):
                piece = block[:, start : start + _CHUNK_FRAMES]
                values = piece if float_format else left_justified(piece, _BITS.get(self._like.subtype, 16))
                self._file.write(np.ascontiguousarray(values.T))
                self._frames += piece.shape[1]

    def finish(self) -> None:
        """Close the file and read it back: only then is it certain that every frame arrived."""
        with _failing(self._path):
            self._file.close()
            with sf.SoundFile(self._part) as written:
                frames = 0
                while taken := _next_block(written, _CHUNK_FRAMES).shape[1]:
                    frames += taken
        if frames < self._frames:
            raise BadOutputError(
                f"{self._path} cannot be written: {frames} of {self._frames} frames arrived ({_free(self._path)})."
            )

    def close(self) -> None:
        """Let go of the file; after a failure it is worthless and its errors say nothing new."""
        with suppress(sf.LibsndfileError):
            self._file.close()


def _new(part: Path | BytesIO, like: Recording, level: float | None) -> sf.SoundFile:
    return sf.SoundFile(
        part,
        "w",
        like.sample_rate,
        like.channels,
        subtype=like.subtype,
        endian=like.endian,
        format=like.container,
        compression_level=level,
        bitrate_mode="AVERAGE" if like.subtype == "MPEG_LAYER_III" else None,
    )


@contextmanager
def _failing(path: Path) -> Iterator[None]:
    try:
        yield
    except (sf.SoundFileError, OSError, AssertionError) as error:
        # soundfile asserts that libsndfile took every frame.
        said = cause(error)
        if isinstance(error, AssertionError) or getattr(error, "code", None) == _SYSTEM_ERROR:
            said = f"the system takes no more data ({_free(path)})"
        raise BadOutputError(f"{path} cannot be written: {said}.") from error


def _free(path: Path) -> str:
    return f"{shutil.disk_usage(path.parent).free} bytes are free there"


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


def _probe_soundfile(path: Path) -> Recording:
    with sf.SoundFile(path) as file:
        tags = file.copy_metadata()
        # libsndfile adds its own name; in an MP3 the field always names the encoder.
        software = re.sub(r" \(libsndfile-[^)]*\)$", "", tags.pop("software", ""))
        if software and file.format != "MP3":
            tags["software"] = software
        return Recording(
            path=path,
            sample_rate=file.samplerate,
            channels=file.channels,
            frames=file.frames,
            container=file.format,
            subtype=file.subtype,
            tags=tags,
            backend="soundfile",
            endian=file.endian,
        )


def _next_block(file: sf.SoundFile, block_frames: int) -> Samples:
    if file.subtype in _FLOAT_SUBTYPES:
        return np.ascontiguousarray(file.read(block_frames, dtype="float64", always_2d=True).T)
    values = file.read(block_frames, dtype="int32", always_2d=True)
    return np.ascontiguousarray(values.T / 2.0**31)


def _refuse_short_data(path: Path) -> None:
    """Hold a WAV or AIFF header's promise against the file's size: libsndfile shortens without a word."""
    with path.open("rb") as file:
        form, _, _ = file.read(4), file.read(4), file.read(4)
        if form not in (b"RIFF", b"RIFX", b"FORM"):
            return
        while len(head := file.read(8)) == 8:
            length = int.from_bytes(head[4:], "little" if form == b"RIFF" else "big")
            if head[:4] in (b"data", b"SSND"):
                there = path.stat().st_size - file.tell()
                # A program that writes to a pipe cannot know the length and puts a huge one.
                if there < length < _PIPE_BYTES:
                    raise BadInputError(
                        f"{path} is truncated: its header promises {length} bytes of sound and {there} are there."
                    )
                return
            file.seek(length + length % 2, os.SEEK_CUR)


def _check_target(path: Path, like: Recording, overwrite: bool) -> None:
    suffix, wanted = path.suffix.lower(), like.path.suffix.lower()
    if suffix != wanted and {suffix, wanted} not in _SPELLINGS:
        raise BadOutputError(
            f"{path} cannot be written: a new file keeps the container of the old one, so its name has to "
            f"end in '{wanted}'."
        )
    with _failing(path):
        if not path.parent.is_dir():
            raise BadOutputError(f"{path} cannot be written: the folder {path.parent} does not exist.")
        if path.is_dir():
            raise BadOutputError(f"{path} is a folder: name a file in it.")
        if path.exists() and path.samefile(like.path):
            raise BadOutputError(f"{path} is the input itself: choose another name.")
        if not overwrite and (path.exists() or path.is_symlink()):
            raise BadOutputError(f"{path} exists already: choose another name or allow overwriting.")


def _matching_level(like: Recording) -> float:
    """The compression level at which some of ``like``'s sound takes as many bits a second as ``like`` does.

    libsndfile sets lossy encoders by a level from 0 (best) to 1 and does not tell the bit rate, which falls
    as the level rises.
    """
    sample = _excerpts(like)
    wanted_bytes = _sound_bytes(like.path) * len(sample) / like.frames
    low, high = 0.0, 0.99
    for _ in range(7):
        level = (low + high) / 2
        encoded = BytesIO()
        with _new(encoded, like, level) as file:
            file.write(sample)
        low, high = (level, high) if len(encoded.getvalue()) > wanted_bytes else (low, level)
    return (low + high) / 2


def _excerpts(like: Recording) -> Samples:
    """Four pieces of 2.5 s, equally spaced, end to end; all of a short file. [time, channel]."""
    length, pieces = round(2.5 * like.sample_rate), 4
    with sf.SoundFile(like.path) as file:
        if like.frames <= pieces * length:
            return np.asarray(file.read(dtype="float64", always_2d=True))
        parts = []
        for start in np.linspace(0, like.frames - length, pieces).astype(int):
            file.seek(int(start))
            parts.append(file.read(length, dtype="float64", always_2d=True))
    return np.concatenate(parts)


def _sound_bytes(path: Path) -> int:
    """The size of the file without an ID3 tag at its start, which may hold a large picture."""
    with path.open("rb") as file:
        head = file.read(10)
    tag = 0
    if head[:3] == b"ID3":
        # Four bytes of seven bits each.
        tag = 10 + sum((byte & 0x7F) << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=False))
    return max(0, path.stat().st_size - tag)
