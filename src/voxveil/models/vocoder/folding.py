"""One long sequence as a batch of overlapping folds, so that a sample-by-sample vocoder makes all of them at once.

N. Kalchbrenner et al., "Efficient Neural Audio Synthesis", ICML 2018, section 5, generate a batch of stretches of one
utterance. Here neighbours share ``overlap_samples``: in the first half the later one warms up unheard, in the second
they are cross-faded with equal power, √((1 ± t)/2) for t from −1 to 1.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def fold(
    sequence: Float[Tensor, "batch time feature"], fold_samples: int, overlap_samples: int
) -> Float[Tensor, "batch fold step feature"]:
    """Folds of ``fold_samples`` and an overlap on either side; the last is filled up with zeros.

    >>> sequence = torch.arange(10.0)[None, :, None]
    >>> fold(sequence, fold_samples=2, overlap_samples=1)[0, :, :, 0].tolist()
    [[0.0, 1.0, 2.0, 3.0], [3.0, 4.0, 5.0, 6.0], [6.0, 7.0, 8.0, 9.0]]
    """
    stride = fold_samples + overlap_samples
    folds = max(1, -(-(sequence.shape[1] - overlap_samples) // stride))
    missing = folds * stride + overlap_samples - sequence.shape[1]
    return F.pad(sequence, (0, 0, 0, missing)).unfold(1, stride + overlap_samples, stride).transpose(2, 3)


def cross_faded(folds: Float[Tensor, "batch fold step"], overlap_samples: int) -> Float[Tensor, "batch time"]:
    """The folds, one after the other.

    >>> folds = torch.tensor([[[1.0] * 5, [2.0] * 5]])
    >>> cross_faded(folds, overlap_samples=4).tolist()
    [[1.0, 1.0, 1.0, 1.0, 2.0, 2.0]]
    """
    batch, count, steps = folds.shape
    stride = steps - overlap_samples
    heard = folds * _gains(folds, overlap_samples)
    sound = folds.new_zeros(batch, count * stride + overlap_samples)
    for index in range(count):
        sound[:, index * stride : index * stride + steps] += heard[:, index]
    return sound


def _gains(folds: Tensor, overlap_samples: int) -> Tensor:
    # The sequence's own beginning and end are not faded.
    warm_up = overlap_samples // 2
    t = torch.linspace(-1.0, 1.0, overlap_samples - warm_up, dtype=folds.dtype, device=folds.device)
    gains = torch.ones_like(folds[0])
    gains[1:, :warm_up] = 0.0
    gains[1:, warm_up:overlap_samples] = ((1.0 + t) / 2.0).sqrt()
    gains[:-1, folds.shape[2] - len(t) :] = ((1.0 - t) / 2.0).sqrt()
    return gains
