"""How a speaker encoder is trained: to tell many voices apart, wherever they were recorded."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Generator, Tensor, nn

from voxveil.roles import Embedder, Speech
from voxveil.train.augment import RARELY_CLEAN, Surroundings, masked
from voxveil.train.margin import AngularMargin
from voxveil.train.speech_bank import SAMPLE_RATE, SpeechBank

SHORTEST_S, LONGEST_S = 1.6, 3.0
MARGIN = 0.2
"""In radians, once it has risen."""


@runtime_checkable
class TwoHalves(Embedder, Protocol):
    """An encoder as it is trained here: a front end without parameters, and the network behind it."""

    def features(self, speech: Speech) -> Float[Tensor, "batch band frame"]:
        """What the network sees."""

    def embed(self, features: Float[Tensor, "batch band frame"]) -> Float[Tensor, "batch dim"]:
        """Vectors of any length."""


class EncoderTrainee:
    """An encoder, and the head with which it is trained: one centre for every class of the bank.

    Every batch has ``batch`` crops of one length, 1.6 … 3 s, in ``surroundings``, with SpecAugment on the features.
    ``half`` runs the network in bfloat16 with float32 parameters; front end and loss stay float32. The margin grows
    from zero to its full size over the share ``margin_rises_until`` of the training.

    If ``last``, the layer whose output is the embedding, is named, every dimension is brought to zero mean and unit
    variance behind it (S. Ioffe, C. Szegedy, ICML 2015), else most of an embedding's length is what all voices have in
    common; :meth:`trained` makes that step part of the layer. ``judge`` measures the encoder in eval mode.

    >>> import numpy as np
    >>> from voxveil.models.speaker.xvector import XVector
    >>> clips = [np.random.default_rng(i).normal(0, 0.1, 48_000).astype(np.float32) for i in range(2)]
    >>> bank = SpeechBank(clips, ["ann", "bob"])
    >>> trainee = EncoderTrainee(XVector(16, 24, 8), bank, batch=4, half=False)
    >>> bool(trainee.loss(0.0, torch.Generator().manual_seed(0)) > 0)
    True
    """

    def __init__(
        self,
        encoder: nn.Module,
        bank: SpeechBank,
        batch: int,
        half: bool,
        device: torch.device | None = None,
        judge: Callable[[Embedder], Mapping[str, float]] | None = None,
        last: nn.Linear | nn.Conv1d | None = None,
        surroundings: Surroundings = RARELY_CLEAN,
        margin_rises_until: float = 0.2,
    ) -> None:
        self.device = device or torch.device("cpu")
        dim = encoder(torch.zeros(2, SAMPLE_RATE)).shape[1]
        self.encoder: TwoHalves = encoder.to(self.device)  # type: ignore[assignment]
        self.head = AngularMargin(dim, bank.classes, MARGIN).to(self.device)
        self.last = last
        self.centring = nn.Identity() if last is None else nn.BatchNorm1d(dim, affine=False).to(self.device)
        self.network = nn.ModuleDict({"encoder": encoder, "centring": self.centring, "head": self.head})
        self.bank, self.batch, self.half, self.judge = bank, batch, half, judge
        self.surroundings, self.margin_rises_until = surroundings, margin_rises_until

    @property
    def recipe(self) -> Mapping[str, Any]:
        """What makes this training beside the network and the plan."""
        return {
            "batch": self.batch,
            "half": self.half,
            "surroundings": asdict(self.surroundings),
            "margin_rises_until": self.margin_rises_until,
            "speech": self.bank.fingerprint(),
        }

    def loss(self, done: float, generator: Generator) -> Tensor:
        """The mean loss of a batch that ``generator`` draws."""
        seconds = SHORTEST_S + (LONGEST_S - SHORTEST_S) * float(torch.rand(1, generator=generator))
        speech, classes = self.bank.crops(self.batch, round(seconds * SAMPLE_RATE), generator)
        with torch.no_grad():
            features = masked(self.encoder.features(self.surroundings(speech, generator)), generator)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            vectors = self.encoder.embed(features)
        self.head.margin = MARGIN * min(1.0, done / self.margin_rises_until)
        loss: Tensor = self.head(F.normalize(self.centring(vectors.float()), dim=-1), classes.to(self.device))
        return loss.mean()

    def measure(self) -> Mapping[str, float]:
        """What the judge says of the encoder as it is now."""
        return {} if self.judge is None else self.judge(self.trained())

    def trained(self) -> TwoHalves:
        """A copy of the encoder that gives the embeddings which the head sees, in eval mode."""
        twin, last = copy.deepcopy((self.encoder, self.last))
        if last is not None:
            assert isinstance(self.centring, nn.BatchNorm1d)
            fold(self.centring, last)
        return twin.eval()  # type: ignore[attr-defined]


def fold(centring: nn.BatchNorm1d, last: nn.Linear | nn.Conv1d) -> None:
    """Makes the step between network and head part of the network: (W·x + b − μ) / σ is again linear in x.

    >>> last, centring = nn.Linear(2, 3), nn.BatchNorm1d(3, affine=False).eval()
    >>> _ = centring.running_mean.fill_(1.0), centring.running_var.fill_(4.0)
    >>> x = torch.randn(5, 2)
    >>> wanted = centring(last(x))
    >>> fold(centring, last)
    >>> bool(torch.allclose(last(x), wanted, atol=1e-6))
    True
    """
    assert centring.running_mean is not None and centring.running_var is not None and last.bias is not None
    scale = (centring.running_var + centring.eps).rsqrt()
    with torch.no_grad():
        last.weight.mul_(scale.view(-1, *[1] * (last.weight.dim() - 1)))
        last.bias.copy_((last.bias - centring.running_mean) * scale)
