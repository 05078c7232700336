"""kNN-VC: every frame of the content becomes the mean of its nearest frames of the reference.

M. Baas, B. van Niekerk, H. Kamper, "Voice Conversion With Just Nearest Neighbors", Interspeech 2023:

    y[n] = 1/k · Σ s[m] over the k reference frames m with the largest cos(c[n], r[m])

where c and r are content features of the content and of the reference, and s are the features of the reference from
which a vocoder makes sound. The authors take WavLM's layer 6 for all three, k = 4, and a HiFi-GAN
(:mod:`voxveil.models.conversion.wavlm_frames`); the cheap variant compares what a small
encoder hears (:mod:`voxveil.models.conversion.content_encoder`) and averages magnitudes. There is nothing to train but
that, and all that is heard is the reference's.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from voxveil.errors import BadInputError

NEIGHBOURS = 4
MAX_PAIRS = 2**24
"""How many similarities are held at once: 64 MB in single precision."""


def converted(
    content: Float[Tensor, "frame dim"],
    reference: Float[Tensor, "frame2 dim"],
    synthesis: Float[Tensor, "frame2 dim2"],
    neighbours: int = NEIGHBOURS,
) -> Float[Tensor, "frame dim2"]:
    """The content in the reference's voice, as features for synthesis.

    ``reference`` and ``synthesis`` describe the same frames: all the reference's utterances, one after the other. The
    gradient with respect to ``synthesis`` is exact; which frames are nearest is taken as given.

    Raises :class:`~voxveil.errors.BadInputError` for a reference of fewer frames than ``neighbours``.

    >>> reference = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    >>> synthesis = torch.tensor([[10.0], [20.0], [30.0]])
    >>> converted(torch.tensor([[5.0, 1.0], [0.1, 0.2]]), reference, synthesis, neighbours=1).tolist()
    [[10.0], [20.0]]
    """
    # The mean of the rows without a copy of them for every frame.
    return F.embedding_bag(nearest(content, reference, neighbours), synthesis, mode="mean")


def nearest(
    content: Float[Tensor, "frame dim"], reference: Float[Tensor, "frame2 dim"], neighbours: int = NEIGHBOURS
) -> Int[Tensor, "frame neighbour"]:
    """The indices of the reference frames with the largest cosine similarity to each content frame, nearest first.

    Memory is bounded however long the content is: it is compared in blocks.

    Raises :class:`~voxveil.errors.BadInputError` for a reference of fewer frames than ``neighbours``.

    >>> nearest(torch.tensor([[2.0, 0.1]]), torch.tensor([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]), neighbours=2).tolist()
    [[1, 2]]
    """
    if len(reference) < neighbours:
        raise BadInputError(
            f"The reference has {len(reference)} frames and kNN-VC needs {neighbours}: give it more speech."
        )
    with torch.no_grad():
        directions = F.normalize(reference, dim=1).T
        blocks = torch.split(F.normalize(content, dim=1), max(1, MAX_PAIRS // len(reference)))
        return torch.cat([(block @ directions).topk(neighbours, dim=1).indices for block in blocks])
