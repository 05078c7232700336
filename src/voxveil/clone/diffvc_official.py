"""Cloning by DiffVC as published: log mel spectra at 22.05 kHz, GE2E's vector, 30 steps of diffusion, and HiFi-GAN.

V. Popov et al. 2022 (:mod:`voxveil.models.conversion.diffvc`), with the steps of ``inference.ipynb`` of
https://github.com/huawei-noah/Speech-Backbones/tree/main/DiffVC.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from voxveil.clone.speaker_vector import speaker_vector
from voxveil.clone.spectral_subtraction import without_noise
from voxveil.clone.spoken import joined, spoken
from voxveil.models.conversion.diffvc import DiffVC
from voxveil.models.conversion.diffvc_diffusion import Utterance
from voxveil.models.vocoder.hifigan import HifiGan
from voxveil.models.vocoder.weight_norm import folded
from voxveil.roles import Clip, Embedder, Progress, Reference

STEPS = 30
HEARD_S = 30.0
"""Of the reference's spectrum: the encoder's work grows with its square. The speaker vector hears all."""


@dataclass(frozen=True)
class DiffVCOfficialCloner:
    """``converter``, the ``speaker_encoder`` GE2E, and a ``vocoder`` that was trained with spectra of the same kind.

    A :class:`~voxveil.roles.Cloner` that takes speech at 22.05 kHz.

    >>> from voxveil.models.speaker.ge2e import GE2E
    >>> small = dict(encoder_channels=16, filters=32, layers=1, postnet_channels=8)
    >>> converter = DiffVC(**small, decoder_channels=8, condition_channels=8).eval()
    >>> cloner = DiffVCOfficialCloner(converter, GE2E(), HifiGan(width=16), steps=1)
    >>> (clone,) = cloner([0.1 * torch.randn(22_050)], [0.1 * torch.randn(6_000)])
    >>> clone.shape
    torch.Size([6000])
    """

    converter: DiffVC
    speaker_encoder: Embedder
    vocoder: HifiGan
    steps: int = STEPS

    sample_rate = 22_050
    takes: Literal["speech", "text"] = "speech"

    def __call__(
        self, reference: Reference, contents: Sequence[Clip | str], seed: int = 0, progress: Progress | None = None
    ) -> list[Clip]:
        """The contents in the reference's voice, each as long as it was; the same ``seed`` gives the same clones.

        Raises :class:`~voxveil.errors.BadInputError` for speech that is too short, silent or not finite.
        """
        voice = speaker_vector(self.speaker_encoder, reference, self.sample_rate)
        said = [spoken(content, "content", sample_rate=self.sample_rate) for content in contents]
        vocoder = folded(self.vocoder)
        with torch.no_grad():
            heard = self._utterance(joined(reference, self.sample_rate)[: round(HEARD_S * self.sample_rate)])
            clones = []
            for clip in said:
                generator = torch.Generator().manual_seed(seed)
                source = self._utterance(clip)
                mel = self.converter.convert(source, heard, voice, steps=self.steps, generator=generator)
                sound = vocoder(without_noise(mel[0])[None])[0]
                clones.append(F.pad(sound, (0, len(clip) - len(sound))))
                if progress is not None:
                    progress(len(clones) / len(said))
        return clones

    def _utterance(self, clip: Tensor) -> Utterance:
        # As published, speech is cut to whole hops before its edges are reflected.
        hop = self.vocoder.hop_samples
        return self.converter.utterance(self.vocoder.mel(clip[None, : len(clip) // hop * hop]))
