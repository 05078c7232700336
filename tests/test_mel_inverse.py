"""The spectrum behind mel bands: never negative, fitting the bands, nearer the truth than librosa's."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
import scipy.optimize
import scipy.special
import torch
from torch import Tensor

from voxveil.audio.mel import mel_filterbank
from voxveil.audio.mel_inverse import spectrum_from_mel
from voxveil.audio.spectrum import Stft

GRIDS = [(1024, 256, 80, 0.0, 8000.0), (800, 200, 80, 55.0, 7600.0), (512, 128, 40, 0.0, 8000.0)]


def distance(got: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.linalg.norm(got - wanted) / np.linalg.norm(wanted))


@pytest.mark.parametrize(("n_fft", "hop", "n_mels", "low_hz", "high_hz"), GRIDS)
def test_it_fits_the_bands_and_is_nearer_than_librosas(
    speech: Tensor, n_fft: int, hop: int, n_mels: int, low_hz: float, high_hz: float
) -> None:
    magnitude = Stft(n_fft, hop)(speech[0, 16_000:32_000].double()).abs()
    weights = mel_filterbank(16_000, n_fft, n_mels, low_hz, high_hz).double()
    mel = weights @ magnitude
    got = spectrum_from_mel(mel, weights)
    theirs = librosa.feature.inverse.mel_to_stft(
        mel.numpy(), sr=16_000, n_fft=n_fft, power=1.0, fmin=low_hz, fmax=high_hz
    )
    assert bool((got >= 0.0).all())
    assert distance((weights @ got).numpy(), mel.numpy()) < 1e-3
    assert distance(got.numpy(), magnitude.numpy()) < distance(theirs, magnitude.numpy())


def test_where_no_spectrum_fits_it_is_near_the_least_divergence() -> None:
    """Triangles overlap, so a loud band between weak ones has no spectrum. SciPy finds the least by another road."""
    weights = mel_filterbank(16_000, 64, 6).double()
    mel = torch.tensor([0.1, 1.0, 0.01, 0.2, 1e-3, 0.5], dtype=torch.float64)[:, None]

    def divergence(spectrum: np.ndarray) -> float:
        return float(scipy.special.kl_div(mel[:, 0].numpy(), weights.numpy() @ spectrum).sum())

    start = np.full(weights.shape[1], float(mel.mean()))
    # The divergence is infinite where a band gets nothing.
    bounds = [(1e-12, None)] * len(start)
    least = scipy.optimize.minimize(divergence, start, bounds=bounds, options={"maxiter": 2000, "maxfun": 200_000}).fun
    course = [divergence(spectrum_from_mel(mel, weights, count)[:, 0].numpy()) for count in (0, 1, 10, 100, 3000)]
    assert course == sorted(course, reverse=True)
    assert course[-1] == pytest.approx(least, abs=1e-4)
    assert course[0] > least + 0.01


def test_silence_stays_silent_and_no_band_no_power() -> None:
    weights = mel_filterbank(16_000, 512, 40, low_hz=300.0, high_hz=4000.0)
    assert torch.equal(spectrum_from_mel(torch.zeros(40, 3), weights), torch.zeros(257, 3))
    spectrum = spectrum_from_mel(torch.ones(2, 40, 3), weights)
    assert bool((spectrum[:, weights.sum(0) == 0.0] == 0.0).all())
    assert bool(spectrum.isfinite().all())


def test_powers_of_any_size_and_batches_of_any_shape() -> None:
    weights = mel_filterbank(16_000, 512, 40)
    mel = torch.rand(2, 3, 40, 4)
    spectrum = spectrum_from_mel(mel, weights)
    assert spectrum.shape == (2, 3, 257, 4)
    assert torch.allclose(spectrum[1, 2], spectrum_from_mel(mel[1, 2], weights), rtol=1e-4)
    assert torch.allclose(spectrum_from_mel(1e-8 * mel, weights), 1e-8 * spectrum, rtol=1e-3, atol=0.0)


def test_gradient() -> None:
    weights = mel_filterbank(16_000, 32, 5).double()
    mel = torch.rand(5, 2, dtype=torch.float64).add(0.1).requires_grad_()
    assert torch.autograd.gradcheck(lambda m: spectrum_from_mel(m, weights, 4), mel)
