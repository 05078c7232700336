"""The blocks of DiffVC that see a mel spectrogram as a picture: maps [batch, width, mel, frame].

A mask [batch, 1, 1, frame] is 1 where a frame is speech. Before every convolution the frames of padding are set to
zero, but, as published, normalisation and attention count them.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

GROUPS = 8
HEADS = 4
HEAD_WIDTH = 32


class Block(nn.Module):
    """Convolution, group normalisation, Mish; ``width`` is a multiple of 8.

    >>> Block(2, 8)(torch.ones(1, 2, 4, 5), torch.ones(1, 1, 1, 5)).shape
    torch.Size([1, 8, 4, 5])
    """

    def __init__(self, width_in: int, width: int, kernel: int = 3) -> None:
        super().__init__()
        convolution = nn.Conv2d(width_in, width, kernel, padding=kernel // 2)
        self.block = nn.Sequential(convolution, nn.GroupNorm(GROUPS, width), nn.Mish())

    def forward(
        self, maps: Float[Tensor, "batch _ mel frame"], mask: Float[Tensor, "batch 1 1 frame"]
    ) -> Float[Tensor, "batch width mel frame"]:
        """The maps, zero in frames of padding."""
        return self.block(maps * mask) * mask


class TimedBlock(nn.Module):
    """Two blocks with a shortcut; what is known of the diffusion's time is added between them.

    >>> block = TimedBlock(2, 8, time_width=16)
    >>> block(torch.ones(1, 2, 4, 5), torch.ones(1, 1, 1, 5), torch.ones(1, 16)).shape
    torch.Size([1, 8, 4, 5])
    """

    def __init__(self, width_in: int, width: int, time_width: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Mish(), nn.Linear(time_width, width))
        self.block1 = Block(width_in, width)
        self.block2 = Block(width, width)
        self.res_conv = nn.Conv2d(width_in, width, 1) if width_in != width else nn.Identity()

    def forward(
        self,
        maps: Float[Tensor, "batch _ mel frame"],
        mask: Float[Tensor, "batch 1 1 frame"],
        time: Float[Tensor, "batch time_width"],
    ) -> Float[Tensor, "batch width mel frame"]:
        """shortcut(maps) + block2(block1(maps) + mlp(time))."""
        inner = self.block1(maps, mask) + self.mlp(time)[:, :, None, None]
        return self.block2(inner, mask) + self.res_conv(maps * mask)


class LinearAttention(nn.Module):
    """Attention at a cost that grows with the number of places, not with its square.

        context = softmax(K) · Vᵀ          out = contextᵀ · Q

    The softmax runs over all places of the picture, so the context, a 32 × 32 matrix a head, sums up what the whole
    picture holds (Z. Shen et al., "Efficient Attention: Attention with Linear Complexities", WACV 2021, here without
    their softmax over Q).

    >>> maps, context = LinearAttention(8)(torch.ones(1, 8, 4, 5))
    >>> maps.shape, context.shape
    (torch.Size([1, 8, 4, 5]), torch.Size([1, 4, 32, 32]))
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.to_qkv = nn.Conv2d(width, 3 * HEADS * HEAD_WIDTH, 1, bias=False)
        self.to_out = nn.Conv2d(HEADS * HEAD_WIDTH, width, 1)

    def forward(
        self, maps: Float[Tensor, "batch width mel frame"]
    ) -> tuple[Float[Tensor, "batch width mel frame"], Float[Tensor, "batch head key value"]]:
        """The attended maps and the context."""
        places = self.to_qkv(maps).unflatten(1, (3, HEADS, HEAD_WIDTH)).flatten(4)
        q, k, v = places.unbind(1)
        context = k.softmax(3) @ v.mT
        return self.to_out((context.mT @ q).flatten(1, 2).unflatten(2, maps.shape[2:])), context


class Gate(nn.Module):
    """An attention scaled by one learned number that starts at 0 (T. Bachlechner et al., "ReZero is all you need").

    >>> maps, context = Gate(LinearAttention(8))(torch.ones(1, 8, 4, 5))
    >>> float(maps.detach().abs().sum())
    0.0
    """

    def __init__(self, attention: LinearAttention) -> None:
        super().__init__()
        self.fn = attention
        self.g = nn.Parameter(torch.zeros(1))

    def forward(
        self, maps: Float[Tensor, "batch width mel frame"]
    ) -> tuple[Float[Tensor, "batch width mel frame"], Float[Tensor, "batch head key value"]]:
        """The scaled maps and the context."""
        attended, context = self.fn(maps)
        return attended * self.g, context


class GatedAttention(nn.Module):
    """maps + g · attention(maps), and the attention's context.

    >>> maps, context = GatedAttention(8)(torch.ones(1, 8, 4, 5))
    >>> bool((maps == 1.0).all()), context.shape
    (True, torch.Size([1, 4, 32, 32]))
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fn = Gate(LinearAttention(width))

    def forward(
        self, maps: Float[Tensor, "batch width mel frame"]
    ) -> tuple[Float[Tensor, "batch width mel frame"], Float[Tensor, "batch head key value"]]:
        """The maps with what they attend to, and the context."""
        attended, context = self.fn(maps)
        return maps + attended, context
