"""AS-norm: a score in units of what the same two voices score against strangers.

P. Matějka, O. Novotný, O. Plchot, L. Burget, M. Diez Sánchez, J. Černocký, "Analysis of Score Normalization in
Multilingual Speaker Recognition", Interspeech 2017 (adaptive S-norm 1). Some recordings score high with everybody,
through their channel, language or length. A cohort of other speakers shows how high, and both sides are measured by it:

    ½ · ((s − μ_e) / σ_e + (s − μ_p) / σ_p)

μ_e and σ_e are mean and standard deviation of the enrolled side's ``top`` greatest scores against the cohort, μ_p and
σ_p those of the probe's. Only the greatest count, since the speakers that are alike are the ones to be told apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from voxveil.roles import Loss, Scorer

PAIRS_A_CALL = 16_384
"""How many pairs are scored at once: 26 MB of embeddings of 200 numbers."""

MIN_DEVIATION = 1e-6
"""σ is no less, so that a side whose cohort scores are all alike has a finite score."""


@dataclass(frozen=True)
class AsNorm:
    """``scorer``, normalised by a ``cohort`` of one embedding a speaker; it is itself a scorer.

    The scale of ``scorer`` drops out: 2·s + 1 gives the same as s. A cohort of fewer than ``top`` counts whole. The
    speakers of a trial should not be in it.

    Raises ``ValueError`` for fewer than two speakers: they have no deviation.

    >>> from voxveil.verify.scorers import cosine
    >>> normalised = AsNorm(cosine, cohort=torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    >>> normalised(torch.tensor([[3.0, 4.0]]), torch.tensor([[0.6, 0.8]])).round(decimals=3).tolist()
    [3.0]
    """

    scorer: Scorer
    cohort: Float[Tensor, "cohort dim"]
    top: int = 100

    def __post_init__(self) -> None:
        if min(len(self.cohort), self.top) < 2:
            raise ValueError(f"AS-norm needs at least two speakers, not the top {self.top} of {len(self.cohort)}")

    def __call__(self, enrolled: Float[Tensor, "batch dim"], probe: Float[Tensor, "batch dim"]) -> Loss:
        """The normalised score of every pair."""
        score = self.scorer(enrolled, probe)
        enrolled_mean, enrolled_deviation = self._statistics(enrolled, self.scorer)
        # A scorer may tell the sides apart: to a probe the cohort is enrolled.
        probe_mean, probe_deviation = self._statistics(probe, lambda probes, cohort: self.scorer(cohort, probes))
        return 0.5 * ((score - enrolled_mean) / enrolled_deviation + (score - probe_mean) / probe_deviation)

    def _statistics(self, side: Tensor, scorer: Scorer) -> tuple[Tensor, Tensor]:
        chunks = torch.split(side, max(1, PAIRS_A_CALL // len(self.cohort)))
        greatest = torch.cat([self._greatest(chunk, scorer) for chunk in chunks])
        return greatest.mean(1), greatest.var(1, correction=0).clamp_min(MIN_DEVIATION**2).sqrt()

    def _greatest(self, side: Tensor, scorer: Scorer) -> Tensor:
        pairs = side.repeat_interleave(len(self.cohort), 0), self.cohort.repeat(len(side), 1)
        return scorer(*pairs).view(len(side), -1).topk(min(self.top, len(self.cohort)), dim=1).values
