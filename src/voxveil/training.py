"""Training a model by name: from a corpus to weights, and a card that says what they are worth.

Writes ``NAME.safetensors`` and ``NAME.toml`` into a folder; the path of that card is a model's name everywhere else.
The recipes are those of the weights in this package (:mod:`voxveil.train.recipes`).
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import torch
from torch import Generator, nn

from voxveil import catalog
from voxveil.audio.recording import cause
from voxveil.calibration import calibrate, encoder_of, name_of, speakers_of, trials_of
from voxveil.cards.card import Card, Figure, Network, Training, Weights
from voxveil.cards.writing import card_text
from voxveil.errors import BadOutputError, VoxveilError
from voxveil.loading import check_device, embedder
from voxveil.models.speaker.known_answer import self_test_of
from voxveil.roles import Embedder, Progress
from voxveil.train.export import write_weights
from voxveil.train.extractor import fit_backend, fit_ivector
from voxveil.train.loop import Plan
from voxveil.train.loop import train as run
from voxveil.train.origins import Origin
from voxveil.train.recipes import (
    CONTENT_ENCODERS,
    CONTENT_LIMITS,
    CONVERTER_LIMITS,
    CONVERTERS,
    ENCODER_LIMITS,
    ENCODERS,
    EXTRACTORS,
    PLDA,
    VOCODER_LIMITS,
    VOCODERS,
)
from voxveil.train.speech_bank import SpeechBank
from voxveil.trainees import CONTENT_ENCODER, CONVERTER, ENCODER, VOCODER, Classroom, spoken_by, study
from voxveil.whole_file import write_whole

LIMITS = {
    ENCODER: ENCODER_LIMITS,
    CONTENT_ENCODER: CONTENT_LIMITS,
    CONVERTER: CONVERTER_LIMITS,
    VOCODER: VOCODER_LIMITS,
}

MeasuredHook = Callable[[Mapping[str, float]], None]


@dataclass(frozen=True)
class Request:
    """What is to be trained, on what, and how.

    ``corpus`` is laid out as :func:`~voxveil.audio.corpus.read_corpus` reads it; ``judge`` is a corpus of other
    speakers, with several recordings of each, on which the model is measured and its thresholds are found. ``steps``
    are those of a network, and the crops of 4 s that an i-vector extractor or a PLDA is fitted to; None: as many as the
    recipe says. ``seed`` is 0 … 2³² − 1. ``precision`` is that of the networks' arithmetic while they train.

    Raises :class:`~voxveil.errors.VoxveilError` for numbers that are out of range.

    >>> Request("ecapa", Path("LibriSpeech"), Path("mine"), seed=3).command
    'voxveil train ecapa --corpus LibriSpeech --seed 3 --precision bf16 -o OUT'
    """

    name: str
    corpus: Path
    out: Path
    judge: Path | None = None
    steps: int | None = None
    seed: int = 0
    device: str = "cpu"
    precision: Literal["bf16", "fp32"] = "bf16"
    licence: str = "not stated"

    def __post_init__(self) -> None:
        if self.steps is not None and self.steps < 1:
            raise VoxveilError(f"Training takes at least one step, not {self.steps}.")
        if not 0 <= self.seed < 2**32:
            raise VoxveilError(f"A seed is a whole number from 0 to {2**32 - 1}, not {self.seed}.")

    @property
    def command(self) -> str:
        """The command that does it again, without the folders' places."""
        judge = ["--judge", name_of(self.judge)] if self.judge is not None else []
        steps = ["--steps", str(self.steps)] if self.steps is not None else []
        settings = [*judge, *steps, "--seed", str(self.seed), "--precision", self.precision]
        return shlex.join(["voxveil", "train", self.name, "--corpus", name_of(self.corpus), *settings, "-o", "OUT"])


@dataclass(frozen=True)
class _Trained:
    network: nn.Module
    origin: Origin
    kind: str
    description: Network
    earlier_s: float = 0.0
    found: Mapping[str, float] = field(default_factory=dict)


def names() -> list[str]:
    """What can be trained.

    >>> "ecapa" in names() and "ivector-plda" in names() and "autovc" in names()
    True
    """
    encoders = [*ENCODERS, *EXTRACTORS]
    return sorted([*encoders, *(f"{name}-plda" for name in encoders), *CONTENT_ENCODERS, *CONVERTERS, *VOCODERS])


def train(request: Request, progress: Progress | None = None, on_measured: MeasuredHook | None = None) -> Path:
    """Trains, writes, measures, and gives the path of the card; what lies in the folder under its name is replaced.

    A PLDA is trained for the encoder of its name, ``ivector-plda`` for ``ivector``: the one whose card lies in the
    same folder, else this package's. A training of a network that was interrupted goes on from its last measurement.
    Torch's own random numbers are seeded.

    Raises :class:`~voxveil.errors.VoxveilError` for an unknown name or device and for a loss that is no longer finite,
    :class:`~voxveil.errors.BadInputError` for a corpus or a checkpoint that does not serve,
    :class:`~voxveil.errors.BadOutputError` for places that cannot be written, and
    :class:`~voxveil.errors.ModelUnavailableError` for a PLDA without its encoder.
    """
    if request.name not in names():
        raise VoxveilError(f"There is no recipe for '{request.name}'; there is: {', '.join(names())}.")
    check_device(request.device)
    spoken = speakers_of(request.corpus)
    if request.judge is not None:
        trials_of(request.judge)
    try:
        request.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadOutputError(f"{request.out} cannot be made: {cause(error)}.") from error
    if request.name.endswith("-plda"):
        _encoder_of(request)  # it may be missing, which should be known before hours of speech are read
    torch.manual_seed(request.seed)
    bank = spoken_by(spoken, torch.device(request.device))
    started = time.monotonic()
    trained = _trained(request, bank, progress, on_measured)
    minutes = (trained.earlier_s + time.monotonic() - started) / 60.0
    weights = write_weights(trained.network, request.out, request.name)
    card = _card(request, trained, weights, f"{bank.seconds / 60.0:.0f} minutes of {bank.speakers} speakers", minutes)
    path = request.out / f"{request.name}.toml"
    write_whole(path, card_text(card).encode())
    if request.judge is not None and trained.found:
        heard = f"{name_of(request.judge)}: speakers never trained on"
        figures = {name: Figure(round(value, 3), heard) for name, value in trained.found.items()}
        write_whole(path, card_text(replace(card, measured=figures)).encode())
    elif request.judge is not None:
        thresholds, measured = calibrate(path, request.judge, request.device)
        write_whole(path, card_text(replace(card, thresholds=thresholds, measured=measured)).encode())
    return path


def _encoder_of(request: Request) -> Embedder:
    return embedder(encoder_of(request.out / f"{request.name}.toml"), request.device)


def _trained(
    request: Request, bank: SpeechBank, progress: Progress | None, on_measured: MeasuredHook | None
) -> _Trained:
    generator = Generator().manual_seed(request.seed)
    if request.name.endswith("-plda"):
        scorer = fit_backend(_encoder_of(request), bank, request.steps or PLDA.crops, PLDA.kept, generator, progress)
        size = {"dim": scorer.centre.shape[0], "kept": scorer.projection.shape[0]}
        return _Trained(scorer, PLDA.origin, "scorer", Network("plda", size))
    if request.name in EXTRACTORS:
        recipe = EXTRACTORS[request.name]
        extractor = catalog.part("architecture", request.name)(**recipe.size).to(request.device)
        fit_ivector(extractor, bank, request.steps or recipe.crops, generator, progress)
        return _Trained(extractor, recipe.origin, ENCODER, Network(request.name, recipe.size))
    return _by_steps(request, bank, progress, on_measured)


def _by_steps(
    request: Request, bank: SpeechBank, progress: Progress | None, on_measured: MeasuredHook | None
) -> _Trained:
    half, device = request.precision == "bf16", torch.device(request.device)
    taken = study(request.name, Classroom(bank, request.judge, half, device))
    recipe, trainee = taken.recipe, taken.trainee
    plan = Plan(request.steps or recipe.steps, recipe.learning_rate, seed=request.seed)
    earlier_s = run(trainee, plan, request.out / f"{request.name}.checkpoint", progress, on_measured)
    network = trainee.trained()
    # What an encoder is worth, a calibration finds, with thresholds.
    found = {} if taken.kind == ENCODER else trainee.measure()
    return _Trained(network, recipe.origin, taken.kind, Network(request.name, recipe.size), earlier_s, found)


def _card(request: Request, trained: _Trained, weights: Weights, heard: str, minutes: float) -> Card:
    where = f"cpu, threads: {torch.get_num_threads()}" if request.device == "cpu" else request.device
    data = f"{name_of(request.corpus)}: {heard}"
    proof = self_test_of(trained.network.cpu()) if trained.kind == ENCODER else None
    return Card(
        name=request.name,
        kind=trained.kind,
        title=trained.origin.title,
        paper=trained.origin.paper,
        citation=trained.origin.citation,
        licence=request.licence,
        weights=weights,
        network=trained.description,
        limits=(
            "Hears 16 kHz speech.",
            *(sentence.format(heard=heard) for sentence in LIMITS.get(trained.kind, ENCODER_LIMITS)),
        ),
        training=Training(data, request.command, request.seed, round(minutes, 1), where),
        self_test=proof,
    )
