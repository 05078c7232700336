"""How the command line says that something went wrong."""

from __future__ import annotations

import os
import sys


def complain(sentence: object) -> None:
    """One sentence on the error stream, after the traceback of the error at hand if VOXVEIL_DEBUG is 1.

    >>> complain("a.wav is empty.")
    """
    if os.environ.get("VOXVEIL_DEBUG") == "1":
        import traceback

        traceback.print_exc()
    print(f"voxveil: {sentence}", file=sys.stderr)
