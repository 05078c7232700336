"""Reading what libsndfile opens.

Integer formats are read as integers, and ``libsndfile_encoder.py`` writes them so: sound that nobody changed
comes back bit for bit. libsndfile's own float path would scale by 32,768 on the way in and by 32,767 on the
way out.

What libsndfile does not know is not carried over: cue points, broadcast chunks, embedded pictures, channel
masks. An Ogg file that is cut off is not noticed, since its length is read off its last page.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile as sf

from voxveil.audio.recording import Recording, cause
from voxveil.audio.resample import Samples
from voxveil.errors import BadInputError

# The subtypes that decode to floating point; all others are integers of some width.
FLOAT_SUBTYPES = {"FLOAT", "DOUBLE", "VORBIS", "OPUS", "MPEG_LAYER_I", "MPEG_LAYER_II", "MPEG_LAYER_III"}

_PIPE_BYTES = 0x7FFF_0000


def probe(path: Path) -> Recording:
    """What libsndfile finds in the file; raises its LibsndfileError when that is nothing it knows.

    >>> probe(Path("missing.wav"))
    Traceback (most recent call last):
    soundfile.LibsndfileError: Error opening 'missing.wav': System error.
    """
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


def blocks(recording: Recording, block_frames: int) -> Iterator[Samples]:
    """The sound in blocks [channel, ``block_frames``] (the last one is shorter).

    >>> next(blocks(Recording(Path("missing.wav"), 16_000, 1, 1, "WAV", "PCM_16", {}, "soundfile"), 64))
    Traceback (most recent call last):
    voxveil.errors.BadInputError: missing.wav is damaged or ends early: error opening 'missing.wav': System error.
    """
    path, done = recording.path, 0
    try:
        with sf.SoundFile(path) as file:
            while (block := next_block(file, block_frames)).shape[1]:
                if not np.isfinite(block).all():
                    raise BadInputError(f"{path} holds values that are not numbers (NaN or infinity).")
                done += block.shape[1]
                yield block
    except (sf.LibsndfileError, OSError) as error:
        raise BadInputError(f"{path} is damaged or ends early: {cause(error)}.") from error
    if done < recording.frames:
        raise BadInputError(f"{path} is truncated: its header promises {recording.frames} frames and {done} are there.")


def next_block(file: sf.SoundFile, block_frames: int) -> Samples:
    """The next ``block_frames`` frames, or the fewer that are left, as [channel, time].

    >>> import io
    >>> with sf.SoundFile(io.BytesIO(bytes(6)), "r", 16_000, 1, "PCM_16", format="RAW") as file:
    ...     next_block(file, 2).shape, next_block(file, 2).shape, next_block(file, 2).shape
    ((1, 2), (1, 1), (1, 0))
    """
    if file.subtype in FLOAT_SUBTYPES:
        return np.ascontiguousarray(file.read(block_frames, dtype="float64", always_2d=True).T)
    values = file.read(block_frames, dtype="int32", always_2d=True)
    return np.ascontiguousarray(values.T / 2.0**31)


def refuse_short_data(path: Path) -> None:
    """Hold a WAV or AIFF header's promise against the file's size: libsndfile shortens without a word.

    Raises BadInputError when the file holds fewer bytes of sound than it says.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "a.wav")
    ...     sf.write(path, np.zeros(100), 16_000)
    ...     _ = path.write_bytes(path.read_bytes()[:-8])
    ...     refuse_short_data(path)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    voxveil.errors.BadInputError: ... is truncated: its header promises 200 bytes of sound and 192 are there.
    """
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
