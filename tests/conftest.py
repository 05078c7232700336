"""What the tests share: seeds, and speech that is made, not recorded. The type checks are switched on in the root."""

from __future__ import annotations

import os
import random

import numpy as np
import pytest
import torch
from hypothesis import register_random, settings
from scipy.signal import lfilter
from torch import Tensor

from voxveil.errors import ModelUnavailableError
from voxveil.roles import Embedder

RATE = 16_000
FORMANTS_HZ = ((700.0, 1200.0, 2600.0), (350.0, 2100.0, 2900.0), (500.0, 900.0, 2400.0))

settings.register_profile("voxveil", deadline=None, derandomize=True, max_examples=40)
settings.load_profile("voxveil")
# One where pytest works in several processes: threads that wait for each other on busy cores are many times slower.
torch.set_num_threads(1 if "PYTEST_XDIST_WORKER" in os.environ else 2)


class _TorchRandom:
    """Lets Hypothesis seed torch before every example, as it does with Python and NumPy."""

    def seed(self, seed: int) -> None:
        torch.manual_seed(seed)

    def getstate(self) -> Tensor:
        return torch.get_rng_state()

    def setstate(self, state: Tensor) -> None:
        torch.set_rng_state(state)


_torch_random = _TorchRandom()
register_random(_torch_random)


@pytest.fixture(autouse=True)
def _seeds() -> None:
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002  (whoever still draws from the old generator draws the same)
    torch.manual_seed(0)


def voiced(pitch_hz: float, tract: float, vowel: int, length: int) -> np.ndarray:
    """A vowel whose pitch glides down by a fifth: pulses with a little breath through three formants."""
    glide = pitch_hz * np.linspace(1.2, 0.8, length)
    phase = np.cumsum(glide / RATE)
    source = np.diff(np.floor(phase), prepend=0.0)
    source = source + 0.02 * np.random.default_rng(vowel).standard_normal(length)
    for formant_hz in FORMANTS_HZ[vowel % len(FORMANTS_HZ)]:
        radius = np.exp(-np.pi * 80.0 / RATE)
        angle = 2.0 * np.pi * formant_hz * tract / RATE
        source = lfilter([1.0], [1.0, -2.0 * radius * np.cos(angle), radius**2], source)
    envelope = np.minimum(1.0, np.minimum(np.arange(length), np.arange(length)[::-1]) / (0.03 * RATE))
    return source * envelope / np.abs(source).max()


def talking(pitch_hz: float, tract: float, seconds: float) -> np.ndarray:
    """Vowels of 0.35 s with short gaps, and a pause of half a second after every third."""
    parts: list[np.ndarray] = []
    vowel = 0
    while sum(map(len, parts)) < seconds * RATE:
        parts.append(voiced(pitch_hz * (1.0 + 0.1 * np.sin(vowel)), tract, vowel, round(0.35 * RATE)))
        vowel += 1
        parts.append(np.zeros(round((0.5 if vowel % 3 == 0 else 0.06) * RATE)))
    return np.concatenate(parts)[: round(seconds * RATE)]


@pytest.fixture(scope="session")
def _speech() -> Tensor:
    clips = np.stack([talking(110.0, 1.0, 3.0), talking(210.0, 1.18, 3.0)])
    noise = np.random.default_rng(1).standard_normal(clips.shape) * 1e-4
    return torch.as_tensor(0.3 * clips + noise, dtype=torch.float32)


@pytest.fixture
def speech(_speech: Tensor) -> Tensor:
    """Two speakers, [2, 48000] at 16 kHz: a low voice, and a high one with a shorter tract."""
    return _speech.clone()


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def tone(frequency_hz: float, seconds: float = 1.0, rate: int = RATE, amplitude: float = 1.0) -> Tensor:
    """A sine, [1, time], float64."""
    time_s = torch.arange(round(seconds * rate), dtype=torch.float64) / rate
    return amplitude * torch.sin(2.0 * torch.pi * frequency_hz * time_s)[None]


@pytest.fixture(scope="session")
def ge2e() -> Embedder:
    """The published encoder; whoever asks for it is skipped where its weights cannot be had."""
    from voxveil.loading import embedder

    try:
        return embedder("ge2e")
    except ModelUnavailableError as error:
        pytest.skip(str(error))
