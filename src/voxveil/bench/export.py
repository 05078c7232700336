"""The rows of a run for other programs: CSV and Parquet, one row a cell and utterance."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from voxveil.bench.run import RESULTS
from voxveil.bench.scenario import STATIONS
from voxveil.bench.store import COLUMNS, Store
from voxveil.errors import BadInputError, MissingExtraError
from voxveil.whole_file import check_place, write_whole

HEADER = (*STATIONS, *COLUMNS)


def rows_of(run: Path) -> list[dict[str, Any]]:
    """The finished rows of the grid that ``run`` (its folder) was asked last, in the grid's order.

    Raises :class:`~voxveil.errors.BadInputError` for a folder without results.

    >>> rows_of(Path("nowhere"))
    Traceback (most recent call last):
    voxveil.errors.BadInputError: nowhere holds no results: name the folder of a run.
    """
    store = results_of(run)
    return [
        dict(zip(STATIONS, cell["parts"], strict=True)) | row
        for cell in store.described()["cells"]
        for row in store.rows(cell["key"])
    ]


def results_of(run: Path) -> Store:
    """The results in the folder ``run``; raises :class:`~voxveil.errors.BadInputError` where there are none."""
    if not (run / RESULTS).is_file():
        raise BadInputError(f"{run} holds no results: name the folder of a run.")
    return Store(run / RESULTS)


def write_csv(run: Path, place: Path, overwrite: bool = False) -> None:
    """The rows as CSV (RFC 4180, UTF-8); what is not known is empty.

    Raises :class:`~voxveil.errors.BadOutputError` where it cannot be written.
    """
    check_place(place, ".csv", overwrite)
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, HEADER)
    writer.writeheader()
    writer.writerows(rows_of(run))
    write_whole(place, text.getvalue().encode())


def write_parquet(run: Path, place: Path, overwrite: bool = False) -> None:
    """The rows as Parquet.

    Raises :class:`~voxveil.errors.MissingExtraError` without the extra ``bench``, and as :func:`write_csv`.
    """
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError as error:
        raise MissingExtraError.naming("bench", "Parquet") from error
    check_place(place, ".parquet", overwrite)
    file = io.BytesIO()
    columns = {name: [row[name] for row in rows] for rows in [rows_of(run)] for name in HEADER}
    parquet.write_table(arrow.table(columns), file)
    write_whole(place, file.getvalue())
