"""The VoxCeleb trainers' front end agrees with librosa and SciPy."""

from __future__ import annotations

import librosa
import numpy as np
import scipy.signal
import torch
from torch import Tensor

from voxveil.audio.hamming_mel import HammingMel, PreEmphasis


def test_mel_powers_are_librosas(speech: Tensor) -> None:
    settings = {"n_fft": 512, "hop_length": 160, "win_length": 400, "window": "hamming", "pad_mode": "reflect"}
    bands = {"n_mels": 80, "fmin": 20.0, "fmax": 7600.0, "htk": True, "norm": None}
    wanted = librosa.feature.melspectrogram(y=speech.double().numpy(), sr=16_000, power=2.0, **settings, **bands)
    got = HammingMel(80, 20.0, 7600.0).double()(speech.double()).numpy()
    assert got.shape == wanted.shape
    assert np.abs(got - wanted).max() < 1e-5 * wanted.max()
    assert np.abs(np.log(got + 1e-6) - np.log(wanted + 1e-6)).max() < 1e-3


def test_pre_emphasis_is_a_filter_that_begins_with_the_second_sample(speech: Tensor) -> None:
    wanted = scipy.signal.lfilter([1.0, -0.97], [1.0], speech.double().numpy())
    got = PreEmphasis().double()(speech.double()).numpy()
    assert np.abs(got - wanted)[:, 1:].max() < 1e-6
    assert np.allclose(got[:, 0], (speech[:, 0] - 0.97 * speech[:, 1]).numpy(), atol=1e-6)


def test_a_checkpoint_brings_its_own_window_and_bands(speech: Tensor) -> None:
    mel = HammingMel(80, 20.0, 7600.0)
    before = mel(speech)
    state = mel.state_dict()
    mel.load_state_dict({"spectrogram.window": state["spectrogram.window"] * 2, "mel_scale.fb": state["mel_scale.fb"]})
    assert torch.allclose(mel(speech), 4.0 * before)
