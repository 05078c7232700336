"""The results of a run in one SQLite file: whole cells or nothing, whatever happens in between."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from voxveil.errors import BadInputError, BadOutputError

SCHEMA = 2
COLUMNS = ("speaker", "utterance", "score", "threshold", "accepted", "pesq_wb", "stoi", "snr_db", "nisqa", "dnsmos")
"""What a row of a cell says, or None."""

_TABLES = f"""
CREATE TABLE cell (key TEXT PRIMARY KEY, parts TEXT NOT NULL, seconds REAL NOT NULL);
CREATE TABLE row (cell TEXT NOT NULL REFERENCES cell (key), position INTEGER NOT NULL,
    speaker TEXT NOT NULL, utterance TEXT NOT NULL, score REAL NOT NULL, threshold REAL NOT NULL,
    accepted INTEGER NOT NULL, pesq_wb REAL, stoi REAL, snr_db REAL, nisqa REAL, dnsmos REAL,
    PRIMARY KEY (cell, position));
CREATE TABLE run (id INTEGER PRIMARY KEY CHECK (id = 0), grid TEXT NOT NULL);
PRAGMA user_version = {SCHEMA};
"""


Add = Callable[[str, Sequence[Any], Sequence[Mapping[str, Any]], float], None]


@dataclass(frozen=True)
class Store:
    """The file ``path``, which is made if it is not there.

    Raises :class:`~voxveil.errors.BadInputError` for a file that holds no results, or those of another version.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = Store(Path(folder, "results.sqlite"))
    ...     with store.adding() as add:
    ...         add("ab", ["none"], [], 0.5)
    ...     store.finished()
    {'ab'}
    """

    path: Path

    def __post_init__(self) -> None:
        with self._open() as database:
            (version,) = database.execute("PRAGMA user_version").fetchone()
            (tables,) = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
            if tables == 0:
                database.executescript(f"BEGIN;{_TABLES}COMMIT;")
            elif version != SCHEMA:
                raise BadInputError(f"{self.path} holds results of another version: name another folder.")

    def finished(self) -> set[str]:
        """The keys of all cells that are done."""
        with self._open() as database:
            return {key for (key,) in database.execute("SELECT key FROM cell")}

    @contextmanager
    def adding(self) -> Iterator[Add]:
        """A call that adds finished cells: (key, parts, rows, seconds); one that is there already stays as it is.

        Each cell is there for good, or not at all, whatever becomes of the process. With a write-ahead log none of them
        waits for the disk: a power cut may cost the last few.

        Raises :class:`~voxveil.errors.BadOutputError` where there is no room.
        """
        with self._open() as database:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = NORMAL")
            yield partial(_add, database)
            with suppress(sqlite3.OperationalError):  # somebody is reading: it stays as it is
                database.execute("PRAGMA journal_mode = DELETE")

    def rows(self, key: str) -> list[dict[str, Any]]:
        """What a cell found, utterance by utterance."""
        wanted = ", ".join(COLUMNS)
        with self._open() as database:
            found = database.execute(f"SELECT {wanted} FROM row WHERE cell = ? ORDER BY position", (key,)).fetchall()
        rows = [dict(zip(COLUMNS, values, strict=True)) for values in found]
        return [row | {"accepted": bool(row["accepted"])} for row in rows]

    def describe(self, grid: Mapping[str, Any]) -> None:
        """Keeps, as plain data, what the run was asked last: reports read it."""
        with self._open() as database, database:
            database.execute("INSERT OR REPLACE INTO run VALUES (0, ?)", (json.dumps(grid),))

    def described(self) -> dict[str, Any]:
        """What :meth:`describe` kept.

        Raises :class:`~voxveil.errors.BadInputError` where nothing was.
        """
        with self._open() as database:
            found = database.execute("SELECT grid FROM run").fetchone()
        if found is None:
            raise BadInputError(f"{self.path} holds no run yet: start one with 'voxveil bench run'.")
        described: dict[str, Any] = json.loads(found[0])
        return described

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self.path, timeout=60.0)) as database:
                yield database
        except sqlite3.OperationalError as error:
            raise BadOutputError(f"{self.path} cannot be written: {error}.") from error
        except sqlite3.DatabaseError as error:
            raise BadInputError(f"{self.path} is no file of results ({error}): name another folder.") from error


def _add(
    database: sqlite3.Connection, key: str, parts: Sequence[Any], rows: Sequence[Mapping[str, Any]], seconds: float
) -> None:
    values = [(key, position, *(row.get(column) for column in COLUMNS)) for position, row in enumerate(rows)]
    with database:
        new = database.execute("INSERT OR IGNORE INTO cell VALUES (?, ?, ?)", (key, json.dumps(parts), seconds))
        if new.rowcount:
            marks = ", ".join("?" * (2 + len(COLUMNS)))
            database.executemany(f"INSERT INTO row VALUES ({marks})", values)
