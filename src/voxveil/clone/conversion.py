"""Cloning by voice conversion between mel spectra: somebody's speech becomes the reference's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Generator, Tensor, nn

from voxveil.clone.adaptation import adapted
from voxveil.clone.global_variance import with_statistics_of
from voxveil.clone.spoken import joined, spoken
from voxveil.models.conversion.standard_mel import StandardMel
from voxveil.models.vocoder.mel_griffin_lim import MelGriffinLim
from voxveil.roles import Clip, Embedder, Progress, Reference, Speech

Levels = Float[Tensor, "batch mel frame"]
Vocoder = Callable[[Levels], Speech]


@dataclass(frozen=True)
class ConversionCloner:
    """A ``converter`` that is adapted to every reference for ``adaptation_steps``, and a ``vocoder``.

    The ``listeners`` lead the adaptation (:func:`~voxveil.clone.adaptation.adapted`).

    >>> from voxveil.clone.adain import AdaInConverter
    >>> cloner = ConversionCloner(AdaInConverter(channels=8, bank_channels=4, dim=6), adaptation_steps=0)
    >>> (clone,) = cloner([0.1 * torch.randn(16_000)], [0.1 * torch.randn(8_000)])
    >>> clone.shape
    torch.Size([8000])
    """

    converter: nn.Module
    adaptation_steps: int
    listeners: Sequence[Embedder] = ()
    vocoder: Vocoder = field(default_factory=lambda: MelGriffinLim(StandardMel()))

    sample_rate = StandardMel.sample_rate
    takes: Literal["speech", "text"] = "speech"

    def __call__(
        self, reference: Reference, contents: Sequence[Clip | str], seed: int = 0, progress: Progress | None = None
    ) -> list[Clip]:
        """The contents in the reference's voice, each as long as it was.

        Raises :class:`~voxveil.errors.BadInputError` for speech that is too short, silent or not finite.
        """
        heard = joined(reference)
        said = [spoken(content, "content") for content in contents]
        mel = StandardMel().to(heard.device)
        familiar = adapted(self.converter, mel, reference, said, self.listeners, self.adaptation_steps, seed, progress)
        voice = mel(heard[None])
        return [self._converted(familiar, mel, voice, clip, seed) for clip in said]

    def _converted(self, converter: nn.Module, mel: StandardMel, voice: Levels, said: Clip, seed: int) -> Clip:
        with torch.no_grad():
            raw = converter(mel(said[None]), voice, Generator().manual_seed(seed))
            sound = self.vocoder(with_statistics_of(raw[0], voice[0])[None])[0]
        return F.pad(sound, (0, len(said) - len(sound)))
