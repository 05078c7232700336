"""Reading the files that only ffmpeg opens (video, AAC, …), through PyAV.

PyAV is the optional extra ``media`` and is imported when a file needs it. A Matroska file that is cut off is
not noticed, since it does not say how long it is.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from voxveil.audio.recording import Recording, cause
from voxveil.audio.resample import Samples
from voxveil.audio.sample_formats import from_format
from voxveil.errors import BadInputError, MissingExtraError

# Which ffmpeg muxer writes a file of this suffix. For .m4a it is not "ipod", which takes no cover picture.
MUXERS = {
    **dict.fromkeys([".mp4", ".m4v", ".m4a", ".m4b"], "mp4"),
    **dict.fromkeys([".mkv", ".mka"], "matroska"),
    **dict.fromkeys([".ts", ".mts", ".m2ts"], "mpegts"),
    **{".mov": "mov", ".webm": "webm", ".3gp": "3gp", ".aac": "adts", ".avi": "avi", ".flv": "flv"},
    **{".ogv": "ogv", ".ac3": "ac3", ".eac3": "eac3"},
}
# These can be read only.
_READ_ONLY = {".wma", ".wmv", ".asf", ".mpg", ".mpeg", ".amr", ".ape", ".tta", ".wv"}

# Demuxers that read one self-contained file. Playlists (HLS, concat, …) stay out: they would make ffmpeg open
# other files and addresses that the file names.
_DEMUXERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,asf,mpegts,mpeg,aac,avi,flv,ogg,amr,ac3,eac3,wav,w64,aiff,caf,ape,tta,wv"
)

_SYNC_TOLERANCE_S = 0.05
_LONGEST_GAP_S = 60.0


def probe(path: Path) -> Recording:
    """What ffmpeg finds in the file; raises BadInputError when that is no audio.

    >>> probe(Path("missing.m4a"))
    Traceback (most recent call last):
    voxveil.errors.BadInputError: missing.m4a cannot be read as audio: no such file or directory.
    """
    with opened(path) as (container, stream):
        rate, channels = stream.rate or 0, stream.codec_context.layout.nb_channels
        if stream.duration is not None:
            seconds = float(stream.duration * stream.time_base)
        else:
            seconds = _counted_s(container, stream)
        return Recording(
            path=path,
            sample_rate=rate,
            channels=channels,
            frames=round(seconds * rate),
            container=container.format.name,
            subtype=stream.codec_context.codec.canonical_name,
            tags=dict(container.metadata),
            backend="av",
        )


def blocks(recording: Recording, block_frames: int) -> Iterator[Samples]:
    """The first audio stream in blocks [channel, ``block_frames``] (the last one is shorter).

    Where the stream's clock jumps ahead, silence fills the gap, so that sound stays with picture.

    >>> next(blocks(Recording(Path("missing.m4a"), 48_000, 1, 0, "mov", "aac", {}, "av"), 1024))
    Traceback (most recent call last):
    voxveil.errors.BadInputError: missing.m4a cannot be read as audio: no such file or directory.
    """
    held: list[Samples] = []
    with opened(recording.path) as (container, stream):
        for sound in _decoded(container, stream, recording):
            held.append(sound)
            if sum(part.shape[1] for part in held) < block_frames:
                continue
            joined = np.concatenate(held, axis=1)
            whole = joined.shape[1] - joined.shape[1] % block_frames
            for start in range(0, whole, block_frames):
                yield joined[:, start : start + block_frames].copy()
            held = [joined[:, whole:]]
    rest = np.concatenate(held, axis=1) if held else np.zeros((recording.channels, 0))
    if rest.shape[1]:
        yield rest


@contextmanager
def opened(path: Path) -> Iterator[tuple[Any, Any]]:
    """The container and its first audio stream; whatever ffmpeg says against it becomes a BadInputError."""
    av = pyav(path)
    try:
        with path.open("rb") as file, demuxer(av, file) as container:
            if not container.streams.audio:
                raise BadInputError(f"{path} has no audio stream.")
            if container.streams.audio[0].codec_context is None:
                raise BadInputError(f"{path} has an audio stream that ffmpeg cannot decode.")
            yield container, container.streams.audio[0]
    except (av.FFmpegError, OSError, ValueError) as error:
        raise BadInputError(f"{path} cannot be read as audio: {cause(error)}.") from error


def demuxer(av: Any, file: BinaryIO) -> Any:
    """The container in an open file. Not by its name: ffmpeg reads names such as "http:a.mp4" as addresses."""
    return av.open(file, options={"format_whitelist": _DEMUXERS}, metadata_errors="replace")


def pyav(path: Path) -> Any:
    """The module ``av`` for work on ``path``; without it, MissingExtraError or, for no media file, BadInputError."""
    try:
        return importlib.import_module("av")
    except ImportError:
        if path.suffix.lower() in {*MUXERS, *_READ_ONLY}:
            raise MissingExtraError.naming("media", f"Reading {path.suffix}") from None
        raise BadInputError(f"{path} is not an audio file that libsndfile can read.") from None


def _decoded(container: Any, stream: Any, recording: Recording) -> Iterator[Samples]:
    rate = recording.sample_rate
    first, end = 0, None
    for frame in container.decode(stream):
        if frame.sample_rate != rate or frame.layout.nb_channels != recording.channels:
            raise BadInputError(f"{recording.path} changes its sample rate or channels on the way: split it there.")
        sound = from_format(frame.to_ndarray(), frame.format.name, recording.channels)
        if not np.isfinite(sound).all():
            raise BadInputError(f"{recording.path} holds values that are not numbers (NaN or infinity).")
        if frame.pts is not None:
            start = round(frame.pts * frame.time_base * rate)
            if end is None:
                first = end = start
            gap = start - end
            if gap > _LONGEST_GAP_S * rate:
                raise BadInputError(f"{recording.path} is damaged: its clock jumps ahead by {gap / rate:.0f} s.")
            if gap > _SYNC_TOLERANCE_S * rate:
                yield np.zeros((recording.channels, gap))
                end = start
        end = (end or 0) + sound.shape[1]
        yield sound
    if end is None or end == first:
        raise BadInputError(f"{recording.path} holds no sound.")
    # Only these containers state how long the stream is; the others estimate it from the file's size.
    promised = recording.frames if "mp4" in recording.container else 0
    if end - first < 0.99 * promised - 0.1 * rate:
        raise BadInputError(
            f"{recording.path} is truncated: its header promises {promised / rate:.1f} s of sound and "
            f"{(end - first) / rate:.1f} s are there."
        )


def _counted_s(container: Any, stream: Any) -> float:
    """The duration in seconds by the packets' clock, for files recorded without one (browsers do that)."""
    first, last = None, 0
    for packet in container.demux(stream):
        if packet.pts is not None:
            first = packet.pts if first is None else first
            last = max(last, packet.pts + (packet.duration or 0))
    return 0.0 if first is None else float((last - first) * stream.time_base)
