"""A progress bar on the error stream: seen by a person at a terminal, absent from pipes and logs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, runtime_checkable

SPEED_OVER_S = 7 * 24 * 3600.0
"""The time left is judged by the pace since the start: steps may take minutes, and differ."""


@runtime_checkable
class Bar(Protocol):
    """How far the work is, and, where that changes, what is running."""

    def __call__(self, share: float, doing: str | None = None) -> None:
        """``share`` is 0 … 1; ``doing`` takes the title's place."""


@contextmanager
def bar(title: str) -> Iterator[Bar]:
    """A bar from 0 to 1 with the time left, which disappears when done.

    >>> with bar("protecting") as progress:
    ...     progress(0.5, "protecting talk.wav")
    """
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress
    from rich.table import Column

    console = Console(stderr=True)
    # Not markup: a file may be named [bold].wav.
    words = TextColumn("{task.description}", markup=False, table_column=Column(ratio=1, no_wrap=True))
    columns = (words, BarColumn(20), TaskProgressColumn(), TimeRemainingColumn())
    with RichProgress(
        *columns,
        console=console,
        transient=True,
        expand=True,  # long words end in … and leave room for the time
        disable=not sys.stderr.isatty(),
        speed_estimate_period=SPEED_OVER_S,
    ) as display:
        task = display.add_task(title, total=1.0)
        yield lambda share, doing=None: display.update(task, completed=share, description=doing)
