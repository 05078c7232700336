"""A verifier: does this probe come from the enrolled speaker?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from voxveil.roles import Embedder, Scorer, Speech


def enrol(embedder: Embedder, clips: Sequence[Float[Tensor, "1 _"]]) -> Float[Tensor, "1 dim"]:
    """A voice: the normalised mean of the embeddings of ``clips``, of any lengths.

    >>> from voxveil.models.speaker.xvector import XVector
    >>> voice = enrol(XVector(16, 24, dim=8).eval(), [torch.randn(1, 8000), torch.randn(1, 4000)])
    >>> voice.shape, round(voice.norm().item(), 4)
    (torch.Size([1, 8]), 1.0)
    """
    with torch.no_grad():
        mean = torch.cat([embedder(clip) for clip in clips]).mean(0, keepdim=True)
    return torch.nn.functional.normalize(mean, dim=-1)


@dataclass(frozen=True)
class Verifier:
    """Embedder × scorer × threshold.

    ``threshold`` is the calibrated score from which a probe is accepted.

    >>> class Sign:
    ...     sample_rate, differentiable = 16_000, True
    ...     def __call__(self, speech):
    ...         return torch.sign(speech[:, :2])
    ...     def coarse(self):
    ...         return self
    >>> from voxveil.verify.scorers import cosine
    >>> verifier = Verifier("sign-cos", Sign(), cosine, threshold=0.5)
    >>> voice = verifier.enrol([torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 1.0]])])
    >>> verifier.decide(voice, torch.tensor([[5.0, 5.0]])).tolist()
    [True]
    """

    name: str
    embedder: Embedder
    scorer: Scorer
    threshold: float

    def enrol(self, clips: Sequence[Float[Tensor, "1 _"]]) -> Float[Tensor, "1 dim"]:
        """The speaker's voiceprint, :func:`enrol` with this embedder."""
        return enrol(self.embedder, clips)

    def score(self, enrolled: Float[Tensor, "1 dim"], probe: Speech) -> Float[Tensor, " batch"]:
        """The score of every probe [batch, time] against the voiceprint."""
        with torch.no_grad():
            embedding = self.embedder(probe)
            return self.scorer(enrolled.expand_as(embedding), embedding)

    def decide(self, enrolled: Float[Tensor, "1 dim"], probe: Speech) -> Tensor:
        """Whether every probe is accepted as the enrolled speaker, bool [batch]."""
        return self.score(enrolled, probe) >= self.threshold
