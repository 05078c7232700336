"""Sample-rate conversion of recordings, whole or in blocks, by the SoX resampler (linear phase, no delay).

What runs inside an optimisation and needs gradients is ``transforms/resample.py``.
"""

from __future__ import annotations

from types import TracebackType

import numpy as np
import soxr
from numpy.typing import NDArray

Samples = NDArray[np.float64]


def resample(sound: Samples, rate_in: int, rate_out: int) -> Samples:
    """``sound`` [channel, time] at ``rate_in`` Hz, converted to ``rate_out`` Hz.

    >>> resample(np.zeros((1, 44_100)), 44_100, 16_000).shape
    (1, 16000)
    """
    if rate_in == rate_out:
        return sound
    return np.ascontiguousarray(soxr.resample(sound.T, rate_in, rate_out, quality="HQ").T)


class StreamResampler:
    """The same conversion fed block by block; what comes out, put together, equals :func:`resample`.

    Output k belongs to input time k / rate_out: the filter's delay is taken out, so blocks come later but not
    shifted.

    >>> with StreamResampler(48_000, 16_000, channels=1) as stream:
    ...     out = np.concatenate([stream.feed(np.zeros((1, 30_000))), stream.flush()], axis=1)
    >>> out.shape
    (1, 10000)
    """

    def __init__(self, rate_in: int, rate_out: int, channels: int) -> None:
        self.channels = channels
        self._same = rate_in == rate_out
        self._stream = soxr.ResampleStream(rate_in, rate_out, channels, dtype="float64", quality="HQ")

    def feed(self, block: Samples) -> Samples:
        """The output that ``block`` [channel, time] makes ready (possibly none yet)."""
        return block if self._same else self._run(block, last=False)

    def flush(self) -> Samples:
        """The rest, after the last block."""
        empty = np.zeros((self.channels, 0))
        return empty if self._same else self._run(empty, last=True)

    def _run(self, block: Samples, last: bool) -> Samples:
        out = self._stream.resample_chunk(np.ascontiguousarray(block.T), last=last)
        return np.ascontiguousarray(out.reshape(-1, self.channels).T)

    def __enter__(self) -> StreamResampler:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.clear()
