"""From a trained network to a file of weights: the matrices in half precision, which no verifier hears."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor, nn

from voxveil.cards.card import Weights
from voxveil.whole_file import write_whole

LARGE_BUFFER = 65_536
"""Buffers with more values are trained matrices, not windows and filters of a front end."""


def write_weights(network: nn.Module, folder: Path, name: str) -> Weights:
    """Writes ``<name>.safetensors`` into ``folder``, rounds ``network`` to what it holds, and says what was written.

    Raises :class:`~voxveil.errors.BadOutputError` if the folder takes no file.
    """
    state = stored(network)
    network.load_state_dict(state, strict=True)
    content = save(state)
    file = f"{name}.safetensors"
    write_whole(folder / file, content)
    return Weights(hashlib.sha256(content).hexdigest(), len(content), "safetensors", (f"path:{file}",))


def stored(network: nn.Module) -> dict[str, Tensor]:
    """The state dict as it is kept: matrices of parameters, and large buffers, in float16.

    >>> {name: str(tensor.dtype) for name, tensor in stored(nn.Linear(2, 3)).items()}
    {'weight': 'torch.float16', 'bias': 'torch.float32'}
    """
    matrices = {name for name, parameter in network.named_parameters() if parameter.dim() > 1}
    large = {name for name, buffer in network.named_buffers() if buffer.numel() > LARGE_BUFFER}
    kept = {name: tensor.detach().cpu() for name, tensor in network.state_dict().items()}
    half = {name for name in kept if name in matrices | large}
    return {
        name: tensor.to(torch.float16 if name in half else tensor.dtype).contiguous() for name, tensor in kept.items()
    }
