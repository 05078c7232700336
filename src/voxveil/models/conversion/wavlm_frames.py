"""The content features of kNN-VC: the output of WavLM's sixth transformer layer, differentiable from the waveform.

S. Chen et al., "WavLM: Large-Scale Self-Supervised Pre-Training for Full Stack Speech Processing", IEEE JSTSP 16(6),
2022; M. Baas, B. van Niekerk, H. Kamper, "Voice Conversion With Just Nearest Neighbors", Interspeech 2023, who found
that frames of layer 6 of WavLM-Large lie close together for one sound and still say who speaks.

The network is that of the package ``transformers`` (extra ``ssl``). The samples go in as they are, as in the authors'
code, though WavLM-Large was trained on speech of zero mean and unit variance. Frame n is centred on sample
320·n + 200. The authors cut the silent ends off the reference before; that is left to the caller.

Weights: the card ``wavlm-large`` names ``WavLM-Large.pt`` of kNN-VC's releases, which is Microsoft's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from voxveil.audio.lengths import repeated
from voxveil.errors import MissingExtraError
from voxveil.roles import Speech

LAYER = 6

PUBLISHED: dict[str, Any] = {
    "conv_dim": (512,) * 7,
    "conv_kernel": (10, 3, 3, 3, 3, 2, 2),
    "conv_stride": (5, 2, 2, 2, 2, 2, 2),
    "conv_bias": False,
    "feat_extract_norm": "layer",
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
    "do_stable_layer_norm": True,
    "num_conv_pos_embeddings": 128,
    "num_conv_pos_embedding_groups": 16,
    "num_buckets": 320,
    "max_bucket_distance": 800,
    "apply_spec_augment": False,
}
"""The sizes of WavLM-Large under their names in ``WavLMConfig``."""

_RENAMED = (
    (r"^mask_emb$", "masked_spec_embed"),
    (r"^layer_norm\.", "feature_projection.layer_norm."),
    (r"^post_extract_proj\.", "feature_projection.projection."),
    (r"(conv_layers\.\d+)\.0\.", r"\1.conv."),
    (r"(conv_layers\.\d+)\.2\.1\.", r"\1.layer_norm."),
    (r"\.pos_conv\.0\.", ".pos_conv_embed.conv."),
    (r"\.self_attn_layer_norm\.", ".layer_norm."),
    (r"\.self_attn\.", ".attention."),
    (r"\.relative_attention_bias\.", ".rel_attn_embed."),
    (r"\.grep_linear\.", ".gru_rel_pos_linear."),
    (r"\.grep_a$", ".gru_rel_pos_const"),
    (r"\.fc1\.", ".feed_forward.intermediate_dense."),
    (r"\.fc2\.", ".feed_forward.output_dense."),
    (r"\.weight_g$", ".parametrizations.weight.original0"),
    (r"\.weight_v$", ".parametrizations.weight.original1"),
)
"""From Microsoft's names to those of ``transformers``; weight norm to torch's since 2.1."""


class WavLMFrames(nn.Module):
    """Speech [batch, time] at 16 kHz → content features [batch, frame, dim], a frame every 320 samples.

    ``sizes``, where they are not :data:`PUBLISHED`, go to ``transformers.WavLMConfig``; ``network`` is the
    ``transformers.WavLMModel`` that it describes, of which only the layers up to ``layer`` are run. In training mode it
    drops units and whole layers at random. Clips of less than one frame (400 samples as published) are repeated.

    Raises :class:`~voxveil.errors.MissingExtraError` without the extra ``ssl``.

    >>> import torch
    >>> small = {"conv_dim": (8,) * 7, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2}
    >>> frames = WavLMFrames(layer=2, **small).eval()
    >>> frames(torch.randn(2, 16_000)).shape
    torch.Size([2, 49, 32])
    """

    sample_rate = 16_000
    hop_samples = 320
    first_sample = 200
    differentiable = True

    def __init__(self, layer: int = LAYER, **sizes: Any) -> None:
        super().__init__()
        config = PUBLISHED | sizes
        try:
            from transformers import WavLMConfig, WavLMModel
        except ImportError as error:
            raise MissingExtraError.naming("ssl", "WavLM") from error
        self.network: nn.Module = WavLMModel(WavLMConfig(**config))
        self.layer = layer
        self.min_samples = 1
        for kernel, stride in zip(config["conv_kernel"][::-1], config["conv_stride"][::-1], strict=True):
            self.min_samples = (self.min_samples - 1) * stride + kernel

    def forward(self, speech: Speech) -> Float[Tensor, "batch frame dim"]:
        """The output of the chosen layer, before the normalisation that follows the last one."""
        network: Any = self.network
        heard = network.feature_extractor(repeated(speech, self.min_samples))
        frames = network.feature_projection(heard.mT)[0]
        frames = network.encoder.dropout(frames + network.encoder.pos_conv_embed(frames))
        bias = None
        for block in network.encoder.layers[: self.layer]:
            frames, bias = block(frames, position_bias=bias)[:2]
        return frames


def network_state(checkpoint: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of :class:`WavLMFrames` from those of Microsoft's ``WavLM-Large.pt`` (there under ``model``).

    >>> import torch
    >>> list(network_state({"encoder.layers.0.self_attn.grep_a": torch.zeros(1)}))
    ['network.encoder.layers.0.attention.gru_rel_pos_const']
    """
    named: dict[str, Tensor] = {}
    for name, tensor in checkpoint.items():
        new_name = name
        for old, new in _RENAMED:
            new_name = re.sub(old, new, new_name)
        named[f"network.{new_name}"] = tensor
    return named
