"""Writing what libsndfile encodes, in another file's format; MP3, Vorbis and Opus at about its bit rate."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path

import numpy as np
import soundfile as sf

from voxveil.audio.libsndfile import FLOAT_SUBTYPES, next_block
from voxveil.audio.recording import Recording, Writer, output_errors
from voxveil.audio.resample import Samples
from voxveil.audio.sample_formats import left_justified
from voxveil.errors import BadOutputError

_BITRATE_SUBTYPES = {"VORBIS", "OPUS", "MPEG_LAYER_III"}
# The step of the integer subtypes in bits; the companded and ADPCM ones decode to 16.
_BITS = {"PCM_S8": 8, "PCM_U8": 8, "PCM_24": 24, "PCM_32": 32, "ALAC_20": 20, "ALAC_24": 24, "ALAC_32": 32}
_CHUNK_FRAMES = 65_536
# libsndfile's number for "see errno", which it does not pass on.
_SYSTEM_ERROR = 2


@contextmanager
def writing(part: Path, path: Path, like: Recording, at_its_bit_rate: bool = True) -> Iterator[Writer]:
    """A writer of a file in ``like``'s format at ``part``, which is to become ``path``.

    MP3, Vorbis and Opus are encoded ``at_its_bit_rate``, for which ``like`` has to exist, or else at libsndfile's.

    Raises BadOutputError when libsndfile has no encoder for it, or the place takes no more.

    >>> like = Recording(Path("a.wav"), 16_000, 1, 1, "WAV", "VORBIS", {}, "soundfile")
    >>> with writing(Path("b.part"), Path("b.wav"), like) as writer:
    ...     pass
    Traceback (most recent call last):
    voxveil.errors.BadOutputError: b.wav cannot be written: no encoder for WAV VORBIS.
    """
    writer = _Encoder(part, path, like, at_its_bit_rate)
    try:
        yield writer
        writer.finish()
    finally:
        writer.close()


class _Encoder:
    """The open file at ``part``; errors name it ``path``."""

    def __init__(self, part: Path, path: Path, like: Recording, at_its_bit_rate: bool) -> None:
        self._part, self._path, self._like, self._frames = part, path, like, 0
        if not sf.check_format(like.container, like.subtype, like.endian):
            raise BadOutputError(f"{path} cannot be written: no encoder for {like.container} {like.subtype}.")
        matching = at_its_bit_rate and like.subtype in _BITRATE_SUBTYPES
        with _failing(path):
            self._file = _new(part, like, _matching_level(like) if matching else None)
            for name, value in like.tags.items():
                if value:
                    setattr(self._file, name, value)

    def write(self, block: Samples) -> None:
        """Append ``block`` [channel, time]."""
        float_format = self._like.subtype in FLOAT_SUBTYPES
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
                while taken := next_block(written, _CHUNK_FRAMES).shape[1]:
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
    with output_errors(path, sf.SoundFileError):
        try:
            yield
        except (sf.LibsndfileError, AssertionError) as error:
            # soundfile asserts that libsndfile took every frame.
            if isinstance(error, AssertionError) or error.code == _SYSTEM_ERROR:
                raise OSError(f"the system takes no more data ({_free(path)})") from error
            raise


def _free(path: Path) -> str:
    return f"{shutil.disk_usage(path.parent).free} bytes are free there"


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
