"""WavLM's x-vectors: the published names and sizes, the head written in NumPy, gradients, and files that do not fit."""

from __future__ import annotations

import hashlib
import math
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from plain_layers import Numbers, Shapes, affine, numbers, relative, shapes, spelled
from safetensors.torch import save_file
from torch import Tensor

from voxveil import catalog, hub, loading
from voxveil.cards.card import Card, Network, Weights
from voxveil.errors import MissingExtraError, ModelUnavailableError
from voxveil.models.speaker.wavlm import WavLMXVector
from voxveil.roles import Embedder

SMALL = {
    "conv_dim": (8,) * 7,
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
    "tdnn_dim": (10, 10, 10, 10, 14),
    "xvector_output_dim": 12,
    "num_labels": 3,
}
G = "wavlm.encoder.pos_conv_embed.conv.parametrizations.weight.original0"
V = "wavlm.encoder.pos_conv_embed.conv.parametrizations.weight.original1"


@pytest.fixture(scope="session")
def transformers() -> ModuleType:
    return pytest.importorskip("transformers", reason="WavLM needs the extra 'ssl'")


@pytest.fixture
def encoder(transformers: ModuleType) -> WavLMXVector:
    """A small one with large weights: those of a new one embed all clips nearly alike."""
    encoder = WavLMXVector(**SMALL)
    for name, tensor in encoder.network.named_parameters():
        if tensor.dim() > 1:
            torch.nn.init.normal_(tensor, 0.0, 1.5 / tensor[0].numel() ** 0.5)
        else:
            torch.nn.init.normal_(tensor, 1.0 if name.endswith("norm.weight") else 0.0, 0.3)
    return encoder.eval().requires_grad_(False)


def published() -> Shapes:
    """The tensors of the published file, weight norm under its present names."""
    layer = "wavlm.encoder.layers.{i}"
    return {
        "layer_weights": (13,),
        "wavlm.masked_spec_embed": (768,),
        "wavlm.feature_extractor.conv_layers.0.conv.weight": (512, 1, 10),
        **affine("wavlm.feature_extractor.conv_layers.0.layer_norm", 512),
        **dict.fromkeys(spelled("wavlm.feature_extractor.conv_layers.{i}.conv.weight", i=range(1, 5)), (512, 512, 3)),
        **dict.fromkeys(spelled("wavlm.feature_extractor.conv_layers.{i}.conv.weight", i=(5, 6)), (512, 512, 2)),
        **affine("wavlm.feature_projection.layer_norm", 512),
        **affine("wavlm.feature_projection.projection", 768, 512),
        "wavlm.encoder.pos_conv_embed.conv.bias": (768,),
        G: (1, 1, 128),
        V: (768, 48, 128),
        **affine("wavlm.encoder.layer_norm", 768),
        **dict.fromkeys(spelled(f"{layer}.attention.gru_rel_pos_const", i=12), (1, 12, 1, 1)),
        **affine(f"{layer}.attention.{{p}}_proj", 768, 768, i=12, p=("k", "v", "q", "out")),
        **affine(f"{layer}.attention.gru_rel_pos_linear", 8, 64, i=12),
        "wavlm.encoder.layers.0.attention.rel_attn_embed.weight": (320, 12),
        **affine(f"{layer}.layer_norm", 768, i=12),
        **affine(f"{layer}.feed_forward.intermediate_dense", 3072, 768, i=12),
        **affine(f"{layer}.feed_forward.output_dense", 768, 3072, i=12),
        **affine(f"{layer}.final_layer_norm", 768, i=12),
        **affine("projector", 512, 768),
        **affine("tdnn.0.kernel", 512, 5 * 512),
        **affine("tdnn.{i}.kernel", 512, 3 * 512, i=(1, 2)),
        **affine("tdnn.3.kernel", 512, 512),
        **affine("tdnn.4.kernel", 1500, 512),
        **affine("feature_extractor", 512, 3000),
        **affine("classifier", 512, 512),
        "objective.weight": (512, 1211),
    }


@pytest.mark.usefixtures("transformers")
def test_names_shapes_and_size_are_the_published_ones() -> None:
    with torch.device("meta"):
        network = WavLMXVector().network
    assert shapes(network) == published()
    # The published file has 404,547,053 bytes: these tensors, and a few hundred bytes of names for each.
    stored = 4 * sum(tensor.numel() for tensor in network.state_dict().values())
    assert 0 < 404_547_053 - stored < 512 * len(published())


def hidden_states(network: Any, speech: Tensor) -> list[np.ndarray]:
    """The input of the first transformer layer and the output of each, of one clip, [frame, width]."""
    frames, _ = network.wavlm.feature_projection(network.wavlm.feature_extractor(speech).mT)
    states = [network.wavlm.encoder.layer_norm(frames + network.wavlm.encoder.pos_conv_embed(frames))]
    bias = None
    for layer in network.wavlm.encoder.layers:
        frames, bias = layer(states[-1], position_bias=bias)[:2]
        states.append(frames)
    return [state[0].numpy() for state in states]


def head(states: list[np.ndarray], state: Numbers) -> np.ndarray:
    powers = np.exp(state["layer_weights"] - state["layer_weights"].max())
    x = np.tensordot(powers / powers.sum(), np.stack(states), 1)
    x = x @ state["projector.weight"].T + state["projector.bias"]
    for number, (kernel, dilation) in enumerate(((5, 1), (3, 2), (3, 3), (1, 1), (1, 1))):
        weight = state[f"tdnn.{number}.kernel.weight"].reshape(-1, kernel, x.shape[1])
        left = len(x) - dilation * (kernel - 1)
        taps = (x[k * dilation : k * dilation + left] @ weight[:, k].T for k in range(kernel))
        x = np.maximum(0.0, sum(taps) + state[f"tdnn.{number}.kernel.bias"])
    pooled = np.concatenate([x.mean(0), x.std(0, ddof=1)])
    return state["feature_extractor.weight"] @ pooled + state["feature_extractor.bias"]


def test_the_head_is_the_one_written_in_numpy(encoder: WavLMXVector, speech: Tensor) -> None:
    encoder.double()
    clips = speech[:, :16_000].double()
    wanted = np.stack([head(hidden_states(encoder.network, clip[None]), numbers(encoder.network)) for clip in clips])
    assert relative(encoder.embed(clips), wanted) < 1e-9


@pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask:UserWarning")  # transformers' own call
def test_transformers_own_pipeline_gives_the_same(
    transformers: ModuleType, encoder: WavLMXVector, speech: Tensor
) -> None:
    """The front end as published: it changes no sample, and its mask hides none."""
    front = transformers.Wav2Vec2FeatureExtractor(do_normalize=False, return_attention_mask=True)
    prepared = front(list(speech.numpy()), sampling_rate=16_000, return_tensors="pt")
    assert int(prepared.attention_mask.sum()) == speech.numel()
    embeddings = encoder.network(**prepared).embeddings
    assert torch.allclose(encoder.embed(speech), embeddings, atol=1e-6)
    assert torch.allclose(encoder(speech), torch.nn.functional.normalize(embeddings), atol=1e-6)


def test_it_plays_the_role(encoder: WavLMXVector, speech: Tensor) -> None:
    assert isinstance(encoder, Embedder) and encoder.coarse() is encoder
    embedding = encoder(speech)
    assert embedding.shape == (2, 12)
    assert torch.allclose(embedding.norm(dim=1), torch.ones(2))
    assert (embedding[0] - embedding[1]).norm() > 0.01, "or comparisons would say little"
    assert torch.equal(embedding, encoder(speech)), "one clip has one embedding"


def test_a_batch_is_its_clips_one_by_one(encoder: WavLMXVector, speech: Tensor) -> None:
    encoder.double()
    clips = torch.cat([speech, 1e-3 * speech, 0.0 * speech[:1]]).double()
    apart = torch.cat([encoder(clip[None]) for clip in clips])
    assert torch.allclose(encoder(clips), apart, atol=1e-9)


@pytest.mark.parametrize("samples", [1, 400, 5199, 5200, 5201])
def test_every_length_has_an_embedding(encoder: WavLMXVector, speech: Tensor, samples: int) -> None:
    embedding = encoder(speech[:, 9000 : 9000 + samples])
    assert embedding.shape == (2, 12) and bool(embedding.isfinite().all())


def test_fewer_samples_would_leave_no_deviation(encoder: WavLMXVector, speech: Tensor) -> None:
    assert encoder.min_samples == 5200
    with pytest.warns(UserWarning, match="degrees of freedom"):
        assert encoder.network(speech[:, :5199]).embeddings.isnan().all()


def test_gradient_is_that_of_finite_differences(encoder: WavLMXVector, speech: Tensor) -> None:
    encoder.double()
    clip = speech[:1, 6400:12_800].double().requires_grad_()
    weights = torch.randn(12, dtype=torch.float64)
    (gradient,) = torch.autograd.grad((encoder(clip) @ weights).sum(), clip)
    assert gradient.norm() > 0.0
    for _ in range(3):
        direction = torch.randn_like(clip)
        with torch.no_grad():
            ahead, behind = (encoder(clip + step * direction) @ weights for step in (1e-8, -1e-8))
        slope = float((ahead - behind).sum()) / 2e-8
        assert float((gradient * direction).sum()) == pytest.approx(slope, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("scale", [0.0, 1e-8])
def test_silence_has_a_finite_gradient(encoder: WavLMXVector, scale: float) -> None:
    silence = (scale * torch.randn(1, 8000)).requires_grad_()
    embedding = encoder(silence)
    embedding.sum().backward()
    assert silence.grad is not None
    assert bool(embedding.isfinite().all()) and bool(silence.grad.isfinite().all())


def card_of(path: Path) -> Card:
    """A card for the weights in ``path``, as ``voxveil models card`` writes it."""
    sha256, size = hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_size
    form = "safetensors" if path.suffix == ".safetensors" else "torch"
    weights = Weights(sha256, size, form, (f"path:{path}",))
    return Card("small", "speaker encoder", "", "", "", "", weights, Network("wavlm"), ())


def load(card: Card) -> WavLMXVector:
    encoder = WavLMXVector(**SMALL)
    hub.load_into(encoder, card, rename=catalog.part("checkpoint", "wavlm"))
    return encoder


def save(state: dict[str, Tensor], path: Path) -> None:
    (save_file if path.suffix == ".safetensors" else torch.save)(state, path)


@pytest.mark.parametrize("style", ["weight_g and weight_v", "parametrizations", "the encoder's own"])
@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.safetensors"])
def test_weights_come_back_from_a_file(
    encoder: WavLMXVector, speech: Tensor, tmp_path: Path, name: str, style: str
) -> None:
    old_names: dict[str, str] = {}
    if style == "weight_g and weight_v":
        old_names[G] = G.replace("parametrizations.weight.original0", "weight_g")
        old_names[V] = V.replace("parametrizations.weight.original1", "weight_v")
    module = encoder if style == "the encoder's own" else encoder.network
    save({old_names.get(key, key): tensor for key, tensor in module.state_dict().items()}, tmp_path / name)
    loaded = load(card_of(tmp_path / name))
    assert torch.equal(loaded(speech), encoder(speech))
    assert not loaded.training and not any(tensor.requires_grad for tensor in loaded.parameters())


SPOILED = {
    "another network": "1 of another shape, first 'network.projector.bias' with [11] instead of [10]",
    "a tensor too few": "1 missing, first 'network.layer_weights'",
    "a tensor too many": "1 unexpected, first 'network.mine'",
    "no tensors": "no tensors by name",
    "truncated": "damaged",
    "text": "damaged",
}


def spoil(path: Path, state: dict[str, Tensor], how: str) -> None:
    if how == "another network":
        state = state | {"projector.bias": torch.zeros(11)}
    elif how == "a tensor too few":
        del state["layer_weights"]
    elif how == "a tensor too many":
        state = state | {"mine": torch.zeros(1)}
    save({} if how == "no tensors" else state, path)
    if how == "truncated":
        path.write_bytes(path.read_bytes()[:-500])
    elif how == "text":
        path.write_text("version https://git-lfs.github.com/spec/v1")


@pytest.mark.parametrize("name", ["model.bin", "model.safetensors"])
@pytest.mark.parametrize("how", SPOILED)
def test_a_file_that_does_not_fit_is_refused_in_one_sentence(
    encoder: WavLMXVector, tmp_path: Path, name: str, how: str
) -> None:
    spoil(tmp_path / name, encoder.network.state_dict(), how)
    with pytest.raises(ModelUnavailableError) as caught:
        load(card_of(tmp_path / name))
    assert SPOILED[how] in str(caught.value) and "\n" not in str(caught.value)


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, sprung: Path) -> None:
        self.sprung = sprung

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.sprung,)


@pytest.mark.usefixtures("transformers")
def test_code_in_a_file_is_not_run(tmp_path: Path) -> None:
    torch.save({"layer_weights": Trap(tmp_path / "sprung")}, tmp_path / "model.bin")
    with pytest.raises(ModelUnavailableError, match="more than plain tensors"):
        load(card_of(tmp_path / "model.bin"))
    assert not (tmp_path / "sprung").exists()


def test_without_the_extra_one_is_told_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtraError, match="WavLM needs the extra 'ssl'") as caught:
        loading.embedder("wavlm-sv")
    assert caught.value.exit_code == 6


def test_the_card_is_of_a_file_of_this_size() -> None:
    """safetensors: eight bytes, a list of a hundred-odd bytes for every tensor, and the tensors in float32."""
    weights = hub.card("wavlm-sv").weights
    values = sum(math.prod(shape) for shape in published().values())
    assert 60 * len(published()) < weights.bytes - 8 - 4 * values < 200 * len(published())
    assert loading.threshold("wavlm-sv") == 0.86
