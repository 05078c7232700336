"""Voxveil keeps a voice from being cloned, and tells its user how far to trust that.

>>> import voxveil
>>> callable(voxveil.protect) and callable(voxveil.measure)
True
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
