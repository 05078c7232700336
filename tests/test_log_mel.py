"""HiFi-GAN's front end is librosa's mel of magnitudes; frames stand in the middle of their hop."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
import torch
from torch import Tensor

from voxveil.audio.log_mel import LogMel
from voxveil.errors import BadInputError


@pytest.mark.parametrize(
    ("rate", "n_fft", "hop", "n_mels", "high_hz"),
    [(22_050, 1024, 256, 80, 8000.0), (22_050, 1024, 256, 80, None), (16_000, 800, 200, 40, 7600.0)],
)
def test_it_is_librosas(speech: Tensor, rate: int, n_fft: int, hop: int, n_mels: int, high_hz: float | None) -> None:
    edge = (n_fft - hop) // 2
    padded = np.pad(speech.double().numpy(), ((0, 0), (edge, edge)), mode="reflect")
    spectrum = librosa.stft(padded, n_fft=n_fft, hop_length=hop, center=False)
    weights = librosa.filters.mel(sr=rate, n_fft=n_fft, n_mels=n_mels, fmin=0.0, fmax=high_hz)
    wanted = np.log(np.maximum(1e-5, weights @ np.sqrt(np.abs(spectrum) ** 2 + 1e-9)))
    got = LogMel(rate, n_fft, hop, n_mels, high_hz=high_hz)(speech)
    assert got.shape == (2, n_mels, 48_000 // hop)
    np.testing.assert_allclose(got.numpy(), wanted, atol=2e-4)


def test_a_frame_stands_in_the_middle_of_its_hop() -> None:
    clicks = torch.zeros(3, 2560)
    clicks[0, 5 * 256 + 128] = clicks[1, 5 * 256] = clicks[2, 6 * 256] = 1.0
    centred, at_start, at_end = LogMel()(clicks).mean(1)
    assert int(centred.argmax()) == 5
    assert torch.allclose(centred[4], centred[6], atol=1e-4)
    assert torch.allclose(at_start[4], at_start[5], atol=1e-4)
    assert torch.allclose(at_end[5], at_end[6], atol=1e-4)


def test_gradients_also_in_silence() -> None:
    mel = LogMel(16_000, n_fft=16, hop_samples=4, n_mels=4, high_hz=None).double()
    sound = torch.randn(2, 30, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(mel, sound)
    silence = torch.zeros(1, 2000, requires_grad=True)
    LogMel()(silence).sum().backward()
    assert silence.grad is not None and bool(silence.grad.isfinite().all())


@pytest.mark.parametrize(("n_fft", "hop", "least"), [(1024, 256, 385), (512, 400, 400), (33, 20, 21)])
def test_too_short_speech_is_refused(n_fft: int, hop: int, least: int) -> None:
    mel = LogMel(n_fft=n_fft, hop_samples=hop, n_mels=4)
    assert mel(torch.zeros(1, least)).shape[2] == 1
    with pytest.raises(
        BadInputError, match=rf"^Speech of {least - 1} samples is too short .* at least {least} samples"
    ):
        mel(torch.zeros(1, least - 1))
