"""The recordings that the benchmarks measure on: a folder like LibriSpeech's, SPEAKER/…/*.flac."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile as sf
import torch
import torch.nn.functional as F
from jaxtyping import Float64
from torch import Tensor

from voxveil import catalog, loading
from voxveil.verify.verifier import Verifier

RATE = 16_000
CLIP_S = 6.0
LEAST_S = 3.0


@dataclass(frozen=True)
class Clip:
    """The first six seconds of an utterance, and its speaker as every verifier knows him from his other utterances."""

    speaker: str
    path: Path
    speech: Tensor
    enrolled: dict[str, Tensor]


def corpus_argument(description: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--corpus", type=Path, required=True, help="folder SPEAKER/…/*.flac, 16 kHz")
    parser.add_argument("--out", type=Path, default=Path("docs/results"), help="where the table goes")
    return parser


def utterances(corpus: Path) -> dict[str, list[tuple[Path, Tensor]]]:
    found: dict[str, list[tuple[Path, Tensor]]] = {}
    for path in sorted(corpus.rglob("*.flac")):
        sound, rate = sf.read(path, dtype="float32")
        if rate != RATE:
            raise SystemExit(f"{path} has {rate} Hz; the benchmarks want 16 kHz")
        found.setdefault(path.relative_to(corpus).parts[0], []).append((path, torch.as_tensor(sound)))
    if not found:
        raise SystemExit(f"no .flac files in {corpus}")
    return found


def ensemble() -> dict[str, Verifier]:
    return {name: loading.verifier(name) for name in catalog.ENSEMBLE}


def clips(corpus: Path, verifiers: Mapping[str, Verifier]) -> list[Clip]:
    made = []
    for speaker, spoken in utterances(corpus).items():
        with torch.no_grad():
            voices = {n: torch.cat([v.embedder(s[None]) for _, s in spoken]) for n, v in verifiers.items()}
        for index, (path, speech) in enumerate(spoken):
            if len(speech) < LEAST_S * RATE:
                continue
            others = {n: torch.cat([v[:index], v[index + 1 :]]).mean(0) for n, v in voices.items()}
            enrolled = {n: F.normalize(mean, dim=0) for n, mean in others.items()}
            made.append(Clip(speaker, path, speech[: round(CLIP_S * RATE)], enrolled))
    return made


def few(everything: Sequence[Clip], clips_a_speaker: int) -> list[Clip]:
    """The first clips of full length of every speaker."""
    whole: dict[str, list[Clip]] = {}
    for clip in everything:
        if len(clip.speech) == round(CLIP_S * RATE):
            whole.setdefault(clip.speaker, []).append(clip)
    return [clip for same in whole.values() for clip in same[:clips_a_speaker]]


def scores(
    speech: Tensor, owners: Sequence[Clip], verifiers: Mapping[str, Verifier]
) -> dict[str, Float64[np.ndarray, " clip"]]:
    """What every verifier says of every clip [clip, time] and its owner."""
    found = {}
    for name, verifier in verifiers.items():
        enrolled = torch.stack([owner.enrolled[name] for owner in owners])
        with torch.no_grad():
            found[name] = verifier.scorer(enrolled, verifier.embedder(speech)).double().numpy()
    return found


def batches(chosen: list[Clip], size: int = 8) -> list[list[Clip]]:
    """Clips of equal length together, at most ``size`` of them."""
    by_length: dict[int, list[Clip]] = {}
    for clip in chosen:
        by_length.setdefault(len(clip.speech), []).append(clip)
    return [same[i : i + size] for same in by_length.values() for i in range(0, len(same), size)]
