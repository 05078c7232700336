"""Reverberation as a carrier: a short decaying tail whose taps are the parameters.

Reflections that arrive within some 30 ms of the direct sound melt into it (H. Haas 1951): they colour a voice more than
they are heard as an echo, and add nothing that was not spoken.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from scipy.fft import next_fast_len
from torch import Tensor

from voxveil.perturb.budgets import Cube
from voxveil.roles import Parameters, Speech

Tail = Float[Tensor, "batch tap"]


def reverberated(speech: Speech, tail: Tail) -> Speech:
    """y[t] = x[t] + Σ_k tail[k − 1] · x[t − k], k ≥ 1: the direct sound and what follows it, as long as it was.

    >>> reverberated(torch.tensor([[1.0, 0.0, 0.0, 0.0]]), torch.tensor([[0.5, 0.25]])).round(decimals=4).tolist()
    [[1.0, 0.5, 0.25, 0.0]]
    """
    length = speech.shape[-1]
    size = next_fast_len(length + tail.shape[-1], real=True)
    response = torch.cat([torch.ones_like(tail[:, :1]), tail], dim=1)
    return torch.fft.irfft(torch.fft.rfft(speech, size) * torch.fft.rfft(response, size), size)[..., :length]


@dataclass(frozen=True)
class DecayingTail(Cube):
    """The k-th of ``taps`` reflections is at most ``peak`` · 10^(−3 t_k / ``rt60_s``) of the direct sound.

    >>> tail = DecayingTail(0.1, rt60_s=0.02, taps=160, sample_rate=16_000)
    >>> [round(float(bound), 4) for bound in tail.radius(torch.zeros(1, 4))[0, [0, 159]]]
    [0.0979, 0.0032]
    """

    peak: float
    rt60_s: float
    taps: int
    sample_rate: int

    def radius(self, clean: Speech) -> Float[Tensor, "1 tap"]:
        """The largest amplitude of every tap beside the direct sound's 1."""
        time_s = torch.arange(1, self.taps + 1, device=clean.device, dtype=clean.dtype) / self.sample_rate
        return self.peak * torch.exp(-3.0 * math.log(10.0) * time_s / self.rt60_s)[None]


@dataclass(frozen=True)
class Reverberation:
    """The speech in a room of ``budget.taps`` reflections; their amplitudes are the amounts.

    With the reflections of a ``room`` that is there already, amounts change those, and zero leaves that room.

    >>> room = Reverberation(DecayingTail(0.1, rt60_s=0.06, taps=480, sample_rate=16_000))
    >>> room.shapes(torch.zeros(2, 4000))
    ((2, 480),)
    """

    budget: DecayingTail
    room: Tail | None = None

    @property
    def budgets(self) -> tuple[DecayingTail]:
        """The bounds of the taps."""
        return (self.budget,)

    def shapes(self, clean: Speech) -> tuple[tuple[int, ...], ...]:
        """[batch, tap]."""
        return ((clean.shape[0], self.budget.taps),)

    def __call__(self, amounts: Parameters, clean: Speech) -> Speech:
        """The reverberant speech."""
        return reverberated(clean, amounts[0] if self.room is None else self.room + amounts[0])
