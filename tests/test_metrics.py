"""Measures against their formulas, the published packages, and definitions written out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pesq as pesq_package
import pyloudnorm
import pystoi
import pytest
import soundfile as sf
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import resample_poly, stft

from voxveil.audio.levels import k_weighting
from voxveil.errors import BadInputError
from voxveil.metrics import quality
from voxveil.metrics.noise_control import noise_of_equal_quality
from voxveil.metrics.rates import equal_error_rate

DATA = Path(__file__).parent / "data"


@pytest.fixture(scope="module")
def clean() -> np.ndarray:
    return sf.read(DATA / "slt-1.flac")[0][4000:52_000]


def noisy(clean: np.ndarray, snr_db: float) -> np.ndarray:
    noise = np.random.default_rng(0).standard_normal(len(clean))
    return clean + noise * np.sqrt(np.mean(clean**2) / np.mean(noise**2)) * 10 ** (-snr_db / 20)


def hum(frequency_hz: float, rate: int, amplitude: float = 0.1) -> np.ndarray:
    return amplitude * np.sin(2 * np.pi * frequency_hz * np.arange(3 * rate) / rate)


# Ratios.


@pytest.mark.parametrize("wanted", [-5.0, 0.0, 12.5, 60.0])
def test_snr_is_what_was_mixed(clean, wanted):
    assert quality.snr_db(clean, noisy(clean, wanted)) == pytest.approx(wanted, abs=1e-6)


@given(gain=st.floats(0.01, 100.0), seed=st.integers(0, 99))
def test_si_sdr_is_the_angle_between_two_sounds(gain, seed):
    """10·log10(cos² / sin²) of the angle between the vectors, whatever their lengths."""
    one, other = np.random.default_rng(seed).standard_normal((2, 500))
    mixed = one + 0.3 * other
    cosine = one @ mixed / np.linalg.norm(one) / np.linalg.norm(mixed)
    wanted = 10 * np.log10(cosine**2 / (1 - cosine**2))
    assert quality.si_sdr_db(one, gain * mixed) == pytest.approx(wanted, abs=1e-6)
    assert quality.si_sdr_db(one, -mixed) == pytest.approx(wanted, abs=1e-6)


def test_log_spectral_distance_is_the_formula(clean):
    degraded = noisy(clean, 10.0)

    def powers(sound: np.ndarray) -> np.ndarray:
        window = np.hanning(512)
        spectrum = stft(sound, window=window, nperseg=512, noverlap=256, boundary=None, padded=False)[2]
        return np.abs(spectrum * window.sum()) ** 2

    one, other = powers(clean), powers(degraded)
    floor = one.max() * 1e-6
    distance = 10 * np.log10(np.maximum(one, floor)) - 10 * np.log10(np.maximum(other, floor))
    wanted = np.mean(np.sqrt(np.mean(distance**2, axis=0)))
    assert quality.log_spectral_distance_db(clean, degraded) == pytest.approx(wanted, rel=1e-9)
    assert quality.log_spectral_distance_db(clean, clean) == 0.0
    assert quality.log_spectral_distance_db(clean, noisy(clean, 30.0)) < wanted


# The published packages.


@pytest.mark.parametrize(("rate", "band"), [(16_000, "wb"), (8_000, "nb")])
def test_pesq_is_that_of_the_package(clean, rate, band):
    sound = clean if rate == 16_000 else resample_poly(clean, 1, 2)
    degraded = noisy(sound, 15.0)
    theirs = pesq_package.pesq(rate, sound.astype(np.float32), degraded.astype(np.float32), band)
    assert quality.pesq(sound, degraded, rate, band) == pytest.approx(theirs, abs=1e-6)


def test_pesq_does_not_depend_on_the_rate_of_the_file(clean):
    """Narrow band judges at 8 kHz: what was at 16 kHz is converted first, by another filter than SciPy's."""
    degraded = noisy(clean, 15.0)
    ours = quality.pesq(clean, degraded, 16_000, "nb")
    halved = [resample_poly(sound, 1, 2).astype(np.float32) for sound in (clean, degraded)]
    assert ours == pytest.approx(pesq_package.pesq(8_000, *halved, "nb"), abs=0.05)


def test_pesq_and_stoi_fall_with_noise(clean):
    degraded = [clean, *(noisy(clean, snr) for snr in (30.0, 15.0, 0.0))]
    for judge in (quality.pesq, quality.stoi):
        values = [judge(clean, sound, 16_000) for sound in degraded]
        assert values == sorted(values, reverse=True)
        assert values[0] - values[-1] > 0.2
    assert quality.pesq(clean, clean, 16_000) == pytest.approx(quality.PESQ_BEST, abs=1e-3)


def test_stoi_is_that_of_the_package(clean):
    degraded = noisy(clean, 5.0)
    assert quality.stoi(clean, degraded, 16_000) == pytest.approx(pystoi.stoi(clean, degraded, 16_000), abs=1e-9)
    halved = resample_poly(clean, 1, 2), resample_poly(degraded, 1, 2)
    assert quality.stoi(*halved, 8_000) == pytest.approx(pystoi.stoi(*halved, 8_000), abs=1e-9)


@pytest.mark.parametrize("samples", [1, 100, 3000, 48_000])
def test_where_there_is_nothing_to_judge_that_is_said(clean, samples):
    silence, sound = np.zeros(samples), clean[:samples]
    for one, other in ((silence, sound), (silence, silence), (sound, silence)):
        with pytest.raises(BadInputError, match="no speech"):
            quality.pesq(one, other, 16_000)
    if samples < 6400:
        for judge in (quality.stoi, quality.pesq):
            with pytest.raises(BadInputError):
                judge(sound[:3000], sound[:3000], 16_000)
        with pytest.raises(BadInputError, match="loudness"):
            quality.loudness_lufs(sound, 16_000)


# Loudness.


@pytest.mark.parametrize("rate", [16_000, 48_000])
def test_loudness_is_that_of_the_recommendation(rate):
    """A full-scale sine of 997 Hz has −3.01 LUFS (ITU-R BS.1770-4), and silence around it is gated away."""
    tone = hum(997.0, rate)
    assert quality.loudness_lufs(tone, rate) == pytest.approx(-23.01, abs=0.15)
    assert quality.loudness_lufs(2.0 * tone, rate) - quality.loudness_lufs(tone, rate) == pytest.approx(6.02, abs=0.01)
    among = np.concatenate([np.zeros(5 * rate), tone, np.zeros(5 * rate)])
    assert quality.loudness_lufs(among, rate) == pytest.approx(quality.loudness_lufs(tone, rate), abs=0.8)


def test_loudness_is_that_of_the_package(clean):
    assert quality.loudness_lufs(clean, 16_000) == pyloudnorm.Meter(16_000).integrated_loudness(clean)
    assert quality.loudness_lufs(np.zeros(16_000), 16_000) == -np.inf


@pytest.mark.parametrize("frequency_hz", [30.0, 60.0, 100.0, 400.0, 1500.0, 3000.0, 8000.0, 15_000.0])
@pytest.mark.parametrize("rate", [32_000, 48_000])
def test_k_weighting_is_heard_by_the_meter(frequency_hz, rate):
    """The meter's difference between two tones of one amplitude is the weighting's between their frequencies."""
    weights = 10 * np.log10(k_weighting(rate // 2 + 1, rate, torch.device("cpu")).numpy() + 1e-12)
    meter = pyloudnorm.Meter(rate)
    heard = meter.integrated_loudness(hum(frequency_hz, rate)) - meter.integrated_loudness(hum(1000.0, rate))
    assert weights[round(frequency_hz)] - weights[1000] == pytest.approx(heard, abs=0.3)


# Error rates.

SCORES = st.lists(st.integers(-20, 20).map(lambda n: n / 10), min_size=1, max_size=12)


@given(genuine=SCORES, impostor=SCORES)
def test_no_threshold_makes_the_errors_more_equal(genuine, impostor):
    def errors(threshold: float) -> tuple[float, float]:
        refused = sum(score < threshold for score in genuine) / len(genuine)
        accepted = sum(score >= threshold for score in impostor) / len(impostor)
        return refused, accepted

    rate, threshold = equal_error_rate(np.array(genuine), np.array(impostor))
    refused, accepted = errors(threshold)
    assert rate == pytest.approx((refused + accepted) / 2)
    gaps = [abs(r - a) for r, a in map(errors, np.arange(-2.55, 2.6, 0.1))]
    assert abs(refused - accepted) == pytest.approx(min(gaps), abs=1e-9)


@given(scores=SCORES, shift=st.floats(-3, 3))
def test_indistinguishable_scores_give_one_half_and_a_gap_gives_none(scores, shift):
    same = np.array(scores)
    rate, threshold = equal_error_rate(same, same)
    assert abs(rate - 0.5) <= 0.5 / len(scores) + 1e-9
    moved = equal_error_rate(same + shift, same + shift)
    assert moved[0] == pytest.approx(rate)
    assert moved[1] == pytest.approx(threshold + shift, abs=1e-5)
    rate, threshold = equal_error_rate(same + 4.5, same)
    assert rate == 0.0 and same.max() < threshold < same.min() + 4.5


# The noise control.


@pytest.mark.parametrize("target", [1.5, 2.5, 3.5, 4.2])
def test_the_noise_costs_as_much_as_was_asked(clean, target):
    other = sf.read(DATA / "rms-1.flac")[0][4000:40_000]
    clips = [clean, 0.05 * other]
    made, snr_db = noise_of_equal_quality(clips, lambda c, n: quality.pesq(c, n, 16_000), target, seed=3)
    values = [quality.pesq(c, n, 16_000) for c, n in zip(clips, made, strict=True)]
    assert np.mean(values) == pytest.approx(target, abs=0.05)
    for one, two in zip(clips, made, strict=True):
        assert quality.snr_db(one, two) == pytest.approx(snr_db, abs=1e-6)
        spectrum = np.abs(np.fft.rfft(two - one)) ** 2
        halves = spectrum[: len(spectrum) // 2].mean() / spectrum[len(spectrum) // 2 :].mean()
        assert halves == pytest.approx(1.0, abs=0.1), "white"


def test_the_noise_is_a_matter_of_the_seed():
    clip = np.sin(np.arange(4000.0))

    def made(seed: int) -> np.ndarray:
        return noise_of_equal_quality([clip], lambda x, y: -float(np.std(y - x)), -0.1, seed)[0][0]

    assert np.array_equal(made(1), made(1))
    assert not np.allclose(made(1), made(2))
