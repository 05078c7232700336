"""Cells on many workers, through Ray: on this machine, or on all machines of a cluster that runs already.

Every worker takes one CPU of the cluster, and with ``cuda`` one GPU. It computes on one thread: the number of threads
decides the last digits of a score, so a table must not depend on where it was computed. In process the same digits come
with ``OMP_NUM_THREADS=1``.

Only the process that started the run writes. Clips come back to it and go out from it as messages, so that the machines
need no common folder.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from voxveil import __version__
from voxveil.bench.hands import Hands
from voxveil.bench.run import Cell, Finished, Tell, sentence
from voxveil.bench.tasks import Chain, Task, next_task, tasks_of
from voxveil.bench.worker import Worker
from voxveil.errors import MissingExtraError, ProgramError, VoxveilError

LOSSES = 5
"""A task whose worker was lost so many times is given up: it may well be the reason."""
POLL_S = 1.0
PATIENCE_S = 10.0
"""A cluster may be silent for so long; Ray itself ends the process, without a word, after 60 s."""
START_S = 300.0
"""A worker comes up in this time, or the cluster has no place for it."""


@dataclass(frozen=True)
class Cluster:
    """Computes the cells of a run on so many ``workers``, of this machine or of the cluster at ``address`` (host:port).

    Raises :class:`~voxveil.errors.MissingExtraError` without Ray, :class:`~voxveil.errors.ProgramError` for a cluster
    that is not there or goes away, and :class:`~voxveil.errors.VoxveilError` for one with too few CPUs or GPUs.

    >>> Cluster(workers=8, address="node-1:6379").workers
    8
    """

    workers: int
    address: str | None = None

    def __call__(self, worker: Worker, cells: Sequence[Cell], tell: Tell) -> Generator[Finished, None, None]:
        """The cells as they are finished, in no order."""
        if cells:
            with _joined(self, worker.device) as ray:
                yield from _Crew(ray, worker, tell).work(self.workers, cells)


class _Crew:
    """The workers, and what each of them is doing."""

    def __init__(self, ray: Any, worker: Worker, tell: Tell) -> None:
        self.ray, self.worker, self.tell = ray, worker, tell
        self.place = ray.get_runtime_context().gcs_address
        self.speech = ray.put(worker.speech)
        self.hands = ray.remote(num_cpus=1, num_gpus=int(worker.device != "cpu"))(Hands)
        self.busy: dict[Any, tuple[Any, Task | None]] = {}
        """By the promise of an answer: who, and with which task; with none yet while it starts."""
        self.idle: dict[Any, Chain] = {}
        """Who, and what it did last."""

    def work(self, workers: int, cells: Sequence[Cell]) -> Generator[Finished, None, None]:
        """What ``workers`` make of ``cells``, as it is done; what a lost worker had is done again.

        Raises :class:`~voxveil.errors.ProgramError` for a task that is lost again and again, and for a lost cluster.
        """
        waiting = {task.key: task for task in tasks_of(cells, self.worker.speech.slice, self.worker.seed)}
        done: set[str] = set()
        lost: Counter[str] = Counter()
        for _ in range(workers):
            self._hire()
        while waiting or any(task is not None for _, task in self.busy.values()):
            self._assign(waiting, done)
            promise = self._kept_promise()
            hands, task = self.busy.pop(promise)
            key = "" if task is None else task.key
            try:
                answer = self.ray.get(promise)
            except self.ray.exceptions.RayTaskError as error:
                raise error.cause from None
            except self.ray.exceptions.RayError as error:
                self._check_cluster()
                lost[key] += 1
                if lost[key] == LOSSES:
                    raise ProgramError(_given_up(task)) from error
                if task is not None:
                    waiting[key] = task
                self.ray.kill(hands)
                self._hire()
                continue
            lost[key] = 0
            self.idle[hands] = () if task is None else task.chain
            if task is not None:
                for made, clips in answer.made.items():
                    self.worker.kept.write(made, clips)
                done.add(key)
                yield from answer.finished

    def _hire(self) -> None:
        hands = self.hands.remote(self.speech, self.worker.seed, self.worker.device, self.worker.asked)
        self.busy[hands.ready.remote(__version__)] = (hands, None)

    def _assign(self, waiting: dict[str, Task], done: set[str]) -> None:
        for hands, last in list(self.idle.items()):
            task = next_task(waiting.values(), done, last)
            if task is not None:
                del waiting[task.key], self.idle[hands]
                there_is = {key: self.worker.kept.read(key) for key in (*task.before, task.key)}
                given = {key: clips for key, clips in there_is.items() if clips is not None}
                self.busy[hands.work.remote(task, given)] = (hands, task)
        self.tell(" | ".join(sentence(task.chain) for _, task in self.busy.values() if task) or "starting workers")

    def _kept_promise(self) -> Any:
        """The next answer, or what became of it."""
        began = time.monotonic()
        while True:
            kept, _ = self.ray.wait(list(self.busy), timeout=POLL_S)
            if kept:
                return kept[0]
            self._check_cluster()
            nobody = all(task is None for _, task in self.busy.values())
            if nobody and time.monotonic() - began > START_S:
                raise ProgramError(
                    f"The Ray cluster at {self.place} had no place for a worker in {START_S:g} s: all finished cells "
                    "are kept, start the run again when there is one."
                )

    def _check_cluster(self) -> None:
        until = time.monotonic() + PATIENCE_S
        while not _answers(self.place):
            if time.monotonic() > until:
                raise ProgramError(
                    f"The Ray cluster at {self.place} went away: all finished cells are kept, start the run again to "
                    "go on."
                )
            time.sleep(POLL_S)


def _given_up(task: Task | None) -> str:
    doing = "starting (is Voxveil installed on every machine?)" if task is None else f"on '{sentence(task.chain)}'"
    return f"{LOSSES} workers in turn were lost {doing}: all finished cells are kept, look into the logs of Ray."


@contextmanager
def _joined(cluster: Cluster, device: str) -> Iterator[Any]:
    """Ray, connected; what was started for it ends with it."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray reports home unless told not to.
    try:
        import ray
    except ImportError as error:
        raise MissingExtraError.naming("cluster", "A run on several workers") from error
    if cluster.address is not None and not _answers(cluster.address):
        raise ProgramError(f"No Ray cluster answers at {cluster.address}: start one, or leave --address away.")
    here: dict[str, Any] = {"num_cpus": cluster.workers, "include_dashboard": False}
    there: dict[str, Any] = {"address": cluster.address}
    try:
        with _signals_kept():
            ray.init(log_to_driver=False, logging_level=logging.CRITICAL, **(there if cluster.address else here))
    except Exception as error:
        cause = str(error).strip().split("\n", 1)[0]
        raise ProgramError(f"Ray could not be started or joined ({cause}): see its documentation.") from error
    try:
        _check_room(ray.cluster_resources(), cluster.workers, device)
        yield ray
    finally:
        ray.shutdown()


def _check_room(resources: dict[str, float], workers: int, device: str) -> None:
    for kind in ("CPU",) if device == "cpu" else ("CPU", "GPU"):
        there_are = int(resources.get(kind, 0))
        if there_are < workers:
            raise VoxveilError(
                f"The cluster has {there_are} {kind}s, and {workers} workers want one each: ask for fewer workers."
            )


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Ray takes SIGTERM for itself; it is the caller's."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


def _answers(place: str) -> bool:
    host, _, port = place.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=POLL_S).close()
    except (OSError, ValueError, OverflowError):
        return False
    return True
