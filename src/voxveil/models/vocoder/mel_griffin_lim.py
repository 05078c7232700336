"""Sound from mel levels without a trained vocoder: the magnitudes behind them, and Griffin-Lim's phase."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from voxveil.audio.spectrum import Stft
from voxveil.models.conversion.standard_mel import StandardMel
from voxveil.models.vocoder.griffin_lim import griffin_lim
from voxveil.roles import Speech


@dataclass(frozen=True)
class MelGriffinLim:
    """Levels of ``mel`` [batch, 80, frame] → speech [batch, 256 · frame].

    >>> import torch
    >>> MelGriffinLim(StandardMel(), iterations=2)(torch.zeros(2, 80, 10)).shape
    torch.Size([2, 2560])
    """

    mel: StandardMel
    iterations: int = 32

    def __call__(self, levels: Float[Tensor, "batch mel frame"]) -> Speech:
        """The sound; half a hop at either end is silent, since no frame is centred there."""
        hop = self.mel.hop_samples
        between = (levels.shape[2] - 1) * hop
        sound = griffin_lim(self.mel.magnitudes(levels), Stft(self.mel.n_fft, hop), between, self.iterations)
        return F.pad(sound, (hop // 2, hop - hop // 2))
