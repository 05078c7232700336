"""White noise, a control: what a change of this loudness does that is aimed at nobody.

The benchmark's ``noise-of-equal-pesq`` is matched to another protection; this one stands by itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from voxveil.audio.levels import rms
from voxveil.protectors.channels import Channels, mono_mix
from voxveil.protectors.floored import floored
from voxveil.protectors.order import Order
from voxveil.roles import Progress, Protector

SNR_DB = {"light": 30.0, "medium": 20.0, "strong": 10.0}


@dataclass(frozen=True)
class WhiteNoise:
    """The protector: normal noise, ``snr_db`` below each clip's mono mix, the same in all of its channels.

    >>> speech = torch.ones(1, 1, 16_000)
    >>> noise = WhiteNoise(snr_db=20.0)(speech, seed=0) - speech
    >>> round(float(noise.square().mean().sqrt()), 3)
    0.1
    """

    snr_db: float = SNR_DB["medium"]

    sample_rate = 16_000

    def __call__(self, speech: Channels, seed: int, progress: Progress | None = None) -> Channels:
        """The noisy speech."""
        clean = mono_mix(speech)
        noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(seed), dtype=clean.dtype)
        noise = noise.to(clean.device)
        level = rms(clean) / rms(noise) * 10.0 ** (-self.snr_db / 20.0)
        return speech + (level * noise)[:, None]


def white_noise(order: Order, snr_db: float | None = None) -> Protector:
    """The protector of an ``order``: :data:`SNR_DB` of its strength, unless ``snr_db`` says otherwise.

    >>> white_noise(Order(victims=(), strength="light")).snr_db, white_noise(Order(victims=()), snr_db=7.0).snr_db
    (30.0, 7.0)
    """
    return floored(WhiteNoise(SNR_DB[order.strength] if snr_db is None else snr_db), order)
