"""AdaIN-VC as a converter that can be trained on an hour of speech."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Generator, Tensor, nn

from voxveil.models.conversion.adain_vc import AdaInVC
from voxveil.models.conversion.standard_mel import N_MELS

STRIDES = {4: (1, 2, 1, 2, 1, 1), 8: (1, 2, 1, 2, 1, 2)}
DIVERGENCE_WEIGHT = 0.01
DIVERGENCE_RISES_UNTIL = 0.2
"""The share of the training at which the codes' divergence counts fully: before, they learn to say something at all."""


class AdaInConverter(nn.Module):
    """J.-C. Chou et al. 2019 (:mod:`voxveil.models.conversion.adain_vc`) on 80 bands at 16 kHz.

    A code stands for ``frames_per_code`` frames, 4 or 8 (as published).

    >>> converter = AdaInConverter(channels=8, bank_channels=4, dim=6).eval()
    >>> content, reference = torch.randn(2, 80, 41), torch.randn(2, 80, 60)
    >>> converter(content, reference, Generator()).shape
    torch.Size([2, 80, 41])
    """

    def __init__(self, channels: int = 128, bank_channels: int = 128, dim: int = 128, frames_per_code: int = 4) -> None:
        super().__init__()
        strides = STRIDES[frames_per_code]
        self.network = AdaInVC(N_MELS, channels, bank_channels, strides=strides, dim=dim)

    def forward(
        self,
        content: Float[Tensor, "batch mel frame"],
        reference: Float[Tensor, "batch mel frame2"],
        generator: Generator,
    ) -> Float[Tensor, "batch mel frame"]:
        """The content in the reference's voice; nothing is random."""
        return self.network(content, reference)

    def loss(
        self,
        disguised: Float[Tensor, "batch mel frame"],
        reference: Float[Tensor, "batch mel frame2"],
        target: Float[Tensor, "batch mel frame"],
        done: float,
        generator: Generator,
    ) -> Float[Tensor, ""]:
        """|rebuilt − target| + w · KL(codes ‖ N(0, 1)) a value (the paper's equations 1 to 4, weights ours)."""
        mean, log_variance = self.network.content_encoder(disguised)
        noise = torch.randn(mean.shape, generator=generator).to(mean)
        codes = mean + (0.5 * log_variance).exp() * noise
        rebuilt = self.network.decoder(codes, self.network.speaker_encoder(reference))
        divergence = 0.5 * (log_variance.exp() + mean.square() - 1.0 - log_variance).mean()
        weight = DIVERGENCE_WEIGHT * min(1.0, done / DIVERGENCE_RISES_UNTIL)
        return F.l1_loss(rebuilt[:, :, : target.shape[2]].float(), target) + weight * divergence
