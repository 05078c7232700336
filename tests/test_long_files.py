"""Windows put together again are the stream; a long file does not know in which blocks it was read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest
import scipy.signal
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from voxveil.audio.resample import resample
from voxveil.protectors.long_files import (
    LONGEST_WINDOW_S,
    OVERLAP_S,
    WINDOWS_AT_ONCE,
    LongFile,
    OverlapAdd,
    Windows,
    window_length,
)


def cut(sound: np.ndarray, sizes: list[int]) -> Iterator[np.ndarray]:
    start = turn = 0
    while start < sound.shape[1]:
        size = sizes[turn % len(sizes)]
        yield sound[:, start : start + size]
        start, turn = start + size, turn + 1


@given(
    total=st.integers(1, 500),
    length=st.integers(1, 80),
    overlap_share=st.floats(0.0, 0.6),
    sizes=st.lists(st.integers(1, 120), min_size=1, max_size=4),
)
@settings(max_examples=150)
def test_windows_and_overlap_add_are_the_identity(
    total: int, length: int, overlap_share: float, sizes: list[int]
) -> None:
    overlap = int(overlap_share * length)
    sound = np.random.default_rng(total).standard_normal((2, total))
    windows, added = Windows(length, overlap), OverlapAdd(2, overlap)
    cuts: list[tuple[int, np.ndarray]] = []
    for block in cut(sound, sizes):
        cuts += windows.feed(block)
    cuts += windows.flush()
    assert all(window.shape[1] == min(length, total) for _, window in cuts)
    assert [start for start, _ in cuts] == sorted({start for start, _ in cuts})
    out = []
    for start, window in cuts:
        assert np.array_equal(window, sound[:, start : start + window.shape[1]])
        out.append(added.take(start))
        added.put(start, window)
    out.append(added.take(total))
    assert np.allclose(np.concatenate(out, axis=1), sound, atol=1e-12)


@given(total=st.integers(1, 100_000), longest=st.integers(20, 2000), overlap=st.integers(0, 19))
def test_equal_windows_cover_the_whole(total: int, longest: int, overlap: int) -> None:
    length = window_length(total, longest, overlap)
    assert 1 <= length <= longest
    if total > longest:
        count = int(np.ceil((total - overlap) / (longest - overlap)))
        assert count * length - (count - 1) * overlap >= total, "as few windows as there must be, and they reach"


@dataclass
class Louder:
    """Half as loud again: linear, so that the whole can be computed at once."""

    sample_rate: int = 16_000
    gain: float = 1.5
    largest: list[tuple[int, ...]] = field(default_factory=list)
    seeds: list[int] = field(default_factory=list)

    def __call__(self, speech: Tensor, seed: int, progress: object = None) -> Tensor:
        self.largest.append(tuple(speech.shape))
        self.seeds.append(seed)
        if callable(progress):
            progress(1.0)
        return speech * self.gain


def chatter(seconds: float, rate: int, channels: int = 1) -> np.ndarray:
    """Syllables of noise without a pause long enough to be silence, in [−1, 1]."""
    time_s = np.arange(round(seconds * rate)) / rate
    noise = np.random.default_rng(7).standard_normal((channels, len(time_s)))
    return 0.05 * noise * (0.6 + 0.4 * np.sin(2.0 * np.pi * 4.0 * time_s))


def carried(sound: np.ndarray, rate: int, sizes: list[int], frames: int | None = None, **job: object) -> np.ndarray:
    protector = job.pop("protector", None) or Louder()
    file = LongFile(protector, rate, sound.shape[0], sound.shape[1] if frames is None else frames, seed=0, **job)
    return np.concatenate(list(file(cut(sound, sizes))), axis=1)


@pytest.mark.parametrize("rate", [8000, 16_000, 44_100, 48_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_linear_protector_gives_what_the_whole_gives(rate: int, channels: int) -> None:
    sound = chatter(12.0, rate, channels)
    difference = resample(0.5 * resample(sound, rate, 16_000), 16_000, rate)
    length = min(difference.shape[1], sound.shape[1])
    wanted = sound[:, :length] + difference[:, :length]
    out = carried(sound, rate, [rate])
    assert out.shape == sound.shape
    assert np.allclose(out[:, :length], wanted, atol=1e-5)


@given(sizes=st.lists(st.integers(500, 200_000), min_size=1, max_size=4), rate=st.sampled_from([16_000, 22_050]))
@settings(max_examples=8)
def test_blocking_does_not_matter(sizes: list[int], rate: int) -> None:
    sound = chatter(25.0, rate)
    assert np.allclose(carried(sound, rate, sizes), carried(sound, rate, [sound.shape[1]]), atol=1e-9)


@pytest.mark.parametrize(
    "windows", [1, 2, WINDOWS_AT_ONCE - 1, WINDOWS_AT_ONCE, WINDOWS_AT_ONCE + 1, 2 * WINDOWS_AT_ONCE]
)
@pytest.mark.parametrize("spare", [0, -1])
def test_every_number_of_windows_is_protected_to_the_end(windows: int, spare: int) -> None:
    """At the protector's own rate, with windows that fit to the sample: nothing is left over for the flush."""
    rate = 800
    length, overlap = round(LONGEST_WINDOW_S * rate), round(OVERLAP_S * rate)
    sound = chatter((windows * length - (windows - 1) * overlap + spare) / rate, rate)
    out = carried(sound, rate, [rate], protector=Louder(rate))
    assert np.allclose(out, 1.5 * sound, atol=1e-6)


@pytest.mark.parametrize("share", [0.1, 0.9, 0.999, 1.001, 1.2, 2.0])
def test_an_estimate_of_the_length_will_do(share: float) -> None:
    sound = chatter(33.0, 16_000)
    out = carried(sound, 16_000, [40_000], frames=round(share * sound.shape[1]))
    assert np.allclose(out, 1.5 * sound, atol=1e-6)


def test_what_lies_above_the_protectors_band_stays() -> None:
    rate = 48_000
    sound = chatter(6.0, rate)
    change = carried(sound, rate, [rate]) - sound
    high_pass = scipy.signal.firwin(1023, 8100.0, fs=rate, pass_zero=False, window=("kaiser", 9.0))
    above, before = (scipy.signal.oaconvolve(s, high_pass[None], axes=1)[:, rate:-rate] for s in (change, sound))
    assert np.sqrt(np.square(above).mean()) < 1e-4 * np.sqrt(np.square(before).mean())
    assert np.abs(change).max() > 0.01


def test_silent_windows_are_not_touched() -> None:
    """Speech, faint hiss, speech: farther from the speech than a window is long, every sample is the same."""
    told: list[bool] = []
    speech, rate, window = chatter(9.0, 16_000), 16_000, round(LONGEST_WINDOW_S * 16_000)
    hiss = 1e-5 * np.random.default_rng(0).standard_normal((1, 2 * window + 5 * rate))
    sound = np.concatenate([speech, hiss, speech], axis=1)
    out = carried(sound, rate, [rate], on_silence=lambda: told.append(True))
    middle = slice(9 * rate + window, 14 * rate + window)
    assert np.array_equal(out[:, middle], sound[:, middle])
    assert np.allclose(out[:, : 9 * rate], 1.5 * speech, atol=1e-6)
    assert np.allclose(out[:, -9 * rate :], 1.5 * speech, atol=1e-6)
    assert told == []


def test_silence_is_reported_and_returned() -> None:
    told: list[bool] = []
    sound = np.zeros((2, 50_000))
    out = carried(sound, 44_100, [9000], on_silence=lambda: told.append(True))
    assert np.array_equal(out, sound)
    assert told == [True]


def test_speech_beside_a_louder_click_is_protected() -> None:
    """One channel clicks, the other talks."""
    sound = np.concatenate([np.zeros((1, 60_000)), chatter(60_000 / 16_000, 16_000)])
    sound[0, 1000:1800] = 0.9
    assert np.allclose(carried(sound, 16_000, [16_000]), 1.5 * sound, atol=1e-6)


def test_what_is_held_is_bounded() -> None:
    """Ten minutes: the output follows the input within a batch of windows, and no batch is larger than promised."""
    rate = 800
    protector = Louder(rate)
    file = LongFile(protector, rate, 1, 600 * rate, seed=0)
    fed = taken = most = 0

    def blocks() -> Iterator[np.ndarray]:
        nonlocal fed
        for block in cut(chatter(600.0, rate), [rate]):
            fed += block.shape[1]
            yield block

    for out in file(blocks()):
        taken += out.shape[1]
        most = max(most, fed - taken)
    assert taken == fed == 600 * rate
    assert most <= (WINDOWS_AT_ONCE + 2) * LONGEST_WINDOW_S * rate
    for clips, channels, length in protector.largest:
        assert clips <= WINDOWS_AT_ONCE
        assert channels == 1
        assert length <= LONGEST_WINDOW_S * rate


def test_every_batch_has_its_own_seed() -> None:
    protector = Louder(800)
    carried(chatter(300.0, 800), 800, [800], protector=protector)
    assert len(set(protector.seeds)) == len(protector.seeds) > 2


def test_progress_rises_to_one() -> None:
    told: list[float] = []
    sound = chatter(300.0, 800)
    file = LongFile(Louder(800), 800, 1, sound.shape[1], seed=0)
    for _ in file(cut(sound, [800]), progress=told.append):
        pass
    assert told == sorted(told)
    assert told[-1] == pytest.approx(1.0)
