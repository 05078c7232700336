"""Cloning by AutoVC as published: its own mel spectra and speaker encoder at 16 kHz; Griffin-Lim for its WaveNet.

K. Qian et al. 2019 (:mod:`voxveil.models.conversion.autovc`), with the weights of
https://github.com/auspicious3000/autovc. The WaveNet that the publishers made sound with is not in this package, so
what is heard is rougher than theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
import torch.nn.functional as F

from voxveil.clone.spoken import joined, spoken
from voxveil.models.conversion.autovc import AutoVC, SpeakerEncoder
from voxveil.models.conversion.autovc_mel import SAMPLE_RATE, STFT, AutoVCMel
from voxveil.models.vocoder.griffin_lim import griffin_lim
from voxveil.roles import Clip, Progress, Reference, Speech

ITERATIONS = 100


@dataclass(frozen=True)
class AutoVCOfficialCloner:
    """``converter`` and the ``speaker_encoder`` that it was trained with, which also hears who says the content.

    A :class:`~voxveil.roles.Cloner` that takes speech at 16 kHz.

    >>> converter, speaker_encoder = AutoVC(width=8, lstm_width=10).eval(), SpeakerEncoder(width=8).eval()
    >>> cloner = AutoVCOfficialCloner(converter, speaker_encoder, iterations=2)
    >>> (clone,) = cloner([0.1 * torch.randn(16_000)], [0.1 * torch.randn(8_000)])
    >>> clone.shape
    torch.Size([8000])
    """

    converter: AutoVC
    speaker_encoder: SpeakerEncoder
    iterations: int = ITERATIONS
    mel: AutoVCMel = field(default_factory=AutoVCMel)

    sample_rate = SAMPLE_RATE
    takes: Literal["speech", "text"] = "speech"

    def __call__(
        self, reference: Reference, contents: Sequence[Clip | str], seed: int = 0, progress: Progress | None = None
    ) -> list[Clip]:
        """The contents in the reference's voice, each as long as it was.

        Raises :class:`~voxveil.errors.BadInputError` for speech that is too short, silent or not finite.
        """
        heard = joined(reference)
        said = [spoken(content, "content") for content in contents]
        clones = []
        for clip in said:
            clones.append(self._converted(clip, heard[None], seed))
            if progress is not None:
                progress(len(clones) / len(said))
        return clones

    @torch.no_grad()
    def _converted(self, said: Clip, heard: Speech, seed: int) -> Clip:
        mel = self.mel.to(said.device)
        content = mel(said[None])
        said_by, voice = (self.speaker_encoder.speaker(levels) for levels in (content, mel(heard)))
        levels = self.converter(content, said_by, voice)
        between = (levels.shape[2] - 1) * STFT.hop_samples
        sound = griffin_lim(mel.magnitudes(levels), STFT, between, self.iterations, seed=seed)[0]
        return F.pad(sound / sound.abs().max().clamp_min(1.0), (0, len(said) - between))
