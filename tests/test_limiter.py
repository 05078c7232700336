"""The limiter: nothing beyond full scale, nothing changed that is far from a peak, however the stream is cut."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from voxveil import api
from voxveil.audio.limiter import REACH_S, limited

RATE = 16_000
REACH = 2 * round(REACH_S * RATE)
DATA = Path(__file__).parent / "data"


class Louder:
    """A protector that makes everything 1.5 times as loud."""

    sample_rate = RATE

    def __call__(self, speech: torch.Tensor, seed: int, progress: object = None) -> torch.Tensor:
        return 1.5 * speech


def whole(sound: np.ndarray, cuts: list[int]) -> np.ndarray:
    edges = [0, *sorted(min(c, sound.shape[1]) for c in cuts), sound.shape[1]]

    def blocks() -> Iterator[np.ndarray]:
        for first, last in pairwise(edges):
            yield sound[:, first:last]

    return np.concatenate(list(limited(blocks(), RATE)), axis=1)


def peaky(seed: int, peaks: int, channels: int = 2, length: int = 6_000) -> np.ndarray:
    draw = np.random.default_rng(seed)
    sound = 0.3 * draw.standard_normal((channels, length)).clip(-3.0, 3.0)
    sound[draw.integers(channels, size=peaks), draw.integers(length, size=peaks)] = draw.uniform(-4.0, 4.0, peaks)
    return sound


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), peaks=st.integers(0, 5), cuts=st.lists(st.integers(0, 6_000), max_size=5))
def test_bounds_places_and_cuts(seed: int, peaks: int, cuts: list[int]) -> None:
    sound = peaky(seed, peaks)
    out = whole(sound, cuts)
    assert out.shape == sound.shape and np.abs(out).max() <= 1.0
    np.testing.assert_allclose(out, whole(sound, []), rtol=0.0, atol=1e-12)
    near = np.zeros(sound.shape[1], bool)
    for place in np.flatnonzero(np.abs(sound).max(0) > 1.0):
        near[max(0, place - REACH) : place + REACH + 1] = True
    assert np.array_equal(out[:, ~near], sound[:, ~near])


def test_the_gain_is_the_same_for_all_channels_never_jumps_and_is_needed() -> None:
    sound = 0.5 * np.ones((2, 4_000))
    sound[1] *= 0.5
    sound[0, 2_000] = 2.0
    out = whole(sound, [])
    gain = out / sound
    np.testing.assert_allclose(gain[0], gain[1], atol=1e-12)
    assert gain[0, 2_000] == pytest.approx(0.5), "as much as the peak needs, and no more"
    assert np.abs(np.diff(gain[0])).max() < 0.5 * np.pi / REACH + 1e-3, "a raised cosine's slope"
    assert (gain > 0.0).all() and (gain <= 1.0).all()


def test_against_the_definition() -> None:
    sound = peaky(3, 4, channels=1, length=900)
    borne = 1.0 / np.maximum(1.0, np.abs(sound[0]))
    half, window = REACH // 2, np.hanning(REACH + 1) / np.hanning(REACH + 1).sum()

    def at(values: list[float] | np.ndarray, index: int) -> float:
        return float(values[index]) if 0 <= index < len(values) else 1.0

    lowest = {t: min(at(borne, t + u) for u in range(-half, half + 1)) for t in range(-half, 900 + half)}
    gain = [sum(w * lowest[t + s] for s, w in zip(range(-half, half + 1), window, strict=True)) for t in range(900)]
    np.testing.assert_allclose(whole(sound, [])[0], sound[0] * gain, atol=1e-12)


def test_no_sound_at_all() -> None:
    assert list(limited([], RATE)) == []
    assert whole(np.zeros((1, 0)), []).shape == (1, 0)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24"])
def test_a_recording_that_fills_its_format_is_turned_down_and_not_cut_off(tmp_path: Path, subtype: str) -> None:
    source, out = tmp_path / "loud.wav", tmp_path / "out.wav"
    sound = sf.read(DATA / "slt-1.flac")[0]
    sf.write(source, sound / np.abs(sound).max(), RATE, subtype=subtype)
    api.protect_file(source, out, Louder())
    made = sf.read(out)[0]
    assert np.abs(made).max() > 0.95
    assert (np.abs(made) > 0.9999).sum() < (np.abs(1.5 * sf.read(source)[0]) > 1.0).sum() / 3


def test_floats_have_no_full_scale(tmp_path: Path) -> None:
    source, out = tmp_path / "loud.wav", tmp_path / "out.wav"
    sound = sf.read(DATA / "slt-1.flac")[0]
    sf.write(source, sound / np.abs(sound).max(), RATE, subtype="FLOAT")
    api.protect_file(source, out, Louder())
    assert np.abs(sf.read(out)[0]).max() == pytest.approx(1.5, rel=1e-5)
