"""Cloning by kNN-VC: every frame of the content is replaced by the reference's frames that sound most like it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from voxveil.audio.spectrum import Stft, power
from voxveil.clone.global_variance import with_statistics_of
from voxveil.clone.spoken import joined, spoken
from voxveil.models.conversion.knn_vc import converted
from voxveil.models.vocoder.griffin_lim import griffin_lim
from voxveil.roles import Clip, Progress, Reference, Speech

N_FFT = 1024
NEIGHBOURS_SAMPLES = 1280
"""So much of the reference is heard in every frame: the authors' four frames of 20 ms, eight of 10 ms."""
LOUDNESS_FLOOR = 1e-5


@runtime_checkable
class ContentFeatures(Protocol):
    """Speech [batch, time] at 16 kHz → what is said, frame n centred on sample ``first_sample`` + n·``hop_samples``."""

    @property
    def hop_samples(self) -> int:
        """How far the frames' centres are apart."""

    @property
    def first_sample(self) -> int:
        """The centre of the first frame."""

    def __call__(self, speech: Speech) -> Float[Tensor, "batch frame dim"]:
        """The features of every frame of every clip."""


@dataclass(frozen=True)
class KnnCloner:
    """M. Baas et al. 2023 (:mod:`voxveil.models.conversion.knn_vc`) with ``features``, magnitudes and Griffin-Lim.

    What is heard are means of a few frames of the reference, so the more of it there is, the better. Means are duller
    than what they are made of; each frequency gets the reference's variance back.

    >>> from voxveil.models.conversion.content_encoder import ContentEncoder
    >>> cloner = KnnCloner(ContentEncoder(channels=8, blocks=1, dim=4), iterations=2)
    >>> (clone,) = cloner([0.1 * torch.randn(16_000)], [0.1 * torch.randn(8_000)])
    >>> clone.shape
    torch.Size([8000])
    """

    features: ContentFeatures
    iterations: int = 32

    sample_rate = 16_000
    takes: Literal["speech", "text"] = "speech"

    def __call__(
        self, reference: Reference, contents: Sequence[Clip | str], seed: int = 0, progress: Progress | None = None
    ) -> list[Clip]:
        """The contents in the reference's voice, each as long as it was.

        Raises :class:`~voxveil.errors.BadInputError` for speech that is too short, silent or not finite.
        """
        joined(reference)
        # An utterance that ends before the first frame's centre has nothing to give.
        described = [self._described(clip) for clip in reference if len(clip) > self.features.first_sample]
        frames, magnitudes = torch.cat([f for f, _ in described]), torch.cat([m for _, m in described])
        clones = []
        for index, content in enumerate(contents):
            said = spoken(content, "content")
            with torch.no_grad():
                wanted = self.features(said[None])[0]
            mixed = converted(wanted, frames, magnitudes, NEIGHBOURS_SAMPLES // self.features.hop_samples).T
            lively = with_statistics_of(mixed.log(), magnitudes.T.log()).exp()
            clones.append(self._spoken(lively, len(said), seed))
            if progress is not None:
                progress((index + 1) / len(contents))
        return clones

    @property
    def _synthesis(self) -> Stft:
        return Stft(N_FFT, self.features.hop_samples)

    def _described(self, clip: Clip) -> tuple[Float[Tensor, "frame dim"], Float[Tensor, "frame freq"]]:
        """What is said in every frame, and how it sounds there."""
        with torch.no_grad():
            frames = self.features(clip[None])[0]
        sound = power(self._synthesis(clip[self.features.first_sample :])).sqrt().clamp_min(LOUDNESS_FLOOR).T
        # A frame at the end, that one of the two does not have, is left out.
        count = min(len(frames), len(sound))
        return frames[:count], sound[:count]

    def _spoken(self, magnitudes: Float[Tensor, "freq frame"], length: int, seed: int) -> Clip:
        first = self.features.first_sample
        samples = (magnitudes.shape[1] - 1) * self.features.hop_samples
        sound = griffin_lim(magnitudes, self._synthesis, samples, self.iterations, seed=seed)
        return F.pad(sound, (first, length - first - samples))
