"""The words that options take; the values they stand for live with the protections."""

from __future__ import annotations

from enum import StrEnum


class Strength(StrEnum):
    """How far the voice is led away from its speaker."""

    light = "light"
    medium = "medium"
    strong = "strong"


class Effort(StrEnum):
    """How many steps of descent."""

    fast = "fast"
    normal = "normal"
    thorough = "thorough"
