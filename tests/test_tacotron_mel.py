"""The mel spectra of SV2TTS's synthesizer: librosa's numbers, its gradient, and the way back."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
import torch
from scipy.signal import lfilter
from torch import Tensor

from voxveil.errors import BadInputError
from voxveil.models.synthesis.tacotron_mel import TacotronMel


def emphasised(clip: np.ndarray) -> np.ndarray:
    return lfilter([1.0, -0.97], [1.0], clip)


def test_the_front_end_is_librosas(speech: Tensor) -> None:
    levels = TacotronMel()(speech)
    assert levels.shape == (2, 80, 241)
    for clip, mine in zip(speech.double().numpy(), levels.numpy(), strict=True):
        amplitude = librosa.feature.melspectrogram(
            y=emphasised(clip), sr=16_000, n_fft=800, hop_length=200, power=1.0, n_mels=80, fmin=55, fmax=7600,
            pad_mode="reflect",
        )  # fmt: skip
        level_db = 20.0 * np.log10(np.maximum(1e-5, amplitude)) - 20.0
        np.testing.assert_allclose(mine, np.clip(8.0 * (level_db + 100.0) / 100.0 - 4.0, -4.0, 4.0), atol=5e-4)


def test_levels_end_at_four() -> None:
    mel = TacotronMel()
    assert torch.equal(mel(torch.zeros(1, 800)), torch.full((1, 80, 5), -4.0))
    assert mel(1e3 * torch.randn(1, 8000)).max() == 4.0
    beyond = torch.tensor([[[-9.0, -4.0, 4.0, 9.0]]])
    assert mel.amplitudes(beyond)[0, 0].tolist() == pytest.approx([1e-4, 1e-4, 10.0, 10.0])


def test_amplitudes_are_those_of_the_bands(speech: Tensor) -> None:
    mel = TacotronMel().double()
    got = mel.amplitudes(mel(speech.double()))
    for clip, mine in zip(speech.double().numpy(), got.numpy(), strict=True):
        spectrum = np.abs(librosa.stft(emphasised(clip), n_fft=800, hop_length=200, pad_mode="reflect"))
        bands = librosa.filters.mel(sr=16_000, n_fft=800, n_mels=80, fmin=55, fmax=7600, dtype=np.float64)
        np.testing.assert_allclose(mine, np.clip(bands @ spectrum, 1e-4, 10.0), rtol=1e-5)


def test_magnitudes_have_the_levels_that_they_are_made_of(speech: Tensor) -> None:
    mel = TacotronMel().double()
    levels = mel(speech.double())
    magnitudes = mel.magnitudes(levels)
    assert magnitudes.shape == (2, 401, 241) and bool((magnitudes >= 0.0).all())
    error_db = 20.0 * ((mel.weights @ magnitudes) / mel.amplitudes(levels)).log10()
    assert float(error_db.square().mean().sqrt()) < 1.0


def test_gradient_is_that_of_finite_differences(speech: Tensor) -> None:
    mel = TacotronMel().double()
    clip = speech[:1, 6000:9000].double().requires_grad_()
    weights = torch.randn(80, 16, dtype=torch.float64)
    (gradient,) = torch.autograd.grad((mel(clip) * weights).sum(), clip)
    for _ in range(3):
        direction = torch.randn_like(clip)
        with torch.no_grad():
            ahead, behind = ((mel(clip + step * direction) * weights).sum() for step in (1e-8, -1e-8))
        assert float((gradient * direction).sum()) == pytest.approx(float(ahead - behind) / 2e-8, rel=1e-3)


def test_silence_has_a_finite_gradient() -> None:
    silence = torch.zeros(1, 3000, requires_grad=True)
    mel = TacotronMel()
    mel.magnitudes(mel(silence)).sum().backward()
    assert silence.grad is not None and bool(silence.grad.isfinite().all())


def test_too_short_a_clip_is_said_so() -> None:
    assert TacotronMel()(torch.randn(1, 401)).shape == (1, 80, 3)
    with pytest.raises(BadInputError, match="mel needs 401 samples of speech and got 400"):
        TacotronMel()(torch.randn(1, 400))
