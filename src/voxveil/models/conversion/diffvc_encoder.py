"""The transformer of DiffVC's average-voice encoder: log mel spectra → a first guess at what an average voice says.

V. Popov et al., "Diffusion-Based Voice Conversion with Fast Maximum Likelihood Sampling Scheme", ICLR 2022, which
takes it from J. Kim et al., "Glow-TTS", NeurIPS 2020: a residual prenet of three convolutions, then layers of
attention that knows how far apart two frames are (P. Shaw et al., "Self-Attention with Relative Position
Representations", NAACL 2018), up to four frames to either side. Names and shapes as in the published state dict.

Frames are [batch, width, frame]; a mask [batch, 1, frame] is 1 where a frame is speech and 0 where it is padding.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

KERNEL = 3
PRENET_KERNEL = 5
PRENET_LAYERS = 3
PRENET_DROPOUT = 0.5
REACH = 4
"""Positions are told apart up to this many frames to either side."""


class ChannelNorm(nn.Module):
    """Every frame to mean 0 and variance 1 over its channels, then a gain and an offset a channel.

    >>> ChannelNorm(2)(torch.tensor([[[1.0], [3.0]]])).round().tolist()
    [[[-1.0], [1.0]]]
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))
        self.beta = nn.Parameter(torch.zeros(width))

    def forward(self, frames: Float[Tensor, "batch width frame"]) -> Float[Tensor, "batch width frame"]:
        """The normalised frames."""
        centred = frames - frames.mean(1, keepdim=True)
        scale = torch.rsqrt(centred.square().mean(1, keepdim=True) + 1e-4)
        return centred * scale * self.gamma[:, None] + self.beta[:, None]


class Prenet(nn.Module):
    """frames + projection(three convolutions of them); it starts as the identity.

    >>> Prenet(8)(torch.ones(1, 8, 5), torch.ones(1, 1, 5)).shape
    torch.Size([1, 8, 5])
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        layers = range(PRENET_LAYERS)
        self.conv_layers = nn.ModuleList(_convolution(width, width, PRENET_KERNEL) for _ in layers)
        self.norm_layers = nn.ModuleList(ChannelNorm(width) for _ in layers)
        self.drop = nn.Dropout(PRENET_DROPOUT)
        self.proj = nn.Conv1d(width, width, 1)
        nn.init.zeros_(self.proj.weight)
        nn.init.zeros_(self.proj.bias)  # type: ignore[arg-type]

    def forward(
        self, frames: Float[Tensor, "batch width frame"], mask: Float[Tensor, "batch 1 frame"]
    ) -> Float[Tensor, "batch width frame"]:
        """The frames, each with more context."""
        inner = frames
        for convolution, normalise in zip(self.conv_layers, self.norm_layers, strict=True):
            inner = self.drop(torch.relu(normalise(convolution(inner * mask))))
        return (frames + self.proj(inner)) * mask


class RelativeAttention(nn.Module):
    """Self-attention whose keys and values also say how many frames j comes after i, for |j − i| ≤ 4.

        score_ij = q_i · (k_j + a_{j−i}) / √d          out_i = Σ_j softmax_j(score_ij) · (v_j + b_{j−i})

    All heads share a (``emb_rel_k``) and b (``emb_rel_v``).

    >>> RelativeAttention(8, heads=2, dropout=0.0)(torch.ones(1, 8, 5), torch.ones(1, 1, 5)).shape
    torch.Size([1, 8, 5])
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        part = width // heads
        self.heads = heads
        self.conv_q, self.conv_k, self.conv_v, self.conv_o = (nn.Conv1d(width, width, 1) for _ in range(4))
        for projection in (self.conv_q, self.conv_k, self.conv_v):
            nn.init.xavier_uniform_(projection.weight)
        self.emb_rel_k, self.emb_rel_v = (
            nn.Parameter(torch.randn(1, 2 * REACH + 1, part) / math.sqrt(part)) for _ in range(2)
        )
        self.drop = nn.Dropout(dropout)

    def forward(
        self, frames: Float[Tensor, "batch width frame"], mask: Float[Tensor, "batch 1 frame"]
    ) -> Float[Tensor, "batch width frame"]:
        """What every frame gathers from those that are speech."""
        q, k, v = (self._split(projection(frames)) for projection in (self.conv_q, self.conv_k, self.conv_v))
        near, place = offsets(frames.shape[2], frames.device)
        place = place.expand(*q.shape[:2], -1, -1)
        positions = (q @ self.emb_rel_k.mT).gather(3, place) * near
        scores = (q @ k.mT + positions) / math.sqrt(q.shape[3])
        shares = self.drop(scores.masked_fill(mask[:, :, None] == 0, -1e4).softmax(3))
        by_offset = torch.zeros_like(shares[..., :1]).repeat(1, 1, 1, 2 * REACH + 1)
        by_offset = by_offset.scatter_add(3, place, shares * near)
        gathered = shares @ v + by_offset @ self.emb_rel_v
        return self.conv_o(gathered.mT.flatten(1, 2))

    def _split(self, frames: Tensor) -> Float[Tensor, "batch head frame part"]:
        return frames.reshape(len(frames), self.heads, -1, frames.shape[2]).mT


def offsets(frames: int, device: torch.device) -> tuple[Bool[Tensor, "frames frames"], Int[Tensor, "frames frames"]]:
    """For frames i and j: whether |j − i| ≤ 4, and the row j − i + 4 of the offset's vector, clamped to 0 … 8.

    >>> near, place = offsets(6, torch.device("cpu"))
    >>> near[0].int().tolist(), place[0].tolist()
    ([1, 1, 1, 1, 1, 0], [4, 5, 6, 7, 8, 8])
    """
    index = torch.arange(frames, device=device)
    offset = index - index[:, None]
    return offset.abs() <= REACH, (offset + REACH).clamp(0, 2 * REACH)


class FeedForward(nn.Module):
    """Two convolutions with a ReLU between them.

    >>> FeedForward(8, 16, dropout=0.0)(torch.ones(1, 8, 5), torch.ones(1, 1, 5)).shape
    torch.Size([1, 8, 5])
    """

    def __init__(self, width: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.conv_1 = _convolution(width, inner, KERNEL)
        self.conv_2 = _convolution(inner, width, KERNEL)
        self.drop = nn.Dropout(dropout)

    def forward(
        self, frames: Float[Tensor, "batch width frame"], mask: Float[Tensor, "batch 1 frame"]
    ) -> Float[Tensor, "batch width frame"]:
        """The convolved frames."""
        inner = self.drop(torch.relu(self.conv_1(frames * mask)))
        return self.conv_2(inner * mask) * mask


class Transformer(nn.Module):
    """Layers of attention and convolution, each added to its input and normalised.

    >>> Transformer(8, 16, heads=2, layers=1, dropout=0.0)(torch.ones(1, 8, 5), torch.ones(1, 1, 5)).shape
    torch.Size([1, 8, 5])
    """

    def __init__(self, width: int, inner: int, heads: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.attn_layers = nn.ModuleList(RelativeAttention(width, heads, dropout) for _ in range(layers))
        self.norm_layers_1 = nn.ModuleList(ChannelNorm(width) for _ in range(layers))
        self.ffn_layers = nn.ModuleList(FeedForward(width, inner, dropout) for _ in range(layers))
        self.norm_layers_2 = nn.ModuleList(ChannelNorm(width) for _ in range(layers))
        self.drop = nn.Dropout(dropout)

    def forward(
        self, frames: Float[Tensor, "batch width frame"], mask: Float[Tensor, "batch 1 frame"]
    ) -> Float[Tensor, "batch width frame"]:
        """The frames, each knowing all others."""
        layers = zip(self.attn_layers, self.norm_layers_1, self.ffn_layers, self.norm_layers_2, strict=True)
        for attend, normalise_1, convolve, normalise_2 in layers:
            frames = frames * mask
            frames = normalise_1(frames + self.drop(attend(frames, mask)))
            frames = normalise_2(frames + self.drop(convolve(frames, mask)))
        return frames * mask


class MelEncoder(nn.Module):
    """Log mel spectra → log mel spectra of an average voice, before the postnet refines them.

    >>> encoder = MelEncoder(n_mels=80, channels=8, filters=16, heads=2, layers=1, dropout=0.1)
    >>> encoder(torch.zeros(1, 80, 5), torch.ones(1, 1, 5)).shape
    torch.Size([1, 80, 5])
    """

    def __init__(self, n_mels: int, channels: int, filters: int, heads: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.init_proj = nn.Conv1d(n_mels, channels, 1)
        self.prenet = Prenet(channels)
        self.encoder = Transformer(channels, filters, heads, layers, dropout)
        self.term_proj = nn.Conv1d(channels, n_mels, 1)

    def forward(
        self, mel: Float[Tensor, "batch mel frame"], mask: Float[Tensor, "batch 1 frame"]
    ) -> Float[Tensor, "batch mel frame"]:
        """The guess; what stands in frames of padding means nothing."""
        return self.term_proj(self.encoder(self.prenet(self.init_proj(mel * mask), mask), mask))


def _convolution(width_in: int, width: int, kernel: int) -> nn.Conv1d:
    return nn.Conv1d(width_in, width, kernel, padding=kernel // 2)
