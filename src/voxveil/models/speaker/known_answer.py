"""The fingerprint of a loaded encoder: its answer to a fixed sound, which its card holds as ``[self_test]``."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from voxveil.cards.card import SelfTest
from voxveil.errors import ModelUnavailableError

TOLERANCE = 5e-4
"""Another machine, or another number of threads, adds in another order."""


def known_answer(encoder: nn.Module) -> Float[Tensor, " value"]:
    """At most sixteen entries of the embedding of a fixed buzz of 3 s: a fingerprint of weights and front end together.

    ``encoder`` is on the CPU.

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
    return embedding[0, :: max(1, embedding.shape[1] // 16)][:16]


def self_test_of(encoder: nn.Module) -> SelfTest:
    """The known answer of ``encoder``, which is on the CPU, as its card holds it.

    Raises :class:`~voxveil.errors.ModelUnavailableError` for one that does not answer in numbers.

    >>> class One(nn.Module):
    ...     def forward(self, speech):
    ...         return torch.ones(1, 3)
    >>> self_test_of(One())
    SelfTest(expected=(1.0, 1.0, 1.0), tolerance=0.0005)
    """
    answer = known_answer(encoder)
    if not bool(answer.isfinite().all()):
        raise ModelUnavailableError("The network answers with what is not a number: its weights are damaged.")
    return SelfTest(tuple(round(float(value), 6) for value in answer), TOLERANCE)
