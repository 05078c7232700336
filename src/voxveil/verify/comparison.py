"""Several verification systems on the same trials, each recording heard once by every encoder."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from voxveil.audio.corpus import Utterance
from voxveil.errors import BadInputError
from voxveil.roles import Embedder, Progress, Scorer
from voxveil.verify.evaluate import Evaluation, embed_all, evaluate
from voxveil.verify.score_norm import AsNorm
from voxveil.verify.trials import Trial, recordings

System = tuple[Embedder, Scorer]

_HEARING = 0.9
"""The share of the bar that hearing gets; the rest is scoring and the bootstrap."""


def compare(
    systems: Mapping[str, System],
    trials: Sequence[Trial],
    cohort: Sequence[Utterance] = (),
    device: torch.device | None = None,
    progress: Progress | None = None,
) -> dict[str, Evaluation]:
    """What every system gets wrong on ``trials``, by name.

    Args:
        systems: On ``device``; those that share an embedder share its embeddings.
        trials: Of both kinds (:func:`~voxveil.verify.trials.of_both_kinds`).
        cohort: Recordings of at least two other speakers, for AS-norm (:mod:`voxveil.verify.score_norm`); empty:
            scores stay as they are.
        device: By default the CPU.
        progress: Told after every recording and every system.

    Raises:
        BadInputError: A recording cannot be used, or is in the cohort and in a trial.

    >>> compare({}, [])
    {}
    """
    _check_apart(trials, cohort)
    groups: dict[int, list[str]] = defaultdict(list)
    for name, (embedder, _) in systems.items():
        groups[id(embedder)].append(name)
    found: dict[str, Evaluation] = {}
    heard = [*recordings(trials), *(one.path for one in cohort)]
    for number, names in enumerate(groups.values()):
        tell = _part(progress, number / len(groups), 1.0 / len(groups))
        voices = embed_all(systems[names[0]][0], heard, device, progress=_part(tell, 0.0, _HEARING))
        strangers = speaker_means(cohort, voices) if cohort else None
        for done, name in enumerate(names, start=1):
            scorer = systems[name][1]
            found[name] = evaluate(scorer if strangers is None else AsNorm(scorer, strangers), voices, trials)
            tell(_HEARING + (1.0 - _HEARING) * done / len(names))
    return {name: found[name] for name in systems}


def speaker_means(
    utterances: Sequence[Utterance], voices: Mapping[Path, Float[Tensor, " dim"]]
) -> Float[Tensor, "speaker dim"]:
    """One unit vector a speaker, the direction of the mean of what he or she said, in the order in which they come up.

    >>> said = [Utterance("slt", Path("1.wav")), Utterance("rms", Path("2.wav")), Utterance("slt", Path("3.wav"))]
    >>> voices = dict(zip((one.path for one in said), torch.tensor([[2.0, 0.0], [0.0, 3.0], [4.0, 0.0]])))
    >>> speaker_means(said, voices).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    by_speaker: dict[str, list[Tensor]] = defaultdict(list)
    for one in utterances:
        by_speaker[one.speaker].append(voices[one.path])
    means = torch.stack([torch.stack(said).mean(0) for said in by_speaker.values()])
    return torch.nn.functional.normalize(means, dim=-1)


def _check_apart(trials: Sequence[Trial], cohort: Sequence[Utterance]) -> None:
    judged = {path.resolve() for path in recordings(trials)}
    for one in cohort:
        if one.path.resolve() in judged:
            raise BadInputError(f"{one.path} is in the cohort and in a trial: name a cohort of other speakers.")


def _part(progress: Progress | None, start: float, share: float) -> Progress:
    return lambda done: None if progress is None else progress(start + share * done)
