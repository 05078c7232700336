"""The recipes of the shipped weights: sizes that a laptop trains in half an hour and runs in real time.

They differ from the published sizes where an hour of speech would not fill those; numbers of steps and rates are what
was found to serve on speech of other speakers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from voxveil.cards.card import Size
from voxveil.train import origins
from voxveil.train.augment import OFTEN_CLEAN, RARELY_CLEAN, Surroundings

SPEEDS = (1.0, 0.9, 1.1, 0.82, 1.2)
"""Playing speeds; each makes other speakers of the speakers that there are."""


LISTENERS = ("xvector", "resnetse34l")
"""The speaker encoders that lead an adaptation. None of them judges clones by name: DV-COS and ECAPA-COS do."""


@dataclass(frozen=True)
class EncoderRecipe:
    """How a network of this ``size`` is trained.

    ``last`` is the layer whose output is the embedding, where that layer is linear; ``batch`` is in crops, and
    ``learning_rate`` the greatest. The margin grows from zero over the share ``margin_rises_until`` of all steps.
    """

    origin: origins.Origin
    steps: int
    size: Size = field(default_factory=dict)
    last: str | None = None
    batch: int = 64
    learning_rate: float = 2e-3
    surroundings: Surroundings = RARELY_CLEAN
    margin_rises_until: float = 0.2


@dataclass(frozen=True)
class ConverterRecipe:
    """How a voice converter of this ``size`` is trained; ``batch`` is in targets of ``frames`` frames of 16 ms.

    The voice is heard in ``reference_frames`` frames; ``judged`` targets of 128 measure it. Before it clones a voice,
    it learns on from the reference for ``adaptation_steps``, led by the speaker encoders ``listeners``.
    """

    origin: origins.Origin
    steps: int
    size: Mapping[str, int]
    batch: int = 16
    frames: int = 128
    reference_frames: int = 128
    learning_rate: float = 1e-3
    judged: int = 64
    adaptation_steps: int = 100
    listeners: tuple[str, ...] = LISTENERS


@dataclass(frozen=True)
class VocoderRecipe:
    """How a vocoder of this ``size`` is trained; ``batch`` is in crops of ``samples`` samples.

    Its discriminators are ``discriminator_widths`` wide, and come in when the share ``alone_until`` of the training is
    past.
    """

    origin: origins.Origin
    steps: int
    size: Mapping[str, int]
    discriminator_widths: tuple[int, ...]
    batch: int = 8
    samples: int = 8192
    alone_until: float = 0.3
    learning_rate: float = 1.5e-3


@dataclass(frozen=True)
class ContentRecipe:
    """How a content encoder of this ``size`` is trained; ``batch`` is in crops of ``frames`` frames of 10 ms."""

    origin: origins.Origin
    steps: int
    size: Mapping[str, int]
    batch: int = 16
    frames: int = 200
    learning_rate: float = 2e-3


@dataclass(frozen=True)
class ExtractorRecipe:
    """How an i-vector extractor is trained, on how many crops of 4 s."""

    origin: origins.Origin
    crops: int
    size: Mapping[str, int]


@dataclass(frozen=True)
class BackendRecipe:
    """How a PLDA is trained, on how many crops of 4 s, and how many dimensions LDA keeps."""

    origin: origins.Origin
    crops: int
    kept: int


CONVERTERS = {
    "adain-vc": ConverterRecipe(
        origins.ADAIN_VC, 6000, {"channels": 96, "bank_channels": 32, "dim": 128, "frames_per_code": 4}
    ),
    "autovc": ConverterRecipe(
        origins.AUTOVC,
        10_000,
        {"width": 192, "lstm_width": 256, "code_dim": 32, "frames_per_code": 4, "speaker_width": 128, "dim": 128},
        frames=64,
    ),
    "diffvc": ConverterRecipe(
        origins.DIFFVC,
        4000,
        {"encoder_channels": 96, "filters": 192, "layers": 3, "postnet_channels": 16, "channels": 16}
        | {"condition_channels": 32, "speaker_width": 64, "dim": 64},
        batch=8,
        frames=64,
        reference_frames=64,
        learning_rate=1.5e-3,
        judged=8,
        adaptation_steps=150,
        listeners=(),  # their gradient would have to pass through every step of the sampler
    ),
}

VOCODERS = {
    "hifigan": VocoderRecipe(origins.HIFIGAN, 4000, {"width": 128}, (16, 32, 64, 128, 128)),
}

CONTENT_ENCODERS = {
    "content-encoder": ContentRecipe(
        origins.CONTENT,
        1000,
        {"channels": 128, "blocks": 3, "dim": 64},
    ),
}

ENCODERS = {
    "ecapa": EncoderRecipe(
        origins.ECAPA, 1000, {"channels": 256, "squeeze_channels": 64, "attention_channels": 64, "dim": 128}, "fc.conv"
    ),
    "ecapa-taoruijie": EncoderRecipe(origins.ECAPA, 1000, {"channels": 256}),
    "ge2e": EncoderRecipe(origins.GE2E, 2400),
    "resnetse34l": EncoderRecipe(origins.RESNET, 1800, last="fc", surroundings=OFTEN_CLEAN, margin_rises_until=0.6),
    "resnetse34v2": EncoderRecipe(
        origins.RESNET_V2,
        1000,
        {"widths": (8, 16, 32, 64), "dim": 256},
        last="fc",
        surroundings=OFTEN_CLEAN,
        margin_rises_until=0.6,
    ),
    "xvector": EncoderRecipe(
        origins.XVECTOR,
        2400,
        {"channels": 256, "pooled_channels": 768, "dim": 128},
        "blocks.16.w",
        surroundings=OFTEN_CLEAN,
    ),
}

EXTRACTORS = {
    "ivector": ExtractorRecipe(
        origins.IVECTOR,
        crops=6400,
        size={"components": 64, "factors": 100},
    ),
    "ivector-lfcc": ExtractorRecipe(
        origins.IVECTOR_LFCC,
        crops=6400,
        size={"components": 64, "factors": 100},
    ),
}

PLDA = BackendRecipe(
    origins.PLDA,
    crops=6400,
    kept=100,
)

ENCODER_LIMITS = (
    "Has heard {heard}, where published models heard thousands of speakers: it is no proof of identity.",
    "Languages, channels and ways of speaking that its data do not have are less certain.",
)
CONTENT_LIMITS = (
    "Has heard {heard} and no transcript; published models heard thousands of hours and know sounds better.",
    "Languages, channels and ways of speaking that its data do not have are less certain.",
)
CONVERTER_LIMITS = (
    "For tests of protections: what it makes is synthetic and is to be called so.",
    "Has heard {heard}; published models heard tens of hours and clone better.",
)
VOCODER_LIMITS = (
    "For tests of protections: what it makes is synthetic and is to be called so.",
    "Has heard {heard}; published models heard tens of hours, trained for days on GPUs, and sound better.",
    "After as many steps as the recipe has it sounds worse than Griffin-Lim.",
)
