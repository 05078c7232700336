"""Cloning by kNN-VC: every frame of the content is replaced by the reference's frames that sound most like it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from voxveil.audio.spectrum import Stft, power
from voxveil.clone.global_variance import with_statistics_of
from voxveil.clone.spoken import joined, spoken
from voxveil.models.conversion.knn_vc import converted
from voxveil.models.conversion.stacked_cepstra import StackedCepstra
from voxveil.models.vocoder.griffin_lim import griffin_lim
from voxveil.roles import Clip, Progress, Reference

HOP_SAMPLES = 160
SYNTHESIS = Stft(n_fft=1024, hop_samples=HOP_SAMPLES)
LOUDNESS_FLOOR = 1e-5


@dataclass(frozen=True)
class KnnCloner:
    """M. Baas et al. 2023 (:mod:`voxveil.models.conversion.knn_vc`) with cepstra, magnitudes and Griffin-Lim.

    There are no weights: what is heard are means of a few frames of the reference, so the more of it there is, the
    better. Means are duller than what they are made of; each frequency gets the reference's variance back.

    >>> (clone,) = KnnCloner(iterations=2)([0.1 * torch.randn(16_000)], [0.1 * torch.randn(8_000)])
    >>> clone.shape
    torch.Size([8000])
    """

    iterations: int = 32
    features: StackedCepstra = field(default_factory=StackedCepstra)

    sample_rate = 16_000
    takes: Literal["speech", "text"] = "speech"

    def __call__(
        self, reference: Reference, contents: Sequence[Clip | str], seed: int = 0, progress: Progress | None = None
    ) -> list[Clip]:
        """The contents in the reference's voice, each as long as it was.

        Raises :class:`~voxveil.errors.BadInputError` for speech that is too short, silent or not finite.
        """
        heard = joined(reference)
        features = self.features.to(heard.device)
        frames = torch.cat([features(clip[None])[0] for clip in reference])
        magnitudes = torch.cat([_magnitudes(clip) for clip in reference], dim=1)
        clones = []
        for index, content in enumerate(contents):
            said = spoken(content, "content")
            mixed = converted(features(said[None])[0], frames, magnitudes.T).T
            lively = with_statistics_of(mixed.log(), magnitudes.log()).exp()
            length = (mixed.shape[1] - 1) * HOP_SAMPLES
            sound = griffin_lim(lively, SYNTHESIS, length, self.iterations, seed=seed)
            clones.append(F.pad(sound, (0, len(said) - length)))
            if progress is not None:
                progress((index + 1) / len(contents))
        return clones


def _magnitudes(clip: Clip) -> Float[Tensor, "freq frame"]:
    return power(SYNTHESIS(clip)).sqrt().clamp_min(LOUDNESS_FLOOR)
