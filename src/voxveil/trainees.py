"""What the training loop trains, by name: network, lesson and judge put together as the recipe says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from voxveil import catalog
from voxveil.audio.corpus import Utterance, read_mono
from voxveil.calibration import speakers_of, trials_of
from voxveil.models.conversion.content_encoder import ContentEncoder
from voxveil.models.conversion.standard_mel import StandardMel
from voxveil.models.vocoder.hifigan import HifiGan
from voxveil.models.vocoder.hifigan_discriminators import MultiPeriodDiscriminator
from voxveil.roles import Embedder
from voxveil.train.content import ContentTrainee, Hearings, retrieval
from voxveil.train.conversion import ConverterTrainee, Lesson, rebuilding_error
from voxveil.train.encoder import EncoderTrainee
from voxveil.train.loop import Trainee
from voxveil.train.recipes import (
    CONTENT_ENCODERS,
    CONVERTERS,
    ENCODERS,
    SPEEDS,
    VOCODERS,
    ContentRecipe,
    ConverterRecipe,
    EncoderRecipe,
    VocoderRecipe,
)
from voxveil.train.speech_bank import SAMPLE_RATE, SpeechBank
from voxveil.train.vocoder import Recital, VocoderTrainee, copying_error
from voxveil.verify.evaluate import embed_all, evaluate
from voxveil.verify.scorers import cosine
from voxveil.verify.trials import recordings

ENCODER, CONTENT_ENCODER, CONVERTER, VOCODER = "speaker encoder", "content encoder", "voice converter", "vocoder"
"""Kinds of models, as cards call them."""


class Pupil(Trainee, Protocol):
    """A trainee that ends as a network."""

    def trained(self) -> Any:
        """The network that is kept, in eval mode."""


@dataclass(frozen=True)
class Classroom:
    """What a training has beside its recipe: the speech, a corpus to be judged on, precision and place.

    ``judge`` is None where nobody judges; ``half`` is arithmetic in bfloat16.
    """

    bank: SpeechBank
    judge: Path | None
    half: bool
    device: torch.device


@dataclass(frozen=True)
class Study:
    """A trainee of a ``kind``, and the recipe it follows."""

    kind: str
    recipe: EncoderRecipe | ContentRecipe | ConverterRecipe | VocoderRecipe
    trainee: Pupil


def study(name: str, room: Classroom) -> Study:
    """The study of ``name``, a key of ``ENCODERS``, ``CONTENT_ENCODERS``, ``CONVERTERS`` or ``VOCODERS``.

    Raises :class:`~voxveil.errors.BadInputError` for a judge that does not serve.

    >>> import numpy as np
    >>> bank = SpeechBank([np.random.default_rng(0).normal(0, 0.1, 48_000).astype(np.float32)], ["ann"])
    >>> taken = study("hifigan", Classroom(bank, judge=None, half=False, device=torch.device("cpu")))
    >>> taken.kind, type(taken.trainee.trained()).__name__
    ('vocoder', 'HifiGan')
    """
    if name in VOCODERS:
        return Study(VOCODER, VOCODERS[name], vocoder(name, room))
    if name in CONTENT_ENCODERS:
        return Study(CONTENT_ENCODER, CONTENT_ENCODERS[name], content_encoder(name, room))
    if name in CONVERTERS:
        return Study(CONVERTER, CONVERTERS[name], converter(name, room))
    return Study(ENCODER, ENCODERS[name], encoder(name, room))


def spoken_by(utterances: list[Utterance], device: torch.device) -> SpeechBank:
    """All of the utterances on ``device``, at the speeds of the recipes."""
    speech = (read_mono(utterance.path, SAMPLE_RATE) for utterance in utterances)
    return SpeechBank(speech, [utterance.speaker for utterance in utterances], SPEEDS, device)


def encoder(name: str, room: Classroom) -> EncoderTrainee:
    """The speaker encoder ``name`` of ``ENCODERS``, judged by its equal error rate."""
    recipe = ENCODERS[name]
    network: nn.Module = catalog.part("architecture", name)(**recipe.size)
    return EncoderTrainee(
        network,
        room.bank,
        recipe.batch,
        half=room.half,
        device=room.device,
        judge=None if room.judge is None else _equal_error_rate(room.judge, room.device),
        surroundings=recipe.surroundings,
        margin_rises_until=recipe.margin_rises_until,
        last=None if recipe.last is None else network.get_submodule(recipe.last),  # type: ignore[arg-type]
    )


def content_encoder(name: str, room: Classroom) -> ContentTrainee:
    """The content encoder ``name`` of ``CONTENT_ENCODERS``, judged by how it finds a sound in another voice."""
    recipe = CONTENT_ENCODERS[name]
    network: ContentEncoder = catalog.part("architecture", name)(**recipe.size)
    judge = None
    if room.judge is not None:
        judge = retrieval(Hearings(spoken_by(speakers_of(room.judge), room.device), batch=64))
    hearings = Hearings(room.bank, recipe.batch, recipe.frames)
    return ContentTrainee(network, hearings, half=room.half, device=room.device, judge=judge)


def converter(name: str, room: Classroom) -> ConverterTrainee:
    """The voice converter ``name`` of ``CONVERTERS``, judged by how it rebuilds speech from a disguise."""
    recipe = CONVERTERS[name]
    network: nn.Module = catalog.part("architecture", name)(**recipe.size)
    mel = StandardMel().to(room.device)
    judge = None
    if room.judge is not None:
        judge = rebuilding_error(Lesson(spoken_by(speakers_of(room.judge), room.device), mel, recipe.judged))
    lesson = Lesson(room.bank, mel, recipe.batch, recipe.frames, recipe.reference_frames)
    return ConverterTrainee(network, lesson, half=room.half, device=room.device, judge=judge)


def vocoder(name: str, room: Classroom) -> VocoderTrainee:
    """The vocoder ``name`` of ``VOCODERS``, judged by the log mels of its copies."""
    recipe = VOCODERS[name]
    network: HifiGan = catalog.part("architecture", name)(**recipe.size)
    judge = None
    if room.judge is not None:
        judge = copying_error(Recital(spoken_by(speakers_of(room.judge), room.device), batch=16, samples=32_768))
    return VocoderTrainee(
        network,
        MultiPeriodDiscriminator(recipe.discriminator_widths),
        Recital(room.bank, recipe.batch, recipe.samples),
        alone_until=recipe.alone_until,
        half=room.half,
        device=room.device,
        judge=judge,
    )


def _equal_error_rate(corpus: Path, device: torch.device) -> Callable[[Embedder], Mapping[str, float]]:
    trials = trials_of(corpus)
    heard = recordings(trials)

    def judge(encoder: Embedder) -> Mapping[str, float]:
        voices = embed_all(encoder, heard, device)
        return {"eer_percent": 100.0 * evaluate(cosine, voices, trials).eer}

    return judge
