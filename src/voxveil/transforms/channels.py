"""The channels that benchmarks name: each from a sample rate in Hz and a generator of random numbers."""

from __future__ import annotations

import torch

from voxveil.roles import Transform
from voxveil.transforms.codec import Codec
from voxveil.transforms.filters import BandPass
from voxveil.transforms.noise import WhiteNoise
from voxveil.transforms.quantise import Quantise
from voxveil.transforms.resample import BandLimit
from voxveil.transforms.room import Room


def telephone(sample_rate: int, generator: torch.Generator) -> Transform:
    """300 … 3,400 Hz.

    >>> telephone(16_000, torch.Generator()).random
    False
    """
    return BandPass(300.0, 3400.0, sample_rate)


def narrow_band(sample_rate: int, generator: torch.Generator) -> Transform:
    """Sampled at 8 kHz on the way.

    >>> narrow_band(16_000, torch.Generator()).differentiable
    True
    """
    return BandLimit(8000, sample_rate)


def eight_bit(sample_rate: int, generator: torch.Generator) -> Transform:
    """Rounded to 8 bits a sample.

    >>> eight_bit(16_000, torch.Generator()).keeps_length
    True
    """
    return Quantise(8)


def white_noise(sample_rate: int, generator: torch.Generator, snr_db: float = 30.0) -> Transform:
    """White noise ``snr_db`` below the speech.

    >>> white_noise(16_000, torch.Generator()).random
    True
    """
    return WhiteNoise(snr_db, generator)


def room(
    sample_rate: int, generator: torch.Generator, rt60_s: float = 0.3, direct_to_reverberant_db: float = 6.0
) -> Transform:
    """A room, another one for every batch.

    >>> room(16_000, torch.Generator()).random
    True
    """
    return Room(rt60_s, direct_to_reverberant_db, sample_rate, generator)


def mp3(sample_rate: int, generator: torch.Generator) -> Transform:
    """MP3 at libsndfile's lowest rate.

    >>> mp3(16_000, torch.Generator()).differentiable
    False
    """
    return Codec("MP3", "MPEG_LAYER_III", 0.99, sample_rate)


def opus(sample_rate: int, generator: torch.Generator) -> Transform:
    """Opus at libsndfile's lowest rate.

    >>> opus(16_000, torch.Generator()).differentiable
    False
    """
    return Codec("OGG", "OPUS", 0.99, sample_rate)
