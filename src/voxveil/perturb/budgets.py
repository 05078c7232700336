"""Budgets: how far a carrier may change speech.

Parameters are dimensionless: the budget's unit ball holds everything allowed, and ``radius(clean)`` says what 1 stands
for beside this speech. One step size therefore means the same share of any budget, and one solver serves all.

Three balls cover the field: a cube (each number by itself: L∞), discs (each complex number by its magnitude) and a
sphere (the whole clip by its energy). ``squash`` is the smooth map of all numbers into the ball (tanh and its kin;
N. Carlini and D. Wagner 2017), ``project`` the nearest point of the ball (A. Madry et al. 2018).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from voxveil.audio.levels import rms
from voxveil.audio.masking import masking_threshold
from voxveil.audio.spectrum import Stft
from voxveil.roles import Speech


class Cube:
    """|p| ≤ 1 for every number.

    >>> Cube.project(torch.tensor([-3.0, 0.5])).tolist()
    [-1.0, 0.5]
    """

    @staticmethod
    def project(parameters: Tensor) -> Tensor:
        """Clip."""
        return parameters.clamp(-1.0, 1.0)

    @staticmethod
    def squash(free: Tensor) -> Tensor:
        """The hyperbolic tangent."""
        return torch.tanh(free)


class Discs:
    """√(re² + im²) ≤ 1 for every complex number, whose two parts are dimension 1: [batch, 2, freq, frame].

    >>> Discs.project(torch.tensor([[[[3.0]], [[4.0]]]])).flatten().round(decimals=4).tolist()
    [0.6000000238418579, 0.800000011920929]
    """

    @staticmethod
    def project(parameters: Float[Tensor, "batch 2 freq frame"]) -> Tensor:
        """Shorten what is longer than 1."""
        return parameters / parameters.square().sum(1, keepdim=True).clamp_min(1.0).sqrt()

    @staticmethod
    def squash(free: Float[Tensor, "batch 2 freq frame"]) -> Tensor:
        """Divide by √(1 + |p|²): keeps the phase, bounds the magnitude."""
        return free / (1.0 + free.square().sum(1, keepdim=True)).sqrt()


class Sphere:
    """Root mean square of a clip's numbers ≤ 1.

    >>> Sphere.project(torch.tensor([[2.0, -2.0]])).tolist()
    [[1.0, -1.0]]
    """

    @staticmethod
    def project(parameters: Float[Tensor, "batch time"]) -> Tensor:
        """Shorten the clip's vector."""
        return parameters / rms(parameters).clamp_min(1.0)

    @staticmethod
    def squash(free: Float[Tensor, "batch time"]) -> Tensor:
        """Divide by √(1 + mean p²)."""
        return free / (1.0 + free.square().mean(-1, keepdim=True)).sqrt()


@dataclass(frozen=True)
class Linf(Cube):
    """No sample changes by more than ``epsilon`` of full scale.

    >>> Linf(0.005).radius(torch.zeros(1, 4)).item().__round__(4)
    0.005
    """

    epsilon: float

    def radius(self, clean: Speech) -> Tensor:
        """``epsilon``."""
        return torch.full((1, 1), self.epsilon, device=clean.device, dtype=clean.dtype)


@dataclass(frozen=True)
class Snr(Sphere):
    """The perturbation's energy stays ``snr_db`` below the clip's.

    >>> round(Snr(20.0).radius(torch.full((1, 4), 0.5)).item(), 4)
    0.05
    """

    snr_db: float

    def radius(self, clean: Speech) -> Tensor:
        """The allowed RMS, [batch, 1]."""
        return rms(clean) * 10.0 ** (-self.snr_db / 20.0)


@dataclass(frozen=True)
class GainRange(Cube):
    """A gain may move by ``range_db`` either way.

    >>> GainRange(9.0).radius(torch.zeros(1, 4)).item()
    9.0
    """

    range_db: float

    def radius(self, clean: Speech) -> Tensor:
        """``range_db``."""
        return torch.full((1, 1), self.range_db, device=clean.device, dtype=clean.dtype)


@dataclass(frozen=True)
class BandWeighted(Discs):
    """A bound on the spectrum's magnitude, weighted by frequency band.

    ``weights`` maps a band's upper edge in Hz to its weight, e.g. VSMask's ``{1600: 1.15, 4000: 0.85, 8000: 1.0}``;
    ``epsilon`` is the amplitude of a sine (1 is full scale) at weight 1.

    >>> budget = BandWeighted(0.1, {1600: 1.15, 4000: 0.85, 8000: 1.0}, sample_rate=16_000)
    >>> amplitude = budget.radius(torch.zeros(1, 4000))[0, 0, :, 0] / (512 / 4)
    >>> [round(a, 3) for a in amplitude[[10, 100, 200]].tolist()]
    [0.115, 0.085, 0.1]
    """

    epsilon: float
    weights: Mapping[int, float]
    sample_rate: int
    stft: Stft = field(default_factory=Stft)

    def radius(self, clean: Speech) -> Tensor:
        """The allowed |X| per bin, [1, 1, freq, 1]."""
        frequencies = self.stft.frequencies_hz(self.sample_rate)
        edges = torch.tensor(sorted(self.weights), dtype=frequencies.dtype)
        values = torch.tensor([self.weights[edge] for edge in sorted(self.weights)])
        band = torch.bucketize(frequencies, edges).clamp_max(len(edges) - 1)
        amplitude = self.epsilon * values[band] * (self.stft.n_fft / 4)
        return amplitude.to(clean)[None, None, :, None]


@dataclass(frozen=True)
class MaskingThreshold(Discs):
    """The spectrum's magnitude stays ``offset_db`` above (below, if negative) what the speech itself masks.

    >>> budget = MaskingThreshold(offset_db=-6.0, sample_rate=16_000)
    >>> budget.radius(torch.zeros(1, 4000)).shape
    torch.Size([1, 1, 257, 32])
    """

    offset_db: float
    sample_rate: int
    stft: Stft = field(default_factory=Stft)

    def radius(self, clean: Speech) -> Tensor:
        """The allowed |X| per bin and frame, [batch, 1, freq, frame]."""
        amplitude = masking_threshold(clean, self.sample_rate, self.stft).sqrt()
        # What one frame adds sounds through all frames that its window overlaps: the quietest of them decides.
        reach = self.stft.n_fft // self.stft.hop_samples - 1
        quietest = -F.max_pool1d(-amplitude, 2 * reach + 1, stride=1, padding=reach)
        return (quietest * 10.0 ** (self.offset_db / 20.0))[:, None]
