"""What a paper reports for the cells of a grid, to stand beside our own numbers.

    [paper]
    source = "W. Fan et al.: De-AntiFake, ICML 2025, table 1"
    columns = ["protection", "cloner", "verifier", "accepted %"]
    rows = [
      ["antifake", "coqui/yourtts", "DV-COS", 2.9],
    ]

Columns that are stations say which cell it is, each part in the words of a report; the others are what the paper
measured there, "" where it says nothing. A station without a column is the grid's only part there, or else ``none``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from voxveil.bench.scenario import NONE, STATIONS
from voxveil.errors import BadInputError

Words = tuple[str, ...]
"""The parts of a cell in words, in the order of the stations."""


@dataclass(frozen=True)
class Paper:
    """Where the numbers stand, and the numbers: by what was measured, then by cell."""

    source: str
    numbers: Mapping[str, Mapping[Words, float]]

    @property
    def plain(self) -> dict[str, Any]:
        """Itself as plain data."""
        rows = [
            [measure, list(parts), number] for measure, found in self.numbers.items() for parts, number in found.items()
        ]
        return {"source": self.source, "rows": rows}


def of_plain(plain: Mapping[str, Any]) -> Paper:
    """What :attr:`Paper.plain` was made of.

    >>> paper = Paper("Somebody 2025", {"accepted %": {("veil", "none", "none", "none", "DV-COS"): 3.0}})
    >>> of_plain(paper.plain) == paper
    True
    """
    numbers: dict[str, dict[Words, float]] = {}
    for measure, parts, number in plain["rows"]:
        numbers.setdefault(measure, {})[tuple(parts)] = number
    return Paper(plain["source"], numbers)


def paper_of(
    cells: Sequence[Words], source: str, columns: Sequence[str], rows: Sequence[Sequence[str | float]]
) -> Paper:
    """The numbers of a grid file for the ``cells`` of its grid.

    Raises :class:`~voxveil.errors.BadInputError` for a row that is none of the cells, or one that is there twice.

    >>> cells = [("veil", "none", "none", "none", "DV-COS"), ("none", "none", "none", "none", "DV-COS")]
    >>> paper_of(cells, "Somebody 2025", ["protection", "accepted %"], [["veil", 3]]).numbers
    {'accepted %': {('veil', 'none', 'none', 'none', 'DV-COS'): 3.0}}
    """
    only = {station: words.pop() for station, words in _choices(cells).items() if len(words) == 1}
    known = set(cells)
    numbers: dict[str, dict[Words, float]] = {measure: {} for measure in columns if measure not in STATIONS}
    for row in rows:
        said = dict(zip(columns, row, strict=True))
        parts = tuple(str(said.get(station, only.get(station, NONE))) for station in STATIONS)
        if parts not in known:
            raise BadInputError(f"The paper's row {', '.join(parts)} is no cell of its grid: correct one of them.")
        for measure, found in numbers.items():
            if parts in found:
                raise BadInputError(f"The paper's row {', '.join(parts)} is there twice: remove one.")
            if said[measure] != "":
                found[parts] = float(said[measure])
    return Paper(source, numbers)


def _choices(cells: Sequence[Words]) -> dict[str, set[str]]:
    return {station: {parts[place] for parts in cells} for place, station in enumerate(STATIONS)}
