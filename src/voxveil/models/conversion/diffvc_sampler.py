"""From noise to a voice: DiffVC's fast maximum-likelihood sampler, and the two that it is compared with.

V. Popov et al., ICLR 2022. One step takes X from time t to s = t − h:

    X(s) = X(t) + pull · (X(t) − X̄) + push · score(X(t), t) + spread · noise

- ``ml`` (their theorem 1): the score says which clean voice it believes in, and X(s) is drawn from what the diffusion
  makes certain given that voice and X(t). If the score is that of a single voice, any number of steps is exact.
- ``em``: Euler–Maruyama steps of the reverse stochastic equation.
- ``pf``: Euler steps of the probability flow, an ordinary equation; only its start is random.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from voxveil.errors import BadInputError
from voxveil.models.conversion.diffvc_diffusion import Schedule

Method = Literal["ml", "em", "pf"]
Score = Callable[[Tensor, Tensor], Tensor]
"""(X [batch, mel, frame], times [batch]) → score, of the shape of X."""


def sample(
    score: Score,
    start: Float[Tensor, "batch mel frame"],
    average: Float[Tensor, "batch mel frame"],
    schedule: Schedule,
    steps: int,
    method: Method,
    generator: torch.Generator,
) -> Float[Tensor, "batch mel frame"]:
    """The voice that ``start``, at time 1, is led to in ``steps`` steps of equal length.

    Raises :class:`~voxveil.errors.BadInputError` for fewer than one step.

    >>> voice, average = torch.full((1, 80, 5), 3.0), torch.zeros(1, 80, 5)
    >>> schedule, generator = Schedule(), torch.Generator().manual_seed(0)
    >>> def score(noisy, time):
    ...     zero = torch.zeros_like(time)
    ...     left, level = schedule.gamma(zero, time), schedule.variance(zero, time)
    ...     return (left * voice - noisy) / level
    >>> sample(score, torch.randn(1, 80, 5), average, schedule, 6, "ml", generator).mean().round(decimals=3)
    tensor(3.)
    """
    if steps < 1:
        raise BadInputError(f"{steps} diffusion steps lead nowhere; ask for at least one.")
    voice = start
    for step in range(steps, 0, -1):
        now, then = (torch.tensor(index / steps, dtype=torch.float64) for index in (step, step - 1))
        pull, push, spread = _weights(schedule, now, then, method)
        time = torch.full_like(start[:, 0, 0], float(now))
        change = pull * (voice - average) + push * score(voice, time)
        if spread > 0.0:
            # Minus, as published: the same random numbers give the same voice as there.
            change = change - spread * noise_like(start, generator)
        voice = voice + change
    return voice


def believable(
    score: Score, average: Float[Tensor, "batch mel frame"], schedule: Schedule, lowest: float, highest: float
) -> Score:
    """``score``, but the clean voice that it believes in is kept within ``lowest`` … ``highest``.

    At time 1 hardly a hundredth of the voice is left, so a small error of the score stands for a voice 150 times as
    far off, from which a sampler need not find back. J. Ho et al., "Denoising Diffusion Probabilistic Models", NeurIPS
    2020, clip what they believe in as well; DiffVC's authors, with a larger network, do not.

    >>> average, time = torch.zeros(1, 80, 5), torch.ones(1)
    >>> bounded = believable(lambda noisy, time: 0.1 - noisy, average, Schedule(), -3.0, 4.0)
    >>> sample(bounded, torch.randn(1, 80, 5), average, Schedule(), 6, "ml", torch.Generator()).max() < 4.01
    tensor(True)
    """

    def bounded(noisy: Tensor, time: Tensor) -> Tensor:
        zero = torch.zeros_like(time)
        left = schedule.gamma(zero, time)[:, None, None]
        level = schedule.variance(zero, time)[:, None, None]
        lost = (1.0 - left) * average
        clean = (noisy + level * score(noisy, time) - lost) / left
        return (left * clean.clamp(lowest, highest) + lost - noisy) / level

    return bounded


def noise_like(example: Float[Tensor, "*shape"], generator: torch.Generator) -> Float[Tensor, "*shape"]:
    """Standard normal numbers of the shape and kind of ``example``; drawn where the generator is.

    >>> noise_like(torch.zeros(2, 3), torch.Generator()).shape
    torch.Size([2, 3])
    """
    drawn = torch.randn(example.shape, generator=generator, dtype=example.dtype, device=generator.device)
    return drawn.to(example.device)


def _weights(schedule: Schedule, now: Tensor, then: Tensor, method: Method) -> tuple[float, float, float]:
    fall = float(schedule.beta(now) * (now - then))
    if method == "em":
        return fall / 2, fall, fall**0.5
    if method == "pf":
        return fall / 2, fall / 2, 0.0
    zero = torch.zeros_like(now)
    left_now, left_then, between = schedule.gamma(zero, now), schedule.gamma(zero, then), schedule.gamma(then, now)
    noise_now, noise_then = schedule.variance(zero, now), schedule.variance(zero, then)
    noise_between = schedule.variance(then, now)
    # μ and ν of the paper: the weights of X(t) and of the clean voice in the mean of X(s).
    mu = between * noise_then / noise_now
    nu = left_then * noise_between / noise_now
    sigma = (noise_then * noise_between / noise_now).sqrt()
    return float(mu + nu / left_now - 1.0), float(nu * noise_now / left_now), float(sigma)
