"""Embeddings of many clips of any lengths, each as if it were alone.

No encoder here knows of padding: all of them average over the whole clip, and most reflect its edges, so silence at
the end would change the voice. Only clips of exactly the same length go together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from voxveil.roles import Embedder


def embed_clips(
    embedder: Embedder, clips: Sequence[Float[Tensor, " _"]], samples_a_batch: int = 960_000
) -> Float[Tensor, "clip dim"]:
    """The embedding of every clip [time], in their order and without gradients.

    Args:
        embedder: Any; it should be in eval mode.
        clips: At least one, at the embedder's sample rate.
        samples_a_batch: What goes through the embedder at once, a minute at 16 kHz; a longer clip goes alone.

    >>> from voxveil.models.speaker.xvector import XVector
    >>> clips = [torch.randn(8000), torch.randn(4000), torch.randn(8000)]
    >>> embed_clips(XVector(channels=16, pooled_channels=24, dim=8).eval(), clips).shape
    torch.Size([3, 8])
    """
    by_length: dict[int, list[int]] = defaultdict(list)
    for index, clip in enumerate(clips):
        by_length[len(clip)].append(index)
    embeddings: dict[int, Tensor] = {}
    with torch.no_grad():
        for length, indices in by_length.items():
            count = max(1, samples_a_batch // length)
            for batch in (indices[start : start + count] for start in range(0, len(indices), count)):
                embedded = embedder(torch.stack([clips[index] for index in batch]))
                embeddings.update(zip(batch, embedded, strict=True))
    return torch.stack([embeddings[index] for index in range(len(clips))])
