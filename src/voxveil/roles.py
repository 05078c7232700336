"""The roles that parts of Voxveil play: whatever answers these calls fits, no inheritance needed.

Speech is float [batch, time] in [−1, 1]; every model declares the sample rate it wants.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

Speech = Float[Tensor, "batch time"]
Clip = Float[Tensor, " _time"]
"""Samples of one utterance. The underscore: clips that meet in one call differ in length."""

Reference = Sequence[Clip]
"""Utterances of one speaker: what a cloner knows of a voice."""

Loss = Float[Tensor, " batch"]
Parameters = tuple[Tensor, ...]
"""What an attack optimises: one tensor for a simple carrier, several for a composed one; 1 is the whole budget."""

Progress = Callable[[float], None]
"""Called with the share of the work that is done, 0 … 1."""


@runtime_checkable
class Embedder(Protocol):
    """Speech → unit vectors [batch, dim] that lie close together for one speaker."""

    @property
    def sample_rate(self) -> int:
        """The rate in Hz of the speech it takes."""

    @property
    def differentiable(self) -> bool:
        """Whether a gradient comes back to the waveform."""

    def __call__(self, speech: Speech) -> Float[Tensor, "batch dim"]:
        """The speaker embedding of every clip."""

    def coarse(self) -> Embedder:
        """The same embedder at its cheapest framing, for loops that call it many times."""


class Scorer(Protocol):
    """(enrolled, probe) embeddings → score [batch]; higher means more alike."""

    def __call__(self, enrolled: Float[Tensor, "batch dim"], probe: Float[Tensor, "batch dim"]) -> Loss:
        """The score of every pair."""


class Transform(Protocol):
    """Speech → speech: a channel, a purifier, an enhancer."""

    @property
    def differentiable(self) -> bool:
        """Whether a gradient passes."""

    @property
    def random(self) -> bool:
        """Whether two calls differ."""

    @property
    def keeps_length(self) -> bool:
        """Whether the output is as long as the input."""

    def __call__(self, speech: Speech) -> Speech:
        """The transformed speech."""


class Objective(Protocol):
    """Adversarial speech → loss [batch], to be minimised.

    It is built for one batch of clean speech and closes over the victim models and over whatever of the clean speech
    can be computed once.
    """

    def __call__(self, adversarial: Speech) -> Loss:
        """The loss of every clip."""


class Budget(Protocol):
    """How far a carrier may go: a unit ball for its parameters, and what 1 means beside this speech."""

    def radius(self, clean: Speech) -> Tensor:
        """The physical amount (amplitude, dB, …) that parameter 1 stands for, broadcastable to the parameters."""

    def project(self, parameters: Tensor) -> Tensor:
        """The nearest parameters inside the unit ball."""

    def squash(self, free: Tensor) -> Tensor:
        """A smooth map of unbounded numbers into the unit ball: the change of variables."""


class Carrier(Protocol):
    """How parameters change speech. Carriers compose; each has its budget."""

    @property
    def budgets(self) -> tuple[Budget, ...]:
        """One for every tensor of parameters."""

    def shapes(self, clean: Speech) -> tuple[tuple[int, ...], ...]:
        """The shape of every tensor of parameters for this speech."""

    def __call__(self, amounts: Parameters, clean: Speech) -> Speech:
        """The adversarial speech; ``amounts`` are parameters × radius, so zero changes nothing."""


class Gradient(Protocol):
    """(loss of parameters, parameters) → (loss [batch], direction of steepest ascent per tensor)."""

    def __call__(self, loss: Callable[[Parameters], Loss], parameters: Parameters) -> tuple[Loss, Parameters]:
        """The loss and its gradient at ``parameters``."""


class Protector(Protocol):
    """Speech at the protector's own rate → the same speech, protected, same shape."""

    @property
    def sample_rate(self) -> int:
        """The rate in Hz at which the perturbation is computed."""

    def __call__(
        self, speech: Float[Tensor, "batch channel time"], seed: int, progress: Progress | None = None
    ) -> Float[Tensor, "batch channel time"]:
        """The protected speech."""


class Synthesiser(Protocol):
    """Text → speech in some voice, to be converted into another."""

    @property
    def sample_rate(self) -> int:
        """The rate in Hz of the speech it gives."""

    def __call__(self, text: str) -> Clip:
        """The text, spoken."""


class Cloner(Protocol):
    """(reference, contents) → the contents in the reference's voice. An attacker's tool, to test protections."""

    @property
    def sample_rate(self) -> int:
        """The rate in Hz of all speech that it takes and gives."""

    @property
    def takes(self) -> Literal["speech", "text"]:
        """What a content has to be."""

    def __call__(
        self, reference: Reference, contents: Sequence[Clip | str], seed: int = 0, progress: Progress | None = None
    ) -> list[Clip]:
        """One clone for every content; getting to know the reference, which may take long, is done once."""
