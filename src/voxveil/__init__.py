"""Voxveil keeps a voice from being cloned, and tells its user how far to trust that.

>>> import voxveil
>>> callable(voxveil.protect) and callable(voxveil.measure)
True
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

# Threads of GNU OpenMP, on which torch runs on Linux, spin for milliseconds at every barrier. A recurrent network has
# thousands of barriers a step: beside one other busy program that made protecting a hundred times slower. A short
# spin costs about a quarter on an idle machine. It is set before torch is imported, and a user's own setting wins.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

if TYPE_CHECKING:
    from voxveil.api import measure, protect

__version__ = "0.1.0"
__all__ = ["__version__", "measure", "protect"]


def __getattr__(name: str) -> Any:
    # Importing voxveil stays light: torch comes with the first call.
    if name in ("measure", "protect"):
        from voxveil import api

        return getattr(api, name)
    raise AttributeError(f"module 'voxveil' has no attribute '{name}'")
