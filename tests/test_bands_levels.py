"""Band filters keep tones inside and kill tones outside; levels are what they say."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from conftest import tone
from voxveil.audio.bands import band_interpolation, band_pass, hz_to_bark, zero_phase_fir
from voxveil.audio.levels import add_at_snr, k_weighting, rms, rms_dbfs, with_loudness_of


def gain(frequency_hz: float, low_hz: float | None, high_hz: float | None, taps: int = 511) -> float:
    probe = tone(frequency_hz)
    out = band_pass(probe, 16_000, low_hz, high_hz, taps)[:, 2000:-2000]
    return float(rms(out) / rms(probe[:, 2000:-2000]))


@pytest.mark.parametrize("cutoff_hz", [1000.0, 2000.0, 3400.0, 6000.0])
def test_low_pass(cutoff_hz: float) -> None:
    assert gain(0.9 * cutoff_hz, None, cutoff_hz) == pytest.approx(1.0, abs=1e-3)
    assert gain(1.1 * cutoff_hz, None, cutoff_hz) < 1e-3


@pytest.mark.parametrize("cutoff_hz", [1000.0, 2000.0, 3400.0, 6000.0])
def test_high_pass(cutoff_hz: float) -> None:
    assert gain(1.1 * cutoff_hz, cutoff_hz, None) == pytest.approx(1.0, abs=1e-3)
    assert gain(0.9 * cutoff_hz, cutoff_hz, None) < 1e-3


def test_band_pass_with_a_low_edge_needs_more_taps() -> None:
    """300 Hz ± 10 % lies within the transition of 511 taps; a filter four times as long holds it."""
    for frequency_hz, wanted in ((270.0, 0.0), (330.0, 1.0), (1000.0, 1.0), (3060.0, 1.0), (3740.0, 0.0)):
        assert gain(frequency_hz, 300.0, 3400.0, taps=2047) == pytest.approx(wanted, abs=1e-3)


def test_phase_is_untouched() -> None:
    probe = tone(1000.0)
    out = band_pass(probe, 16_000, 300.0, 3400.0)
    assert torch.allclose(out[:, 1000:-1000], probe[:, 1000:-1000], atol=1e-3)


@given(length=st.integers(1, 3000), half=st.integers(0, 300))
def test_filtering_is_scipys_convolution(length: int, half: int) -> None:
    sound, kernel = torch.randn(2, length, dtype=torch.float64), torch.randn(2 * half + 1, dtype=torch.float64)
    full = scipy.signal.oaconvolve(sound.numpy(), kernel.numpy()[None], axes=1)
    got = zero_phase_fir(sound, kernel)
    assert np.allclose(got.numpy(), full[:, half : half + length], atol=1e-9)


def test_open_edges_change_nothing(speech: Tensor) -> None:
    for low_hz, high_hz in ((None, None), (0.0, None), (None, 8000.0), (0.0, 8000.0)):
        assert torch.equal(band_pass(speech, 16_000, low_hz, high_hz), speech)


def test_zero_is_an_open_edge(speech: Tensor) -> None:
    assert torch.equal(band_pass(speech, 16_000, 0.0, 3400.0), band_pass(speech, 16_000, None, 3400.0))
    assert torch.equal(band_pass(speech, 16_000, 300.0, 8000.0), band_pass(speech, 16_000, 300.0, None))


@pytest.mark.parametrize("edges", [(3000.0, 300.0), (-1.0, 300.0), (300.0, 9000.0), (500.0, 500.0), (None, 0.0)])
def test_impossible_edges_are_refused(edges: tuple[float | None, float]) -> None:
    with pytest.raises(ValueError, match="band edges"):
        band_pass(torch.zeros(1, 100), 16_000, *edges)


def test_band_pass_has_the_gradient_of_a_linear_map() -> None:
    sound = torch.randn(1, 60, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: band_pass(x, 16_000, 1000.0, 4000.0, taps=31), sound)


@given(bands=st.integers(2, 60))
def test_interpolation_is_a_partition(bands: int) -> None:
    frequencies = torch.linspace(0.0, 8000.0, 513, dtype=torch.float64)
    weights = band_interpolation(frequencies, bands)
    assert (weights >= 0.0).all()
    assert torch.allclose(weights[frequencies >= 100.0].sum(1), torch.ones(1, dtype=torch.float64))
    assert torch.equal(weights[frequencies <= 50.0], torch.zeros_like(weights[frequencies <= 50.0]))
    # Every bin hears its two neighbours at most.
    assert ((weights > 1e-12).sum(1) <= 2).all()


def test_interpolation_is_linear_in_bark() -> None:
    """Values that are the centres' own place in Bark give every frequency its own place in Bark."""
    frequencies = torch.linspace(100.0, 8000.0, 400, dtype=torch.float64)
    bark = hz_to_bark(frequencies)
    centres = torch.linspace(bark[0].item(), bark[-1].item(), 24, dtype=torch.float64)
    assert torch.allclose(band_interpolation(frequencies, 24) @ centres, bark, atol=1e-9)


def test_bark_is_zwickers_table() -> None:
    """The edges of the critical bands (E. Zwicker 1961), which the formula meets within a fifth of a Bark."""
    edges_hz = [100, 200, 300, 400, 510, 630, 770, 920, 1080, 1270, 1480, 1720, 2000, 2320, 2700, 3150, 3700, 4400]
    bark = hz_to_bark(torch.tensor(edges_hz, dtype=torch.float64))
    assert (bark - torch.arange(1, len(edges_hz) + 1)).abs().max() < 0.2


@given(snr_db=st.floats(-30.0, 60.0), level=st.floats(1e-3, 1.0))
def test_noise_is_added_at_the_ratio_asked_for(snr_db: float, level: float) -> None:
    clean = level * torch.randn(2, 4000, dtype=torch.float64)
    added = add_at_snr(clean, torch.rand(2, 4000, dtype=torch.float64), snr_db) - clean
    measured_db = 10.0 * torch.log10(clean.square().sum(1) / added.square().sum(1))
    assert torch.allclose(measured_db, torch.full((2,), snr_db, dtype=torch.float64), atol=1e-6)


def test_level_of_a_full_scale_sine_is_three_decibels_down() -> None:
    assert rms_dbfs(tone(1000.0)).item() == pytest.approx(-10.0 * np.log10(2.0), abs=1e-6)


def test_rms_has_a_finite_gradient_in_silence() -> None:
    silence = torch.zeros(1, 100, requires_grad=True)
    rms(silence).sum().backward()
    assert silence.grad is not None
    assert torch.isfinite(silence.grad).all()


def k_weighted(sound: np.ndarray) -> np.ndarray:
    """BS.1770's two filters in the time domain at 48 kHz, as printed in the recommendation."""
    sound = scipy.signal.resample(sound, sound.shape[-1] * 3, axis=-1)
    shelf = [1.53512485958697, -2.69169618940638, 1.19839281085285], [1.0, -1.69065929318241, 0.73248077421585]
    high_pass = [1.0, -2.0, 1.0], [1.0, -1.99004745483398, 0.99007225036621]
    return scipy.signal.lfilter(*high_pass, scipy.signal.lfilter(*shelf, sound, axis=-1), axis=-1)


def test_loudness_is_that_of_the_reference(speech: Tensor) -> None:
    dull = 3.0 * band_pass(speech, 16_000, None, 1500.0)
    out = with_loudness_of(dull, speech, 16_000)
    wanted, got = (10.0 * np.log10(np.square(k_weighted(s.double().numpy())).mean(-1)) for s in (speech, out))
    assert np.abs(wanted - got).max() < 0.02
    factor = (out * dull).sum(1, keepdim=True) / dull.square().sum(1, keepdim=True)
    assert torch.allclose(out, factor * dull, atol=1e-6)


def test_k_weighting_is_the_filters_response() -> None:
    impulse = np.zeros(48_000 * 2)
    impulse[0] = 1.0
    shelf = [1.53512485958697, -2.69169618940638, 1.19839281085285], [1.0, -1.69065929318241, 0.73248077421585]
    high_pass = [1.0, -2.0, 1.0], [1.0, -1.99004745483398, 0.99007225036621]
    response = scipy.signal.lfilter(*high_pass, scipy.signal.lfilter(*shelf, impulse))
    wanted = np.abs(np.fft.rfft(response))[::3] ** 2
    got = k_weighting(16_001, 48_000, torch.device("cpu")).numpy()
    assert np.allclose(got[1:-1], wanted[1:-1], rtol=1e-3, atol=1e-6)
