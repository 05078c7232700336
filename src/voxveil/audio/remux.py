"""A copy of a media file with other sound, through PyAV.

The changed sound is encoded with the codec, rate, layout and bit rate of the old file's one audio stream, and
every packet of picture and subtitles is copied as it is.

Limits: streams of data (camera telemetry, time codes) are dropped; HE-AAC comes back as AAC-LC at the same
bit rate; WMA, MPEG program streams and codecs without an encoder in ffmpeg are read but not written.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from fractions import Fraction
from io import BufferedIOBase
from pathlib import Path
from typing import Any

import numpy as np

from voxveil.audio.media import MUXERS, demuxer, opened, pyav
from voxveil.audio.recording import Recording, Writer, output_errors
from voxveil.audio.resample import Samples
from voxveil.audio.sample_formats import nearest_format, to_format
from voxveil.errors import BadInputError, BadOutputError

# ffmpeg has no encoder of its own for these codecs, or an experimental one.
_ENCODERS = {"opus": "libopus", "vorbis": "libvorbis", "mp3": "libmp3lame"}

_MP4_FAMILY = {"mp4", "mov", "3gp"}
_MATROSKA_FAMILY = {"matroska", "webm"}


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
    if suffix not in MUXERS:
        raise BadOutputError(f"{path} cannot be written: no container is known for the suffix '{suffix}'.")
    with opened(like.path) as (container, _):
        if len(container.streams.audio) > 1:
            raise BadInputError(
                f"{like.path} has {len(container.streams.audio)} audio streams of which only one would be "
                "protected: keep one of them first."
            )
    av = pyav(path)
    with ExitStack() as stack:
        with output_errors(path, av.FFmpegError, ValueError):
            original = stack.enter_context(like.path.open("rb"))
            source = stack.enter_context(demuxer(av, original))
            sink = av.open(file, "w", format=MUXERS[suffix])
        try:
            with output_errors(path, av.FFmpegError, ValueError):
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
        self._av, self._path, self._rate = pyav(path), path, like.sample_rate
        self._source, self._sink = source, sink
        sound = source.streams.audio[0]
        self._encoder = sink.add_stream(
            _ENCODERS.get(like.subtype, like.subtype), rate=like.sample_rate, bit_rate=_bit_rate(like)
        )
        context = self._encoder.codec_context
        context.layout = sound.codec_context.layout
        context.format = nearest_format(
            [offered.name for offered in context.codec.audio_formats], sound.codec_context.format.name
        )
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
        if not block.shape[1]:  # ffmpeg has no frames without samples
            return
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
        return output_errors(self._path, self._av.FFmpegError, ValueError)

    def _frame(self, block: Samples) -> Any:
        context = self._encoder.codec_context
        values = to_format(block, context.format.name, self._bits)
        frame = self._av.AudioFrame.from_ndarray(values, context.format.name, context.layout.name)
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


def _start_frame(recording: Recording) -> int:
    """When the first decoded frame sounds, in frames at the recording's rate."""
    with opened(recording.path) as (container, stream):
        for frame in container.decode(stream):
            start: int = round((frame.pts or 0) * frame.time_base * recording.sample_rate)
            return start
    raise BadInputError(f"{recording.path} holds no sound.")


def _bit_rate(recording: Recording) -> int:
    """Bits per second of the sound: what the header says, or counted; 0 where neither can tell."""
    size = ticks = 0
    with opened(recording.path) as (container, stream):
        if stream.codec_context.bit_rate:
            return int(stream.codec_context.bit_rate)
        for packet in container.demux(stream):
            size, ticks = size + packet.size, ticks + (packet.duration or 0)
        return round(8 * size / float(ticks * stream.time_base)) if ticks else 0
