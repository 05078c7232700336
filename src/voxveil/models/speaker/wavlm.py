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

Weights: :func:`load` reads a file that the user has. There is no card, as no page that we could read states the sha256
of ``pytorch_model.bin`` (404,547,053 bytes). Their page names the licence of the UniSpeech repository, CC BY-SA 3.0.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from voxveil.audio.lengths import repeated
from voxveil.errors import MissingExtraError, ModelUnavailableError
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

    ``config`` goes to ``transformers.WavLMConfig``; ``network`` is the ``transformers.WavLMForXVector`` that it
    describes. In training mode it drops units and whole layers at random: call ``eval()``, as :func:`load` does.

    Raises :class:`~voxveil.errors.MissingExtraError` without the extra ``ssl``.

    >>> small = {"conv_dim": (8,) * 7, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    >>> encoder = WavLMXVector(PUBLISHED | small).eval()
    >>> encoder(torch.randn(2, 8000)).shape, encoder.min_samples
    (torch.Size([2, 512]), 5200)
    """

    sample_rate = 16_000
    differentiable = True

    def __init__(self, config: Mapping[str, Any] = PUBLISHED) -> None:
        super().__init__()
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


def load(path: str | Path, config: Mapping[str, Any] = PUBLISHED) -> WavLMXVector:
    """The encoder with the weights in the file ``path``: the published ``pytorch_model.bin`` or a ``.safetensors``.

    Names and shapes of all tensors must be those of the network, and only plain tensors are read. Nothing proves that
    the file is the published one.

    Raises :class:`~voxveil.errors.ModelUnavailableError` for a file that is missing, damaged or of another network.

    >>> load("pytorch_model.bin").sample_rate  # doctest: +SKIP
    16000
    """
    encoder = WavLMXVector(config)
    try:
        # Weight norm takes its names of before torch 2.1 (weight_g, weight_v) for its own: the file has those.
        encoder.network.load_state_dict(_read(Path(path)), strict=True)
    except Exception as error:  # a foreign file can break a reader in any way
        reason = error.strerror or error if isinstance(error, OSError) else "damaged, or of another network"
        raise ModelUnavailableError(
            f"{path} does not give the weights of WavLM-SV ({reason}); "
            "use the file pytorch_model.bin of microsoft/wavlm-base-plus-sv."
        ) from error
    return encoder.eval().requires_grad_(False)


def _read(path: Path) -> Any:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path, device="cpu")
    return torch.load(path, map_location="cpu", weights_only=True)


def _min_samples(config: Mapping[str, Any]) -> int:
    # Two frames must be left after the time-delay layers: one has no deviation.
    count = 2 + sum(d * (k - 1) for k, d in zip(config["tdnn_kernel"], config["tdnn_dilation"], strict=True))
    for kernel, stride in zip(config["conv_kernel"][::-1], config["conv_stride"][::-1], strict=True):
        count = (count - 1) * stride + kernel
    return int(count)
