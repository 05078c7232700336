"""AutoVC: the published names and shapes, and the same numbers as a second implementation in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from plain_layers import (
    Numbers,
    Shapes,
    affine,
    convolved,
    normalisation,
    normalised,
    numbers,
    relative,
    shapes,
    sigmoid,
    unlike_new,
)
from torch import Tensor, nn

from voxveil.models.conversion.autovc import AutoVC, SpeakerEncoder, speaker_state
from voxveil.models.conversion.autovc_mel import AutoVCMel

N_MELS, SPEAKER_DIM, CODE_DIM, EVERY = 12, 5, 3, 8


def lstm(name: str, width_in: int, width: int, layers: int, both_ways: bool = False) -> Shapes:
    found: Shapes = {}
    for layer in range(layers):
        for way in ("", "_reverse") if both_ways else ("",):
            found[f"{name}.weight_ih_l{layer}{way}"] = (4 * width, width_in)
            found[f"{name}.weight_hh_l{layer}{way}"] = (4 * width, width)
            found |= {f"{name}.bias_{part}_l{layer}{way}": (4 * width,) for part in ("ih", "hh")}
        width_in = 2 * width if both_ways else width
    return found


def published(code_dim: int) -> Shapes:
    return {
        **affine("encoder.convolutions.0.0.conv", 512, 336, 5),
        **affine("encoder.convolutions.{i}.0.conv", 512, 512, 5, i=(1, 2)),
        **normalisation("encoder.convolutions.{i}.1", 512, i=3),
        **lstm("encoder.lstm", 512, code_dim, layers=2, both_ways=True),
        **lstm("decoder.lstm1", 2 * code_dim + 256, 512, layers=1),
        **affine("decoder.convolutions.{i}.0.conv", 512, 512, 5, i=3),
        **normalisation("decoder.convolutions.{i}.1", 512, i=3),
        **lstm("decoder.lstm2", 512, 1024, layers=2),
        **affine("decoder.linear_projection.linear_layer", 80, 1024),
        **affine("postnet.convolutions.0.0.conv", 512, 80, 5),
        **affine("postnet.convolutions.{i}.0.conv", 512, 512, 5, i=(1, 2, 3)),
        **affine("postnet.convolutions.4.0.conv", 80, 512, 5),
        **normalisation("postnet.convolutions.{i}.1", 512, i=4),
        **normalisation("postnet.convolutions.4.1", 80),
    }


@pytest.mark.parametrize("code_dim", [32, 16])
def test_names_and_shapes_are_the_published_ones(code_dim: int) -> None:
    with torch.device("meta"):
        assert shapes(AutoVC(code_dim=code_dim)) == published(code_dim)


def test_the_speaker_encoders_names_and_shapes_are_the_published_ones() -> None:
    with torch.device("meta"):
        encoder = SpeakerEncoder()
    assert shapes(encoder) == {**lstm("lstm", 80, 768, layers=3), **affine("embedding", 256, 768)}


@pytest.fixture
def network() -> Any:
    small = AutoVC(N_MELS, SPEAKER_DIM, width=10, lstm_width=9, code_dim=CODE_DIM, down_sampling=EVERY)
    return unlike_new(small)


@pytest.fixture
def encoder() -> Any:
    encoder = SpeakerEncoder(N_MELS, width=9, dim=SPEAKER_DIM)
    for tensor in encoder.lstm.parameters():
        nn.init.normal_(tensor, 0.0, 0.5)  # or all voices would be nearly alike
    return encoder.double().eval().requires_grad_(False)


@pytest.fixture
def inputs() -> tuple[Tensor, Tensor, Tensor]:
    """Contents, their speakers, others' speakers."""
    mels, speakers, others = torch.rand(3, N_MELS, 21), torch.randn(3, SPEAKER_DIM), torch.randn(3, SPEAKER_DIM)
    return mels.double(), speakers.double(), others.double()


def recurrent(x: np.ndarray, state: Numbers, name: str, layer: int = 0, way: str = "") -> np.ndarray:
    """One LSTM layer over [frame, width]; gates in the order input, forget, cell, output."""
    weight, inner = state[f"{name}.weight_ih_l{layer}{way}"], state[f"{name}.weight_hh_l{layer}{way}"]
    bias = state[f"{name}.bias_ih_l{layer}{way}"] + state[f"{name}.bias_hh_l{layer}{way}"]
    hidden = cell = np.zeros(inner.shape[1])
    outputs = []
    for frame in x[::-1] if way else x:
        i, f, g, o = np.split(weight @ frame + inner @ hidden + bias, 4)
        cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(g)
        hidden = sigmoid(o) * np.tanh(cell)
        outputs.append(hidden)
    return np.stack(outputs[::-1] if way else outputs)


def convolution(x: np.ndarray, state: Numbers, name: str) -> np.ndarray:
    return normalised(convolved(x, state, f"{name}.0.conv", edges="constant"), state, f"{name}.1")


def coded(mel: np.ndarray, speaker: np.ndarray, state: Numbers) -> np.ndarray:
    x = np.concatenate([mel, np.repeat(speaker[:, None], mel.shape[1], axis=1)])
    for i in range(3):
        x = np.maximum(0.0, convolution(x, state, f"encoder.convolutions.{i}"))
    x = x.T
    for layer in range(2):
        x = np.concatenate([recurrent(x, state, "encoder.lstm", layer, way) for way in ("", "_reverse")], axis=1)
    starts = range(0, len(x), EVERY)
    return np.stack([np.concatenate([x[n + EVERY - 1, :CODE_DIM], x[n, CODE_DIM:]]) for n in starts])


def decoded(codes: np.ndarray, speaker: np.ndarray, state: Numbers) -> tuple[np.ndarray, np.ndarray]:
    x = np.stack([np.concatenate([codes[n // EVERY], speaker]) for n in range(EVERY * len(codes))])
    x = recurrent(x, state, "decoder.lstm1").T
    for i in range(3):
        x = np.maximum(0.0, convolution(x, state, f"decoder.convolutions.{i}"))
    x = recurrent(recurrent(x.T, state, "decoder.lstm2"), state, "decoder.lstm2", layer=1)
    projection = (state[f"decoder.linear_projection.linear_layer.{part}"] for part in ("weight", "bias"))
    before = x @ next(projection).T + next(projection)
    y = before.T
    for i in range(5):
        y = convolution(y, state, f"postnet.convolutions.{i}")
        y = np.tanh(y) if i < 4 else y
    return before.T, before.T + y


def test_the_network_is_the_one_written_in_numpy(network: Any, inputs: tuple[Tensor, Tensor, Tensor]) -> None:
    state = numbers(network)
    filled = np.pad(inputs[0].numpy(), ((0, 0), (0, 0), (0, 3)))
    codes = np.stack([coded(mel, speaker.numpy(), state) for mel, speaker in zip(filled, inputs[1], strict=True)])
    pairs = [decoded(code, other.numpy(), state) for code, other in zip(codes, inputs[2], strict=True)]
    before, after = (np.stack(part)[:, :, :21] for part in zip(*pairs, strict=True))
    for got, wanted in zip(network.stages(*inputs), (codes, before, after), strict=True):
        assert relative(got, wanted) < 1e-9
    assert torch.equal(network(*inputs), network.stages(*inputs)[2])


def test_the_speaker_encoder_is_the_one_written_in_numpy(encoder: Any) -> None:
    mels = torch.rand(2, N_MELS, 30, dtype=torch.float64)
    state = numbers(encoder)
    wanted = []
    for mel in mels.numpy():
        x = mel.T
        for layer in range(3):
            x = recurrent(x, state, "lstm", layer)
        vector = state["embedding.weight"] @ x[-1] + state["embedding.bias"]
        wanted.append(vector / np.linalg.norm(vector))
    assert relative(encoder(mels), np.stack(wanted)) < 1e-9


def test_the_speaker_is_the_mean_of_crops_that_overlap_by_half(encoder: Any) -> None:
    mels = torch.rand(2, N_MELS, 300, dtype=torch.float64)
    crops = [encoder(mels[:, :, start : start + 128]) for start in (0, 64, 128)]
    assert torch.allclose(encoder.speaker(mels), torch.stack(crops).mean(0))
    assert bool((encoder.speaker(mels).norm(dim=1) < 1.0).all()), "the mean is not normalised again, as published"
    assert torch.allclose(encoder.speaker(mels[:, :, :100]), encoder(mels[:, :, :100]))


def test_a_batch_is_its_clips_one_by_one(network: Any, encoder: Any, inputs: tuple[Tensor, Tensor, Tensor]) -> None:
    apart = [network(*(part[i : i + 1] for part in inputs)) for i in range(3)]
    assert torch.allclose(network(*inputs), torch.cat(apart), atol=1e-10)
    alone = [encoder.speaker(mel[None]) for mel in inputs[0]]
    assert torch.allclose(encoder.speaker(inputs[0]), torch.cat(alone), atol=1e-10)


def test_nothing_but_the_codes_passes_from_the_content(network: Any, inputs: tuple[Tensor, Tensor, Tensor]) -> None:
    """A content of another length and speaker with the same codes would be converted alike."""
    codes, before, _ = network.stages(*inputs)
    assert codes.shape == (3, 3, 2 * CODE_DIM)
    network.encoder.forward = lambda mel, speaker: codes
    _, again, _ = network.stages(torch.rand(3, N_MELS, 24).double(), torch.rand(3, SPEAKER_DIM).double(), inputs[2])
    assert torch.equal(again[:, :, :21], before)


def test_gradient_from_the_waveform_of_the_reference_is_that_of_finite_differences(
    network: Any, encoder: Any, inputs: tuple[Tensor, Tensor, Tensor], speech: Tensor
) -> None:
    front = AutoVCMel(N_MELS).double()
    reference = speech[:1, 6000:14_000].double().requires_grad_()
    content, speaker, _ = (part[:1] for part in inputs)
    weights = torch.randn(N_MELS, 21, dtype=torch.float64)

    def loss(reference: Tensor) -> Tensor:
        return (network(content, speaker, encoder.speaker(front(reference))) * weights).sum()

    (gradient,) = torch.autograd.grad(loss(reference), reference)
    assert gradient.norm() > 0.0
    for _ in range(3):
        direction = torch.randn_like(reference)
        with torch.no_grad():
            slope = float(loss(reference + 1e-7 * direction) - loss(reference - 1e-7 * direction)) / 2e-7
        assert float((gradient * direction).sum()) == pytest.approx(slope, rel=1e-3, abs=1e-6)


def test_checkpoints_of_the_published_kind_load_strictly(network: Any, encoder: Any) -> None:
    parallel = {f"module.{name}": tensor for name, tensor in encoder.state_dict().items()}
    SpeakerEncoder(N_MELS, width=9, dim=SPEAKER_DIM).load_state_dict(speaker_state(parallel), strict=True)
    with pytest.raises(RuntimeError, match="size mismatch"):
        AutoVC(N_MELS, SPEAKER_DIM, width=10, lstm_width=9, code_dim=2).load_state_dict(network.state_dict())
