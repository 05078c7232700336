"""WavLM's layer 6: the published names and sizes, transformers' own answer, gradients, and files that do not fit."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from microsoft_names import microsofts
from plain_layers import Shapes, affine, shapes, spelled
from torch import Tensor

from voxveil import catalog, hub
from voxveil.audio.spectrum import Stft, power
from voxveil.cards.card import Card, Network, Weights
from voxveil.clone import knn
from voxveil.clone.composition import composition
from voxveil.clone.knn import KnnCloner
from voxveil.errors import MissingExtraError, ModelUnavailableError
from voxveil.models.conversion.wavlm_frames import WavLMFrames, network_state

SMALL = {
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
    frames = WavLMFrames(**SMALL)
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


@pytest.mark.usefixtures("transformers")
def test_names_and_shapes_are_the_published_ones() -> None:
    with torch.device("meta"):
        network = WavLMFrames()
        wanted = network_state({name: torch.empty(shape) for name, shape in published().items()})
    assert shapes(network) == {name: tuple(tensor.shape) for name, tensor in wanted.items()}


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


def published_file(path: Path, state: dict[str, Tensor]) -> Card:
    """A file as Microsoft published it, and a card for it."""
    torch.save({"cfg": {"encoder_layers": 7, "normalize": True}, "model": state}, path)
    content = path.read_bytes()
    weights = Weights(hashlib.sha256(content).hexdigest(), len(content), "torch", (f"path:{path}",), "model")
    network = Network("wavlm-frames", {})
    return Card("small", "content encoder", "Small", "Nobody 2000", "@misc{a}", "CC0-1.0", weights, network, ())


def test_weights_come_back_from_microsofts_file(frames: WavLMFrames, speech: Tensor, tmp_path: Path) -> None:
    card = published_file(tmp_path / "WavLM-Large.pt", microsofts(frames.network.state_dict()))
    loaded = WavLMFrames(**SMALL)
    hub.load_into(loaded, card, rename=network_state)
    assert torch.equal(loaded(speech), frames(speech))
    assert not loaded.training and not any(tensor.requires_grad for tensor in loaded.parameters())


def test_a_file_of_another_network_is_refused(frames: WavLMFrames, tmp_path: Path) -> None:
    state = microsofts(frames.network.state_dict())
    del state["mask_emb"]
    with pytest.raises(ModelUnavailableError, match=r"1 missing, first 'network\.masked_spec_embed'"):
        hub.load_into(WavLMFrames(**SMALL), published_file(tmp_path / "a.pt", state), rename=network_state)


def test_the_card_is_that_of_a_cloner_by_name() -> None:
    card = hub.card(composition("knn-vc-wavlm").networks["features"])
    assert (card.kind, card.extra, card.weights.state_key) == ("content encoder", "ssl", "model")
    assert catalog.part("architecture", card.network.architecture) is WavLMFrames
    assert catalog.part("checkpoint", card.network.architecture) is network_state


def test_a_clone_is_as_long_as_its_content_and_is_the_reference_where_both_are_one(
    frames: WavLMFrames, speech: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frame n lies on sample 320·n + 200: a clip cloned by itself, frame by frame, is where it was."""
    monkeypatch.setattr(knn, "NEIGHBOURS_SAMPLES", frames.hop_samples)
    clip = speech[0, :30_011]
    (clone,) = KnnCloner(frames, iterations=60)([clip], [clip])
    assert clone.shape == clip.shape
    spectrum = Stft(512, 160)
    loudness = [power(spectrum(sound)).sum(0).add(1e-6).log().numpy()[8:-8] for sound in (clip, clone)]
    away = [np.corrcoef(loudness[0][10:-10], np.roll(loudness[1], shift)[10:-10])[0, 1] for shift in range(-5, 6)]
    assert int(np.argmax(away)) == 5 and max(away) > 0.9


def test_without_the_extra_one_is_told_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtraError, match="WavLM needs the extra 'ssl'") as caught:
        WavLMFrames(**SMALL)
    assert caught.value.exit_code == 6
