"""The fingerprint of a loaded encoder: its answer to a fixed sound, which its card holds as ``[self_test]``."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn


def known_answer(encoder: nn.Module) -> Float[Tensor, " value"]:
    """Sixteen entries of the embedding of a fixed buzz: a fingerprint of weights and front end together.

    >>> from voxveil.models.speaker.ge2e import GE2E
    >>> known_answer(GE2E()).shape
    torch.Size([16])
    """
    time_s = torch.arange(48_000, dtype=torch.float64) / 16_000
    pitch_hz = 120.0 + 30.0 * torch.sin(2.0 * math.pi * 0.7 * time_s)
    phase = 2.0 * math.pi * torch.cumsum(pitch_hz / 16_000, 0)
    buzz = sum(torch.sin(k * phase) / k for k in range(1, 25))
    syllables = 0.55 + 0.45 * torch.sin(2.0 * math.pi * 3.0 * time_s)
    speech = (0.05 * torch.as_tensor(buzz) * syllables).float()[None]
    with torch.no_grad():
        embedding: Tensor = encoder(speech)
    return embedding[0, :: embedding.shape[1] // 16][:16]
