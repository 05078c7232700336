"""A worker in a process of its own, perhaps on another machine: tasks and clips come and go as messages."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from voxveil import __version__
from voxveil.bench.kept_audio import Clips
from voxveil.bench.run import Finished
from voxveil.bench.speech import Speech
from voxveil.bench.tasks import Task
from voxveil.bench.worker import Worker
from voxveil.errors import VoxveilError


@dataclass
class InHand:
    """Clips by their keys, in memory: what came with a task, and what was made for it."""

    given: dict[str, Clips] = field(default_factory=dict)
    made: dict[str, Clips] = field(default_factory=dict)

    def read(self, key: str) -> Clips | None:
        """What is there under ``key``."""
        return self.given.get(key) or self.made.get(key)

    def write(self, key: str, clips: Clips) -> None:
        """Keeps what was made, until the next task."""
        self.made[key] = clips


@dataclass(frozen=True)
class Answer:
    """What came of a task: the cells, and the clips that nobody had before."""

    finished: list[Finished]
    made: dict[str, Clips]


class Hands:
    """Does tasks with a :class:`~voxveil.bench.worker.Worker` that keeps its models from one to the next.

    It computes on one thread, see :mod:`voxveil.bench.cluster`.
    """

    def __init__(self, speech: Speech, seed: int, device: str, asked: Sequence[str] = ()) -> None:
        torch.set_num_threads(1)
        self.in_hand = InHand()
        self.worker = Worker(speech, seed, device, self.in_hand, asked)

    def ready(self, version: str) -> None:
        """Answers once it is there; raises :class:`~voxveil.errors.VoxveilError` where it runs another ``version``."""
        if version != __version__:
            raise VoxveilError(
                f"The run is Voxveil {version}'s and a worker has {__version__}: install one version everywhere."
            )

    def work(self, task: Task, given: dict[str, Clips]) -> Answer:
        """``task``, with the clips that are known already."""
        self.in_hand.given, self.in_hand.made = given, {}
        began = time.perf_counter()
        self.worker.clips(task.chain)
        finished = [] if task.cells else [Finished(None, [], time.perf_counter() - began)]
        for cell in task.cells:
            rows = self.worker.rows(cell.parts)
            now = time.perf_counter()
            finished.append(Finished(cell, rows, now - began))
            began = now
        return Answer(finished, self.in_hand.made)
