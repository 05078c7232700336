"""Fewer bits: rounding to a grid of levels, with the identity as gradient."""

from __future__ import annotations

from dataclasses import dataclass

from voxveil.roles import Speech


@dataclass(frozen=True)
class Quantise:
    """Rounds to ``bits`` bits a sample; the backward pass ignores the rounding (straight through).

    >>> import torch
    >>> Quantise(2)(torch.tensor([[0.3, 0.9]])).tolist()
    [[0.5, 0.5]]
    """

    bits: int
    differentiable = True
    random = False
    keeps_length = True

    def __call__(self, speech: Speech) -> Speech:
        """The rounded speech, within [−1, 1)."""
        levels = 2.0 ** (self.bits - 1)
        rounded = (speech.detach() * levels).round().clamp(-levels, levels - 1.0) / levels
        return rounded + (speech - speech.detach())
