"""WavLM with an x-vector head (``microsoft/wavlm-base-plus-sv``), differentiable from the waveform.

S. Chen et al., "WavLM: Large-Scale Self-Supervised Pre-Training for Full Stack Speech Processing", IEEE JSTSP 16(6),
2022. Seven convolutions make a frame every 20 ms, twelve transformer layers with gated relative position bias follow,
and a learned average of their input and outputs goes into an x-vector network: five time-delay layers, mean and
deviation over time, and a linear layer, whose output is the embedding. It was trained on VoxCeleb1 with
additive-margin softmax.

The network itself is that of the package ``transformers`` (extra ``ssl``), whose names the published weights have.

Front end: none, the samples go in as they are. ``do_normalize`` is off in the publishers' ``preprocessor_config.json``:
only written so does that file have its sha256, 99272fe8…. Embeddings are compared by cosine; the publishers suggest
0.86 as threshold and call the best one dependent on the data.

Weights: the card ``wavlm-sv`` names the publishers' conversion to safetensors; ``voxveil models card`` makes one for a
``pytorch_model.bin`` that the user has. :func:`network_state` gives the tensors of both the network's own names. The
publishers' page names the licence of the UniSpeech repository, CC BY-SA 3.0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from voxveil.audio.lengths import repeated
from voxveil.errors import MissingExtraError
from voxveil.roles import Speech

PUBLISHED: dict[str, Any] = {
    "conv_dim": (512,) * 7,
    "conv_kernel": (10, 3, 3, 3, 3, 2, 2),
    "conv_stride": (5, 2, 2, 2, 2, 2, 2),
    "conv_bias": False,
    "feat_extract_norm": "group",
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "do_stable_layer_norm": False,
    "num_conv_pos_embeddings": 128,
    "num_conv_pos_embedding_groups": 16,
    "num_buckets": 320,
    "max_bucket_distance": 800,
    "use_weighted_layer_sum": True,
    "tdnn_dim": (512, 512, 512, 512, 1500),
    "tdnn_kernel": (5, 3, 3, 1, 1),
    "tdnn_dilation": (1, 2, 3, 1, 1),
    "xvector_output_dim": 512,
    "num_labels": 1211,
    "apply_spec_augment": False,
}
"""The published sizes under their names in ``WavLMConfig``; the labels are the speakers of the training set."""


class WavLMXVector(nn.Module):
    """Speech [batch, time] at 16 kHz → unit vectors [batch, dim]; 101 million weights as published.

    ``sizes``, where they are not :data:`PUBLISHED`, go to ``transformers.WavLMConfig``; ``network`` is the
    ``transformers.WavLMForXVector`` that it describes. In training mode it drops units and whole layers at random.

    Raises :class:`~voxveil.errors.MissingExtraError` without the extra ``ssl``.

    >>> import torch
    >>> encoder = WavLMXVector(conv_dim=(8,) * 7, hidden_size=16, num_hidden_layers=1, num_attention_heads=2).eval()
    >>> encoder(torch.randn(2, 8000)).shape, encoder.min_samples
    (torch.Size([2, 512]), 5200)
    """

    sample_rate = 16_000
    differentiable = True

    def __init__(self, **sizes: Any) -> None:
        super().__init__()
        config = PUBLISHED | sizes
        try:
            from transformers import WavLMConfig, WavLMForXVector
        except ImportError as error:
            raise MissingExtraError.naming("ssl", "WavLM") from error
        self.network: nn.Module = WavLMForXVector(WavLMConfig(**config))
        self.min_samples = _min_samples(config)

    def forward(self, speech: Speech) -> Float[Tensor, "batch dim"]:
        """The embedding of every clip; clips of a batch are equally long."""
        return F.normalize(self.embed(speech), dim=-1)

    def embed(self, speech: Speech) -> Float[Tensor, "batch dim"]:
        """Vectors of any length, as published; clips shorter than ``min_samples`` are repeated."""
        return self.network(repeated(speech, self.min_samples)).embeddings

    def coarse(self) -> WavLMXVector:
        """Itself: it takes a clip in one piece."""
        return self


def network_state(checkpoint: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The encoder's tensors from those of a published file: inside ``network``, weight norm under its present names.

    Files from before torch 2.1 call the norm's length and direction ``weight_g`` and ``weight_v``.

    >>> import torch
    >>> zero = torch.zeros(1)
    >>> list(network_state({"projector.bias": zero, "conv.weight_g": zero}))
    ['network.projector.bias', 'network.conv.parametrizations.weight.original0']
    """
    return {f"network.{_present(name.removeprefix('network.'))}": tensor for name, tensor in checkpoint.items()}


def _present(name: str) -> str:
    for old, new in (("weight_g", "original0"), ("weight_v", "original1")):
        if name.endswith(f".{old}"):
            return f"{name.removesuffix(old)}parametrizations.weight.{new}"
    return name


def _min_samples(config: Mapping[str, Any]) -> int:
    # Two frames must be left after the time-delay layers: one has no deviation.
    count = 2 + sum(d * (k - 1) for k, d in zip(config["tdnn_kernel"], config["tdnn_dilation"], strict=True))
    for kernel, stride in zip(config["conv_kernel"][::-1], config["conv_stride"][::-1], strict=True):
        count = (count - 1) * stride + kernel
    return int(count)
