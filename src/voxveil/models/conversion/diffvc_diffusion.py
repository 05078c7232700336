"""DiffVC's forward diffusion: a voice dissolves, from time 0 to 1, into its average voice and noise.

    dX = ½ β(t) (X̄ − X) dt + √β(t) dW,     β(t) = β_min + (β_max − β_min) t

V. Popov et al., ICLR 2022, equations 1 to 3. Of the mel spectrogram X at time s, at a later time t there is left

    X(t) = γ(s,t) X(s) + (1 − γ(s,t)) X̄ + √(1 − γ²(s,t)) · noise,     γ(s,t) = exp(−½ ∫ β)
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Utterance:
    """Log mel spectra beside those of their average voice; ``mask`` is 1 where a frame is speech, 0 where padding.

    >>> mel = torch.zeros(1, 80, 5)
    >>> Utterance(mel, mel, torch.ones(1, 1, 5)).expanded(3).mel.shape
    torch.Size([3, 80, 5])
    """

    mel: Float[Tensor, "batch mel frame"]
    average: Float[Tensor, "batch mel frame"]
    mask: Float[Tensor, "batch 1 frame"]

    def expanded(self, batch: int) -> Utterance:
        """Itself ``batch`` times where it is one utterance."""
        mel, average, mask = (part.expand(batch, -1, -1) for part in (self.mel, self.average, self.mask))
        return Utterance(mel, average, mask)


@dataclass(frozen=True)
class Schedule:
    """How fast the voice dissolves. Times are 0 … 1, in tensors of any shape.

    >>> schedule, half, one = Schedule(), torch.tensor(0.5), torch.tensor(1.0)
    >>> round(float(schedule.beta(half)), 3), round(float(schedule.variance(half, one)), 3)
    (10.025, 0.999)
    """

    beta_min: float = 0.05
    beta_max: float = 20.0

    def beta(self, time: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """β(t)."""
        return self.beta_min + (self.beta_max - self.beta_min) * time

    def integral(self, start: Float[Tensor, "*shape"], end: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """∫ β from ``start`` to ``end``."""
        return (end - start) * self.beta((start + end) / 2)

    def gamma(self, start: Float[Tensor, "*shape"], end: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """γ(s,t): the share of what was there at ``start`` that is left at ``end``."""
        return torch.exp(-0.5 * self.integral(start, end))

    def variance(self, start: Float[Tensor, "*shape"], end: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """1 − γ²(s,t): the variance of the noise that came between, exact for short spans too.

        The published code subtracts from 1, which in float32 is 5 % off at its shortest span, from 0 to 1e-5.
        """
        return -torch.expm1(-self.integral(start, end))

    def mean(self, clean: Utterance, time: Float[Tensor, " batch"]) -> Float[Tensor, "batch mel frame"]:
        """What is left of the voice at ``time``, without the noise; zero in frames of padding."""
        left = self.gamma(torch.zeros_like(time), time)[:, None, None]
        return (left * clean.mel + (1.0 - left) * clean.average) * clean.mask

    def noised(
        self, clean: Utterance, time: Float[Tensor, " batch"], noise: Float[Tensor, "batch mel frame"]
    ) -> Float[Tensor, "batch mel frame"]:
        """What is left of the voice at ``time``, with standard normal ``noise`` scaled to its level."""
        level = self.variance(torch.zeros_like(time), time).sqrt()[:, None, None]
        return self.mean(clean, time) + level * noise * clean.mask
