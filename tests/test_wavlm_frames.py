"""WavLM's layer 6: the published names and sizes, transformers' own answer, gradients, and files that do not fit."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch
from plain_layers import Shapes, affine, shapes, spelled
from safetensors.torch import save_file
from torch import Tensor

from voxveil.errors import MissingExtraError, ModelUnavailableError
from voxveil.models.conversion.wavlm_frames import PUBLISHED, WavLMFrames, load, renamed

SMALL = PUBLISHED | {
    "conv_dim": (8,) * 7,
    "hidden_size": 24,
    "num_hidden_layers": 7,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
}


@pytest.fixture(scope="session")
def transformers() -> ModuleType:
    return pytest.importorskip("transformers", reason="WavLM needs the extra 'ssl'")


@pytest.fixture
def frames(transformers: ModuleType) -> WavLMFrames:
    """Small, with large weights: those of a new one answer nearly alike to everything."""
    frames = WavLMFrames(SMALL)
    for name, tensor in frames.network.named_parameters():
        if tensor.dim() > 1:
            torch.nn.init.normal_(tensor, 0.0, 1.0 / tensor[0].numel() ** 0.5)
        else:
            torch.nn.init.normal_(tensor, 1.0 if name.endswith("norm.weight") else 0.0, 0.3)
    return frames.eval().requires_grad_(False)


def published() -> Shapes:
    """The tensors under Microsoft's names, as the authors' code makes them for WavLM-Large."""
    layer = "encoder.layers.{i}"
    return {
        "mask_emb": (1024,),
        "feature_extractor.conv_layers.0.0.weight": (512, 1, 10),
        **dict.fromkeys(spelled("feature_extractor.conv_layers.{i}.0.weight", i=range(1, 5)), (512, 512, 3)),
        **dict.fromkeys(spelled("feature_extractor.conv_layers.{i}.0.weight", i=(5, 6)), (512, 512, 2)),
        **affine("feature_extractor.conv_layers.{i}.2.1", 512, i=7),
        **affine("layer_norm", 512),
        **affine("post_extract_proj", 1024, 512),
        "encoder.pos_conv.0.bias": (1024,),
        "encoder.pos_conv.0.weight_g": (1, 1, 128),
        "encoder.pos_conv.0.weight_v": (1024, 64, 128),
        **affine("encoder.layer_norm", 1024),
        **affine(f"{layer}.self_attn.{{p}}_proj", 1024, 1024, i=24, p=("k", "v", "q", "out")),
        **affine(f"{layer}.self_attn.grep_linear", 8, 64, i=24),
        **dict.fromkeys(spelled(f"{layer}.self_attn.grep_a", i=24), (1, 16, 1, 1)),
        "encoder.layers.0.self_attn.relative_attention_bias.weight": (320, 16),
        **affine(f"{layer}.self_attn_layer_norm", 1024, i=24),
        **affine(f"{layer}.fc1", 4096, 1024, i=24),
        **affine(f"{layer}.fc2", 1024, 4096, i=24),
        **affine(f"{layer}.final_layer_norm", 1024, i=24),
    }


def old_norm(name: str) -> str:
    """Weight norm under its names of before torch 2.1, which the published files have and torch still reads."""
    name = name.replace("parametrizations.weight.original0", "weight_g")
    return name.replace("parametrizations.weight.original1", "weight_v")


@pytest.mark.usefixtures("transformers")
def test_names_and_shapes_are_the_published_ones() -> None:
    with torch.device("meta"):
        network = WavLMFrames().network
        wanted = renamed({name: torch.empty(shape) for name, shape in published().items()})
    assert {old_norm(name): shape for name, shape in shapes(network).items()} == {
        name: tuple(tensor.shape) for name, tensor in wanted.items()
    }


def test_it_is_transformers_sixth_hidden_state(frames: WavLMFrames, speech: Tensor) -> None:
    states = frames.network(speech, output_hidden_states=True).hidden_states
    assert torch.allclose(frames(speech), states[6], atol=1e-6)
    assert frames(speech).shape == (2, 149, 24)
    assert (states[5] - states[6]).norm() > 0.1 * states[6].norm(), "or the layer would say little"


def test_later_layers_do_not_matter(frames: WavLMFrames, speech: Tensor) -> None:
    before = frames(speech)
    for tensor in frames.network.encoder.layers[6].parameters():
        tensor.zero_()
    assert torch.equal(frames(speech), before)


def test_a_batch_is_its_clips_one_by_one(frames: WavLMFrames, speech: Tensor) -> None:
    frames.double()
    clips = torch.cat([speech, 1e-3 * speech]).double()
    assert torch.allclose(frames(clips), torch.cat([frames(clip[None]) for clip in clips]), atol=1e-9)


@pytest.mark.parametrize(("samples", "count"), [(1, 1), (399, 2), (400, 1), (719, 1), (720, 2)])
def test_frames_of_every_length(frames: WavLMFrames, speech: Tensor, samples: int, count: int) -> None:
    assert frames.min_samples == 400
    out = frames(speech[:, 9000 : 9000 + samples])
    assert out.shape == (2, count, 24) and bool(out.isfinite().all())


def test_gradient_is_that_of_finite_differences(frames: WavLMFrames, speech: Tensor) -> None:
    frames.double()
    clip = speech[:1, 6400:9600].double().requires_grad_()
    weights = torch.randn(9, 24, dtype=torch.float64)
    (gradient,) = torch.autograd.grad((frames(clip) * weights).sum(), clip)
    assert gradient.norm() > 0.0
    for _ in range(3):
        direction = torch.randn_like(clip)
        with torch.no_grad():
            ahead, behind = ((frames(clip + step * direction) * weights).sum() for step in (1e-8, -1e-8))
        assert float((gradient * direction).sum()) == pytest.approx(float(ahead - behind) / 2e-8, rel=1e-4, abs=1e-4)


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


@pytest.mark.parametrize("name", ["WavLM-Large.pt", "pytorch_model.bin", "model.safetensors"])
def test_weights_come_back_from_a_file(frames: WavLMFrames, speech: Tensor, tmp_path: Path, name: str) -> None:
    state = frames.network.state_dict()
    if name == "WavLM-Large.pt":
        torch.save({"cfg": {"encoder_layers": 7, "normalize": True}, "model": microsofts(state)}, tmp_path / name)
    else:
        save: Callable[..., None] = torch.save if name.endswith(".bin") else save_file
        save({old_norm(key): tensor for key, tensor in state.items()}, tmp_path / name)
    loaded = load(tmp_path / name, SMALL)
    assert torch.equal(loaded(speech), frames(speech))
    assert not loaded.training and not any(tensor.requires_grad for tensor in loaded.parameters())


@pytest.mark.parametrize("how", ["another network", "a tensor too few", "no tensors", "truncated", "text", "missing"])
def test_a_file_that_does_not_fit_is_refused_in_one_sentence(frames: WavLMFrames, tmp_path: Path, how: str) -> None:
    path = tmp_path / "model.bin"
    state = frames.network.state_dict()
    if how == "another network":
        state["masked_spec_embed"] = torch.zeros(11)
    elif how == "a tensor too few":
        del state["masked_spec_embed"]
    torch.save([1, 2] if how == "no tensors" else state, path)
    if how == "truncated":
        path.write_bytes(path.read_bytes()[:-500])
    elif how == "text":
        path.write_text("version https://git-lfs.github.com/spec/v1")
    elif how == "missing":
        path.unlink()
    with pytest.raises(ModelUnavailableError) as caught:
        load(path, SMALL)
    reason = "No such file or directory" if how == "missing" else "damaged, or of another network"
    assert str(caught.value) == (
        f"{path} does not give the weights of WavLM ({reason}); use WavLM-Large.pt of kNN-VC's releases."
    )


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, sprung: Path) -> None:
        self.sprung = sprung

    def __reduce__(self) -> tuple[Callable[..., None], tuple[Path]]:
        return Path.touch, (self.sprung,)


@pytest.mark.usefixtures("transformers")
def test_code_in_a_file_is_not_run(tmp_path: Path) -> None:
    torch.save({"model": {"mask_emb": Trap(tmp_path / "sprung")}}, tmp_path / "model.pt")
    with pytest.raises(ModelUnavailableError):
        load(tmp_path / "model.pt", SMALL)
    assert not (tmp_path / "sprung").exists()


def test_without_the_extra_one_is_told_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtraError, match="WavLM needs the extra 'ssl'") as caught:
        WavLMFrames(SMALL)
    assert caught.value.exit_code == 6
