"""Makes the clips beside it with flite (CMU; its voices are free software), 16 kHz FLAC.

Two sentences by each of four voices, and what the clones of ``voxveil audit`` say (at 12 bits, to be small); run it
again with ``python tests/data/make_speech.py`` where flite is installed.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import numpy as np
import soundfile as sf

HERE = Path(__file__).parent
SENTENCES = (
    "The north wind and the sun were disputing which was the stronger, when a traveller came along.",
    "Please call Stella, and ask her to bring these things with her from the store on Wednesday.",
)

VOICES = ("slt", "rms", "awb", "kal16")

CONTENT = HERE.parents[1] / "src" / "voxveil" / "bench" / "content.flac"
SAID = "Every morning the old baker carries warm bread and yellow cheese through the quiet village."


def main() -> None:
    for voice in VOICES:
        for number, sentence in enumerate(SENTENCES, 1):
            _write(HERE / f"{voice}-{number}.flac", _spoken(voice, sentence))
    _write(CONTENT, np.round(_spoken("slt", SAID) * 2048) / 2048)


def _spoken(voice: str, sentence: str) -> np.ndarray:
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder, "spoken.wav")
        subprocess.run(["flite", "-voice", voice, "-t", sentence, "-o", wav], check=True)
        sound, rate = sf.read(wav)
    assert rate == 16_000, rate
    return sound


def _write(place: Path, sound: np.ndarray) -> None:
    sf.write(place, sound, 16_000, subtype="PCM_16")


if __name__ == "__main__":
    main()
