"""Verification by name: voiceprints, decisions about probes, and the error rates of many systems.

A system is one of ``catalog.SYSTEMS``, or an encoder by the name or the file of its card, compared by cosine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from voxveil import catalog, hub
from voxveil.audio.corpus import Utterance
from voxveil.audio.files import probe
from voxveil.errors import BadInputError
from voxveil.loading import (
    LeftOut,
    Made,
    available,
    check_device,
    embedder,
    encoder_and_scorer,
    scorer,
    verifier,
)
from voxveil.report import speech_of
from voxveil.roles import Embedder, Progress
from voxveil.verify.comparison import System, compare
from voxveil.verify.evaluate import Evaluation
from voxveil.verify.trials import Trial
from voxveil.verify.verifier import enrol as enrol_clips
from voxveil.verify.voiceprint import SUFFIX, Voiceprint, read_voiceprint


@dataclass(frozen=True)
class Decision:
    """What one system says of one probe; it is accepted at ``score`` ≥ ``threshold``."""

    system: str
    probe: str
    score: float
    threshold: float
    accepted: bool


def enrol(recordings: Sequence[Path], system: str, device: str = "cpu") -> Voiceprint:
    """The voiceprint of the speaker of ``recordings``, for the encoder of ``system``.

    Of a recording longer than 16 s four excerpts of 8 s are heard.

    Raises :class:`~voxveil.errors.BadInputError` for a recording that cannot be used or in which nobody speaks, and
    :class:`~voxveil.errors.ModelUnavailableError` where the weights cannot be had.

    >>> enrol([Path("missing.wav")], "DV-COS")
    Traceback (most recent call last):
    voxveil.errors.BadInputError: missing.wav does not exist.
    """
    for path in recordings:
        probe(path)
    name = encoder_and_scorer(system)[0]
    card = hub.card(name)
    voice = enrol_clips(embedder(name, device), _clips(recordings, device))
    return Voiceprint(voice, card.name, card.weights.sha256, len(recordings))


def score(
    enrolled: Sequence[Path],
    probes: Sequence[Path],
    systems: Sequence[str] | None = None,
    criterion: str = "eer",
    device: str = "cpu",
    on_left_out: LeftOut | None = None,
    progress: Progress | None = None,
) -> list[Decision]:
    """Whether each of ``probes`` comes from the enrolled speaker, as every system says.

    Args:
        enrolled: Recordings of one speaker, or one voiceprint that :func:`enrol` made (``.safetensors``).
        probes: Recordings; of those longer than 16 s four excerpts of 8 s are heard.
        systems: By default all of ``catalog.SYSTEMS`` that can be had; for a voiceprint, all of those that it fits.
        criterion: The threshold: ``eer``, ``frr1`` or ``far1``.
        device: ``cpu`` or ``cuda``.
        on_left_out: Told of the systems that cannot be had.
        progress: Told after every recording.

    Raises:
        BadInputError: A file cannot be used, or the voiceprint is of another encoder.
        ModelUnavailableError: The weights of a system that is named cannot be had, or of none at all.

    >>> score([Path("missing.wav")], [Path("probe.wav")])
    Traceback (most recent call last):
    voxveil.errors.BadInputError: missing.wav does not exist.
    """
    voice = read_voiceprint(enrolled[0]) if _is_voiceprint(enrolled) else None
    for path in [*probes] if voice else [*enrolled, *probes]:
        probe(path)
    if voice is not None:
        systems = _fitting(voice, enrolled[0]) if systems is None else systems
        _check_encoder(voice, enrolled[0], systems)
    verifiers = _all_of(systems, lambda name: verifier(name, device, criterion), device, on_left_out)
    encoders = {encoder_and_scorer(name)[0]: one.embedder for name, one in verifiers.items()}
    if voice is None:
        known = _voices(encoders, enrolled, device)
    else:
        known = dict.fromkeys(encoders, voice.embedding.to(device))
    decisions: list[Decision] = []
    for done, path in enumerate(probes, start=1):
        heard = _voices(encoders, [path], device)
        for name, one in verifiers.items():
            encoder = encoder_and_scorer(name)[0]
            if known[encoder].shape != heard[encoder].shape:
                raise BadInputError(f"{enrolled[0]} is damaged: it has another size than its encoder gives.")
            value = float(one.scorer(known[encoder], heard[encoder]))
            decisions.append(Decision(name, str(path), value, one.threshold, value >= one.threshold))
        if progress is not None:
            progress(done / len(probes))
    return decisions


def evaluate(
    trials: Sequence[Trial],
    systems: Sequence[str] | None = None,
    cohort: Sequence[Utterance] = (),
    device: str = "cpu",
    on_left_out: LeftOut | None = None,
    progress: Progress | None = None,
) -> dict[str, Evaluation]:
    """The error rates of every system on ``trials``; the other arguments are those of :func:`score`.

    With a ``cohort`` of other speakers scores are normalised (:func:`~voxveil.verify.comparison.compare`), and
    calibrated thresholds are no longer theirs.

    Raises what :func:`score` and :func:`~voxveil.verify.comparison.compare` raise.

    >>> evaluate([], systems=["XX-COS"])  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    voxveil.errors.ModelUnavailableError: There is no system 'XX-COS'; there is: IV-PLDA, IV-COS, ...
    """

    def make(name: str) -> System:
        encoder, kind = encoder_and_scorer(name)
        return embedder(encoder, device), scorer(kind, encoder, device)

    made = _all_of(systems, make, device, on_left_out)
    return compare(made, trials, cohort, torch.device(device), progress)


def _all_of(
    systems: Sequence[str] | None, make: Callable[[str], Made], device: str, on_left_out: LeftOut | None
) -> dict[str, Made]:
    check_device(device)
    if systems is not None:
        return {name: make(name) for name in systems}
    return available(catalog.SYSTEMS, make, on_left_out)


def _is_voiceprint(enrolled: Sequence[Path]) -> bool:
    prints = [path for path in enrolled if path.suffix.lower() == SUFFIX]
    if prints and len(enrolled) > 1:
        raise BadInputError(f"{prints[0]} is a voiceprint and stands alone: enrol it anew with the other recordings.")
    return bool(prints)


def _fitting(voice: Voiceprint, path: Path) -> list[str]:
    fitting = [name for name, (encoder, _) in catalog.SYSTEMS.items() if encoder == voice.encoder]
    if not fitting and voice.encoder not in hub.names():
        raise BadInputError(f"{path} was made by '{voice.encoder}', a model of one's own: name its card as the system.")
    return fitting or [voice.encoder]


def _check_encoder(voice: Voiceprint, path: Path, systems: Sequence[str]) -> None:
    for name in systems:
        card = hub.card(encoder_and_scorer(name)[0])
        if card.weights.sha256 != voice.sha256:
            raise BadInputError(
                f"{path} is a voiceprint for '{voice.encoder}' with the weights {voice.sha256[:12]}…, and {name} hears "
                f"with '{card.name}', {card.weights.sha256[:12]}…: enrol again for {name}."
            )


def _voices(encoders: Mapping[str, Embedder], paths: Sequence[Path], device: str) -> dict[str, Tensor]:
    clips = _clips(paths, device)
    return {name: enrol_clips(encoder, clips) for name, encoder in encoders.items()}


def _clips(paths: Sequence[Path], device: str) -> list[Tensor]:
    clips = (clip for path in paths for clip in speech_of(path))
    return [torch.as_tensor(clip, dtype=torch.float32, device=device)[None] for clip in clips]
