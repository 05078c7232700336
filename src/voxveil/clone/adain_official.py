"""Cloning by AdaIN-VC as published: its own mel spectra at 24 kHz, and Griffin-Lim.

J.-C. Chou et al. 2019 (:mod:`voxveil.models.conversion.adain_vc`), with the steps of ``inference.py`` of
https://github.com/jjery2243542/adaptive_voice_conversion. The mean and the deviation of every band, published as the
pickle ``attr.pkl``, are weights of their own here: two tensors, ``mean`` and ``deviation``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from voxveil.clone.spoken import joined, spoken
from voxveil.models.conversion.adain_mel import SAMPLE_RATE, STFT, AdaInMel, de_emphasised, trimmed
from voxveil.models.conversion.adain_vc import AdaInVC
from voxveil.models.vocoder.griffin_lim import griffin_lim
from voxveil.roles import Clip, Progress, Reference

ITERATIONS = 100
CLONE_RANGE_DB = 60.0


def unfitted_mel(n_mels: int = 512) -> AdaInMel:
    """The front end before it has the statistics of a training set: levels go through it as they are, 0 … 1.

    >>> list(unfitted_mel(80).state_dict())
    ['mean', 'deviation']
    """
    return AdaInMel(torch.zeros(n_mels), torch.ones(n_mels))


@dataclass(frozen=True)
class AdaInOfficialCloner:
    """``converter`` and the front end ``mel`` with the statistics that it was trained with.

    A :class:`~voxveil.roles.Cloner` that takes speech at 24 kHz. Quiet ends are cut off: of what it hears, 15 dB below
    the loudest, and of what it gives, 60 dB.

    >>> converter = AdaInVC(n_mels=80, channels=8, bank_channels=4, dim=6).eval()
    >>> cloner = AdaInOfficialCloner(converter, unfitted_mel(80), iterations=2)
    >>> (clone,) = cloner([0.1 * torch.randn(24_000)], [0.1 * torch.randn(12_000)])
    >>> len(clone) <= 12_000
    True
    """

    converter: AdaInVC
    mel: AdaInMel
    iterations: int = ITERATIONS

    sample_rate = SAMPLE_RATE
    takes: Literal["speech", "text"] = "speech"

    def __call__(
        self, reference: Reference, contents: Sequence[Clip | str], seed: int = 0, progress: Progress | None = None
    ) -> list[Clip]:
        """The contents in the reference's voice.

        Raises :class:`~voxveil.errors.BadInputError` for speech that is too short, silent or not finite.
        """
        joined(reference, self.sample_rate)  # which refuses what can be no reference
        said = [spoken(content, "content", sample_rate=self.sample_rate) for content in contents]
        heard = torch.cat([trimmed(clip) for clip in reference])
        clones = []
        for clip in said:
            clones.append(self._converted(trimmed(clip), heard, seed))
            if progress is not None:
                progress(len(clones) / len(said))
        return clones

    @torch.no_grad()
    def _converted(self, said: Clip, heard: Clip, seed: int) -> Clip:
        levels = self.converter(self.mel(said[None]), self.mel(heard[None]))
        between = (levels.shape[2] - 1) * STFT.hop_samples
        emphasised = griffin_lim(self.mel.magnitudes(levels), STFT, between, self.iterations, seed=seed)
        sound = trimmed(de_emphasised(emphasised)[0], CLONE_RANGE_DB)
        return sound / sound.abs().max().clamp_min(1.0)
