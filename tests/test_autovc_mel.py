"""AutoVC's front end: SciPy's filter and librosa's bands, its gradient, and very short clips."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
import torch
from scipy.signal import butter, filtfilt
from torch import Tensor

from conftest import tone
from voxveil.errors import BadInputError
from voxveil.models.conversion.autovc_mel import AutoVCMel, high_passed


def reference_filter(speech: np.ndarray) -> np.ndarray:
    return filtfilt(*butter(5, 30.0, btype="high", fs=16_000), speech)


@pytest.mark.parametrize("offset", [0.0, 0.2])
def test_the_high_pass_is_scipys(speech: Tensor, offset: float) -> None:
    drift = torch.linspace(-0.1, 0.1, speech.shape[1]).double()
    clips = speech.double() + drift + offset
    np.testing.assert_allclose(high_passed(clips).numpy(), reference_filter(clips.numpy()), atol=3e-6)


def test_the_high_pass_takes_what_is_low_and_leaves_what_is_high() -> None:
    inside = slice(4000, 12_000)
    assert high_passed(tone(5.0))[0, inside].abs().max() < 1e-3
    assert torch.allclose(high_passed(tone(300.0))[0, inside], tone(300.0)[0, inside], atol=1e-3)


def test_the_front_end_is_librosas(speech: Tensor) -> None:
    levels = AutoVCMel()(speech)
    assert levels.shape == (2, 80, 188)
    for clip, mine in zip(speech.double().numpy(), levels.numpy(), strict=True):
        amplitude = librosa.feature.melspectrogram(
            y=0.96 * reference_filter(clip), sr=16_000, n_fft=1024, hop_length=256, power=1.0, n_mels=80, fmin=90,
            fmax=7600, pad_mode="reflect",
        )  # fmt: skip
        level = np.clip((20.0 * np.log10(np.maximum(1e-5, amplitude)) + 84.0) / 100.0, 0.0, 1.0)
        np.testing.assert_allclose(mine, level, atol=1e-4)


def test_the_publishers_noise_moves_only_what_is_quiet(speech: Tensor) -> None:
    noise = torch.as_tensor(np.random.default_rng(225).uniform(-5e-7, 5e-7, speech.shape))
    clean = AutoVCMel().double()(speech.double())
    noisy = AutoVCMel().double()(speech.double() + noise)
    assert (clean - noisy)[clean > 0.3].abs().max() < 1e-3


def test_gradient_is_that_of_finite_differences(speech: Tensor) -> None:
    mel = AutoVCMel().double()
    clip = speech[:1, 6000:9000].double().requires_grad_()
    weights = torch.randn(80, 12, dtype=torch.float64)
    (gradient,) = torch.autograd.grad((mel(clip) * weights).sum(), clip)
    for _ in range(3):
        direction = torch.randn_like(clip)
        with torch.no_grad():
            ahead, behind = ((mel(clip + step * direction) * weights).sum() for step in (1e-8, -1e-8))
        assert float((gradient * direction).sum()) == pytest.approx(float(ahead - behind) / 2e-8, rel=1e-3)


def test_silence_has_a_finite_gradient() -> None:
    silence = torch.zeros(1, 3000, requires_grad=True)
    AutoVCMel()(silence).sum().backward()
    assert silence.grad is not None and bool(silence.grad.isfinite().all())


def test_too_short_a_clip_is_said_so() -> None:
    assert AutoVCMel()(torch.randn(1, 513)).shape == (1, 80, 3)
    with pytest.raises(BadInputError, match="AutoVC needs 513 samples of speech and got 512"):
        AutoVCMel()(torch.randn(1, 512))
