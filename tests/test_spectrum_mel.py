"""Spectra agree with librosa and SciPy, come back to sound, and have the gradients that finite differences show."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
import scipy.fft
import scipy.signal
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from voxveil.audio.mel import (
    MelSpectrogram,
    Mfcc,
    dct_matrix,
    hz_to_mel,
    mel_filterbank,
    mel_to_hz,
    power_to_db,
)
from voxveil.audio.spectrum import Stft, hann, power

GRIDS = [(400, 160), (512, 128), (512, 256), (1024, 256), (256, 100)]


def off(measured: Tensor, wanted: np.ndarray) -> float:
    """The greatest error, as a share of the greatest value."""
    return float(np.abs(measured.numpy() - wanted).max() / np.abs(wanted).max())


@pytest.mark.parametrize("pad_mode", ["constant", "reflect"])
@pytest.mark.parametrize(("n_fft", "hop"), GRIDS)
def test_stft_is_librosas(speech: Tensor, n_fft: int, hop: int, pad_mode: str) -> None:
    clip = speech.double()
    wanted = librosa.stft(clip.numpy(), n_fft=n_fft, hop_length=hop, window="hann", pad_mode=pad_mode)
    got = Stft(n_fft, hop, pad_mode)(clip)
    assert got.shape == wanted.shape
    assert off(got, wanted) < 1e-10
    assert off(Stft(n_fft, hop, pad_mode)(speech), wanted) < 1e-5


def test_a_short_window_in_a_long_transform_is_librosas_and_inverts(speech: Tensor) -> None:
    clip, stft = speech[:1, :9_000].double(), Stft(2048, 300, "reflect", window_samples=1200)
    padded = np.pad(clip[0].numpy(), 1024, mode="reflect")
    expected = librosa.stft(padded, n_fft=2048, hop_length=300, win_length=1200, center=False)
    assert np.allclose(stft(clip)[0].numpy(), expected, atol=1e-9)
    assert torch.allclose(stft.inverse(stft(clip), 9_000), clip, atol=1e-9)


def test_stft_is_scipys(speech: Tensor) -> None:
    """A third implementation, whose frames begin a window earlier and are scaled by the window's sum."""
    clip = speech.double().numpy()
    _, _, wanted = scipy.signal.stft(clip, window=hann_numpy(512), nperseg=512, noverlap=384, boundary="zeros")
    got = Stft(512, 128)(speech.double()) / hann_numpy(512).sum()
    assert off(got, wanted[..., : got.shape[-1]]) < 1e-10


def hann_numpy(length: int) -> np.ndarray:
    return 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(length) / length)


def test_the_window_adds_up_to_a_constant() -> None:
    window = hann(512, torch.device("cpu"), torch.float64)
    assert torch.allclose(window, torch.as_tensor(hann_numpy(512)), atol=1e-12)
    assert torch.allclose(window.view(2, 256).sum(0), torch.ones(256, dtype=torch.float64))


@given(length=st.integers(600, 5000), grid=st.sampled_from([(512, 128), (512, 256), (400, 160)]))
def test_inverse_reconstructs(length: int, grid: tuple[int, int]) -> None:
    stft = Stft(*grid)
    sound = torch.randn(2, length, dtype=torch.float64)
    spectrum = stft(sound)
    assert spectrum.shape[-1] == stft.frames(length)
    # Samples after the centre of the last frame lie under the edge of one window only.
    sure = (stft.frames(length) - 1) * stft.hop_samples
    assert torch.allclose(stft.inverse(spectrum, length)[:, :sure], sound[:, :sure], atol=1e-9)


def test_batch_dimensions_pass_through(speech: Tensor) -> None:
    stacked = torch.stack([speech, speech.flip(0)])
    spectrum = Stft()(stacked)
    assert spectrum.shape[:2] == (2, 2)
    assert torch.equal(spectrum[1, 0], Stft()(speech)[1])
    assert torch.allclose(Stft().inverse(spectrum, 48_000), stacked, atol=1e-5)


def test_a_sine_peaks_in_its_bin_with_a_quarter_of_the_window() -> None:
    time = torch.arange(8000, dtype=torch.float64)
    stft = Stft(512, 128)
    magnitude = stft(torch.sin(2 * torch.pi * 32 / 512 * time)[None]).abs()[0, :, 20]
    assert int(magnitude.argmax()) == 32
    assert magnitude[32].item() == pytest.approx(512 / 4, rel=1e-6)
    assert stft.frequencies_hz(16_000)[32].item() == pytest.approx(1000.0)


def test_gradients_of_the_spectrum() -> None:
    sound = torch.randn(1, 40, dtype=torch.float64, requires_grad=True)
    stft = Stft(16, 4)
    assert torch.autograd.gradcheck(lambda x: power(stft(x)), sound)
    assert torch.autograd.gradcheck(lambda x: torch.view_as_real(stft(x)), sound)
    spectrum = torch.randn(1, 9, 11, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda s: stft.inverse(torch.complex(s[..., 0], s[..., 1]), 40), spectrum)


def test_the_power_has_a_gradient_in_silence() -> None:
    sound = torch.zeros(1, 1000, requires_grad=True)
    power(Stft(256, 64)(sound)).sum().backward()
    assert sound.grad is not None
    assert torch.equal(sound.grad, torch.zeros(1, 1000))


@pytest.mark.parametrize("htk", [False, True])
@pytest.mark.parametrize("area", [False, True])
@pytest.mark.parametrize(
    ("rate", "n_fft", "n_mels", "low", "high"),
    [(16_000, 400, 40, 0.0, None), (16_000, 512, 80, 50.0, 7600.0), (22_050, 1024, 80, 0.0, 8000.0)],
)
def test_filterbank_is_librosas(
    htk: bool, area: bool, rate: int, n_fft: int, n_mels: int, low: float, high: float | None
) -> None:
    wanted = librosa.filters.mel(
        sr=rate, n_fft=n_fft, n_mels=n_mels, fmin=low, fmax=high, htk=htk, norm="slaney" if area else None
    )
    got = mel_filterbank(rate, n_fft, n_mels, low, high, "htk" if htk else "slaney", area)
    assert off(got, wanted) < 1e-5


@pytest.mark.parametrize("scale", ["slaney", "htk"])
def test_mel_scales_are_librosas_and_invert(scale: str) -> None:
    frequencies = torch.linspace(0.0, 12_000.0, 200, dtype=torch.float64)
    mels = hz_to_mel(frequencies, scale)
    assert off(mels, librosa.hz_to_mel(frequencies.numpy(), htk=scale == "htk")) < 1e-12
    assert torch.allclose(mel_to_hz(mels, scale), frequencies, atol=1e-8)


@pytest.mark.parametrize("scale", ["slaney", "htk"])
def test_mel_spectrogram_is_librosas(speech: Tensor, scale: str) -> None:
    wanted = librosa.feature.melspectrogram(
        y=speech.double().numpy(), sr=16_000, n_fft=400, hop_length=160, n_mels=40, htk=scale == "htk"
    )
    assert off(MelSpectrogram(16_000, Stft(400, 160), 40, scale=scale)(speech), wanted) < 1e-5


@pytest.mark.parametrize("scale", ["slaney", "htk"])
def test_mfcc_is_librosas(speech: Tensor, scale: str) -> None:
    mfcc = Mfcc(MelSpectrogram(16_000, Stft(512, 160), 40, scale=scale), n_mfcc=20)
    for clip in speech:
        wanted = librosa.feature.mfcc(
            y=clip.double().numpy(), sr=16_000, n_mfcc=20, n_fft=512, hop_length=160, n_mels=40, htk=scale == "htk"
        )
        assert off(mfcc(clip[None])[0], wanted) < 1e-5


def test_cosine_transform_is_scipys() -> None:
    wanted = scipy.fft.dct(np.eye(40), axis=0, norm="ortho")[:13]
    assert np.abs(dct_matrix(13, 40).numpy() - wanted).max() < 1e-6


def test_decibels_are_floored_below_each_clips_own_peak() -> None:
    energy = torch.tensor([[[1.0, 1e-12]], [[1e-4, 1e-7]]])
    assert torch.allclose(power_to_db(energy), torch.tensor([[[0.0, -80.0]], [[-40.0, -70.0]]]))


def test_gradients_of_mel_and_mfcc() -> None:
    sound = torch.randn(1, 400, dtype=torch.float64, requires_grad=True)
    mel = MelSpectrogram(16_000, Stft(128, 64), 8).double()
    assert torch.autograd.gradcheck(mel, sound)
    assert torch.autograd.gradcheck(Mfcc(mel, 5).double(), sound)
