"""How a content encoder is trained without transcripts: the same sound in another voice belongs to the same cluster.

A crop is heard twice, each time at another pitch, through another vocal tract and another microphone, and in another
noise. Frames are assigned to clusters by their likeness to learned prototypes, and from one hearing of a frame the
cluster of the other hearing is to be told:

    loss = −½ Σ_c [ q₁(c) · log softmax(s₂ / τ)(c) + q₂(c) · log softmax(s₁ / τ)(c) ]

where s are the cosines with the prototypes and q their assignment, balanced over the batch by Sinkhorn's iterations,
lest one cluster take all (M. Caron et al., "Unsupervised Learning of Visual Features by Contrasting Cluster
Assignments", NeurIPS 2020; for frames of speech and disguised speakers: H.-J. Chang, A. H. Liu, J. Glass,
"Self-supervised Fine-tuning for Improved Content Representations by Speaker-invariant Clustering", Interspeech 2023).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Generator, Tensor, nn

from voxveil.models.conversion.content_encoder import ContentEncoder
from voxveil.train.disguise import Disguise
from voxveil.train.speech_bank import SpeechBank, stretched

CLUSTERS = 256
TEMPERATURE = 0.1
SHARPNESS = 0.05
"""The temperature of the assignment; sharper than what is to be told, so that the clusters come apart."""
SINKHORN_STEPS = 3
STRIDE_FRAMES = 2
HIGHEST_PITCH, HIGHEST_TRACT = 1.25, 1.3
"""Pitch, and all frequencies, are multiplied by up to so much, or its inverse."""
NOISE_NEPER = (2.5, 7.0)
"""The noise lies so far below the loudest band of a crop (22 to 61 dB)."""

Frames = Float[Tensor, "batch frame dim"]
Levels = Float[Tensor, "batch mel frame"]


def assigned(likeness: Float[Tensor, "row cluster"]) -> Float[Tensor, "row cluster"]:
    """Each row's shares in the clusters, which sum to 1, so that all clusters get nearly as much.

    >>> assigned(torch.tensor([[0.9, 0.8], [0.9, 0.1]])).round().tolist()
    [[0.0, 1.0], [1.0, 0.0]]
    """
    shares = ((likeness - likeness.max()) / SHARPNESS).exp()
    for _ in range(SINKHORN_STEPS):
        shares = shares / shares.sum(0, keepdim=True).clamp_min(1e-30)
        shares = shares / shares.sum(1, keepdim=True).clamp_min(1e-30)
    return shares


def swapped_prediction(one: Float[Tensor, "row cluster"], other: Float[Tensor, "row cluster"]) -> Float[Tensor, ""]:
    """The mean loss of two hearings' cosines with the prototypes.

    >>> apart = torch.eye(4)
    >>> bool(swapped_prediction(apart, apart) < swapped_prediction(apart, apart.flip(0)))
    True
    """
    with torch.no_grad():
        wanted = assigned(one), assigned(other)
    told = (torch.log_softmax(cosines / TEMPERATURE, dim=1) for cosines in (other, one))
    return -0.5 * torch.stack([(q * p).sum(1).mean() for q, p in zip(wanted, told, strict=True)]).sum()


@dataclass(frozen=True)
class Hearings:
    """Crops of ``bank``, each heard twice: ``batch`` crops of ``frames`` frames of 10 ms a step.

    >>> import numpy as np
    >>> clip = np.random.default_rng(0).normal(0, 0.1, 48_000).astype(np.float32)
    >>> hearings = Hearings(SpeechBank([clip], ["ann"]), batch=2, frames=50)
    >>> [tuple(levels.shape) for levels in hearings.draw(ContentEncoder(8, 1, 4), Generator().manual_seed(0))]
    [(2, 40, 50), (2, 40, 50)]
    """

    bank: SpeechBank
    batch: int
    frames: int = 200

    def draw(self, encoder: ContentEncoder, generator: Generator) -> tuple[Levels, Levels]:
        """The levels of the same crops in two disguises, frame by frame."""
        speech, _ = self.bank.crops(self.batch, (self.frames - 1) * encoder.hop_samples, generator)
        return self._heard(speech, encoder, generator), self._heard(speech, encoder, generator)

    def _heard(self, speech: Tensor, encoder: ContentEncoder, generator: Generator) -> Levels:
        # One pitch for the whole batch keeps it in one Fourier transform. Played faster, speech is higher and its
        # formants are too; the disguise then moves both, so that pitch and formants differ each by its own factor.
        factor = HIGHEST_PITCH ** (2.0 * float(torch.rand(1, generator=generator)) - 1.0)
        played = stretched(speech, round(speech.shape[1] / factor))
        levels = F.interpolate(encoder.levels(played), self.frames, mode="linear", align_corners=True)
        low, high = NOISE_NEPER
        below = (low + (high - low) * torch.rand(len(levels), 1, 1, generator=generator)).to(levels.device)
        rough = 0.3 * torch.randn(levels.shape, generator=generator).to(levels.device)
        noisy = torch.logaddexp(levels, levels.amax((1, 2), keepdim=True) - below + rough)
        return Disguise(encoder.centres_hz, highest=HIGHEST_TRACT)(noisy, generator)


class ContentTrainee:
    """A content encoder as :func:`voxveil.train.loop.train` trains it; ``half`` lets its layers run in bfloat16.

    >>> import numpy as np
    >>> clip = np.random.default_rng(0).normal(0, 0.1, 48_000).astype(np.float32)
    >>> hearings = Hearings(SpeechBank([clip], ["ann"]), batch=2, frames=50)
    >>> trainee = ContentTrainee(ContentEncoder(8, 1, 4), hearings, half=False)
    >>> bool(trainee.loss(0.0, Generator().manual_seed(0)) > 0)
    True
    """

    def __init__(
        self,
        encoder: ContentEncoder,
        hearings: Hearings,
        half: bool,
        device: torch.device | None = None,
        judge: Callable[[ContentEncoder], Mapping[str, float]] | None = None,
    ) -> None:
        self.device = device or torch.device("cpu")
        self.encoder = encoder
        self.prototypes = nn.Linear(encoder.last.out_channels, CLUSTERS, bias=False)
        nn.init.normal_(self.prototypes.weight)
        self.network = nn.ModuleList([encoder, self.prototypes]).to(self.device)
        self.hearings, self.half, self.judge = hearings, half, judge

    @property
    def recipe(self) -> Mapping[str, Any]:
        """What makes this training beside the network and the plan."""
        return {
            "batch": self.hearings.batch,
            "frames": self.hearings.frames,
            "half": self.half,
            "clusters": [CLUSTERS, TEMPERATURE, SHARPNESS, SINKHORN_STEPS],
            "disguise": [HIGHEST_PITCH, HIGHEST_TRACT, *NOISE_NEPER],
            "speech": self.hearings.bank.fingerprint(),
        }

    def loss(self, done: float, generator: Generator) -> Tensor:
        """The mean loss of a batch that ``generator`` draws."""
        with torch.no_grad():
            hearings = torch.cat(self.hearings.draw(self.encoder, generator))
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            # Every second frame says nearly all, at half the cost.
            frames = self.encoder.encode(hearings)[:, ::STRIDE_FRAMES]
        one, other = (frames.flatten(0, 1) @ F.normalize(self.prototypes.weight, dim=1).T).chunk(2)
        return swapped_prediction(one, other)

    def trained(self) -> ContentEncoder:
        """The encoder, in eval mode."""
        return self.encoder.eval()

    def measure(self) -> Mapping[str, float]:
        """What the judge says of the encoder as it is now."""
        return {} if self.judge is None else self.judge(self.encoder)


def retrieval(hearings: Hearings) -> Callable[[ContentEncoder], Mapping[str, float]]:
    """A judge of content encoders: how often a frame's likest frame of another hearing is at most 50 ms away.

    ``hearings`` are drawn once.

    >>> import numpy as np
    >>> clip = np.random.default_rng(0).normal(0, 0.1, 48_000).astype(np.float32)
    >>> judge = retrieval(Hearings(SpeechBank([clip], ["ann"]), batch=2, frames=50))
    >>> 0.0 <= judge(ContentEncoder(8, 1, 4))["retrieved_percent"] <= 100.0
    True
    """
    drawn: list[Levels] = []

    def judge(encoder: ContentEncoder) -> Mapping[str, float]:
        with torch.no_grad():
            if not drawn:
                drawn.extend(hearings.draw(encoder, Generator().manual_seed(0)))
            one, other = (encoder.encode(levels) for levels in drawn)
            return {"retrieved_percent": 100.0 * retrieved(one, other)}

    return judge


def retrieved(one: Frames, other: Frames, within_frames: int = 5) -> float:
    """The share of frames of ``one`` whose likest frame of ``other`` is at most ``within_frames`` away.

    >>> frames = torch.eye(20)[None]
    >>> retrieved(frames, frames), retrieved(frames, frames.roll(10, 1))
    (1.0, 0.0)
    """
    place = torch.arange(one.shape[1], device=one.device)
    return float((((one @ other.mT).argmax(2) - place).abs() <= within_frames).float().mean())
