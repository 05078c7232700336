"""Dynamic time warping against librosa's, and mel-cepstral distortion against its formula and by hand."""

from __future__ import annotations

from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile as sf
from hypothesis import given
from hypothesis import strategies as st

from voxveil.errors import BadInputError
from voxveil.metrics.mcd import BANDS, COEFFICIENTS, cepstra, mel_cepstral_distortion_db
from voxveil.metrics.time_warping import warping_path

RATE = 16_000
DATA = Path(__file__).parent / "data"


@pytest.fixture(scope="module")
def clean() -> np.ndarray:
    return sf.read(DATA / "slt-1.flac")[0][4000:36_000]


# The path.


def every_path(rows: int, columns: int, i: int = 0, j: int = 0) -> list[list[tuple[int, int]]]:
    if (i, j) == (rows - 1, columns - 1):
        return [[(i, j)]]
    onward = [(i + a, j + b) for a, b in ((1, 1), (1, 0), (0, 1)) if i + a < rows and j + b < columns]
    return [[(i, j), *rest] for place in onward for rest in every_path(rows, columns, *place)]


@given(rows=st.integers(1, 5), columns=st.integers(1, 5), seed=st.integers(0, 99))
def test_no_path_is_cheaper(rows: int, columns: int, seed: int) -> None:
    distances = np.random.default_rng(seed).random((rows, columns))
    cost = sum(distances[pair] for pair in warping_path(distances))
    assert cost == pytest.approx(min(sum(distances[pair] for pair in path) for path in every_path(rows, columns)))


@pytest.mark.parametrize(("rows", "columns"), [(40, 30), (7, 50), (1, 9)])
def test_the_path_is_librosas(rows: int, columns: int) -> None:
    distances = np.random.default_rng(rows).random((rows, columns))
    _, path = librosa.sequence.dtw(C=distances)
    assert warping_path(distances) == [tuple(map(int, pair)) for pair in path[::-1]]


def test_equal_steps_go_on_in_both() -> None:
    assert warping_path(np.zeros((3, 3))) == [(0, 0), (1, 1), (2, 2)]


# The distortion.


def test_it_is_kubicheks_formula_on_librosas_frames(clean: np.ndarray) -> None:
    other = clean + 0.01 * np.random.default_rng(0).standard_normal(len(clean))
    options = {"sr": RATE, "n_fft": 400, "hop_length": 160, "n_mels": BANDS, "pad_mode": "constant"}
    both = []
    for sound in (clean, other):
        level_db = librosa.power_to_db(librosa.feature.melspectrogram(y=sound, **options), amin=1e-10, top_db=80.0)
        amplitude = level_db * np.log(10.0) / 20.0  # ln|H|
        theta = (np.arange(BANDS) + 0.5) * np.pi / BANDS
        d = np.arange(1, COEFFICIENTS + 1)
        both.append(2.0 / BANDS * np.cos(d[:, None] * theta) @ amplitude)
    c, w = (b.T for b in both)
    distances = 10.0 / np.log(10.0) * np.sqrt(2.0 * ((c[:, None] - w[None]) ** 2).sum(-1))
    _, path = librosa.sequence.dtw(C=distances)
    expected = np.mean([distances[i, j] for i, j in path])
    assert expected > 1.0
    assert mel_cepstral_distortion_db(clean, other, RATE) == pytest.approx(expected, rel=1e-3)


def test_one_cosine_over_the_mel_axis_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spectra that differ by 6·cos(3θ) dB everywhere differ by 6/√2 dB in the mean of squares."""
    import torch

    from voxveil.metrics import mcd

    theta = (torch.arange(BANDS) + 0.5) * torch.pi / BANDS
    shapes = iter([torch.zeros(BANDS), 6.0 * torch.cos(3 * theta)])
    monkeypatch.setattr("voxveil.audio.mel.power_to_db", lambda energy: next(shapes)[None, :, None].expand(1, -1, 4))
    noise = np.random.default_rng(0).standard_normal(1600)
    assert mcd.mel_cepstral_distortion_db(noise, noise, RATE) == pytest.approx(6.0 / np.sqrt(2.0), rel=1e-5)


def test_the_same_spectrum_is_0_at_any_level_and_slower_costs_little(clean: np.ndarray) -> None:
    assert mel_cepstral_distortion_db(clean, clean, RATE) == pytest.approx(0.0, abs=1e-2)
    assert mel_cepstral_distortion_db(clean, 0.3 * clean, RATE) == pytest.approx(0.0, abs=1e-2)
    held = np.concatenate([clean[:16_000], clean[15_840:16_000], clean[16_000:]])
    other = sf.read(DATA / "awb-1.flac")[0][4000:36_000]
    assert mel_cepstral_distortion_db(clean, held, RATE) < 0.1 * mel_cepstral_distortion_db(clean, other, RATE)


def test_more_noise_is_more_distortion(clean: np.ndarray) -> None:
    noise = np.random.default_rng(0).standard_normal(len(clean))
    found = [mel_cepstral_distortion_db(clean, clean + amount * noise, RATE) for amount in (1e-4, 1e-3, 1e-2)]
    assert 0.0 < found[0] < found[1] < found[2]


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
def test_frames_are_10_ms_at_every_rate(rate: int) -> None:
    assert cepstra(np.random.default_rng(0).standard_normal(rate // 10), rate).shape == (11, COEFFICIENTS)


def test_a_clip_without_a_window_is_named() -> None:
    with pytest.raises(BadInputError, match="25 ms or more"):
        mel_cepstral_distortion_db(np.ones(8000), np.ones(399), RATE)
