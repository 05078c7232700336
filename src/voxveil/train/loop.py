"""The training loop: one optimiser, one schedule, for whatever can say its loss. Seeded, resumable, logged.

AdamW (I. Loshchilov, F. Hutter, ICLR 2019) with a linear warm-up and half a cosine down to zero. Step k draws its batch
from a generator seeded by (seed, k), so that a run that was interrupted goes on as if it had not been.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Generator, Tensor, nn

from voxveil.errors import BadInputError, BadOutputError, VoxveilError
from voxveil.roles import Progress

GRADIENT_NORM = 5.0
"""Longer gradients are shortened to this."""


class Trainee(Protocol):
    """What is trained: ``network`` holds every parameter and buffer, the loss's own among them."""

    @property
    def network(self) -> nn.Module:
        """All that has to be optimised and kept."""

    def loss(self, done: float, generator: Generator) -> Tensor:
        """The mean loss of a batch drawn by ``generator``; ``done`` is the share of the training that is past."""

    def measure(self) -> Mapping[str, float]:
        """How good it is now, by name, such as ``{"eer_percent": 4.2}``; empty if there is nothing to measure on."""


@dataclass(frozen=True)
class Plan:
    """How long and how fast; two runs of equal plans on one machine end equal.

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

    An existing ``checkpoint`` of the same plan is gone on from; returned are the seconds that had gone into it.
    ``on_measured`` is told what the log is told: step, mean loss since the last line, and what the trainee measures.

    Raises :class:`~voxveil.errors.BadInputError` for a checkpoint of another plan or network, and
    :class:`~voxveil.errors.VoxveilError` if the loss is no longer finite.
    """
    network = trainee.network
    optimiser = torch.optim.AdamW(network.parameters(), plan.learning_rate, weight_decay=plan.weight_decay)
    first, past_s = _resume(network, optimiser, plan, checkpoint) if checkpoint.exists() else (0, 0.0)
    started = time.monotonic()
    losses: list[Tensor] = []
    for step in range(first, plan.steps):
        for group in optimiser.param_groups:
            group["lr"] = plan.rate(step)
        network.train()
        loss = trainee.loss(step / plan.steps, _generator(plan.seed, step))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), GRADIENT_NORM)
        optimiser.step()
        losses.append(loss.detach())
        if progress is not None:
            progress((step + 1) / plan.steps)
        if (step + 1) % plan.measure_every == 0 or step + 1 == plan.steps:
            mean_loss = float(torch.stack(losses).mean())
            losses.clear()
            if not math.isfinite(mean_loss):
                raise VoxveilError(f"The loss was lost at step {step + 1} ({mean_loss}): train at a lower rate.")
            network.eval()
            found = {"step": step + 1, "loss": mean_loss, **trainee.measure()}
            past = {"step": step + 1, "seconds": past_s + time.monotonic() - started}
            _keep(network, optimiser, plan, past, checkpoint, found)
            if on_measured is not None:
                on_measured(found)
    return past_s


def log_path(checkpoint: Path) -> Path:
    """Where the log of a training lies.

    >>> log_path(Path("ecapa.checkpoint")).name
    'ecapa.log.jsonl'
    """
    return checkpoint.with_suffix(".log.jsonl")


def _generator(seed: int, step: int) -> Generator:
    return Generator().manual_seed((seed << 32) + step)


def _keep(
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    plan: Plan,
    past: Mapping[str, float],
    path: Path,
    found: Mapping[str, float],
) -> None:
    part = path.with_name(path.name + ".part")
    state = {
        "network": network.state_dict(),
        "optimiser": optimiser.state_dict(),
        "past": dict(past),
        "plan": asdict(plan),
    }
    try:
        torch.save(state, part)
        part.replace(path)
        with log_path(path).open("a", encoding="utf-8") as log:
            log.write(json.dumps(found) + "\n")
    except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError
        part.unlink(missing_ok=True)
        raise BadOutputError(f"{path} cannot be written: {error}.") from error


def _resume(network: nn.Module, optimiser: torch.optim.Optimizer, plan: Plan, path: Path) -> tuple[int, float]:
    remedy = "continue with the settings it was begun with, or remove it"
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        begun, step, seconds = state["plan"], int(state["past"]["step"]), float(state["past"]["seconds"])
    except Exception as error:  # a foreign file can break the reader in any way, and all mean the same
        raise BadInputError(f"{path} is no checkpoint of a training: remove it.") from error
    if begun != asdict(plan):
        raise BadInputError(f"{path} belongs to a training with other settings: {remedy}.")
    try:
        network.load_state_dict(state["network"], strict=True)
        optimiser.load_state_dict(state["optimiser"])
    except (RuntimeError, ValueError, KeyError) as error:
        raise BadInputError(f"{path} belongs to a training of another network or corpus: {remedy}.") from error
    return step, seconds
