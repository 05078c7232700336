"""What came out of the stations, as FLAC files named after their content: a run that was stopped goes on from there."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import soundfile as sf
import torch

from voxveil.audio.recording import output_errors
from voxveil.bench.speech import SAMPLE_RATE
from voxveil.roles import Clip
from voxveil.whole_file import write_whole

_FULL_SCALE = 32_768.0


Clips = dict[str, list[Clip]]
"""By speaker."""


@runtime_checkable
class Keeper(Protocol):
    """Where the clips that come out of stations go, by the key of the station."""

    def read(self, key: str) -> Clips | None:
        """What came out there; None where it is not known."""

    def write(self, key: str, clips: Clips) -> None:
        """Keeps the clips."""


@dataclass(frozen=True)
class KeptAudio:
    """A folder of 16-bit clips at 16 kHz, by the key of the station that they came out of.

    Clips have to be whole multiples of 2⁻¹⁵, or what is read back differs from what was written.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     kept = KeptAudio(Path(folder))
    ...     kept.write("00", {"ada": [torch.tensor([0.5, -0.25])]})
    ...     kept.read("00"), kept.read("01")
    ({'ada': [tensor([ 0.5000, -0.2500])]}, None)
    """

    folder: Path

    def read(self, key: str) -> Clips | None:
        """What came out there, by speaker; None where it is not known, or a file is not what it was."""
        try:
            listed: dict[str, list[str]] = json.loads(self._list(key).read_text())
            return {speaker: [self.clip(name) for name in names] for speaker, names in listed.items()}
        except (OSError, ValueError, sf.LibsndfileError):
            return None

    def write(self, key: str, clips: Clips) -> None:
        """Keeps the clips; what is equal is kept once.

        Raises :class:`~voxveil.errors.BadOutputError` where they cannot be written.
        """
        with output_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        listed = {speaker: [self._keep(clip) for clip in spoken] for speaker, spoken in clips.items()}
        write_whole(self._list(key), json.dumps(listed).encode())

    def path(self, name: str) -> Path:
        """Where the clip with this name lies."""
        return self.folder / f"{name}.flac"

    def names(self, key: str) -> dict[str, list[str]]:
        """The names of the clips that came out there, by speaker; empty where they are not known."""
        try:
            found: dict[str, list[str]] = json.loads(self._list(key).read_text())
        except (OSError, ValueError):
            return {}
        return found

    def clip(self, name: str) -> Clip:
        """The clip with this name; raises ``ValueError`` where it is not what it was."""
        samples, _ = sf.read(self.path(name), dtype="int16")
        if _name(samples) != name:
            raise ValueError(name)
        return torch.as_tensor(samples.astype(np.float32) / _FULL_SCALE)

    def remove(self) -> None:
        """All of it."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _list(self, key: str) -> Path:
        return self.folder / f"{key}.json"

    def _keep(self, clip: Clip) -> str:
        samples = (clip.numpy() * _FULL_SCALE).astype(np.int16)
        name = _name(samples)
        if not self.path(name).exists():
            file = io.BytesIO()
            sf.write(file, samples, SAMPLE_RATE, "PCM_16", format="FLAC")
            write_whole(self.path(name), file.getvalue())
        return name


def _name(samples: np.ndarray) -> str:
    return hashlib.sha256(samples.tobytes()).hexdigest()[:32]
