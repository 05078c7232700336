"""A protector on recordings of any length, rate and channel count, in constant memory.

The recording is read in blocks, converted to the protector's rate, cut into overlapping windows and protected several
windows at a time. Only the *difference* goes back: cross-faded between windows, converted to the recording's rate and
added to its samples. So whatever lies above the protector's band stays as it was, and where nobody speaks nothing
changes at all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch

from voxveil.audio.resample import Samples, StreamResampler
from voxveil.audio.voice_activity import LEAST_SPEECH_S, speech_seconds
from voxveil.roles import Progress, Protector

LONGEST_WINDOW_S = 20.0
OVERLAP_S = 0.5
WINDOWS_AT_ONCE = 4


def window_length(total: int, longest: int, overlap: int) -> int:
    """The length that cuts ``total`` samples into equal windows, none longer than ``longest``, with ``overlap``.

    >>> window_length(13, longest=10, overlap=1), window_length(7, longest=10, overlap=1)
    (7, 7)
    """
    if total <= longest:
        return max(total, 1)
    count = math.ceil((total - overlap) / (longest - overlap))
    return math.ceil((total + (count - 1) * overlap) / count)


@dataclass
class Windows:
    """Cuts a stream [channel, time] into windows of ``length`` every ``length − overlap`` samples.

    The last window reaches back so that it is as long as the others; a shorter stream gives one short window.

    >>> windows = Windows(length=4, overlap=1)
    >>> [start for start, _ in windows.feed(np.zeros((1, 9)))] + [start for start, _ in windows.flush()]
    [0, 3, 5]
    """

    length: int
    overlap: int
    _held: Samples | None = None
    _start: int = 0
    _next: int = 0

    def feed(self, block: Samples) -> list[tuple[int, Samples]]:
        """The (start, window) pairs that ``block`` completes."""
        self._held = block if self._held is None else np.concatenate([self._held, block], axis=1)
        ready = []
        while self._next + self.length <= self.end:
            ready.append((self._next, self._held[:, self._next - self._start :][:, : self.length]))
            self._next += self.length - self.overlap
        # The last window may reach back by a whole length: keep that much.
        keep_from = max(self._start, self.end - self.length)
        self._held = self._held[:, keep_from - self._start :]
        self._start = keep_from
        return ready

    def flush(self) -> list[tuple[int, Samples]]:
        """The last window, if samples are left that no window holds."""
        covered = self._next + self.overlap if self._next else 0
        if self._held is None or self.end <= covered:
            return []
        start = max(0, self.end - self.length)
        return [(start, self._held[:, start - self._start :])]

    @property
    def end(self) -> int:
        """How many samples have been fed."""
        return self._start + (0 if self._held is None else self._held.shape[1])


@dataclass
class OverlapAdd:
    """Puts windows together again, fading linearly over ``overlap`` samples at their edges.

    >>> add = OverlapAdd(channels=1, overlap=2)
    >>> add.put(0, np.ones((1, 6))); add.put(4, np.ones((1, 6)))
    >>> add.take(10).round(6).tolist()
    [[1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]]
    """

    channels: int
    overlap: int
    _start: int = 0
    _sum: Samples = field(default_factory=lambda: np.zeros((0, 0)))
    _weight: Samples = field(default_factory=lambda: np.zeros((1, 0)))

    def __post_init__(self) -> None:
        self._sum = np.zeros((self.channels, 0))

    def put(self, start: int, window: Samples) -> None:
        """Adds a window that begins at sample ``start`` of the stream."""
        length = window.shape[1]
        ramp = np.minimum(np.arange(1, length + 1), np.arange(length, 0, -1)) / (self.overlap + 1)
        weight = np.minimum(ramp, 1.0)[None]
        missing = start + length - self._start - self._sum.shape[1]
        if missing > 0:
            self._sum = np.pad(self._sum, ((0, 0), (0, missing)))
            self._weight = np.pad(self._weight, ((0, 0), (0, missing)))
        span = slice(start - self._start, start - self._start + length)
        self._sum[:, span] += window * weight
        self._weight[:, span] += weight

    def take(self, until: int) -> Samples:
        """What is finished: the stream from where the last ``take`` ended up to sample ``until``."""
        count = until - self._start
        done = self._sum[:, :count] / np.maximum(self._weight[:, :count], 1e-12)
        self._sum, self._weight = self._sum[:, count:], self._weight[:, count:]
        self._start = until
        return done


@dataclass(frozen=True)
class LongFile:
    """Carries ``protector`` over a recording of ``frames`` frames (an estimate will do) at ``sample_rate`` Hz.

    >>> class Louder:
    ...     sample_rate = 16_000
    ...     def __call__(self, speech, seed, progress=None):
    ...         return speech * 1.5
    >>> tone = 0.1 * np.sin(np.arange(44_100) * 0.05)[None]
    >>> carried = LongFile(Louder(), 44_100, channels=1, frames=44_100, seed=0)
    >>> out = np.concatenate(list(carried([tone])), axis=1)
    >>> out.shape, round(float(out[0, 22_000] / tone[0, 22_000]), 2)
    ((1, 44100), 1.5)
    """

    protector: Protector
    sample_rate: int
    channels: int
    frames: int
    seed: int
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    on_silence: Callable[[], None] | None = None

    def __call__(self, blocks: Iterable[Samples], progress: Progress | None = None) -> Iterator[Samples]:
        """The protected recording, block by block; ``on_silence`` is called if nobody spoke anywhere."""
        rate = self.protector.sample_rate
        overlap = round(OVERLAP_S * rate)
        total = math.ceil(self.frames * rate / self.sample_rate)
        length = window_length(total, round(LONGEST_WINDOW_S * rate), overlap)
        windows, added = Windows(length, min(overlap, length - 1)), OverlapAdd(self.channels, overlap)
        down = StreamResampler(self.sample_rate, rate, self.channels)
        back = StreamResampler(rate, self.sample_rate, self.channels)
        original = np.zeros((self.channels, 0))
        batches = _Batches(self, progress, max(1, math.ceil((total - overlap) / max(1, length - overlap))))
        for block in blocks:
            original = np.concatenate([original, block], axis=1)
            done = batches.run(windows.feed(down.feed(block)), added)
            difference = back.feed(added.take(done)) if done is not None else np.zeros((self.channels, 0))
            yield _sum(original, difference)
            original = original[:, difference.shape[1] :]
        batches.run(windows.feed(down.flush()) + windows.flush(), added, last=True)
        difference = np.concatenate([back.feed(added.take(windows.end)), back.flush()], axis=1)
        yield _sum(original, _fit(difference, original.shape[1]))
        if not batches.heard and self.on_silence is not None:
            self.on_silence()


class _Batches:
    """Collects windows, protects ``WINDOWS_AT_ONCE`` together, and knows up to where the difference is final."""

    def __init__(self, job: LongFile, progress: Progress | None, expected: int) -> None:
        self.job = job
        self.waiting: list[tuple[int, Samples]] = []
        self.progress = progress
        self.expected = expected
        self.finished = 0
        self.heard = False

    def run(self, ready: list[tuple[int, Samples]], added: OverlapAdd, last: bool = False) -> int | None:
        """Protects full batches (all that wait, if ``last``); returns the sample up to which they are final."""
        self.waiting += ready
        final = None
        while len(self.waiting) >= WINDOWS_AT_ONCE or (last and self.waiting):
            batch, self.waiting = self.waiting[:WINDOWS_AT_ONCE], self.waiting[WINDOWS_AT_ONCE:]
            # Only the last window of a stream can differ in length.
            for (start, _), difference in zip(batch, self._difference(batch), strict=True):
                added.put(start, difference)
            # No later window reaches back further than this one begins.
            final = batch[-1][0]
            self.finished += len(batch)
        return final

    def _difference(self, batch: list[tuple[int, Samples]]) -> Samples:
        speech = torch.as_tensor(np.stack([w for _, w in batch]), dtype=torch.float32)
        # Not only of the loudest channel: a click in one is louder than speech in another.
        heard_s = speech_seconds(speech.flatten(0, 1), self.job.protector.sample_rate).view(speech.shape[:2])
        spoken = (heard_s >= LEAST_SPEECH_S).any(1)
        difference = torch.zeros_like(speech)
        if bool(spoken.any()):
            self.heard = True
            clean = speech[spoken].to(self.job.device)
            protected = self.job.protector(clean, self.job.seed + self.finished, progress=self._report)
            difference[spoken] = (protected - clean).cpu()
        self._report(1.0)
        return difference.double().numpy()

    def _report(self, share: float) -> None:
        if self.progress is not None:
            done = self.finished + share * min(WINDOWS_AT_ONCE, max(1, self.expected - self.finished))
            self.progress(min(1.0, done / self.expected))


def _sum(original: Samples, difference: Samples) -> Samples:
    return original[:, : difference.shape[1]] + difference


def _fit(sound: Samples, length: int) -> Samples:
    if sound.shape[1] >= length:
        return sound[:, :length]
    return np.pad(sound, ((0, 0), (0, length - sound.shape[1])))
