"""Runs the command line: as a real process, and inside this one where only its words and its exit code matter."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import soundfile as sf

DATA = Path(__file__).parent / "data"
# Threads that wait for each other on busy cores are many times slower than one.
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "voxveil", *map(str, words)]


def voxveil(*words: object, cwd: Path | None = None, **environment: str) -> Ended:
    done = subprocess.run(
        command(*words), cwd=cwd, env=ENVIRONMENT | environment, capture_output=True, text=True, check=False
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def voxveil_here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: object) -> Ended:
    """The same without a new process; models stay loaded from call to call."""
    from voxveil.cli.main import run

    monkeypatch.setattr(sys, "argv", ["voxveil", *map(str, words)])
    with _handlers(), pytest.raises(SystemExit) as ended:
        run()
    said = capsys.readouterr()
    return Ended(int(ended.value.code or 0), said.out, said.err)


@contextmanager
def _handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def one_sentence(said: str, *names: object) -> bool:
    """Whether this is one line, of one sentence, about all of ``names``, and no traceback."""
    rest = said
    for name in sorted(map(str, names), key=len, reverse=True):
        if name not in said:
            return False
        rest = rest.replace(name, "")
    return (
        rest.startswith("voxveil: ")
        and rest.endswith(".\n")
        and rest.count("\n") == 1
        and ". " not in rest
        and "Traceback" not in rest
        and "went wrong inside" not in rest
    )


def speech_file(path: Path, seconds: float = 1.2, rate: int = 16_000, **settings: object) -> Path:
    """Synthetic speech, one channel."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sound = sf.read(DATA / "slt-1.flac")[0][3000 : 3000 + round(seconds * 16_000)]
    sf.write(path, sound, rate, **settings)
    return path
