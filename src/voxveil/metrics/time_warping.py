"""Dynamic time warping: which frames belong together when a sequence goes faster here and slower there than another.

H. Sakoe, S. Chiba: Dynamic Programming Algorithm Optimization for Spoken Word Recognition, IEEE Transactions on
Acoustics, Speech and Signal Processing 26(1), 1978.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64

Distances = Float64[np.ndarray, "one other"]


def warping_path(distances: Distances) -> list[tuple[int, int]]:
    """The cheapest way through ``distances`` of every pair of frames, from the first pair to the last.

    Each step goes on by one frame in either sequence or in both, and pays for the pair that it reaches. Where steps
    cost the same, both sequences go on.

    >>> warping_path(np.array([[0.0, 0.0, 9.0], [9.0, 9.0, 0.0]]))
    [(0, 0), (0, 1), (1, 2)]
    """
    total = _totals(distances)
    place = (distances.shape[0] - 1, distances.shape[1] - 1)
    path = [place]
    while place != (0, 0):
        i, j = place
        before = [(i - 1, j - 1), (i - 1, j), (i, j - 1)]
        place = min((p for p in before if min(p) >= 0), key=lambda p: total[p[0]][p[1]])
        path.append(place)
    return path[::-1]


def _totals(distances: Distances) -> list[list[float]]:
    """T[i, j] = d[i, j] + min(T[i − 1, j − 1], T[i − 1, j], T[i, j − 1])."""
    # Lists, since Python is slow on the cells of arrays.
    beyond = float("inf")
    above = [0.0] + [beyond] * distances.shape[1]
    rows = []
    for line in distances.tolist():
        row = [beyond]
        for j, distance in enumerate(line):
            row.append(distance + min(above[j], above[j + 1], row[j]))
        rows.append(row[1:])
        above = row
    return rows
