"""The two calls for programs: ``voxveil.protect`` and ``voxveil.measure``, the same as on the command line."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, get_args

import torch

from voxveil import catalog, report
from voxveil.audio.files import blocks, probe, writing
from voxveil.audio.limiter import limited
from voxveil.errors import BadInputError, MissingExtraError, VoxveilError
from voxveil.loading import available, check_device, converter, embedder, encoder_and_scorer, verifier
from voxveil.metrics.quality import PESQ_BEST, pesq
from voxveil.progress import part
from voxveil.protectors.long_files import LongFile
from voxveil.protectors.order import EffortName, Order, StrengthName
from voxveil.report import Report
from voxveil.roles import Loss, Progress, Protector, Speech

SAMPLE_RATE = 16_000
LEAST_SECONDS = 0.5
LARGEST_SEED = 2**31 - 1
FLOAT_SUBTYPES = {"FLOAT", "DOUBLE"}
"""What has no full scale, and is written as it is."""

_BLOCK_S = 10.0


def protect(
    source: str | Path,
    destination: str | Path | None = None,
    *,
    method: str = "veil",
    strength: StrengthName = "medium",
    quality: float | None = None,
    effort: EffortName = "normal",
    target: str | Path = "auto",
    against: Sequence[str] | None = None,
    device: str = "cpu",
    seed: int = 0,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Protects the recording ``source``, writes it to ``destination``, and reports how well that worked.

    Without a ``destination`` the file lies beside the source as ``NAME.protected.SUFFIX``. ``strength`` says how far
    the voice is led away from its speaker, ``effort`` how long to think, ``quality`` the PESQ-wb below which no part of
    the recording may fall. ``target`` is a recording of another speaker to steer to; ``"auto"`` leads away from the
    speaker wherever that is easiest. ``against`` names the speaker encoders to lead astray; by default these are all
    of ``catalog.ENSEMBLE`` that can be had, with a warning for what cannot.

    Raises :class:`~voxveil.errors.BadInputError` and its siblings. Nothing is left behind then, unless only the result
    cannot be measured.

    >>> protect("missing.wav")
    Traceback (most recent call last):
    voxveil.errors.BadInputError: missing.wav does not exist.
    """
    source = Path(source)
    out = Path(destination) if destination is not None else protected_name(source)
    duration_s = probe(source).seconds
    _check_seed(seed)
    names = _chosen(against, device)
    verifiers = [verifier(name, device) for name in names]
    started = time.perf_counter()
    protector = make_protector(method, strength, quality, effort, str(target), tuple(names), device)
    protect_file(source, out, protector, seed, overwrite, torch.device(device), part(progress, 0.0, 0.7))
    took = time.perf_counter() - started
    measured = report.measure(source, out, verifiers, [], seed, torch.device(device), part(progress, 0.7, 1.0))
    return replace(measured, quality_floor=quality).took(took, duration_s)


def measure(
    clean: str | Path,
    protected: str | Path,
    *,
    enrol: Sequence[str | Path] = (),
    against: Sequence[str] | None = None,
    device: str = "cpu",
    seed: int = 0,
    progress: Progress | None = None,
) -> Report:
    """Compares a protected recording with its original: quality, verifiers, and noise of equal PESQ beside them.

    ``enrol`` are other recordings of the same speaker; without them the clean recording itself enrols the speaker.

    >>> measure("missing.wav", "protected.wav")
    Traceback (most recent call last):
    voxveil.errors.BadInputError: missing.wav does not exist.
    """
    for path in (clean, protected, *enrol):
        probe(path)
    _check_seed(seed)
    verifiers = [verifier(name, device) for name in _chosen(against, device)]
    others = [Path(path) for path in enrol]
    measured = report.measure(Path(clean), Path(protected), verifiers, others, seed, torch.device(device), progress)
    if not measured.verifiers:
        raise BadInputError(f"{clean} is silent: nobody speaks in it.")
    return measured


def protected_name(source: Path) -> Path:
    """Where a protected recording goes if nobody says otherwise.

    >>> protected_name(Path("talk.flac")).name
    'talk.protected.flac'
    """
    return source.with_name(f"{source.stem}.protected{source.suffix}")


def make_protector(
    method: str,
    strength: StrengthName,
    quality: float | None,
    effort: EffortName,
    target: str,
    against: tuple[str, ...],
    device: str,
    **settings: Any,
) -> Protector:
    """The protector that these words describe; ``settings`` are those of the method's own recipe.

    Raises :class:`~voxveil.errors.VoxveilError` for unknown words, and what its parts raise.
    """
    if quality is not None and not 1.0 <= quality <= PESQ_BEST:
        raise VoxveilError(f"A quality floor is a PESQ between 1 and {PESQ_BEST}, not {quality:g}.")
    for kind, name, known in (("strength", strength, get_args(StrengthName)), ("effort", effort, get_args(EffortName))):
        if name not in known:
            raise VoxveilError(f"There is no {kind} '{name}'; there is: {', '.join(known)}.")
    recipe = catalog.part("method", method)
    if quality is not None:
        _require_pesq()
    order = Order(
        victims=tuple(verifier(encoder_and_scorer(name)[0], device) for name in against),
        strength=strength,
        effort=effort,
        target=None if target == "auto" else _target_speech(Path(target)),
        quality_floor=quality,
        quality=_batch_pesq if quality is not None else None,
        converter=partial(converter, catalog.ATTACKED[method], device) if method in catalog.ATTACKED else None,
    )
    made: Protector = recipe(order, **settings)
    return made


def protect_file(
    source: Path,
    destination: Path,
    protector: Protector,
    seed: int = 0,
    overwrite: bool = False,
    device: torch.device | None = None,
    progress: Progress | None = None,
) -> None:
    """Carries ``protector`` over the recording ``source`` and writes ``destination`` in the same format."""
    recording = probe(source)
    if recording.seconds < LEAST_SECONDS:
        raise BadInputError(
            f"{source} lasts {1000 * recording.seconds:.1f} ms: a voice needs at least {LEAST_SECONDS} s."
        )

    def nobody_speaks() -> None:
        raise BadInputError(f"{source} is silent: nobody speaks in it.")

    carried = LongFile(
        protector,
        recording.sample_rate,
        recording.channels,
        recording.frames,
        seed,
        device or torch.device("cpu"),
        on_silence=nobody_speaks,
    )
    sound = blocks(recording, round(_BLOCK_S * recording.sample_rate))
    with writing(destination, like=recording, overwrite=overwrite) as writer:
        made = carried(sound, progress)
        for block in made if recording.subtype in FLOAT_SUBTYPES else limited(made, recording.sample_rate):
            writer.write(block)


def _chosen(against: Sequence[str] | None, device: str) -> Sequence[str]:
    if isinstance(against, str):  # a sequence of letters to Python, one name to whoever wrote it
        return [against]
    if against is None:
        check_device(device)
        return list(available(catalog.ENSEMBLE, lambda name: embedder(name, device), warnings.warn))
    if not against:
        raise VoxveilError(f"Name at least one speaker encoder; there is: {', '.join(catalog.ENSEMBLE)}.")
    return against


def _check_seed(seed: int) -> None:
    if not 0 <= seed <= LARGEST_SEED:
        raise VoxveilError(f"A seed is a whole number between 0 and {LARGEST_SEED}, not {seed}.")


def _target_speech(path: Path) -> Speech:
    return torch.as_tensor(report.speech_of(path)[0], dtype=torch.float32)[None]


def _require_pesq() -> None:
    try:
        import pesq as _  # noqa: F401
    except ImportError as error:
        raise MissingExtraError.naming("eval", "A quality floor") from error


def _batch_pesq(clean: Speech, protected: Speech) -> Loss:
    def judge(one: torch.Tensor, other: torch.Tensor) -> float:
        try:
            return pesq(one.double().cpu().numpy(), other.double().cpu().numpy(), SAMPLE_RATE)
        except BadInputError:
            # Where PESQ finds no utterance there is none to spoil.
            return PESQ_BEST

    return torch.tensor([judge(c, p) for c, p in zip(clean, protected, strict=True)])
