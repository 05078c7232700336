"""Blocks give what the whole gives; tones in the band stay, tones above it go, and nothing moves in time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxveil.audio.resample import StreamResampler, resample

RATES = [8000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 88_200, 96_000]


def fed(sound: np.ndarray, rate_in: int, rate_out: int, sizes: list[int]) -> np.ndarray:
    """Cut into blocks of ``sizes``, over and over."""
    out, start, turn = [], 0, 0
    with StreamResampler(rate_in, rate_out, sound.shape[0]) as stream:
        while start < sound.shape[1]:
            size = sizes[turn % len(sizes)]
            out.append(stream.feed(sound[:, start : start + size]))
            start, turn = start + size, turn + 1
        out.append(stream.flush())
    return np.concatenate(out, axis=1)


def sine(frequency_hz: float, rate: int, seconds: float = 0.5) -> np.ndarray:
    return np.sin(2.0 * np.pi * frequency_hz * np.arange(round(seconds * rate)) / rate)[None]


def inner(sound: np.ndarray) -> np.ndarray:
    """Without the tenth at either end, where the filter sees the silence outside."""
    edge = sound.shape[1] // 10
    return sound[:, edge:-edge]


@given(
    sizes=st.lists(st.integers(1, 3000), min_size=1, max_size=5),
    length=st.integers(1, 12_000),
    rates=st.sampled_from([(48_000, 16_000), (44_100, 16_000), (16_000, 44_100), (8000, 16_000), (16_000, 16_000)]),
)
def test_stream_equals_offline(sizes: list[int], length: int, rates: tuple[int, int]) -> None:
    sizes = [max(size, length // 200 + 1) for size in sizes]
    sound = np.random.default_rng(length).standard_normal((2, length))
    wanted = resample(sound, *rates)
    got = fed(sound, *rates, sizes)
    assert got.shape == wanted.shape
    assert np.allclose(got, wanted, atol=1e-9)


def test_single_samples_equal_offline() -> None:
    sound = np.random.default_rng(0).standard_normal((1, 1500))
    assert np.allclose(fed(sound, 44_100, 16_000, [1]), resample(sound, 44_100, 16_000), atol=1e-9)


@pytest.mark.parametrize("rate_in", RATES)
@pytest.mark.parametrize("rate_out", RATES)
def test_lengths(rate_in: int, rate_out: int) -> None:
    for length in (1, 1000, 4801):
        out = resample(np.zeros((1, length)), rate_in, rate_out)
        assert abs(out.shape[1] - length * rate_out / rate_in) <= 1.0
        assert fed(np.zeros((1, length)), rate_in, rate_out, [700]).shape == out.shape


@pytest.mark.parametrize("rate_in", [r for r in RATES if r != 16_000])
def test_tones_in_the_band_stay_as_they_are(rate_in: int) -> None:
    """The same sine, sampled at the other rate: neither weaker, nor louder, nor later."""
    limit_hz = 0.45 * min(rate_in, 16_000)
    for frequency_hz in (100.0, 1000.0, limit_hz):
        out = resample(sine(frequency_hz, rate_in), rate_in, 16_000)
        wanted = sine(frequency_hz, 16_000)
        length = min(out.shape[1], wanted.shape[1])
        assert np.abs(inner(out[:, :length]) - inner(wanted[:, :length])).max() < 1e-3


@pytest.mark.parametrize("rate_in", [22_050, 32_000, 44_100, 48_000, 96_000])
@pytest.mark.parametrize("share", [1.01, 1.2])
def test_tones_above_the_band_go(rate_in: int, share: float) -> None:
    assert np.abs(inner(resample(sine(share * 8000.0, rate_in), rate_in, 16_000))).max() < 1e-4


@pytest.mark.parametrize("rate_in", [8000, 44_100, 48_000])
def test_nothing_shifts(rate_in: int) -> None:
    """There and back: the cross-correlation with the original peaks at zero."""
    low = resample(resample(np.random.default_rng(3).standard_normal((1, 8000)), 8000, rate_in), rate_in, 16_000)
    there = resample(low, 16_000, rate_in)
    back = resample(there, rate_in, 16_000)[:, : low.shape[1]]
    lags = range(-5, 6)
    likeness = [float((np.roll(back, lag, axis=1) * low[:, : back.shape[1]]).sum()) for lag in lags]
    assert lags[int(np.argmax(likeness))] == 0
    assert np.abs(inner(back) - inner(low[:, : back.shape[1]])).std() < 0.2 * low.std()


def test_channels_do_not_mix() -> None:
    sound = np.concatenate([sine(500.0, 44_100), np.zeros((1, 22_050))])
    out = resample(sound, 44_100, 16_000)
    assert np.array_equal(out[1], np.zeros(out.shape[1]))
    assert np.allclose(out[:1], resample(sound[:1], 44_100, 16_000), atol=1e-12)


def test_it_is_linear() -> None:
    """To the 20 bits that SoX's high quality computes with."""
    one, other = np.random.default_rng(5).standard_normal((2, 1, 3000))
    together = resample(2.0 * one - 3.0 * other, 48_000, 16_000)
    apart = 2.0 * resample(one, 48_000, 16_000) - 3.0 * resample(other, 48_000, 16_000)
    assert np.abs(together - apart).max() < 2.0**-20 * np.abs(together).max()
