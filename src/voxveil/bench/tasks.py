"""Cells as tasks for many workers: what they share is made once, by whoever comes first, and then serves all."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from voxveil.bench.grid import NOISE
from voxveil.bench.run import Cell
from voxveil.bench.scenario import Part, Slice
from voxveil.bench.worker import audio_key, without_idle_end

Chain = tuple[Part, ...]
"""The first stations, up to the last one that does something."""


@dataclass(frozen=True)
class Task:
    """The clips that come out of ``chain``, under ``key``, and the ``cells`` whose verifiers judge them.

    ``before`` are the keys of the clips that it works on; without them it would make them again.
    """

    chain: Chain
    key: str
    before: tuple[str, ...]
    cells: tuple[Cell, ...]


def tasks_of(cells: Sequence[Cell], speech: Slice, seed: int) -> list[Task]:
    """A task for every chain of ``cells``, and one for every chain that two of them may have in common.

    >>> cell = Cell(tuple(map(Part, ["veil", "none", "resample", "knn-vc", "DV-COS"])), "key", "audio")
    >>> tasks = tasks_of([cell], Slice("00", 2, 1, 1, 6.0), seed=0)
    >>> [(len(task.chain), len(task.before), len(task.cells)) for task in tasks]
    [(1, 0, 0), (3, 1, 0), (4, 2, 1)]
    """
    judged: dict[Chain, list[Cell]] = {}
    for cell in cells:
        chain = without_idle_end(cell.parts[:-1])
        for earlier in _led_to(chain):
            judged.setdefault(earlier, [])
        judged[chain].append(cell)
    keys = {chain: audio_key(speech, chain, seed) for chain in judged}
    return [
        Task(chain, keys[chain], tuple(keys[one] for one in _before(chain)), tuple(judging))
        for chain, judging in judged.items()
    ]


def next_task(waiting: Iterable[Task], done: Collection[str], last: Chain) -> Task | None:
    """What a worker does after ``last``, of the tasks whose ``before`` is ``done``; None if there is nothing to do yet.

    Protections come first, for all else waits for them; then what a worker still knows half of.
    """
    ready = [task for task in waiting if all(key in done for key in task.before)]
    return min(ready, key=lambda task: (len(task.chain) > 1, task.chain[:1] != last[:1]), default=None)


def _before(chain: Chain) -> list[Chain]:
    """What a task for ``chain`` works on: what went into its last station, and the protected speech to compare."""
    if len(chain) == 1 and chain[0].name == NOISE:
        return [(dict(chain[0].settings)["of"],)]
    made = (without_idle_end(chain[:1]), without_idle_end(chain[:-1]))
    return list(dict.fromkeys(one for one in made if one and one != chain))


def _led_to(chain: Chain) -> list[Chain]:
    """``chain`` and all that it needs, the latter first."""
    return [*dict.fromkeys(earlier for one in _before(chain) for earlier in _led_to(one)), chain]
