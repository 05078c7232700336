"""WavLM's tensors under the names of Microsoft's files, which a network of transformers does not have."""

from __future__ import annotations

import re

from torch import Tensor


def old_norm(name: str) -> str:
    """Weight norm under its names of before torch 2.1, which the published files have and torch still reads."""
    name = name.replace("parametrizations.weight.original0", "weight_g")
    return name.replace("parametrizations.weight.original1", "weight_v")


def microsofts(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """From the names of transformers back to Microsoft's, by a way of its own."""
    names = {old_norm(name): name for name in state}
    pairs = [
        ("feature_projection.layer_norm", "layer_norm"),
        ("feature_projection.projection", "post_extract_proj"),
        ("masked_spec_embed", "mask_emb"),
        ("pos_conv_embed.conv", "pos_conv.0"),
        ("feed_forward.intermediate_dense", "fc1"),
        ("feed_forward.output_dense", "fc2"),
        ("gru_rel_pos_const", "grep_a"),
        ("gru_rel_pos_linear", "grep_linear"),
        ("rel_attn_embed", "relative_attention_bias"),
        ("attention", "self_attn"),
        ("self_attn.relative_self_attn_bias", "self_attn.relative_attention_bias"),
    ]
    found = {}
    for name, key in names.items():
        new = re.sub(r"(layers\.\d+)\.layer_norm", r"\1.self_attn_layer_norm", name)
        new = re.sub(r"(conv_layers\.\d+)\.conv", r"\1.0", new)
        new = re.sub(r"(conv_layers\.\d+)\.layer_norm", r"\1.2.1", new)
        for old, wanted in pairs:
            new = new.replace(old, wanted)
        found[new] = state[key]
    return found
