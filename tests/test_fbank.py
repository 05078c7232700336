"""SpeechBrain's filter bank: equal to one computed by librosa and by hand, and blind to what its maths leaves out."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from conftest import tone
from voxveil.audio.fbank import Fbank, symmetric_triangles, without_mean


def by_hand(n_mels: int) -> np.ndarray:
    """The triangles, one number at a time."""
    top = 2595.0 * np.log10(1.0 + 8000.0 / 700.0)
    edges = [700.0 * (10.0 ** (top * i / (n_mels + 1) / 2595.0) - 1.0) for i in range(n_mels + 2)]
    weights = np.zeros((n_mels, 201))
    for band in range(n_mels):
        centre, reach = edges[band + 1], edges[band + 1] - edges[band]
        for index in range(201):
            weights[band, index] = max(0.0, 1.0 - abs(40.0 * index - centre) / reach)
    return weights


@pytest.mark.parametrize("n_mels", [24, 80])
def test_triangles_are_those_made_by_hand(n_mels: int) -> None:
    assert np.abs(symmetric_triangles(n_mels).numpy() - by_hand(n_mels)).max() < 1e-6


@pytest.mark.parametrize("n_mels", [24, 80])
def test_levels_are_those_of_librosas_spectrum(speech: Tensor, n_mels: int) -> None:
    spectrum = librosa.stft(
        speech.double().numpy(), n_fft=400, hop_length=160, window="hamming", center=True, pad_mode="constant"
    )
    level_db = 10.0 * np.log10(np.maximum(1e-10, by_hand(n_mels) @ np.abs(spectrum) ** 2))
    wanted = np.maximum(level_db, level_db.max(axis=(1, 2), keepdims=True) - 80.0)
    got = Fbank(n_mels).double()(speech.double())
    assert got.shape == wanted.shape == (2, n_mels, speech.shape[1] // 160 + 1)
    # Triangles are kept in float32; where one only just reaches a bin, its height there is the less exact.
    assert np.abs(got.numpy() - wanted).max() < 1e-3
    assert np.abs(got.numpy() - wanted).mean() < 1e-5
    assert (Fbank(n_mels)(speech) - got).abs().max() < 1e-2


def test_a_tone_is_loudest_in_the_band_around_it() -> None:
    levels = Fbank(24)(tone(1000.0, amplitude=0.5).float())[0]
    loudest = int(levels[:, 50].argmax())
    assert abs(40.0 * int(symmetric_triangles(24)[loudest].argmax()) - 1000.0) < 100.0


def test_the_floor_is_every_clips_own(speech: Tensor) -> None:
    clips = torch.cat([speech[:1], 1e-3 * speech[1:]])
    together = Fbank(80)(clips)
    apart = torch.cat([Fbank(80)(clip[None]) for clip in clips])
    assert torch.allclose(together, apart, atol=1e-4)
    assert bool((together.amax((1, 2)) - together.amin((1, 2)) <= 80.0 + 1e-4).all())


@given(gain=st.floats(0.1, 3.0), inverted=st.booleans())
def test_loudness_and_polarity_leave_no_trace(gain: float, inverted: bool) -> None:
    speech = 0.1 * torch.randn(1, 3200, dtype=torch.float64)
    changed = speech * (-gain if inverted else gain)
    fbank = Fbank(80).double()
    assert torch.allclose(fbank(changed) - fbank(speech), torch.tensor(20.0 * np.log10(gain)), atol=1e-6)
    assert torch.allclose(without_mean(fbank(changed)), without_mean(fbank(speech)), atol=1e-6)


def test_a_fixed_gain_of_every_band_leaves_no_trace(speech: Tensor) -> None:
    levels = Fbank(80)(speech)
    tilted = levels + torch.linspace(-12.0, 12.0, 80)[:, None]
    assert torch.allclose(without_mean(tilted), without_mean(levels), atol=1e-4)
    assert without_mean(levels).mean(-1).abs().max() < 1e-4


@given(hops=st.integers(1, 5))
def test_whole_hops_move_whole_frames(hops: int) -> None:
    speech = 0.1 * torch.randn(1, 4800, dtype=torch.float64)
    fbank = Fbank(24).double()
    later = fbank(speech[:, 160 * hops :])
    assert torch.allclose(later[..., 2:-2], fbank(speech)[..., hops + 2 : -2], atol=1e-9)


def test_gradient_is_that_of_finite_differences(speech: Tensor) -> None:
    clip = speech[:1, 8000:9600].double().requires_grad_()
    fbank = Fbank(24).double()
    weights = torch.randn(24, 11, dtype=torch.float64)

    def answer(sound: Tensor) -> Tensor:
        return (without_mean(fbank(sound)) * weights).sum()

    (gradient,) = torch.autograd.grad(answer(clip), clip)
    direction = torch.randn_like(clip)
    step = 1e-7 * direction
    with torch.no_grad():
        slope = (answer(clip + step) - answer(clip - step)) / 2e-7
    assert float((gradient * direction).sum()) == pytest.approx(float(slope), rel=1e-4)


def test_silence_has_a_finite_gradient() -> None:
    silence = torch.zeros(1, 1600, requires_grad=True)
    without_mean(Fbank(80)(silence)).sum().backward()
    assert silence.grad is not None and bool(silence.grad.isfinite().all())


def test_nothing_of_it_is_in_a_state_dict() -> None:
    assert not Fbank(80).state_dict()
