"""Runs a script that takes no seed after seeding what it draws from: ``seeded.py SEED SCRIPT ARGUMENT…``.

It is run in the script's folder by the script's own interpreter, so it imports nothing of Voxveil.
"""

from __future__ import annotations

import random
import runpy
import sys
from pathlib import Path

import numpy as np
import torch

if __name__ == "__main__":
    seed = int(sys.argv[1])
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  (the old generator is what such scripts draw from)
    torch.manual_seed(seed)
    del sys.argv[:2]
    # As if the script itself had been started: its modules lie beside it.
    sys.path[0] = str(Path(sys.argv[0]).resolve().parent)
    runpy.run_path(sys.argv[0], run_name="__main__")
