"""The threshold behaves as the ear does: upward spread, noise before tone, quiet below everything."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from conftest import tone
from voxveil.audio.bands import band_pass, hz_to_bark
from voxveil.audio.levels import rms
from voxveil.audio.masking import masking_threshold, spreading_db, threshold_in_quiet_db, unpredictability
from voxveil.audio.spectrum import Stft, power

STFT = Stft(512, 128)
FREQUENCIES = STFT.frequencies_hz(16_000).double()


def threshold(sound: Tensor) -> Tensor:
    """[freq]: the mean over the frames inside."""
    return masking_threshold(sound, 16_000, STFT)[0, :, 10:-10].mean(-1)


def level_db(ratio: Tensor) -> Tensor:
    return 10.0 * torch.log10(ratio)


def quiet() -> Tensor:
    return threshold(torch.zeros(1, 16_000, dtype=torch.float64))


def test_in_silence_it_is_terhardts_formula() -> None:
    """Written out again in NumPy; a full-scale sine, |X| = 512/4, stands for 96 dB SPL."""
    khz = np.maximum(FREQUENCIES.numpy(), 20.0) / 1000.0
    spl_db = 3.64 * khz**-0.8 - 6.5 * np.exp(-0.6 * (khz - 3.3) ** 2) + 1e-3 * khz**4
    wanted_db = 10.0 * np.log10(128.0**2) - 96.0 + spl_db
    assert np.allclose(level_db(quiet()).numpy(), wanted_db, atol=1e-4)


def test_in_quiet_the_ear_is_best_near_three_kilohertz() -> None:
    frequencies = torch.linspace(50.0, 16_000.0, 2000, dtype=torch.float64)
    best = frequencies[threshold_in_quiet_db(frequencies).argmin()].item()
    assert 3000.0 < best < 3600.0


def test_a_tone_at_the_threshold_in_quiet_reaches_the_threshold() -> None:
    """The conversion from dB SPL to |X|², measured on a waveform."""
    frequency_hz = 1000.0
    spl_db = threshold_in_quiet_db(torch.tensor(frequency_hz, dtype=torch.float64)).item()
    faint = tone(frequency_hz, amplitude=10.0 ** ((spl_db - 96.0) / 20.0))
    peak = power(STFT(faint))[0, 32, 20]
    assert level_db(peak / quiet()[32]).item() == pytest.approx(0.0, abs=1e-3)


def test_masking_spreads_upward() -> None:
    masked = threshold(tone(1000.0, amplitude=0.5))
    place = hz_to_bark(FREQUENCIES)
    centre = hz_to_bark(torch.tensor(1000.0, dtype=torch.float64))
    for distance in (1.5, 2.0, 3.0):
        above = masked[(place - centre - distance).abs().argmin()]
        below = masked[(place - centre + distance).abs().argmin()]
        assert above > 3.0 * below
    assert masked[4:].argmax() + 4 in range(29, 36), "and is strongest at the tone (below 100 Hz there is only quiet)"


def test_spreading_has_schroeders_slopes() -> None:
    bark = torch.tensor([0.0, 4.0, 5.0, 11.0, 19.0, 20.0], dtype=torch.float64)
    fall = spreading_db(torch.tensor(11.0, dtype=torch.float64), bark)
    assert (fall[1] - fall[0]).item() / 4.0 == pytest.approx(25.0, abs=0.5)
    assert (fall[5] - fall[4]).item() == pytest.approx(-10.0, abs=0.5)
    assert fall[3].item() == pytest.approx(0.0, abs=0.01)
    assert (fall <= 0.01).all()


def test_noise_masks_better_than_a_tone_of_equal_energy() -> None:
    noise = band_pass(torch.randn(1, 16_000, dtype=torch.float64), 16_000, 920.0, 1080.0, taps=2047)
    hum = tone(1000.0, amplitude=0.3)
    noise = noise * rms(hum) / rms(noise)
    by_noise, by_tone = threshold(noise), threshold(hum)
    assert level_db(by_noise[32] / by_tone[32]).item() > 6.0
    assert (by_noise >= 0.999 * quiet()).all()


def test_a_tone_goes_on_and_noise_does_not() -> None:
    steady = unpredictability(STFT(tone(1000.0)))[0, 32, 10:-10]
    chaos = unpredictability(STFT(torch.randn(1, 16_000, dtype=torch.float64)))[0, 5:-5, 10:-10]
    assert steady.max() < 1e-3
    assert 0.4 < chaos.mean() < 0.8
    assert (chaos <= 1.0).all()
    assert (chaos >= 0.0).all()


@pytest.mark.parametrize("rise_db", [6.0, 10.0, -6.0])
def test_it_rises_with_the_speech_well_above_quiet(speech: Tensor, rise_db: float) -> None:
    clip = speech.double()
    before = masking_threshold(clip, 16_000, STFT)
    after = masking_threshold(clip * 10.0 ** (rise_db / 20.0), 16_000, STFT)
    loud = (before > 100.0 * quiet()[None, :, None]) & (after > 100.0 * quiet()[None, :, None])
    assert loud.float().mean() > 0.2
    assert torch.allclose(level_db(after / before)[loud], torch.tensor(rise_db, dtype=torch.float64), atol=1e-6)


def test_noise_is_not_masked_by_itself_but_six_decibels_below() -> None:
    noise = 0.1 * torch.randn(1, 48_000, dtype=torch.float64)
    middle = slice(30, 220)
    there = power(STFT(noise))[0, middle, 10:-10].mean()
    below_db = level_db(there / masking_threshold(noise, 16_000, STFT)[0, middle, 10:-10].mean()).item()
    # White noise is spread from many partitions and half of its bins seem to go on: between noise and tone.
    assert 6.0 < below_db < 18.0


def test_a_tone_never_masks_itself() -> None:
    hum = tone(1000.0, amplitude=0.3)
    peak = power(STFT(hum))[0, 32, 10:-10].mean()
    assert level_db(peak / threshold(hum)[32]).item() > 18.0 - 2.0


def test_speech_masks_less_than_it_is(speech: Tensor) -> None:
    """In thirds of a Bark no band may take more than a quarter (6 dB less) of what the frame's strongest holds."""
    thirds = (3.0 * hz_to_bark(FREQUENCIES)).long()
    sums = torch.nn.functional.one_hot(thirds).double().T
    there = sums @ power(STFT(speech.double()))
    masked = sums @ masking_threshold(speech.double(), 16_000, STFT)
    unheard = (sums @ quiet())[:, None]
    strongest = there.amax(1, keepdim=True)
    assert (masked <= 10.0**-0.6 * strongest + unheard).all()
    assert (masked > 1e3 * unheard).any(), "and the bound is tested well above quiet"


def test_it_is_never_below_quiet(speech: Tensor) -> None:
    assert (masking_threshold(speech.double(), 16_000, STFT) >= quiet()[:, None] * (1 - 1e-6)).all()


@pytest.mark.parametrize(("rate", "grid"), [(16_000, (512, 128)), (44_100, (2048, 512)), (8000, (256, 64))])
def test_shape_and_values_at_every_rate(rate: int, grid: tuple[int, int]) -> None:
    stft = Stft(*grid)
    masked = masking_threshold(0.1 * torch.randn(2, 3, rate // 2), rate, stft)
    assert masked.shape == (2, 3, grid[0] // 2 + 1, stft.frames(rate // 2))
    assert torch.isfinite(masked).all()
    assert (masked > 0.0).all()


def test_the_grid_does_not_change_what_is_masked() -> None:
    """A noise of the same density: twice the window, twice the |X|² of noise, twice the threshold."""
    noise = 0.1 * torch.randn(1, 64_000, dtype=torch.float64)
    short = masking_threshold(noise, 16_000, Stft(512, 128))[0, 32:192, 20:-20].mean()
    long = masking_threshold(noise, 16_000, Stft(1024, 256))[0, 64:384, 10:-10].mean()
    assert level_db(long / short).item() == pytest.approx(10.0 * np.log10(2.0), abs=0.5)


def test_clips_shorter_than_three_frames_count_as_noise() -> None:
    for length in (1, 100, 200):
        masked = masking_threshold(0.1 * torch.randn(1, length), 16_000, STFT)
        assert masked.shape[-1] == STFT.frames(length)
        assert torch.isfinite(masked).all()
