"""Where a training stands, on disk: kept whole at every measurement, and gone on from by the next run."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from voxveil.audio.recording import output_errors
from voxveil.errors import BadInputError
from voxveil.whole_file import write_whole


@dataclass(frozen=True)
class Past:
    """What lies behind a training: its steps, and the seconds that all its runs have taken for them."""

    step: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Checkpoint:
    """The file ``path``, and beside it a log with a line for every measurement.

    ``settings`` are tables of plain data that two runs have to share to be one training.

    >>> import tempfile
    >>> network = nn.Linear(1, 1)
    >>> optimiser = torch.optim.AdamW(network.parameters())
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     saved = Checkpoint(Path(folder, "toy.checkpoint"), {"plan": {"steps": 10}})
    ...     saved.keep(network, optimiser, Past(5, 2.5), {"step": 5, "loss": 0.1})
    ...     saved.resume(network, optimiser), saved.log.read_text().splitlines()
    (Past(step=5, seconds=2.5), ['{"step": 5, "loss": 0.1}'])
    """

    path: Path
    settings: Mapping[str, Mapping[str, Any]]

    @property
    def log(self) -> Path:
        """Where the log lies: ``ecapa.log.jsonl`` beside ``ecapa.checkpoint``."""
        return self.path.with_suffix(".log.jsonl")

    def keep(
        self, network: nn.Module, optimiser: torch.optim.Optimizer, past: Past, found: Mapping[str, float]
    ) -> None:
        """Writes where the training stands, and what was ``found`` there.

        Raises :class:`~voxveil.errors.BadOutputError` where there is no room or no permission; what was kept before
        stays.
        """
        content = io.BytesIO()
        state = {"network": network.state_dict(), "optimiser": optimiser.state_dict(), "past": asdict(past)}
        torch.save({**state, **{name: dict(table) for name, table in self.settings.items()}}, content)
        write_whole(self.path, content.getvalue())
        with output_errors(self.log):
            lines = self.log.read_bytes() if self.log.exists() else b""
        write_whole(self.log, lines + json.dumps(found).encode() + b"\n")

    def resume(self, network: nn.Module, optimiser: torch.optim.Optimizer) -> Past:
        """Fills both with what was kept, and says how far that is; without a file, the log is begun anew.

        Raises :class:`~voxveil.errors.BadInputError` for what is no checkpoint, and for one of another training.
        """
        if not self.path.exists():
            with output_errors(self.log):
                self.log.unlink(missing_ok=True)
            return Past()
        other = f"{self.path} belongs to another training: go on with its settings and its corpus, or remove it."
        try:
            state = torch.load(self.path, map_location="cpu", weights_only=True)
            past = Past(int(state["past"]["step"]), float(state["past"]["seconds"]))
        except Exception as error:  # a foreign file can break the reader in any way, and all mean the same
            raise BadInputError(f"{self.path} is no checkpoint of a training: remove it.") from error
        # A table that an earlier version did not write cannot differ.
        if any(state.get(name, table) != table for name, table in self.settings.items()):
            raise BadInputError(other)
        try:
            network.load_state_dict(state["network"], strict=True)
            optimiser.load_state_dict(state["optimiser"])
        except (RuntimeError, ValueError, KeyError, TypeError) as error:
            raise BadInputError(other) from error
        return past
