"""How well a protection worked on one recording: quality, verifiers, and the noise control beside them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch

from voxveil.audio.excerpts import RATE, read_excerpts, spans, spoken
from voxveil.audio.files import Recording, probe
from voxveil.errors import BadInputError, MissingExtraError
from voxveil.metrics import quality
from voxveil.metrics.noise_control import noise_of_equal_quality
from voxveil.metrics.quality import Sound
from voxveil.roles import Progress
from voxveil.verify.verifier import Verifier

_SAME_LENGTH_S = 0.1


@dataclass(frozen=True)
class Quality:
    """What a listener loses; None where it cannot be judged (no speech, or the extra ``eval`` is missing)."""

    pesq_wb: float | None
    pesq_nb: float | None
    stoi: float | None
    snr_db: float
    si_sdr_db: float
    log_spectral_distance_db: float
    loudness_change_lu: float | None


@dataclass(frozen=True)
class VerifierResult:
    """Scores against the enrolled speaker; ``accepted`` is whether the protected recording still passes."""

    clean_score: float
    protected_score: float
    noise_score: float | None
    threshold: float
    accepted: bool


@dataclass(frozen=True)
class Report:
    """Everything measured on one pair of recordings. ``enrolment`` says what the speaker was enrolled with."""

    clean: str
    protected: str
    enrolment: str
    quality: Quality
    verifiers: dict[str, VerifierResult]
    noise_snr_db: float | None
    seconds: float | None = None
    real_time_factor: float | None = None
    quality_floor: float | None = None

    def took(self, seconds: float, duration_s: float) -> Report:
        """The same report with the time that protecting took."""
        return replace(self, seconds=seconds, real_time_factor=seconds / duration_s)

    def as_json(self) -> dict[str, Any]:
        """Plain data for ``json.dump``."""
        return asdict(self)

    def verdict(self) -> str:
        """One plain sentence, which never says "safe"."""
        if not self.verifiers:
            return "Nobody speaks in what was judged: no verifier was asked."
        accepted = [name for name, result in self.verifiers.items() if result.accepted]
        judges = f"{len(self.verifiers)} verifier{'s' if len(self.verifiers) > 1 else ''} tested"
        if accepted:
            remedy = "try a higher --strength" if self.quality_floor is None else "a lower --quality leaves more room"
            return f"Still recognised by {', '.join(accepted)} ({judges}): {remedy}."
        blind = [name for name, result in self.verifiers.items() if result.clean_score < result.threshold]
        if blind:
            return f"The clean recording is not recognised by {', '.join(blind)} either: enrol from other recordings."
        return f"Not recognised as the same speaker ({judges}); systems that were not tested may differ."


def measure(
    clean: Path,
    protected: Path,
    verifiers: Sequence[Verifier],
    enrol: Sequence[Path] = (),
    seed: int = 0,
    device: torch.device | None = None,
    progress: Progress | None = None,
) -> Report:
    """Compares ``protected`` with ``clean``, beside noise of equal PESQ.

    The speaker is enrolled from the recordings ``enrol``; without any, from ``clean`` itself. Long recordings are
    judged by four excerpts of 8 s, the same in both files, of which those without speech are left out. Where nobody
    speaks in any of them no verifier is asked.

    Raises :class:`~voxveil.errors.BadInputError` if a file cannot be used or the two do not belong together.
    """
    step = _steps(progress, 4)
    original, changed = probe(clean), probe(protected)
    _check_pair(original, changed)
    wanted = spans(min(original.frames, changed.frames), original.sample_rate)
    clean_clips, protected_clips = read_excerpts(original, wanted), read_excerpts(changed, wanted)
    every = [_same_length(c, p) for c, p in zip(clean_clips, protected_clips, strict=True)]
    with_speech = [pair for pair in every if spoken(pair[0])]
    pairs = with_speech or every
    step()
    enrolled = [clip for path in enrol for clip in speech_of(path)] or [c for c, _ in pairs]
    cost = _quality(pairs)
    step()
    noisy, noise_snr_db = _noise_control(pairs, cost.pesq_wb, seed)
    step()
    results = {v.name: _judge(v, enrolled, pairs, noisy, device) for v in verifiers if with_speech}
    step()
    return Report(
        clean=str(clean),
        protected=str(protected),
        enrolment="other recordings" if enrol else "the clean recording itself",
        quality=cost,
        verifiers=results,
        noise_snr_db=noise_snr_db,
    )


def speech_of(path: Path) -> list[Sound]:
    """All of a short recording, excerpts of a long one: those in which somebody speaks, each [time] at 16 kHz.

    Raises :class:`~voxveil.errors.BadInputError` where nobody does.
    """
    recording = probe(path)
    clips = read_excerpts(recording, spans(recording.frames, recording.sample_rate))
    found = [clip for clip in clips if spoken(clip)]
    if not found:
        raise BadInputError(f"{path} is silent: nobody speaks in it.")
    return found


def _check_pair(clean: Recording, protected: Recording) -> None:
    if clean.sample_rate != protected.sample_rate:
        raise BadInputError(
            f"{protected.path} has {protected.sample_rate} Hz and {clean.path} has {clean.sample_rate} Hz: "
            "give a recording and its protected version."
        )
    if abs(clean.seconds - protected.seconds) > _SAME_LENGTH_S:
        raise BadInputError(
            f"{protected.path} lasts {protected.seconds:.2f} s and {clean.path} {clean.seconds:.2f} s: "
            "give a recording and its protected version."
        )


def _same_length(clean: Sound, protected: Sound) -> tuple[Sound, Sound]:
    length = min(len(clean), len(protected))
    return clean[:length], protected[:length]


def _quality(pairs: Sequence[tuple[Sound, Sound]]) -> Quality:
    def mean(judge: Callable[[Sound, Sound], float]) -> float | None:
        try:
            return fmean(judge(clean, protected) for clean, protected in pairs)
        except (MissingExtraError, BadInputError):
            return None

    def loudness_change(clean: Sound, protected: Sound) -> float:
        before, after = (quality.loudness_lufs(sound, RATE) for sound in (clean, protected))
        if not np.isfinite([before, after]).all():
            raise BadInputError("This clip is too quiet for a loudness.")
        return after - before

    return Quality(
        pesq_wb=mean(lambda c, p: quality.pesq(c, p, RATE, "wb")),
        pesq_nb=mean(lambda c, p: quality.pesq(c, p, RATE, "nb")),
        stoi=mean(lambda c, p: quality.stoi(c, p, RATE)),
        snr_db=fmean(quality.snr_db(*pair) for pair in pairs),
        si_sdr_db=fmean(quality.si_sdr_db(*pair) for pair in pairs),
        log_spectral_distance_db=fmean(quality.log_spectral_distance_db(*pair) for pair in pairs),
        loudness_change_lu=mean(loudness_change),
    )


def _noise_control(
    pairs: Sequence[tuple[Sound, Sound]], pesq_wb: float | None, seed: int
) -> tuple[list[Sound] | None, float | None]:
    if pesq_wb is None:
        return None, None
    clean = [c for c, _ in pairs]
    return noise_of_equal_quality(clean, lambda c, n: quality.pesq(c, n, RATE), pesq_wb, seed)


def _judge(
    verifier: Verifier,
    enrolled: Sequence[Sound],
    pairs: Sequence[tuple[Sound, Sound]],
    noisy: Sequence[Sound] | None,
    device: torch.device | None,
) -> VerifierResult:
    def voiceprint(clips: Sequence[Sound]) -> torch.Tensor:
        return verifier.enrol([torch.as_tensor(c, dtype=torch.float32, device=device)[None] for c in clips])

    voice = voiceprint(enrolled)

    def score(clips: Sequence[Sound]) -> float:
        return float(verifier.scorer(voice, voiceprint(clips)))

    protected = score([p for _, p in pairs])
    return VerifierResult(
        clean_score=score([c for c, _ in pairs]),
        protected_score=protected,
        noise_score=None if noisy is None else score(noisy),
        threshold=verifier.threshold,
        accepted=protected >= verifier.threshold,
    )


def _steps(progress: Progress | None, count: int) -> Callable[[], None]:
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done / count)

    return step
