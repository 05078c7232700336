"""What of a recording is measured: all of a short one, four excerpts of a long one; mono, 16 kHz, constant memory."""

from __future__ import annotations

import numpy as np
import torch

from voxveil.audio.files import Recording, blocks
from voxveil.audio.resample import Samples, resample
from voxveil.audio.voice_activity import LEAST_SPEECH_S, speech_seconds
from voxveil.errors import BadInputError

RATE = 16_000
WHOLE_S = 16.0
EXCERPT_S = 8.0
EXCERPTS = 4
_BLOCK_FRAMES = 1 << 18
_CANCELLED = 0.1


def spans(frames: int, sample_rate: int) -> list[tuple[int, int]]:
    """First and last (exclusive) frame of every excerpt, spread evenly.

    >>> spans(160_000, 16_000)
    [(0, 160000)]
    >>> spans(1_600_000, 16_000)[1]
    (490667, 618667)
    """
    if frames <= WHOLE_S * sample_rate:
        return [(0, frames)]
    length = round(EXCERPT_S * sample_rate)
    starts = np.linspace(0, frames - length, EXCERPTS).round().astype(int)
    return [(int(start), int(start) + length) for start in starts]


def read_excerpts(recording: Recording, wanted: list[tuple[int, int]]) -> list[Samples]:
    """The mono mix of every span, each [time] at 16 kHz; one channel where the channels cancel (one of them inverted).

    Raises :class:`~voxveil.errors.BadInputError` for a recording that ends before the spans do.

    >>> import tempfile, pathlib, soundfile
    >>> from voxveil.audio.files import probe
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "a.wav")
    ...     soundfile.write(path, np.zeros((8000, 2)), 8000)
    ...     [clip.shape for clip in read_excerpts(probe(path), [(0, 8000)])]
    [(16000,)]
    """
    pieces: list[list[Samples]] = [[] for _ in wanted]
    position = 0
    for block in blocks(recording, _BLOCK_FRAMES):
        for piece, (start, stop) in zip(pieces, wanted, strict=True):
            part = block[:, max(0, start - position) : max(0, stop - position)]
            if part.shape[1]:
                piece.append(part)
        position += block.shape[1]
    if any(not piece for piece in pieces):
        raise BadInputError(f"{recording.path} is shorter than the recording it is compared with.")
    return [resample(mono(np.concatenate(p, axis=1)), recording.sample_rate, RATE)[0] for p in pieces]


def spoken(clip: Samples) -> bool:
    """Whether somebody speaks in a clip [time] at 16 kHz.

    >>> spoken(np.zeros(16_000))
    False
    """
    return float(speech_seconds(torch.as_tensor(clip, dtype=torch.float32)[None], RATE)[0]) >= LEAST_SPEECH_S


def mono(sound: Samples) -> Samples:
    """The mean of all channels of ``sound`` [channel, time], as [1, time]; the first loud one where they cancel.

    >>> mono(np.array([[0.2, 0.4], [0.4, 0.2]])).round(3).tolist(), mono(np.array([[0.2, 0.4], [-0.2, -0.4]])).tolist()
    ([[0.3, 0.3]], [[0.2, 0.4]])
    """
    mix = sound.mean(0, keepdims=True)
    levels = np.sqrt(np.square(sound).mean(1))
    if np.sqrt(np.square(mix).mean()) >= _CANCELLED * levels.max():
        return mix
    # The first of the loud ones, not the loudest: a recording and its protected version have to choose the same.
    first = int(np.argmax(levels > 0.5 * levels.max()))
    return sound[first : first + 1]
