"""The same words from another mouth and through another microphone, on log mel spectra.

A converter that has to rebuild speech from a disguise of it learns to take the voice from somewhere else (H.-S. Choi
et al., "Neural Analysis and Synthesis: Reconstructing Speech from Self-Supervised Representations", NeurIPS 2021).
All frequencies move by one factor, pitch and formants together (N. Jaitly, G. Hinton, "Vocal Tract Length Perturbation
improves speech recognition", ICML workshop 2013); then comes a random equaliser.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from voxveil.audio.bands import band_interpolation

NEPER_DB = 20.0 / math.log(10.0)


@dataclass(frozen=True)
class Disguise:
    """Log mel spectra, natural logarithm of amplitudes → the same in disguise, every clip in another.

    ``centres_hz`` are those of the mel bands, rising. Frequencies are multiplied by up to ``highest`` or its inverse;
    the equaliser's eight bands deviate by ``microphone_db`` (standard deviation).

    >>> disguise = Disguise(torch.linspace(100.0, 7900.0, 40))
    >>> disguise(torch.randn(2, 40, 30), Generator().manual_seed(0)).shape
    torch.Size([2, 40, 30])
    """

    centres_hz: Float[Tensor, " mel"]
    highest: float = 1.22
    microphone_db: float = 7.0

    def __call__(self, mel: Float[Tensor, "batch mel frame"], generator: Generator) -> Float[Tensor, "batch mel frame"]:
        """The disguised spectra; what is random is drawn on the CPU."""
        batch = len(mel)
        factor = self.highest ** (2.0 * torch.rand(batch, generator=generator) - 1.0)
        gains_db = self.microphone_db * torch.randn(batch, 8, generator=generator)
        curve_db = gains_db @ band_interpolation(self.centres_hz, 8).to(gains_db).T
        return warped(mel, self.centres_hz, factor) + (curve_db / NEPER_DB).to(mel.device)[:, :, None]


def warped(
    mel: Float[Tensor, "batch mel frame"], centres_hz: Float[Tensor, " mel"], factor: Float[Tensor, " batch"]
) -> Float[Tensor, "batch mel frame"]:
    """Spectra with every frequency multiplied by ``factor``, read between the two nearest bands; the outermost go on.

    >>> mel = torch.tensor([[[1.0], [2.0], [4.0]]])
    >>> warped(mel, torch.tensor([100.0, 200.0, 400.0]), torch.tensor([2.0]))[0, :, 0].tolist()
    [1.0, 1.0, 2.0]
    """
    source_hz = (centres_hz / factor[:, None]).clamp(centres_hz[0], centres_hz[-1])
    above = torch.searchsorted(centres_hz, source_hz).clamp_min(1)
    below_hz, above_hz = centres_hz[above - 1], centres_hz[above]
    share = ((source_hz - below_hz) / (above_hz - below_hz)).to(mel)[:, :, None]
    place = above.to(mel.device)[:, :, None].expand(-1, -1, mel.shape[2])
    return torch.lerp(mel.gather(1, place - 1), mel.gather(1, place), share)
