"""The small grid that a person runs on one recording: every shipped purifier × cloner × verifier.

Four fifths of the time goes into adapting converters: once a purifier and converter, and as often again for the clean
recording. A third of the steps of ``voxveil clone`` keeps the whole within minutes; whether so short an adaptation
clones at all is what the clean recording shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from voxveil import catalog, cloning, hub
from voxveil.audio.corpus import read_mono
from voxveil.bench.audit_verdict import Attack, Audit
from voxveil.bench.kept_audio import KeptAudio
from voxveil.bench.scenario import NONE, Part, Slice
from voxveil.bench.speech import SAMPLE_RATE, Speech, Take, Takes, fingerprint
from voxveil.bench.worker import Worker
from voxveil.clone.listing import without_card
from voxveil.loading import LeftOut, available, check_device
from voxveil.report import speech_of
from voxveil.roles import Clip, Progress
from voxveil.verify.verifier import Verifier

VERIFIERS = ("DV-COS", "ECAPA-COS", "IV-PLDA", "RN-COS", "XV-COS", "ivector-lfcc", "resnetse34v2")
"""Every shipped encoder once, with the scorer that errs least with it (``docs/results/verification.md``)."""

ADAPTATION_STEPS = 30

CONTENT = Path(__file__).with_name("content.flac")
"""What every clone says: a sentence by flite's voice slt, so that two audits on two machines ask the same.

A synthesiser that happens to be installed would not, and a piece of the recording would bring its own voice along.
"""

_RECORDING, _CLEAN = "recording", "clean"


def purifiers() -> list[str]:
    """Every shipped purifier by name, and none.

    >>> purifiers()[:2]
    ['none', 'equalise-back']
    """
    return [NONE, *catalog.names("purifier")]


ATTACKED_ONLY = ("diffvc",)
"""Converters that are there for a protection to attack: they clone too badly to tell anything, and take minutes."""


def cloners() -> list[str]:
    """Every cloner by name that needs nothing else and clones, and none: the recording itself.

    >>> "none" in cloners() and "knn-vc" in cloners() and "seed-vc" in cloners()
    False
    """
    converters = [name for name in hub.names() if hub.card(name).kind == cloning.CONVERTER]
    clone = [name for name in converters if name not in ATTACKED_ONLY]
    return [NONE, *(row.name for row in without_card() if row.shipped), *clone]


def audit(
    recording: Path,
    clean: Path | None = None,
    enrol: Sequence[Path] = (),
    cloning_with: Sequence[str] | None = None,
    judged_by: Sequence[str] = VERIFIERS,
    device: str = "cpu",
    seed: int = 0,
    on_left_out: LeftOut | None = None,
    progress: Progress | None = None,
) -> Audit:
    """What gets through of all attacks on ``recording``, and which of them do on the ``clean`` one.

    The speaker is enrolled from the recordings ``enrol``; without any, from ``clean``. Without that too, from
    ``recording`` itself: then only clones are judged, since the recording is as like itself as can be. Of recordings
    longer than 16 s four excerpts of 8 s are heard. ``cloning_with`` is by default :func:`cloners`; cloners and
    verifiers that cannot be had are left out.

    Raises :class:`~voxveil.errors.BadInputError` for a recording that cannot be used or in which nobody speaks.

    >>> audit(Path("missing.wav"))
    Traceback (most recent call last):
    voxveil.errors.BadInputError: missing.wav does not exist.
    """
    check_device(device)
    references = {_RECORDING: _takes(recording)} | ({} if clean is None else {_CLEAN: _takes(clean)})
    others = tuple(take for path in enrol for take in _takes(path))
    speech = _speech(references, others or references.get(_CLEAN, references[_RECORDING]))
    with TemporaryDirectory() as folder:
        worker = Worker(speech, seed, device, KeptAudio(Path(folder)))
        names = [name for name in (cloners() if cloning_with is None else cloning_with) if name != NONE]
        tools = list(available(names, lambda name: worker.cloner(_cloner(name)), on_left_out))
        verifiers = available(judged_by, lambda name: worker.verifier(Part(name)), on_left_out)
        chains = list(product(purifiers(), tools if clean is None and not enrol else [NONE, *tools]))
        attacks: list[Attack] = []
        for done, (purifier, cloner) in enumerate(chains, 1):
            heard = worker.clips((Part(NONE), Part(NONE), Part(purifier), _cloner(cloner)))
            for name, verifier in verifiers.items():
                voice = worker.enrolled(Part(name))[_RECORDING]
                scores = {which: _score(verifier, voice, clips, device) for which, clips in heard.items()}
                attacks.append(_attack(purifier, cloner, verifier, voice, scores))
            if progress is not None:
                progress(done / len(chains))
        blind = [
            verifier.name
            for name, verifier in verifiers.items()
            if _score(verifier, worker.enrolled(Part(name))[_RECORDING], [_content().clip], device)
            >= verifier.threshold
        ]
    source = "other recordings" if enrol else "the recording itself" if clean is None else "the clean recording itself"
    return Audit(str(recording), None if clean is None else str(clean), source, tuple(attacks), tuple(blind))


def _attack(purifier: str, cloner: str, verifier: Verifier, voice: Tensor, scores: dict[str, float]) -> Attack:
    threshold, score, clean = verifier.threshold, scores[_RECORDING], scores.get(_CLEAN)
    itself = float(verifier.scorer(voice, voice))
    return Attack(
        purifier,
        cloner,
        verifier.name,
        score,
        threshold,
        score >= threshold,
        clean,
        None if clean is None else clean >= threshold,
        (score - threshold) / max(abs(itself - threshold), 1e-6),
    )


def _score(verifier: Verifier, voice: Tensor, clips: Sequence[Clip], device: str) -> float:
    """All clips as one probe, as ``voxveil measure`` judges them."""
    return float(verifier.scorer(voice, verifier.enrol([clip[None].to(device) for clip in clips])))


def _cloner(name: str) -> Part:
    return Part(name, (("adaptation_steps", ADAPTATION_STEPS),) if cloning.is_converter(name) else ())


def _speech(references: Takes, enrolment: tuple[Take, ...]) -> Speech:
    enrolled = dict.fromkeys(references, enrolment)
    contents = dict.fromkeys(references, (_content(),))
    counts = (len(references), max(map(len, references.values())), 1)
    longest_s = max(len(take.clip) for takes in references.values() for take in takes) / SAMPLE_RATE
    return Speech(references, enrolled, contents, Slice(fingerprint(references, enrolled), *counts, longest_s))


def _content() -> Take:
    return Take(CONTENT.stem, torch.as_tensor(read_mono(CONTENT, SAMPLE_RATE)))


def _takes(path: Path) -> tuple[Take, ...]:
    clips = (torch.as_tensor(clip, dtype=torch.float32) for clip in speech_of(path))
    return tuple(Take(f"{path.stem}-{number}", clip) for number, clip in enumerate(clips, 1))
