"""Stacked cepstra: the same numbers as librosa's and a loop, and what they do not hear."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
import torch
from torch import Tensor

from voxveil.models.conversion.knn_vc import nearest
from voxveil.models.conversion.stacked_cepstra import StackedCepstra


@pytest.mark.parametrize(("reach", "spacing", "lift"), [(2, 1, 0.0), (3, 2, 0.1), (0, 1, 0.3)])
def test_they_are_librosas_cepstra_in_a_loop(speech: Tensor, reach: int, spacing: int, lift: float) -> None:
    features = StackedCepstra(n_cepstra=9, reach=reach, spacing=spacing, lift=lift).double()(speech.double())
    for clip, mine in zip(speech.double().numpy(), features.numpy(), strict=True):
        cepstra = librosa.feature.mfcc(
            y=clip, sr=16_000, n_fft=512, hop_length=160, n_mels=40, n_mfcc=9, pad_mode="constant"
        )
        cepstra = (cepstra - cepstra.mean(1, keepdims=True)) * (1.0 + lift * np.arange(9))[:, None]
        last = cepstra.shape[1] - 1
        for frame in (0, 1, 60, last - 1, last):
            near = (min(max(frame + spacing * step, 0), last) for step in range(-reach, reach + 1))
            wanted = np.concatenate([cepstra[:, other] for other in near])
            np.testing.assert_allclose(mine[frame], wanted, atol=2e-3)


def test_loudness_is_not_heard(speech: Tensor) -> None:
    features = StackedCepstra()
    assert torch.allclose(features(0.1 * speech), features(speech), atol=0.05)


def test_a_smooth_equaliser_is_hardly_heard(speech: Tensor) -> None:
    features = StackedCepstra()
    tilted = torch.cat([speech[:, :1], speech[:, 1:] - 0.7 * speech[:, :-1]], dim=1)
    plain, changed = features(speech), features(tilted)
    assert (changed - plain).norm() < 0.2 * plain.norm()


def test_a_frame_finds_itself_in_a_longer_clip(speech: Tensor) -> None:
    """Whole clips before their mean is taken off differ a little: the neighbour is at most a frame away."""
    features = StackedCepstra()
    whole, part = features(speech[:1])[0], features(speech[:1, 8000:40_000])[0]
    found = nearest(part[10:-10], whole, neighbours=1)[:, 0]
    away = (found - torch.arange(60, 60 + len(found))).abs()
    assert (away <= 1).float().mean() > 0.95


def test_a_batch_is_its_clips_one_by_one(speech: Tensor) -> None:
    features = StackedCepstra().double()
    clips = torch.cat([speech, 0.1 * speech]).double()
    assert torch.allclose(features(clips), torch.cat([features(clip[None]) for clip in clips]), atol=1e-9)


def test_gradient_is_that_of_finite_differences(speech: Tensor) -> None:
    features = StackedCepstra().double()
    clip = speech[:1, 6400:9600].double().requires_grad_()
    weights = torch.randn(21, 91, dtype=torch.float64)
    (gradient,) = torch.autograd.grad((features(clip) * weights).sum(), clip)
    for _ in range(3):
        direction = torch.randn_like(clip)
        with torch.no_grad():
            ahead, behind = ((features(clip + step * direction) * weights).sum() for step in (1e-8, -1e-8))
        assert float((gradient * direction).sum()) == pytest.approx(float(ahead - behind) / 2e-8, rel=1e-3)


@pytest.mark.parametrize("samples", [1, 100, 2000])
def test_short_clips_and_silence_have_features(speech: Tensor, samples: int) -> None:
    for clip in (speech[:, 9000 : 9000 + samples], torch.zeros(2, samples)):
        features = StackedCepstra()(clip)
        assert features.shape == (2, samples // 160 + 1, 91) and bool(features.isfinite().all())
