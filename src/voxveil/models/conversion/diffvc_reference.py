"""What DiffVC hears in the reference's mel spectrogram: one vector, for one time of the diffusion.

The reference is dissolved as far as the voice that is being made (V. Popov et al., ICLR 2022, section 3.2: the
conditioning g_t(Y) that they call "wodyn", ``ref_t`` in the published code), without the noise.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn


def gated_convolution(width_in: int, width: int) -> nn.Sequential:
    """Convolution to twice ``width``, every map normalised over the picture, one half the gate of the other.

    >>> import torch
    >>> gated_convolution(1, 8)(torch.ones(2, 1, 4, 5)).shape
    torch.Size([2, 8, 4, 5])
    """
    normalise = nn.InstanceNorm2d(2 * width, affine=True)
    return nn.Sequential(nn.Conv2d(width_in, 2 * width, 3, padding=1), normalise, nn.GLU(dim=1))


class ReferenceBlock(nn.Module):
    """The diffused reference → [batch, width]; ``width`` is a multiple of 4.

    Six gated convolutions; what is known of the time is added after the second and the fourth. The mean runs over the
    frames of speech and all bands.

    >>> import torch
    >>> block = ReferenceBlock(8, time_width=16)
    >>> block(torch.zeros(1, 80, 5), torch.ones(1, 1, 5), torch.ones(1, 16)).shape
    torch.Size([1, 8])
    """

    def __init__(self, width: int, time_width: int) -> None:
        super().__init__()
        base = width // 4
        self.mlp1 = nn.Sequential(nn.Mish(), nn.Linear(time_width, base))
        self.mlp2 = nn.Sequential(nn.Mish(), nn.Linear(time_width, 2 * base))
        self.block11 = gated_convolution(1, base)
        self.block12 = gated_convolution(base, base)
        self.block21 = gated_convolution(base, 2 * base)
        self.block22 = gated_convolution(2 * base, 2 * base)
        self.block31 = gated_convolution(2 * base, 4 * base)
        self.block32 = gated_convolution(4 * base, 4 * base)
        self.final_conv = nn.Conv2d(4 * base, width, 1)

    def forward(
        self,
        mel: Float[Tensor, "batch mel frame"],
        mask: Float[Tensor, "batch 1 frame"],
        time: Float[Tensor, "batch time_width"],
    ) -> Float[Tensor, "batch width"]:
        """The vector of every reference."""
        mask = mask[:, None]
        maps = self.block12(self.block11(mel[:, None] * mask) * mask) + self.mlp1(time)[:, :, None, None]
        maps = self.block22(self.block21(maps * mask) * mask) + self.mlp2(time)[:, :, None, None]
        maps = self.final_conv(self.block32(self.block31(maps * mask) * mask) * mask)
        return (maps * mask).sum((2, 3)) / (mask.sum((2, 3)) * mel.shape[1])
