"""How a file stores its sound, and the files that only ffmpeg opens (video, AAC, …), through PyAV.

Protecting a video means: decode its one audio stream, encode the changed sound with the same codec, rate,
layout and bit rate, and copy every packet of picture and subtitles as it is. PyAV is the optional extra
``media`` and is imported when a file needs it.

Limits: streams of data (camera telemetry, time codes) are dropped; HE-AAC comes back as AAC-LC at the same
bit rate; WMA, MPEG program streams and codecs without an encoder in ffmpeg are read but not written; a
Matroska file that is cut off is not noticed, since it does not say how long it is.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from io import BufferedIOBase
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from voxveil.audio.resample import Samples
from voxveil.errors import BadInputError, BadOutputError, MissingExtraError

# Which ffmpeg muxer writes a file of this suffix. For .m4a it is not "ipod", which takes no cover picture.
_MUXERS = {
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

# ffmpeg has no encoder of its own for these codecs, or an experimental one.
_ENCODERS = {"opus": "libopus", "vorbis": "libvorbis", "mp3": "libmp3lame"}

_MP4_FAMILY = {"mp4", "mov", "3gp"}
_MATROSKA_FAMILY = {"matroska", "webm"}

_SYNC_TOLERANCE_S = 0.05
_LONGEST_GAP_S = 60.0


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


def left_justified(block: Samples, bits: int) -> NDArray[np.int32]:
    """``block`` rounded to ``bits`` bits and limited to [−1, 1), as int32 with the unused low bits zero.

    >>> left_justified(np.array([[0.5, 2.0]]), 16).tolist()
    [[1073741824, 2147418112]]
    """
    top = 2 ** (bits - 1)
    integers = np.clip(np.rint(block * float(top)), -top, top - 1).astype(np.int64)
    return (integers << (32 - bits)).astype(np.int32)


def probe(path: Path) -> Recording:
    """What ffmpeg finds in the file; raises BadInputError when that is no audio.

    >>> probe(Path("missing.m4a"))
    Traceback (most recent call last):
    voxveil.errors.BadInputError: missing.m4a cannot be read as audio: no such file or directory.
    """
    with _opened(path) as (container, stream):
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
    with _opened(recording.path) as (container, stream):
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
def writing(file: BufferedIOBase, path: Path, like: Recording) -> Iterator[Writer]:
    """A writer of a copy of ``like`` with other sound into the open ``file``, which is to become ``path``.

    Raises BadInputError when ``like`` has a second audio stream (in which the same voice would stay
    unprotected), BadOutputError when ffmpeg has no muxer or encoder for it, or the place takes no more.

    >>> import io
    >>> like = Recording(Path("missing.xyz"), 48_000, 1, 0, "mov", "aac", {}, "av")
    >>> with writing(io.BytesIO(), Path("out.xyz"), like) as writer:
    ...     pass
    Traceback (most recent call last):
    voxveil.errors.BadOutputError: out.xyz cannot be written: no container is known for the suffix '.xyz'.
    """
    suffix = path.suffix.lower()
    if suffix not in _MUXERS:
        raise BadOutputError(f"{path} cannot be written: no container is known for the suffix '{suffix}'.")
    with _opened(like.path) as (container, _):
        if len(container.streams.audio) > 1:
            raise BadInputError(
                f"{like.path} has {len(container.streams.audio)} audio streams of which only one would be "
                "protected: keep one of them first."
            )
    av = _av(path)
    with ExitStack() as opened:
        with _failing_as(path, av):
            original = opened.enter_context(like.path.open("rb"))
            source = opened.enter_context(av.open(original, **_reading_options()))
            sink = av.open(file, "w", format=_MUXERS[suffix])
        try:
            with _failing_as(path, av):
                muxer = _Muxer(path, like, source, sink)
            yield muxer
            muxer.finish()
        finally:
            # Closed already when all went well; after a failure its errors say nothing new.
            with suppress(av.FFmpegError, OSError, ValueError):
                sink.close()


class _Muxer:
    """The new container: encoded sound, and the packets of all other streams in step with it."""

    def __init__(self, path: Path, like: Recording, source: Any, sink: Any) -> None:
        self._av, self._path, self._rate = _av(path), path, like.sample_rate
        self._source, self._sink = source, sink
        sound = source.streams.audio[0]
        self._encoder = sink.add_stream(
            _ENCODERS.get(like.subtype, like.subtype), rate=like.sample_rate, bit_rate=_bit_rate(like)
        )
        context = self._encoder.codec_context
        context.layout = sound.codec_context.layout
        context.format = _nearest_format(context.codec.audio_formats, sound.codec_context.format.name)
        self._bits = 32 if like.subtype.startswith("pcm_s32") else 24
        self._encoder.metadata.update(sound.metadata)
        sink.metadata.update(source.metadata)
        sink.set_chapters(source.chapters())
        self._copies = {}
        for stream in source.streams:
            if stream.type in ("video", "subtitle", "attachment"):
                copy = sink.add_stream_from_template(stream, opaque=True)
                copy.metadata.update(stream.metadata)
                copy.disposition = stream.disposition
                self._copies[stream.index] = copy
        self._packets = self._other_packets()
        self._waiting = next(self._packets, None)
        start_frame = _start_frame(like)
        self._keep_from, self._position = -math.inf, start_frame
        if not _states_priming(sink.format.name, start_frame):
            self._drop_priming(start_frame)

    def write(self, block: Samples) -> None:
        """Encode ``block`` [channel, time], and copy the other streams' packets up to the same moment."""
        with self._failing():
            frame = self._frame(block)
            frame.pts = self._position
            self._position += block.shape[1]
            self._mux_sound(self._encoder.encode(frame))
            self._copy_until(self._position / self._rate)

    def _drop_priming(self, start_frame: int) -> None:
        """Arrange that the first packet kept begins with the first sample.

        The encoder sets some frames of priming before the sound. Silence before it makes that a whole number
        of packets, and those are left out; the decoder then fades in within the first packet.
        """
        context = self._encoder.codec_context
        trial = self._av.CodecContext.create(context.codec.name, "w")
        trial.sample_rate, trial.layout = self._rate, context.layout
        trial.format, trial.bit_rate = context.format, context.bit_rate
        silence = self._frame(np.zeros((context.layout.nb_channels, self._rate)))
        silence.pts = 0
        first = (trial.encode(silence) + trial.encode(None))[0]
        priming = -round(first.pts * first.time_base * self._rate)
        if priming:
            lead = -priming % trial.frame_size
            self._keep_from, self._position = start_frame, start_frame - lead
            if lead:
                self.write(np.zeros((context.layout.nb_channels, lead)))

    def finish(self) -> None:
        """Write what the encoder still holds, the remaining packets and the container's index."""
        with self._failing():
            self._mux_sound(self._encoder.encode(None))
            self._copy_until(math.inf)
            self._sink.close()

    def _failing(self) -> AbstractContextManager[None]:
        return _failing_as(self._path, self._av)

    def _frame(self, block: Samples) -> Any:
        context = self._encoder.codec_context
        name = context.format.name
        values: NDArray[Any] = block
        match name.removesuffix("p"):
            case "s16":
                values = (left_justified(block, 16) >> 16).astype(np.int16)
            case "s32":
                values = left_justified(block, self._bits)
            case "u8":
                values = ((left_justified(block, 8) >> 24) + 128).astype(np.uint8)
            case "flt":
                values = block.astype(np.float32)
        planes = values if name.endswith("p") else values.T.reshape(1, -1)
        frame = self._av.AudioFrame.from_ndarray(np.ascontiguousarray(planes), name, context.layout.name)
        frame.sample_rate, frame.time_base = self._rate, Fraction(1, self._rate)
        return frame

    def _mux_sound(self, packets: list[Any]) -> None:
        for packet in packets:
            if round(packet.pts * packet.time_base * self._rate) >= self._keep_from:
                self._sink.mux(packet)

    def _other_packets(self) -> Iterator[Any]:
        streams = [self._source.streams[index] for index in self._copies]
        for packet in self._source.demux(*streams) if streams else ():
            # An empty packet is the end mark.
            if packet.size:
                yield packet

    def _copy_until(self, time_s: float) -> None:
        while (packet := self._waiting) is not None:
            # Matroska tells no decoding time for the first packets, and a cover picture has no time at all.
            moment = packet.pts if packet.dts is None else packet.dts
            if moment is not None and float(moment * packet.time_base) > time_s:
                return
            packet.stream = self._copies[packet.stream.index]
            self._sink.mux(packet)
            self._waiting = next(self._packets, None)


def _states_priming(muxer: str, start_frame: int) -> bool:
    """Whether the container says how much of the start is priming, and readers heed it."""
    return muxer in _MATROSKA_FAMILY or (muxer in _MP4_FAMILY and start_frame == 0)


def _av(path: Path) -> Any:
    try:
        return importlib.import_module("av")
    except ImportError:
        if path.suffix.lower() in {*_MUXERS, *_READ_ONLY}:
            raise MissingExtraError.naming("media", f"Reading {path.suffix}") from None
        raise BadInputError(f"{path} is not an audio file that libsndfile can read.") from None


def _reading_options() -> dict[str, Any]:
    return {"options": {"format_whitelist": _DEMUXERS}, "metadata_errors": "replace"}


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, Any]]:
    """The container and its first audio stream; whatever ffmpeg says against it becomes a BadInputError."""
    av = _av(path)
    try:
        # A Python file, not its name: ffmpeg reads names such as "http:a.mp4" as addresses.
        with path.open("rb") as file, av.open(file, **_reading_options()) as container:
            if not container.streams.audio:
                raise BadInputError(f"{path} has no audio stream.")
            if container.streams.audio[0].codec_context is None:
                raise BadInputError(f"{path} has an audio stream that ffmpeg cannot decode.")
            yield container, container.streams.audio[0]
    except (av.FFmpegError, OSError, ValueError) as error:
        raise BadInputError(f"{path} cannot be read as audio: {cause(error)}.") from error


@contextmanager
def _failing_as(path: Path, av: Any) -> Iterator[None]:
    try:
        yield
    except (av.FFmpegError, OSError, ValueError) as error:
        raise BadOutputError(f"{path} cannot be written: {cause(error)}.") from error


def cause(error: Exception) -> str:
    """What a system or library error says, as the end of a sentence.

    >>> cause(OSError(28, "No space left on device"))
    'no space left on device'
    """
    said = str(getattr(error, "strerror", None) or error).strip().rstrip(".")
    said = said.removeprefix("Error : ").removeprefix("System error : ").replace(". ", "; ").replace("\n", " ")
    return said[:1].lower() + said[1:]


def _decoded(container: Any, stream: Any, recording: Recording) -> Iterator[Samples]:
    rate = recording.sample_rate
    first, end = 0, None
    for frame in container.decode(stream):
        if frame.sample_rate != rate or frame.layout.nb_channels != recording.channels:
            raise BadInputError(f"{recording.path} changes its sample rate or channels on the way: split it there.")
        sound = _samples(frame)
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


def _samples(frame: Any) -> Samples:
    """The frame as float64 [channel, time]; full scale of the integer formats is 1."""
    values: NDArray[Any] = frame.to_ndarray()
    if not frame.format.is_planar:
        values = values.reshape(frame.samples, -1).T
    if values.dtype == np.uint8:
        return (values.astype(np.float64) - 128.0) / 128.0
    scale = 2.0 ** (8 * values.dtype.itemsize - 1) if values.dtype.kind == "i" else 1.0
    sound = values.astype(np.float64) / scale
    return np.ascontiguousarray(sound)


def _start_frame(recording: Recording) -> int:
    """When the first decoded frame sounds, in frames at the recording's rate."""
    with _opened(recording.path) as (container, stream):
        for frame in container.decode(stream):
            start: int = round((frame.pts or 0) * frame.time_base * recording.sample_rate)
            return start
    raise BadInputError(f"{recording.path} holds no sound.")


def _counted_s(container: Any, stream: Any) -> float:
    """The duration in seconds by the packets' clock, for files recorded without one (browsers do that)."""
    first, last = None, 0
    for packet in container.demux(stream):
        if packet.pts is not None:
            first = packet.pts if first is None else first
            last = max(last, packet.pts + (packet.duration or 0))
    return 0.0 if first is None else float((last - first) * stream.time_base)


def _bit_rate(recording: Recording) -> int:
    """Bits per second of the sound: what the header says, or counted; 0 where neither can tell."""
    size = ticks = 0
    with _opened(recording.path) as (container, stream):
        if stream.codec_context.bit_rate:
            return int(stream.codec_context.bit_rate)
        for packet in container.demux(stream):
            size, ticks = size + packet.size, ticks + (packet.duration or 0)
        return round(8 * size / float(ticks * stream.time_base)) if ticks else 0


def _nearest_format(offered: list[Any], wanted: str) -> str:
    """The encoder's sample format nearest to the decoder's: the same, the same interleaved, a float, any."""
    names = [form.name for form in offered]
    plain = wanted.removesuffix("p")
    for name in (wanted, plain, plain + "p", "fltp", "flt"):
        if name in names:
            return name
    return str(names[0])
