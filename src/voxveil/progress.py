"""One progress for several tasks, one after the other."""

from __future__ import annotations

from voxveil.roles import Progress


def part(progress: Progress | None, first: float, last: float) -> Progress | None:
    """The progress of a task that takes it from ``first`` to ``last``, both in 0 … 1; None of None.

    >>> told = []
    >>> second_half = part(told.append, 0.5, 1.0)
    >>> second_half(0.0), second_half(0.5), second_half(1.0), told
    (None, None, None, [0.5, 0.75, 1.0])
    """
    return None if progress is None else lambda share: progress(first + (last - first) * share)
