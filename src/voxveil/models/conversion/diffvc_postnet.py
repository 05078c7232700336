"""DiffVC's average voice: the transformer's guess, refined as a picture by one residual block of 7 × 7 convolutions.

Trained against mel spectra in which every phoneme looks as it does on average over many speakers (V. Popov et al.,
ICLR 2022, section 3.1), so that little of the speaker is left.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from voxveil.models.conversion.diffvc_blocks import Block
from voxveil.models.conversion.diffvc_encoder import MelEncoder

KERNEL = 7


class ResidualBlock(nn.Module):
    """shortcut(maps) + block2(block1(maps)).

    >>> import torch
    >>> ResidualBlock(8)(torch.ones(1, 8, 4, 5), torch.ones(1, 1, 1, 5)).shape
    torch.Size([1, 8, 4, 5])
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.block1 = Block(width, width, KERNEL)
        self.block2 = Block(width, width, KERNEL)
        self.res = nn.Conv2d(width, width, 1)

    def forward(
        self, maps: Float[Tensor, "batch width mel frame"], mask: Float[Tensor, "batch 1 1 frame"]
    ) -> Float[Tensor, "batch width mel frame"]:
        """The refined maps."""
        return self.res(maps * mask) + self.block2(self.block1(maps, mask), mask)


class Postnet(nn.Module):
    """A mel spectrogram, refined as a picture; ``width`` is a multiple of 8.

    >>> import torch
    >>> Postnet(8)(torch.zeros(1, 80, 5), torch.ones(1, 1, 5)).shape
    torch.Size([1, 80, 5])
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.init_conv = nn.Conv2d(1, width, 1)
        self.res_block = ResidualBlock(width)
        self.final_conv = nn.Conv2d(width, 1, 1)

    def forward(
        self, mel: Float[Tensor, "batch mel frame"], mask: Float[Tensor, "batch 1 frame"]
    ) -> Float[Tensor, "batch mel frame"]:
        """The refined spectrogram; what stands in frames of padding means nothing."""
        mask = mask[:, None]
        maps = self.res_block(self.init_conv(mel[:, None] * mask), mask)
        return self.final_conv(maps * mask)[:, 0]


class AverageVoice(nn.Module):
    """Log mel spectra → the same words in an average voice.

    >>> import torch
    >>> average = AverageVoice(MelEncoder(80, channels=8, filters=16, heads=2, layers=1, dropout=0.1), Postnet(8))
    >>> average(torch.zeros(1, 80, 5), torch.ones(1, 1, 5)).shape
    torch.Size([1, 80, 5])
    """

    def __init__(self, encoder: MelEncoder, postnet: Postnet) -> None:
        super().__init__()
        self.encoder = encoder
        self.postnet = postnet

    def forward(
        self, mel: Float[Tensor, "batch mel frame"], mask: Float[Tensor, "batch 1 frame"]
    ) -> Float[Tensor, "batch mel frame"]:
        """The average voice; what stands in frames of padding means nothing."""
        return self.postnet(self.encoder(mel, mask), mask)

    def loss(
        self,
        mel: Float[Tensor, "batch mel frame"],
        target: Float[Tensor, "batch mel frame"],
        mask: Float[Tensor, "batch 1 frame"],
    ) -> Float[Tensor, ""]:
        """The mean squared distance of the average voice from ``target`` over speech."""
        error = (self(mel, mask) - target) * mask
        return error.square().sum() / (mask.sum() * mel.shape[1])
