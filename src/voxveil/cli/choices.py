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


class Precision(StrEnum):
    """What a network computes in while it is trained; its parameters are always float32."""

    bf16 = "bf16"
    fp32 = "fp32"
