"""A look-ahead limiter: peaks that outgrow full scale are turned down for some milliseconds, not cut off.

What protects a voice makes some of its moments louder. Where a recording already fills its format, those would be cut
off at full scale, which is heard (and costs 0.1 of PESQ on a recording that is normalised to its peak).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from jaxtyping import Float64
from scipy.ndimage import minimum_filter1d

from voxveil.audio.resample import Samples

REACH_S = 0.005


def limited(blocks: Iterable[Samples], sample_rate: int) -> Iterator[Samples]:
    """``blocks`` [channel, time] of a stream at ``sample_rate`` Hz, within −1 … 1; the channels keep their balance.

    What is further than 10 ms from every peak stays as it is, bit for bit. Blocks may change their length.

    >>> tone = 1.5 * np.sin(np.arange(4_000) * 0.05)[None]
    >>> one, two = np.concatenate(list(limited([tone, tone / 2], 16_000)), axis=1).reshape(2, 4_000)
    >>> round(float(one.max()), 2), bool(np.array_equal(two[400:], tone[0, 400:] / 2))
    (1.0, True)
    """
    reach = 2 * round(REACH_S * sample_rate)
    before = waiting = None
    for block in blocks:
        waiting = block if waiting is None else np.concatenate([waiting, block], axis=1)
        before = waiting[:, :0] if before is None else before
        ready = max(0, waiting.shape[1] - reach)
        around = np.concatenate([before, waiting], axis=1)
        yield _within(around, reach)[:, before.shape[1] : before.shape[1] + ready]
        before = around[:, : before.shape[1] + ready][:, -reach:]
        waiting = waiting[:, ready:]
    if waiting is not None and before is not None:
        yield _within(np.concatenate([before, waiting], axis=1), reach)[:, before.shape[1] :]


def _within(sound: Samples, reach: int) -> Samples:
    """``sound``, its gain g(t) = Σ_s w(s) · min 1 / max(1, |x(u)|) over |u − s − t| ≤ R: no more than x(t) bears."""
    peaks = np.abs(sound).max(axis=0, initial=0.0)
    if peaks.max(initial=0.0) <= 1.0:
        return sound
    return np.clip(sound * _gain(1.0 / np.maximum(peaks, 1.0), reach), -1.0, 1.0)


def _gain(borne: Float64[np.ndarray, " time"], reach: int) -> Float64[np.ndarray, " time"]:
    window = np.hanning(reach + 1)
    lowest = minimum_filter1d(np.pad(borne, reach, constant_values=1.0), reach + 1)
    smooth = np.convolve(lowest, window / window.sum(), "same")[reach:-reach]
    return np.where(minimum_filter1d(lowest, reach + 1)[reach:-reach] < 1.0, smooth, 1.0)
