"""A progress bar on the error stream: seen by a person at a terminal, absent from pipes and logs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from voxveil.roles import Progress


@contextmanager
def bar(title: str) -> Iterator[Progress]:
    """A bar from 0 to 1 with the time left, which disappears when done.

    >>> with bar("protecting") as progress:
    ...     progress(0.5)
    """
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    console = Console(stderr=True)
    # Not markup: a file may be named [bold].wav.
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with RichProgress(*columns, console=console, transient=True, disable=not sys.stderr.isatty()) as display:
        task = display.add_task(title, total=1.0)
        yield lambda share: display.update(task, completed=share)
