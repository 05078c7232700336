"""How well a verifier tells speakers apart, over a list of trials.

Embedding is slow and scoring is not: :func:`embed_all` hears every recording once, and :func:`evaluate` then serves
every verifier that shares the embedder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64
from torch import Tensor

from voxveil.audio.corpus import read_mono
from voxveil.audio.voice_activity import LEAST_SPEECH_S, speech_seconds
from voxveil.errors import BadInputError
from voxveil.metrics.bootstrap import bootstrap_equal_error_rate
from voxveil.metrics.rates import (
    equal_error_rate,
    false_acceptance_rate,
    false_rejection_rate,
    min_dcf,
    threshold_at_false_acceptance,
    threshold_at_false_rejection,
)
from voxveil.roles import Embedder, Progress, Scorer
from voxveil.verify.trials import Trial

TRIALS_A_BLOCK = 16_384
ONE_PERCENT = 0.01


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What a verifier got wrong; rates are fractions 0 … 1.

    ``eer_low`` … ``eer_high`` is the 95 % interval over draws of speakers. ``thresholds`` holds those at the equal
    error rate (``eer``) and at a false rejection or acceptance of 1 % (``frr1``, ``far1``), as these trials give them.
    """

    genuine: Float64[np.ndarray, " genuine"]
    impostor: Float64[np.ndarray, " impostor"]
    eer: float
    eer_low: float
    eer_high: float
    min_dcf: float
    thresholds: Mapping[str, float]

    @property
    def trials(self) -> int:
        """How many there were."""
        return len(self.genuine) + len(self.impostor)

    def rates_at(self, threshold: float) -> tuple[float, float]:
        """(false rejection, false acceptance) at a threshold from elsewhere, such as a verifier's calibrated one."""
        return false_rejection_rate(self.genuine, threshold), false_acceptance_rate(self.impostor, threshold)

    def as_json(self) -> dict[str, Any]:
        """Plain data for ``json.dump``: what can be compared between verifiers."""
        return {
            "eer": self.eer,
            "eer_low": self.eer_low,
            "eer_high": self.eer_high,
            "min_dcf": self.min_dcf,
            "thresholds": dict(self.thresholds),
            "trials": self.trials,
        }


def embed_all(
    embedder: Embedder,
    paths: Iterable[Path],
    device: torch.device | None = None,
    read: Callable[[Path, int], Float32[np.ndarray, " time"]] = read_mono,
    progress: Progress | None = None,
) -> dict[Path, Float[Tensor, " dim"]]:
    """The embedding of every recording, whole and by itself: lengths differ, and padding would be heard.

    Args:
        embedder: On ``device``.
        paths: Recordings; one that comes up again is not embedded again.
        device: Where the speech goes; by default the CPU.
        read: (path, rate in Hz) → mono speech; another one may send the speech through a channel.
        progress: Told after every recording.

    Raises:
        BadInputError: A recording cannot be used, or holds less than 0.3 s of speech.

    >>> class Loudness:
    ...     sample_rate, differentiable = 16_000, True
    ...     def __call__(self, speech):
    ...         return speech.square().mean(1, keepdim=True)
    ...     def coarse(self):
    ...         return self
    >>> hum = lambda path, rate: np.sin(np.arange(rate, dtype=np.float32))
    >>> {path.name: round(voice.item(), 2) for path, voice in embed_all(Loudness(), [Path("a.wav")], read=hum).items()}
    {'a.wav': 0.5}
    """
    wanted = list(dict.fromkeys(paths))
    embeddings: dict[Path, Tensor] = {}
    for done, path in enumerate(wanted, start=1):
        speech = torch.as_tensor(read(path, embedder.sample_rate), device=device)[None]
        if float(speech_seconds(speech, embedder.sample_rate)[0]) < LEAST_SPEECH_S:
            raise BadInputError(f"{path} is silent: nobody speaks in it.")
        with torch.no_grad():
            embeddings[path] = embedder(speech)[0]
        if progress is not None:
            progress(done / len(wanted))
    return embeddings


def evaluate(scorer: Scorer, embeddings: Mapping[Path, Float[Tensor, " dim"]], trials: Sequence[Trial]) -> Evaluation:
    """Scores all ``trials``, which are of both kinds, with ``embeddings`` that hold every recording of theirs.

    >>> from voxveil.audio.corpus import Utterance
    >>> from voxveil.verify.scorers import cosine
    >>> from voxveil.verify.trials import all_pairs
    >>> said = [Utterance(name, Path(f"{name}-{take}.wav")) for name in ("slt", "rms") for take in (1, 2)]
    >>> heard = {one.path: torch.tensor([1.0, float(one.speaker == "slt")]) for one in said}
    >>> found = evaluate(cosine, heard, all_pairs(said))
    >>> found.eer, found.trials, found.rates_at(0.5)
    (0.0, 6, (0.0, 1.0))
    """
    same = np.array([trial.same for trial in trials])
    numbers: dict[str, int] = {}
    speakers = np.array(
        [[numbers.setdefault(u.speaker, len(numbers)) for u in (trial.enrol, trial.probe)] for trial in trials]
    )
    scores = _scores(scorer, embeddings, trials)
    genuine, impostor = scores[same], scores[~same]
    eer, threshold = equal_error_rate(genuine, impostor)
    eer_low, eer_high = bootstrap_equal_error_rate(genuine, impostor, speakers[same], speakers[~same])
    return Evaluation(
        genuine=genuine,
        impostor=impostor,
        eer=eer,
        eer_low=eer_low,
        eer_high=eer_high,
        min_dcf=min_dcf(genuine, impostor),
        thresholds={
            "eer": threshold,
            "frr1": threshold_at_false_rejection(genuine, impostor, ONE_PERCENT),
            "far1": threshold_at_false_acceptance(genuine, impostor, ONE_PERCENT),
        },
    )


def _scores(
    scorer: Scorer, embeddings: Mapping[Path, Tensor], trials: Sequence[Trial]
) -> Float64[np.ndarray, " trial"]:
    row = {path: number for number, path in enumerate(embeddings)}
    voices = torch.stack(list(embeddings.values()))
    pairs = torch.tensor([[row[trial.enrol.path], row[trial.probe.path]] for trial in trials], device=voices.device)
    with torch.no_grad():
        blocks = [scorer(voices[block[:, 0]], voices[block[:, 1]]) for block in torch.split(pairs, TRIALS_A_BLOCK)]
    return torch.cat(blocks).double().cpu().numpy()
