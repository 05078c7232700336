"""Acceptance rates of a run, with what another draw of speakers would have given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from voxveil import catalog
from voxveil.bench.export import results_of, rows_of
from voxveil.bench.paper import Paper, of_plain
from voxveil.bench.scenario import STATIONS
from voxveil.metrics.defence import defence_success_rate

RESAMPLES = 1000


@dataclass(frozen=True)
class Rate:
    """The share of a cell's utterances that the verifier accepts, in percent, and its 95 % interval.

    ``parts`` are in words, in the order of the stations. ``pesq_wb`` is the mean of what the protection costs; None
    where somebody else speaks. ``opinions`` are mean predicted opinions on what is judged; with NISQA's,
    ``defended_percent`` is the defence success rate at the verifier's threshold (:mod:`voxveil.metrics.defence`).
    """

    parts: tuple[str, ...]
    accepted_percent: float
    low_percent: float
    high_percent: float
    score: float
    threshold: float
    utterances: int
    pesq_wb: float | None
    opinions: Mapping[str, float] = field(default_factory=dict)
    defended_percent: float | None = None

    def __getitem__(self, station: str) -> str:
        """The part at a station, in words."""
        return self.parts[STATIONS.index(station)]


def rates_of(run: Path) -> list[Rate]:
    """The rate of every finished cell of ``run``, in the grid's order.

    Raises :class:`~voxveil.errors.BadInputError` for a folder without results.

    >>> rates_of(Path("nowhere"))
    Traceback (most recent call last):
    voxveil.errors.BadInputError: nowhere holds no results: name the folder of a run.
    """
    cells: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in rows_of(run):
        cells.setdefault(tuple(row[station] for station in STATIONS), []).append(row)
    return [rate(parts, rows) for parts, rows in cells.items()]


def not_computed(run: Path) -> list[tuple[tuple[str, ...], str]]:
    """The cells of the grid that cannot be computed: their parts, and whether they are not built or not available."""
    return [(tuple(cell["parts"]), cell["why"]) for cell in results_of(run).described()["not_computed"]]


def out_of_reach(run: Path) -> list[str]:
    """Why parts of the grid could not be had where it was run, a sentence each."""
    return list(results_of(run).described()["out_of_reach"].values())


def paper_beside(run: Path) -> Paper | None:
    """What a paper reports for the cells of the grid; runs of before that was known have none."""
    plain = results_of(run).described().get("paper")
    return None if plain is None else of_plain(plain)


def rate(parts: tuple[str, ...], rows: Sequence[Mapping[str, Any]]) -> Rate:
    """The rate of one cell.

    >>> rows = [dict(speaker="a", accepted=True, score=0.8, threshold=0.7, pesq_wb=4.0, cell=0)] * 3
    >>> found = rate(("none",) * 5, rows)
    >>> found.accepted_percent, found.low_percent, found["cloner"]
    (100.0, 100.0, 'none')
    """
    low, high = interval([(row["speaker"], bool(row["accepted"])) for row in rows])
    costs = [row["pesq_wb"] for row in rows]
    opinions = {
        name: fmean(row[name] for row in rows) for name in catalog.names("opinion") if rows[0].get(name) is not None
    }
    return Rate(
        parts,
        100.0 * fmean(row["accepted"] for row in rows),
        100.0 * low,
        100.0 * high,
        fmean(row["score"] for row in rows),
        rows[0]["threshold"],
        len(rows),
        None if any(cost is None for cost in costs) else fmean(costs),
        opinions,
        _defended_percent(rows) if "nisqa" in opinions else None,
    )


def _defended_percent(rows: Sequence[Mapping[str, Any]]) -> float:
    scores, nisqa = (np.array([row[key] for row in rows]) for key in ("score", "nisqa"))
    return 100.0 * defence_success_rate(scores, nisqa, rows[0]["threshold"])


def interval(accepted: Sequence[tuple[str, bool]], seed: int = 0) -> tuple[float, float]:
    """The 95 % percentile interval of the share of (speaker, accepted) that is accepted, over draws of speakers.

    Utterances of one speaker go wrong together, so speakers are drawn, not utterances (:mod:`voxveil.metrics.bootstrap`
    says more). Where all are accepted, or none, no draw can show anything else.

    >>> interval([("a", True), ("b", False)])
    (0.0, 1.0)
    """
    names = sorted({speaker for speaker, _ in accepted})
    counts = np.array(
        [[sum(s == name and a for s, a in accepted), sum(s == name for s, _ in accepted)] for name in names]
    )
    drawn = np.random.default_rng(seed).integers(len(names), size=(RESAMPLES, len(names)))
    sums = counts[drawn].sum(1)
    low, high = np.quantile(sums[:, 0] / sums[:, 1], [0.025, 0.975])
    return float(low), float(high)
