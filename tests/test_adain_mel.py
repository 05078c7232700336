"""AdaIN-VC's front end: librosa's numbers, its way back, silence and very short clips."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
import torch
from torch import Tensor

from voxveil.errors import BadInputError
from voxveil.models.conversion.adain_mel import AdaInMel, de_emphasised, trimmed

N_MELS = 64


@pytest.fixture
def mel() -> AdaInMel:
    return AdaInMel(torch.linspace(0.1, 0.4, N_MELS), torch.linspace(0.05, 0.2, N_MELS)).double()


def reference_levels(clip: np.ndarray, mel: AdaInMel) -> np.ndarray:
    emphasised = np.append(clip[0], clip[1:] - 0.97 * clip[:-1])
    amplitude = librosa.feature.melspectrogram(
        y=emphasised, sr=24_000, n_fft=2048, win_length=1200, hop_length=300, power=1.0, n_mels=N_MELS,
        pad_mode="reflect",
    )  # fmt: skip
    level = np.clip((20.0 * np.log10(np.maximum(1e-5, amplitude)) + 80.0) / 100.0, 1e-8, 1.0)
    return (level - mel.mean.numpy()[:, None]) / mel.deviation.numpy()[:, None]


def test_the_front_end_is_librosas(mel: AdaInMel, speech: Tensor) -> None:
    levels = mel(speech.double())
    assert levels.shape == (2, N_MELS, 161)
    for clip, mine in zip(speech.double().numpy(), levels.numpy(), strict=True):
        np.testing.assert_allclose(mine, reference_levels(clip, mel), atol=1e-4)


def test_the_normalisation_goes_with_the_weights(mel: AdaInMel) -> None:
    assert {name: tuple(tensor.shape) for name, tensor in mel.state_dict().items()} == {
        "mean": (N_MELS,),
        "deviation": (N_MELS,),
    }


@pytest.mark.parametrize("range_db", [15.0, 60.0])
def test_trimming_is_librosas(speech: Tensor, range_db: float) -> None:
    for clip in torch.cat([1e-6 * torch.randn(2, 9000), speech[:, :30_000], 1e-6 * torch.randn(2, 7000)], dim=1):
        wanted, _ = librosa.effects.trim(clip.numpy(), top_db=range_db)
        assert len(wanted) < 40_000
        assert np.array_equal(trimmed(clip, range_db).numpy(), wanted)


def test_trimming_lets_a_gradient_pass() -> None:
    clip = torch.cat([torch.zeros(6000), torch.ones(6000)]).requires_grad_()
    trimmed(clip).sum().backward()
    assert clip.grad is not None and clip.grad[-1] == 1.0 and clip.grad[0] == 0.0


def test_silence_is_all_kept_and_has_a_finite_gradient(mel: AdaInMel) -> None:
    silence = torch.zeros(3000, dtype=torch.float64, requires_grad=True)
    assert len(trimmed(silence)) == 3000
    levels = mel(silence[None])
    levels.sum().backward()
    assert silence.grad is not None and bool(silence.grad.isfinite().all()) and bool(levels.isfinite().all())


def test_magnitudes_are_those_of_the_transposed_bands(mel: AdaInMel, speech: Tensor) -> None:
    bands = librosa.filters.mel(sr=24_000, n_fft=2048, n_mels=N_MELS, dtype=np.float64)
    levels = mel(speech.double())
    amplitude = 10.0 ** (
        np.clip(levels.numpy() * mel.deviation.numpy()[:, None] + mel.mean.numpy()[:, None], 0, 1) * 5 - 4
    )
    wanted = np.einsum("mf,m,bmt->bft", bands, 1.0 / (bands @ bands.T).sum(0), amplitude)
    np.testing.assert_allclose(mel.magnitudes(levels).numpy(), wanted, rtol=1e-4, atol=1e-9)


def test_a_smooth_spectrum_comes_back_at_its_level(mel: AdaInMel) -> None:
    """The pseudo-inverse keeps the level of what is the same in all bands, but for the outermost."""
    levels = torch.full((1, N_MELS, 1), 0.5, dtype=torch.float64)
    magnitudes = mel.magnitudes((levels - mel.mean[:, None]) / mel.deviation[:, None])
    again = mel.weights @ magnitudes
    assert torch.allclose(again[:, 2:-2].log10() * 20.0, torch.tensor(-30.0, dtype=torch.float64), atol=1.5)


def test_bands_without_a_bin_say_nothing() -> None:
    mel = AdaInMel(torch.zeros(900), torch.ones(900))
    assert bool((mel.weights.sum(1) == 0.0).any())
    assert bool(mel.magnitudes(mel(torch.randn(1, 2000))).isfinite().all())


def test_de_emphasis_undoes_the_emphasis(speech: Tensor) -> None:
    emphasised = torch.cat([speech[:, :1], speech[:, 1:] - 0.97 * speech[:, :-1]], dim=1)
    assert torch.allclose(de_emphasised(emphasised), speech, atol=1e-5)


def test_too_short_a_clip_is_said_so(mel: AdaInMel) -> None:
    assert mel(torch.randn(1, 1025).double()).shape == (1, N_MELS, 4)
    for call in (lambda: mel(torch.randn(1, 1024).double()), lambda: trimmed(torch.randn(1024))):
        with pytest.raises(BadInputError, match="AdaIN-VC needs 1025 samples of speech and got 1024"):
            call()
