"""Griffin and Lim's algorithm, plain and fast, is librosa's; its error falls; sound comes back."""

from __future__ import annotations

from typing import Any

import librosa
import numpy as np
import pytest
import torch
from torch import Tensor

from voxveil.audio.mel import MelSpectrogram
from voxveil.audio.mel_inverse import spectrum_from_mel
from voxveil.audio.spectrum import Stft
from voxveil.errors import BadInputError
from voxveil.models.vocoder.griffin_lim import griffin_lim

LENGTH = 12_000


@pytest.fixture
def clips(speech: Tensor) -> Tensor:
    return speech[:, 4000 : 4000 + LENGTH].double()


class OurStart(np.random.RandomState):
    """Gives librosa the start phases of a seed of ours."""

    def random(self, size: Any = None) -> Any:
        generator = torch.Generator().manual_seed(3)
        return torch.rand(tuple(size), generator=generator, dtype=torch.float64).numpy()


def error(sound: Tensor, magnitude: Tensor, stft: Stft) -> float:
    return float(torch.linalg.norm(stft(sound).abs() - magnitude) / torch.linalg.norm(magnitude))


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.99])
@pytest.mark.parametrize(("n_fft", "hop", "pad_mode"), [(512, 128, "constant"), (400, 160, "reflect")])
def test_it_is_librosas(clips: Tensor, n_fft: int, hop: int, pad_mode: str, momentum: float) -> None:
    stft = Stft(n_fft, hop, pad_mode)
    magnitude = stft(clips[0]).abs()
    wanted = librosa.griffinlim(
        magnitude.numpy(), n_iter=12, n_fft=n_fft, hop_length=hop, pad_mode=pad_mode, momentum=momentum, length=LENGTH,
        random_state=OurStart(),
    )  # fmt: skip
    got = griffin_lim(magnitude, stft, LENGTH, iterations=12, momentum=momentum, seed=3).numpy()
    # After the last frame's centre librosa keeps samples below which the windows add up to nearly nothing.
    sure = (stft.frames(LENGTH) - 1) * hop
    np.testing.assert_allclose(got[:sure], wanted[:sure], atol=1e-7)


def test_without_momentum_the_error_never_rises(clips: Tensor) -> None:
    """Griffin and Lim's theorem, and that momentum is faster (Perraudin et al.)."""
    stft = Stft(512, 128)
    magnitude = stft(clips).abs()
    course = [error(griffin_lim(magnitude, stft, LENGTH, n, momentum=0.0), magnitude, stft) for n in (0, 2, 8, 30)]
    assert course == sorted(course, reverse=True)
    assert error(griffin_lim(magnitude, stft, LENGTH, 30), magnitude, stft) < course[-1]
    assert course[-1] < 0.5 * course[0]


def test_the_seed_decides_alone(clips: Tensor) -> None:
    stft = Stft(512, 128)
    magnitude = stft(clips).abs()
    sound = griffin_lim(magnitude, stft, LENGTH, 4, seed=1)
    torch.manual_seed(99)
    assert torch.equal(griffin_lim(magnitude, stft, LENGTH, 4, seed=1), sound)
    assert not torch.allclose(griffin_lim(magnitude, stft, LENGTH, 4, seed=2), sound)
    one_by_one = torch.stack([griffin_lim(clip, stft, LENGTH, 4, seed=1) for clip in magnitude])
    assert torch.allclose(one_by_one, sound)
    assert torch.allclose(griffin_lim(magnitude[:, None], stft, LENGTH, 4, seed=1)[:, 0], sound)


def test_mel_bands_come_back_as_well_as_librosas(clips: Tensor) -> None:
    mel = MelSpectrogram(16_000, Stft(1024, 256), 80).double()
    bands = mel(clips[0])
    got = griffin_lim(spectrum_from_mel(bands, mel.weights).sqrt(), mel.stft, LENGTH, 32)
    theirs = librosa.feature.inverse.mel_to_stft(bands.numpy(), sr=16_000, n_fft=1024)
    wanted = librosa.griffinlim(theirs, n_iter=32, hop_length=256, length=LENGTH, random_state=OurStart())

    def away(sound: Tensor) -> float:
        return float((mel(sound).add(1e-6).log() - bands.add(1e-6).log()).abs().mean())

    assert away(got) < 1.05 * away(torch.as_tensor(wanted, dtype=torch.float64))


def test_silence_stays_silent() -> None:
    assert torch.equal(griffin_lim(torch.zeros(1, 257, 11), Stft(512, 128), 1300), torch.zeros(1, 1300))


def test_gradient() -> None:
    magnitude = torch.rand(9, 6, dtype=torch.float64).add(0.5).requires_grad_()
    assert torch.autograd.gradcheck(lambda m: griffin_lim(m, Stft(16, 4), 20, iterations=3), magnitude)


@pytest.mark.parametrize("length", [1279, 1408])
def test_a_length_that_does_not_fit_is_refused(length: int) -> None:
    with pytest.raises(BadInputError, match=r"11 frames is not that of .* ask for 1280 to 1407 samples\.$"):
        griffin_lim(torch.ones(257, 11), Stft(512, 128), length)
