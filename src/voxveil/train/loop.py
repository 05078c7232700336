"""The training loop: one optimiser, one schedule, for whatever can say its loss. Seeded, resumable, logged.

AdamW (I. Loshchilov, F. Hutter, ICLR 2019) with a linear warm-up and half a cosine down to zero (SGDR, the same
authors, ICLR 2017). Step k draws its batch from a generator seeded by (seed, k), so that a run that was interrupted
goes on as if it had not been.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Generator, Tensor, nn

from voxveil.errors import VoxveilError
from voxveil.roles import Progress
from voxveil.train.checkpoint import Checkpoint, Past

GRADIENT_NORM = 5.0
"""Longer gradients are shortened to this."""


@runtime_checkable
class Trainee(Protocol):
    """What is trained."""

    @property
    def network(self) -> nn.Module:
        """Every parameter that is optimised and every buffer, the loss's own among them."""

    @property
    def recipe(self) -> Mapping[str, Any]:
        """Plain data that two runs share if one may go on from the other: sizes of batches, what it is trained on."""

    def loss(self, done: float, generator: Generator) -> Tensor:
        """The mean loss of a batch; ``done`` is the share of the training that is past.

        Whatever is random is drawn by ``generator``, or a run that was interrupted ends otherwise than another.
        """

    def measure(self) -> Mapping[str, float]:
        """How good it is now, by name, such as ``{"eer_percent": 4.2}``; empty if there is nothing to measure on.

        ``network`` is in eval mode, and is left as it is.
        """


@dataclass(frozen=True)
class Plan:
    """How long and how fast; two runs of equal plans on one machine end equal.

    ``learning_rate`` is the greatest, reached after ``warmup_share`` of the ``steps``. The trainee is measured, and the
    checkpoint written, every ``measure_every`` steps and after the last. ``seed`` is 0 … 2³² − 1.

    Raises :class:`~voxveil.errors.VoxveilError` for less than one step.

    >>> Plan(steps=100, learning_rate=1e-3).rate(0) < Plan(steps=100, learning_rate=1e-3).rate(10)
    True
    """

    steps: int
    learning_rate: float
    weight_decay: float = 0.05
    warmup_share: float = 0.1
    measure_every: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise VoxveilError(f"Training takes at least one step, not {self.steps}.")

    def rate(self, step: int) -> float:
        """The learning rate of ``step``."""
        done = (step + 1) / self.steps
        rising = min(1.0, done / self.warmup_share)
        falling = 0.5 * (1.0 + math.cos(math.pi * max(0.0, (done - self.warmup_share) / (1.0 - self.warmup_share))))
        return self.learning_rate * rising * falling


def train(
    trainee: Trainee,
    plan: Plan,
    checkpoint: Path,
    progress: Progress | None = None,
    on_measured: Callable[[Mapping[str, float]], None] | None = None,
) -> float:
    """Trains in place, and leaves ``checkpoint`` and beside it a log, ``.log.jsonl``: a line every measurement.

    An existing ``checkpoint`` of the same training is gone on from; returned are the seconds that had gone into it.
    It is written at measurements only: a run that is stopped between two of them is taken up at the first.
    ``on_measured`` is told what the log is told: step, mean loss since the last line, and what the trainee measures.

    Raises :class:`~voxveil.errors.BadInputError` for a checkpoint of another training,
    :class:`~voxveil.errors.BadOutputError` where it cannot be written, and :class:`~voxveil.errors.VoxveilError` if
    the loss is no longer finite.
    """
    network = trainee.network
    optimiser = torch.optim.AdamW(network.parameters(), plan.learning_rate, weight_decay=plan.weight_decay)
    kept = Checkpoint(checkpoint, {"plan": asdict(plan), "recipe": trainee.recipe})
    past = kept.resume(network, optimiser)
    started = time.monotonic()
    losses: list[Tensor] = []
    for step in range(past.step, plan.steps):
        losses.append(_step(trainee, optimiser, plan, step))
        done = step + 1
        if progress is not None:
            progress(done / plan.steps)
        if done % plan.measure_every == 0 or done == plan.steps:
            mean_loss = float(torch.stack(losses).mean())
            losses.clear()
            if not math.isfinite(mean_loss):
                raise VoxveilError(f"The loss was lost at step {done} ({mean_loss}): train at a lower rate or in fp32.")
            network.eval()
            found = {"step": done, "loss": mean_loss, **trainee.measure()}
            kept.keep(network, optimiser, Past(done, past.seconds + time.monotonic() - started), found)
            if on_measured is not None:
                on_measured(found)
    return past.seconds


def _step(trainee: Trainee, optimiser: torch.optim.Optimizer, plan: Plan, step: int) -> Tensor:
    for group in optimiser.param_groups:
        group["lr"] = plan.rate(step)
    trainee.network.train()
    loss = trainee.loss(step / plan.steps, _generator(plan.seed, step))
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(trainee.network.parameters(), GRADIENT_NORM)
    optimiser.step()
    return loss.detach()


def _generator(seed: int, step: int) -> Generator:
    # Torch looks at the low 32 bits of a seed only, so both numbers have to be in them; the odd factor (the golden
    # ratio's) keeps the steps of neighbouring seeds apart.
    return Generator().manual_seed((seed * 0x9E3779B1 + step) & 0xFFFF_FFFF)
