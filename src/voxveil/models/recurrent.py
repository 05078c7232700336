"""Recurrent layers that pass a gradient outside training, on CUDA too."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def through(layers: nn.LSTM, features: Tensor) -> tuple[Tensor, Tensor]:
    """(every frame's output [batch, frame, dim], the last state of each layer [layer, batch, dim]) of ``layers``.

    cuDNN's layers keep nothing for a gradient in evaluation mode, and refuse one; torch's own, which are slower, do.
    A protection needs the gradient of a network that somebody else has trained.

    >>> frames, last = through(nn.LSTM(4, 3, num_layers=2, batch_first=True).eval(), torch.randn(1, 5, 4))
    >>> frames.shape, last.shape, torch.equal(frames[:, -1], last[-1])
    (torch.Size([1, 5, 3]), torch.Size([2, 1, 3]), True)
    """
    with torch.backends.cudnn.flags(enabled=layers.training or not torch.is_grad_enabled()):
        frames, (last, _) = layers(features)
    return frames, last
