"""Shapes and types are checked at run time: the import hook must be there before any module of Voxveil is.

pytest loads this file, beside the configuration, before it imports a test or a module whose doctests it collects.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import Protocol, runtime_checkable

from jaxtyping import install_import_hook

_early = [name for name in sys.modules if name.startswith("voxveil")]
if _early:
    raise RuntimeError(f"{', '.join(_early)} imported before the type checks were switched on")

# beartype asks isinstance of every annotation, so the roles must answer it; they hold no code to check.
from voxveil import roles  # noqa: E402

for _role in vars(roles).values():
    if Protocol in getattr(_role, "__bases__", ()):
        runtime_checkable(_role)

# As mypy does, an int passes for a float.
install_import_hook("voxveil", "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))")

# Their examples need extras that are too large for the development environment: 'ssl' and 'asr'.
EXAMPLES_NEED = {
    "src/voxveil/models/speaker/wavlm.py": "transformers",
    "src/voxveil/models/conversion/wavlm_frames.py": "transformers",
    "src/voxveil/metrics/recognition.py": "pocketsphinx",
}
collect_ignore = [path for path, package in EXAMPLES_NEED.items() if not find_spec(package)]
