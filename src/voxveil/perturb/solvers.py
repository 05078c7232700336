"""One descent loop. FGSM, PGD, momentum PGD and Adam with a change of variables are settings of it.

Parameters are shares of their budgets (1 is all of it), so a step size is a share too and fits every carrier.

| setting | step | bound | paper |
|---|---|---|---|
| ``fgsm()`` | sign, once, the whole budget | project | I. Goodfellow et al. 2015 |
| ``pgd()`` | sign | project | A. Madry et al. 2018 |
| ``momentum_pgd()`` | sign of the running gradient | project | Y. Dong et al. 2018 |
| ``adam()`` | Adam | squash | N. Carlini and D. Wagner 2017 |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from voxveil.perturb.gradients import Autograd
from voxveil.roles import Carrier, Gradient, Loss, Objective, Parameters, Progress, Speech

_ADAM_EPSILON = 1e-8


@dataclass(frozen=True)
class Descent:
    """Settings of the loop.

    ``step_size`` is a share of the budget for ``"sign"`` and Adam's learning rate on the free parameters for
    ``"adam"``; it falls linearly towards ``last_step_size`` of itself (one more step would have it), or by equal
    factors in as many ``stages``. ``bound`` is how the budget is held. ``momentum`` is the decay of the running
    gradient (Adam: β₁). ``start`` is the spread of the random start (0: start from clean).
    """

    steps: int
    step_size: float
    rule: Literal["sign", "adam"] = "sign"
    bound: Literal["project", "squash"] = "project"
    momentum: float = 0.0
    start: float = 0.0
    last_step_size: float = 1.0
    stages: int | None = None

    def __call__(
        self,
        objective: Objective,
        carrier: Carrier,
        clean: Speech,
        generator: torch.Generator,
        gradient: Gradient | None = None,
        limits: Parameters | None = None,
        progress: Progress | None = None,
    ) -> Parameters:
        """The amounts with which ``carrier`` minimises ``objective`` on ``clean``, inside the carrier's budgets.

        ``limits`` are the budgets' radii where they are known already or have been scaled; ``generator`` is a CPU
        generator, so that one seed gives one result.
        """
        limits = limits or radii(carrier, clean)
        begin = self.start_at(carrier, clean, generator)
        return self.held(self.free(objective, carrier, clean, begin, gradient, limits, progress), carrier, limits)

    def start_at(self, carrier: Carrier, clean: Speech, generator: torch.Generator) -> Parameters:
        """The parameters to begin with, drawn from ``generator``."""
        drawn = (torch.randn(s, generator=generator, dtype=clean.dtype) for s in carrier.shapes(clean))
        return tuple((self.start * p).to(clean.device) for p in drawn)

    def held(self, parameters: Parameters, carrier: Carrier, limits: Parameters) -> Parameters:
        """The amounts that ``parameters`` stand for, inside the carrier's budgets."""
        hold = (budget.squash if self.bound == "squash" else budget.project for budget in carrier.budgets)
        return tuple(limit * h(p) for limit, h, p in zip(limits, hold, parameters, strict=True))

    def free(
        self,
        objective: Objective,
        carrier: Carrier,
        clean: Speech,
        begin: Parameters,
        gradient: Gradient | None = None,
        limits: Parameters | None = None,
        progress: Progress | None = None,
    ) -> Parameters:
        """The parameters where the descent from ``begin`` ends, from which another can go on."""
        limits = limits or radii(carrier, clean)

        def loss(parameters: Parameters) -> Loss:
            return objective(carrier(self.held(parameters, carrier, limits), clean))

        parameters = begin
        step = _Adam(parameters, self.momentum) if self.rule == "adam" else _Sign(parameters, self.momentum)
        source = gradient or Autograd()
        for index in range(self.steps):
            _, slopes = source(loss, parameters)
            size = self.step_size_at(index)
            parameters = tuple(p - size * d for p, d in zip(parameters, step(slopes), strict=True))
            if self.bound == "project":
                parameters = tuple(b.project(p) for b, p in zip(carrier.budgets, parameters, strict=True))
            if progress is not None:
                progress((index + 1) / self.steps)
        return parameters

    def step_size_at(self, index: int) -> float:
        """The size of step ``index`` (from 0).

        >>> falling = Descent(steps=4, step_size=1.0, last_step_size=0.25, stages=3)
        >>> [falling.step_size_at(index) for index in range(4)]
        [1.0, 1.0, 0.5, 0.25]
        """
        if self.stages is None:
            return self.step_size * (1.0 - (1.0 - self.last_step_size) * index / self.steps)
        stage = index * self.stages // self.steps
        return self.step_size * float(self.last_step_size ** (stage / max(1, self.stages - 1)))


def radii(carrier: Carrier, clean: Speech) -> Parameters:
    """What the parameter 1 stands for, for every tensor of the carrier's parameters.

    >>> from voxveil.perturb.budgets import Linf
    >>> from voxveil.perturb.carriers import Additive
    >>> radii(Additive(Linf(0.5)), torch.zeros(1, 4))[0].item()
    0.5
    """
    return tuple(budget.radius(clean) for budget in carrier.budgets)


def fgsm() -> Descent:
    """One step of the whole budget along the sign of the gradient.

    >>> fgsm().steps
    1
    """
    return Descent(steps=1, step_size=1.0)


def pgd(steps: int = 40, step_size: float = 0.1, start: float = 0.1) -> Descent:
    """Projected gradient descent from a random start.

    >>> pgd().bound
    'project'
    """
    return Descent(steps=steps, step_size=step_size, start=start)


def momentum_pgd(steps: int = 40, step_size: float = 0.1, momentum: float = 0.9) -> Descent:
    """Projected descent along the sign of the accumulated gradient: steadier directions, better transfer.

    >>> momentum_pgd().momentum
    0.9
    """
    return Descent(steps=steps, step_size=step_size, momentum=momentum, start=0.1)


def adam(steps: int = 60, step_size: float = 0.2, start: float = 0.0) -> Descent:
    """Adam on free parameters that a smooth map holds inside the budget; the step size falls towards a tenth.

    >>> adam().bound
    'squash'
    """
    return Descent(
        steps=steps,
        step_size=step_size,
        rule="adam",
        bound="squash",
        momentum=0.9,
        start=start,
        last_step_size=0.1,
    )


class _Sign:
    """sign(m), m ← μ·m + g / mean|g| of each clip; with μ = 0 simply sign(g)."""

    def __init__(self, parameters: Parameters, momentum: float) -> None:
        self.momentum = momentum
        self.mean = [torch.zeros_like(p) for p in parameters]

    def __call__(self, slopes: Parameters) -> list[Tensor]:
        for index, slope in enumerate(slopes):
            size = slope.abs().mean(tuple(range(1, slope.dim())), keepdim=True).clamp_min(1e-20)
            self.mean[index] = self.momentum * self.mean[index] + slope / size
        return [mean.sign() for mean in self.mean]


class _Adam:
    """D. Kingma and J. Ba (2015), β₂ = 0.99: an attack takes tens of steps, not thousands."""

    beta2 = 0.99

    def __init__(self, parameters: Parameters, beta1: float) -> None:
        self.beta1 = beta1
        self.first = [torch.zeros_like(p) for p in parameters]
        self.second = [torch.zeros_like(p) for p in parameters]
        self.count = 0

    def __call__(self, slopes: Parameters) -> list[Tensor]:
        self.count += 1
        steps = []
        for index, slope in enumerate(slopes):
            self.first[index] = self.beta1 * self.first[index] + (1.0 - self.beta1) * slope
            self.second[index] = self.beta2 * self.second[index] + (1.0 - self.beta2) * slope.square()
            first = self.first[index] / (1.0 - self.beta1**self.count)
            second = self.second[index] / (1.0 - self.beta2**self.count)
            steps.append(first / (second.sqrt() + _ADAM_EPSILON))
        return steps
