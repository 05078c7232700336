"""GE2E beside the published package: the same recordings through Resemblyzer's own code and through ours.

Fetches the published wheel with pip, unpacks it into a temporary folder, and runs its ``VoiceEncoder`` with its own
front end (librosa, of the development environment). Its silence detector is left out on both sides: it is a compiled
package that no longer installs everywhere. Writes docs/results/ge2e_parity.{md,json}.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import types
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import scipy.ndimage
import torch
from speakers import corpus_argument, utterances

from voxveil import loading

PACKAGE = "resemblyzer==0.1.4"
# Edges of the framing rule: less than a window, one sample short of one, exactly one, a last window just dropped.
LENGTHS = (8_000, 25_599, 25_600, 37_920, None)


def published(folder: Path) -> tuple[Any, Any]:
    """(VoiceEncoder, audio module) of the published package."""
    pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder), PACKAGE]
    subprocess.run(pip, check=True)
    zipfile.ZipFile(next(folder.glob("*.whl"))).extractall(folder)
    # What the package imports and no current environment has: neither is called here.
    sys.modules["webrtcvad"] = types.ModuleType("webrtcvad")
    gone = types.ModuleType("scipy.ndimage.morphology")
    gone.binary_dilation = scipy.ndimage.binary_dilation  # type: ignore[attr-defined]
    sys.modules["scipy.ndimage.morphology"] = gone
    sys.path.insert(0, str(folder))
    from resemblyzer import audio
    from resemblyzer.voice_encoder import VoiceEncoder

    load = torch.load
    torch.load = lambda path, **_: load(path, map_location="cpu", weights_only=True)  # type: ignore[assignment]
    return VoiceEncoder("cpu", verbose=False), audio


def main() -> None:
    options = corpus_argument(__doc__).parse_args()
    warnings.simplefilter("ignore")
    ours = loading.embedder("ge2e")
    distances = []
    with tempfile.TemporaryDirectory() as folder:
        theirs, audio = published(Path(folder))
        for _, speech in [u for same in utterances(options.corpus).values() for u in same]:
            for length in LENGTHS:
                wave = speech[:length].numpy()
                raised = audio.normalize_volume(wave, -30, increase_only=True)
                with torch.no_grad():
                    embedding = ours(torch.as_tensor(wave)[None])[0].double().numpy()
                distances.append(1.0 - float(embedding @ theirs.embed_utterance(raised)))
    figures = {"pairs": len(distances), "largest_cosine_distance": float(np.max(distances))}
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "ge2e_parity.json").write_text(json.dumps(figures, indent=1) + "\n")
    text = (
        "# GE2E beside the published package\n\n"
        f"{figures['pairs']} waveforms of five speakers, 0.5 s to their full length, through {PACKAGE} and ours:\n"
        f"the largest cosine distance is {figures['largest_cosine_distance']:.1e}.\n\n"
        "Again: `python benchmarks/ge2e_parity.py --corpus LIBRISPEECH/test-other`\n"
    )
    (options.out / "ge2e_parity.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
