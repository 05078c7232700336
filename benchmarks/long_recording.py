"""An hour of 44.1 kHz stereo through the command line: memory, time, and what must stay as it was.

The recording is made from the corpus: speakers taking turns, panned a little, with noise above 9 kHz added so that
there is something up there to keep. Writes docs/results/long_recording.{md,json}.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile as sf
import soxr
from scipy.signal import firwin, oaconvolve
from speakers import RATE, corpus_argument, utterances

RATE_HZ = 44_100
TAGS = {"title": "An hour of talk", "artist": "Five readers", "comment": "benchmark"}
BLOCK_S = 60


def make(corpus: Path, path: Path, minutes: float) -> None:
    spoken = [speech.numpy() for same in utterances(corpus).values() for _, speech in same]
    generator = np.random.default_rng(0)
    high = firwin(255, 9000, fs=RATE_HZ, pass_zero=False)
    with sf.SoundFile(path, "w", RATE_HZ, 2, subtype="PCM_16") as file:
        for key, value in TAGS.items():
            setattr(file, key, value)
        written = 0
        while written < minutes * 60 * RATE_HZ:
            mono = soxr.resample(spoken[generator.integers(len(spoken))], RATE, RATE_HZ)
            hiss = oaconvolve(0.002 * generator.standard_normal((len(mono), 2)), high[:, None], mode="same")
            pan = generator.uniform(0.3, 0.7)
            block = 1.4 * mono[:, None] * np.array([[1 - pan, pan]]) + hiss
            block = block[: int(minutes * 60 * RATE_HZ) - written]
            file.write(block)
            written += len(block)


def high_band_change_db(clean: Path, protected: Path) -> float:
    """Level of the difference above 8.5 kHz against the recording's level there, over the first minute."""
    band = firwin(1023, 8500, fs=RATE_HZ, pass_zero=False)
    one, other = (sf.read(p, frames=BLOCK_S * RATE_HZ)[0] for p in (clean, protected))
    kept = oaconvolve(one, band[:, None], mode="valid")
    change = oaconvolve(other - one, band[:, None], mode="valid")
    return float(10 * np.log10((change**2).mean() / (kept**2).mean()))


def run(arguments: list[str]) -> tuple[float, float]:
    """(seconds, peak resident memory in GB) of a command."""
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "voxveil", *arguments])
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"the command ended with {os.waitstatus_to_exitcode(status)}")
    return time.perf_counter() - started, usage.ru_maxrss * 1024 / 1e9


def main() -> None:
    parser = corpus_argument(__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--effort", default="normal")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        clean, protected, report = (Path(folder, name) for name in ("talk.wav", "protected.wav", "report.json"))
        make(options.corpus, clean, options.minutes)
        words = ["protect", str(clean), "-o", str(protected), "--effort", options.effort, "--report", str(report)]
        seconds, memory_gb = run(words)
        before, after = sf.SoundFile(clean), sf.SoundFile(protected)
        measured = json.loads(report.read_text())
        figures = {
            "minutes": options.minutes,
            "effort": options.effort,
            "seconds_of_the_whole_command": seconds,
            "real_time_factor": measured["real_time_factor"],
            "peak_memory_gb": memory_gb,
            "same_format": all(
                getattr(before, key) == getattr(after, key)
                for key in ("frames", "samplerate", "channels", "format", "subtype")
            ),
            "same_tags": all(getattr(after, key) == value for key, value in TAGS.items()),
            "change_above_8500_hz_db": high_band_change_db(clean, protected),
            "protected_score": measured["verifiers"]["ge2e"]["protected_score"],
            "noise_score": measured["verifiers"]["ge2e"]["noise_score"],
            "pesq_wb": measured["quality"]["pesq_wb"],
        }
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "long_recording.json").write_text(json.dumps(figures, indent=1) + "\n")
    (options.out / "long_recording.md").write_text(table(figures))
    print(table(figures))


def table(figures: dict) -> str:
    lines = [
        "# An hour of stereo",
        "",
        "44.1 kHz, 16 bit, stereo WAV with tags, `voxveil protect` on two CPU cores. The speaker is enrolled from the",
        "recording itself (excerpts with several speakers), so the scores only show that something was done.",
        "",
        "| what | measured |",
        "|---|---|",
    ]
    lines += [
        f"| {k.replace('_', ' ')} | {v:.2f} |" if isinstance(v, float) else f"| {k.replace('_', ' ')} | {v} |"
        for k, v in figures.items()
    ]
    return "\n".join([*lines, "", "Again: `python benchmarks/long_recording.py --corpus LIBRISPEECH/test-other`", ""])


if __name__ == "__main__":
    main()
