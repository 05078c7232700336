"""How a voice converter is trained without parallel speech: it rebuilds an utterance from a disguise of it.

The disguise has the words, a second piece of the utterance has the voice. The paper of each converter says what its
loss is; the disguise is what lets an hour of speech suffice, since the voice of the content cannot be passed on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from voxveil.models.conversion.standard_mel import CENTRE, SPREAD, StandardMel
from voxveil.train.disguise import NEPER_DB, Disguise
from voxveil.train.speech_bank import SpeechBank

GAIN_DB = 6.0
"""Crops are up to so much louder or quieter."""


@runtime_checkable
class Converter(Protocol):
    """A network between levels of :class:`~voxveil.models.conversion.standard_mel.StandardMel` that can be trained."""

    def __call__(
        self,
        content: Float[Tensor, "batch mel frame"],
        reference: Float[Tensor, "batch mel frame2"],
        generator: Generator,
    ) -> Float[Tensor, "batch mel frame"]:
        """What ``content`` says in the voice of ``reference``."""

    def loss(
        self,
        disguised: Float[Tensor, "batch mel frame"],
        reference: Float[Tensor, "batch mel frame2"],
        target: Float[Tensor, "batch mel frame"],
        done: float,
        generator: Generator,
    ) -> Float[Tensor, ""]:
        """How far it is from rebuilding ``target`` out of its disguise and the voice; ``done`` is as in a trainee."""


@dataclass(frozen=True)
class Lesson:
    """Crops of ``bank`` as a converter learns from them: ``batch`` targets of ``frames`` frames a step.

    The voice is heard in ``reference_frames`` frames that follow.

    >>> import numpy as np
    >>> clip = np.random.default_rng(0).normal(0, 0.1, 48_000).astype(np.float32)
    >>> lesson = Lesson(SpeechBank([clip], ["ann"]), StandardMel(), batch=2, frames=32)
    >>> [tuple(levels.shape) for levels in lesson.draw(Generator().manual_seed(0))]
    [(2, 80, 32), (2, 80, 128), (2, 80, 32)]
    """

    bank: SpeechBank
    mel: StandardMel
    batch: int
    frames: int = 128
    reference_frames: int = 128
    gain_db: float = GAIN_DB

    def draw(
        self, generator: Generator
    ) -> tuple[Float[Tensor, "batch mel frame"], Float[Tensor, "batch mel frame2"], Float[Tensor, "batch mel frame"]]:
        """A target in disguise, another piece of the same utterance undisguised, and the target."""
        frames = self.frames, self.reference_frames
        speech, _ = self.bank.crops(self.batch, sum(frames) * self.mel.hop_samples, generator)
        gain_db = self.gain_db * (2.0 * torch.rand(self.batch, 1, generator=generator) - 1.0)
        levels = self.mel(speech * (10.0 ** (gain_db / 20.0)).to(speech.device))
        target, reference = levels.split(frames, dim=2)
        return in_disguise(target, generator), reference, target


def in_disguise(levels: Float[Tensor, "batch mel frame"], generator: Generator) -> Float[Tensor, "batch mel frame"]:
    """Levels of :class:`StandardMel` in disguise, every clip in another.

    >>> in_disguise(torch.randn(2, 80, 30), Generator().manual_seed(0)).shape
    torch.Size([2, 80, 30])
    """
    return (Disguise(StandardMel.centres_hz())(levels * SPREAD + CENTRE, generator) - CENTRE) / SPREAD


class ConverterTrainee:
    """A converter as :func:`voxveil.train.loop.train` trains it; ``half`` lets its layers run in bfloat16.

    >>> import numpy as np
    >>> from voxveil.train.speech_bank import SpeechBank
    >>> class Gain(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.level = nn.Parameter(torch.zeros(80, 1))
    ...     def loss(self, disguised, reference, target, done, generator):
    ...         return (disguised + self.level - target).abs().mean()
    >>> clip = np.random.default_rng(0).normal(0, 0.1, 48_000).astype(np.float32)
    >>> trainee = ConverterTrainee(Gain(), Lesson(SpeechBank([clip], ["ann"]), StandardMel(), batch=2), half=False)
    >>> bool(trainee.loss(0.0, Generator().manual_seed(0)) > 0)
    True
    """

    def __init__(
        self,
        converter: nn.Module,
        lesson: Lesson,
        half: bool,
        device: torch.device | None = None,
        judge: Callable[[nn.Module], Mapping[str, float]] | None = None,
    ) -> None:
        self.device = device or torch.device("cpu")
        self.network = converter.to(self.device)
        self.lesson, self.half, self.judge = lesson, half, judge

    @property
    def recipe(self) -> Mapping[str, Any]:
        """What makes this training beside the network and the plan."""
        disguise = asdict(Disguise(StandardMel.centres_hz()))
        del disguise["centres_hz"]
        return {
            "batch": self.lesson.batch,
            "frames": self.lesson.frames,
            "half": self.half,
            "disguise": disguise,
            "speech": self.lesson.bank.fingerprint(),
        }

    def loss(self, done: float, generator: Generator) -> Tensor:
        """The mean loss of a batch that ``generator`` draws."""
        with torch.no_grad():
            disguised, reference, target = self.lesson.draw(generator)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            loss: Tensor = self.network.loss(disguised, reference, target, done, generator)  # type: ignore[operator]
        return loss

    def measure(self) -> Mapping[str, float]:
        """What the judge says of the converter as it is now."""
        return {} if self.judge is None else self.judge(self.network)

    def trained(self) -> nn.Module:
        """The converter, in eval mode."""
        return self.network.eval()


def rebuilding_error(lesson: Lesson) -> Callable[[nn.Module], Mapping[str, float]]:
    """A judge of converters: how far one is, in dB, from rebuilding ``lesson``, which is drawn once.

    >>> import numpy as np
    >>> class Echo(nn.Module):
    ...     def forward(self, content, reference, generator):
    ...         return content
    >>> clip = np.random.default_rng(0).normal(0, 0.1, 48_000).astype(np.float32)
    >>> judge = rebuilding_error(Lesson(SpeechBank([clip], ["ann"]), StandardMel(), batch=4))
    >>> judge(Echo())["rebuilding_error_db"] > 1.0
    True
    """
    with torch.no_grad():
        disguised, reference, target = lesson.draw(Generator().manual_seed(0))

    def judge(converter: nn.Module) -> Mapping[str, float]:
        with torch.no_grad():
            error = (converter(disguised, reference, Generator().manual_seed(0)) - target).abs().mean()
        return {"rebuilding_error_db": SPREAD * NEPER_DB * float(error)}

    return judge
