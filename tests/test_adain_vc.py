"""AdaIN-VC: the published names and shapes, and the same numbers as a second implementation in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from plain_layers import Numbers, Shapes, affine, numbers, relative, shapes
from torch import Tensor

from voxveil.errors import BadInputError
from voxveil.models.conversion.adain_mel import AdaInMel
from voxveil.models.conversion.adain_vc import AdaInVC

STRIDES = (1, 2, 1, 2)
N_MELS = 12


@pytest.fixture
def network() -> Any:
    small = AdaInVC(n_mels=N_MELS, channels=6, bank_channels=5, bank_size=4, strides=STRIDES, dim=7)
    return small.double().eval().requires_grad_(False)


@pytest.fixture
def mels() -> tuple[Tensor, Tensor]:
    return torch.randn(3, N_MELS, 22, dtype=torch.float64), torch.randn(3, N_MELS, 31, dtype=torch.float64)


def published() -> Shapes:
    return {
        **{
            f"{side}_encoder.conv_bank.{i}.weight": (128, 512, i + 1)
            for side in ("speaker", "content")
            for i in range(8)
        },
        **{f"{side}_encoder.conv_bank.{i}.bias": (128,) for side in ("speaker", "content") for i in range(8)},
        **affine("{s}_encoder.in_conv_layer", 128, 1536, 1, s=("speaker", "content")),
        **affine("{s}_encoder.{n}_conv_layers.{i}", 128, 128, 5, s=("speaker", "content"), n=("first", "second"), i=6),
        **affine("speaker_encoder.{n}_dense_layers.{i}", 128, 128, n=("first", "second"), i=6),
        **affine("speaker_encoder.output_layer", 128, 128),
        **affine("content_encoder.{n}_layer", 128, 128, 1, n=("mean", "std")),
        **affine("decoder.in_conv_layer", 128, 128, 1),
        **affine("decoder.first_conv_layers.{i}", 128, 128, 5, i=6),
        **affine("decoder.second_conv_layers.{i}", 256, 128, 5, i=(0, 2, 4)),
        **affine("decoder.second_conv_layers.{i}", 128, 128, 5, i=(1, 3, 5)),
        **affine("decoder.conv_affine_layers.{i}", 256, 128, i=12),
        **affine("decoder.out_conv_layer", 512, 128, 1),
    }


def test_names_shapes_and_size_are_the_published_ones() -> None:
    network = AdaInVC()
    assert shapes(network) == published()
    assert sum(tensor.numel() for tensor in network.state_dict().values()) == 9_040_512
    assert network.min_frames == 17


def convolved(x: np.ndarray, state: Numbers, name: str, stride: int = 1) -> np.ndarray:
    weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
    kernel = weight.shape[2]
    if kernel > 1:
        x = np.pad(x, ((0, 0), (kernel // 2, (kernel - 1) // 2)), mode="reflect")
    starts = range(0, x.shape[1] - kernel + 1, stride)
    return np.stack([np.tensordot(weight, x[:, n : n + kernel], 2) + bias for n in starts], axis=1)


def relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(0.0, x)


def normalised(x: np.ndarray) -> np.ndarray:
    return (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5)


def pooled(x: np.ndarray, stride: int) -> np.ndarray:
    return np.stack([x[:, n : n + stride].mean(1) for n in range(0, x.shape[1], stride)], axis=1)


def banked(x: np.ndarray, state: Numbers, side: str) -> np.ndarray:
    bank = [relu(convolved(x, state, f"{side}.conv_bank.{i}")) for i in range(4)]
    return convolved(np.concatenate([*bank, x]), state, f"{side}.in_conv_layer")


def voice(x: np.ndarray, state: Numbers) -> np.ndarray:
    side = "speaker_encoder"
    x = relu(banked(x, state, side))
    for i, stride in enumerate(STRIDES):
        inner = relu(convolved(x, state, f"{side}.first_conv_layers.{i}"))
        x = relu(convolved(inner, state, f"{side}.second_conv_layers.{i}", stride)) + pooled(x, stride)
    y = x.mean(1)

    def dense(y: np.ndarray, name: str) -> np.ndarray:
        return state[f"{side}.{name}.weight"] @ y + state[f"{side}.{name}.bias"]

    for i in range(len(STRIDES)):
        y = y + relu(dense(relu(dense(y, f"first_dense_layers.{i}")), f"second_dense_layers.{i}"))
    return dense(y, "output_layer")


def codes(x: np.ndarray, state: Numbers, which: str) -> np.ndarray:
    side = "content_encoder"
    x = relu(normalised(banked(x, state, side)))
    for i, stride in enumerate(STRIDES):
        inner = relu(normalised(convolved(x, state, f"{side}.first_conv_layers.{i}")))
        inner = relu(normalised(convolved(inner, state, f"{side}.second_conv_layers.{i}", stride)))
        x = inner + pooled(x, stride)
    return convolved(x, state, f"{side}.{which}_layer")


def decoded(x: np.ndarray, y: np.ndarray, state: Numbers) -> np.ndarray:
    def styled(frames: np.ndarray, i: int) -> np.ndarray:
        style = state[f"decoder.conv_affine_layers.{i}.weight"] @ y + state[f"decoder.conv_affine_layers.{i}.bias"]
        mean, deviation = style[: len(frames), None], style[len(frames) :, None]
        return relu(normalised(frames) * deviation + mean)

    x = relu(normalised(convolved(x, state, "decoder.in_conv_layer")))
    for i, factor in enumerate(STRIDES[::-1]):
        inner = styled(convolved(x, state, f"decoder.first_conv_layers.{i}"), 2 * i)
        wide = convolved(inner, state, f"decoder.second_conv_layers.{i}")
        inner = np.empty((len(x), factor * x.shape[1]))
        for phase in range(factor):
            inner[:, phase::factor] = wide[phase::factor]
        x = styled(inner, 2 * i + 1) + np.repeat(x, factor, axis=1)
    return convolved(x, state, "decoder.out_conv_layer")


@pytest.mark.parametrize("frames", [9, 16, 22])
def test_the_network_is_the_one_written_in_numpy(network: Any, mels: tuple[Tensor, Tensor], frames: int) -> None:
    content, reference = mels[0][:, :, :frames], mels[1]
    state = numbers(network)
    voices = np.stack([voice(clip.numpy(), state) for clip in reference])
    assert relative(network.speaker_encoder(reference), voices) < 1e-9
    means = np.stack([codes(clip.numpy(), state, "mean") for clip in content])
    log_variances = np.stack([codes(clip.numpy(), state, "std") for clip in content])
    for got, wanted in zip(network.content_encoder(content), (means, log_variances), strict=True):
        assert relative(got, wanted) < 1e-9
    wanted = np.stack([decoded(*pair, state) for pair in zip(means, voices, strict=True)])
    assert wanted.shape[2] == -4 * (-frames // 4)
    assert relative(network(content, reference), wanted[:, :, :frames]) < 1e-9


def test_a_batch_is_its_clips_one_by_one(network: Any, mels: tuple[Tensor, Tensor]) -> None:
    apart = [network(content[None], reference[None]) for content, reference in zip(*mels, strict=True)]
    assert torch.allclose(network(*mels), torch.cat(apart), atol=1e-10)


def test_a_voice_is_a_mean_over_time(network: Any, mels: tuple[Tensor, Tensor]) -> None:
    """Twice the same speech has the same voice, but for the seams; another's has another, and it is heard."""
    content, reference = mels
    long = reference.repeat(1, 1, 40)
    voices = network.speaker_encoder(long)
    seams = (voices - network.speaker_encoder(long.repeat(1, 1, 2))).norm()
    assert seams < 0.05 * (voices - voices.flip(0)).norm()
    assert (network(content, long) - network(content, long.flip(0))).abs().max() > 1e-3


def test_gradient_from_the_waveform_of_the_reference_is_that_of_finite_differences(
    network: Any, mels: tuple[Tensor, Tensor], speech: Tensor
) -> None:
    front = AdaInMel(torch.full((N_MELS,), 0.5), torch.full((N_MELS,), 0.2)).double()
    reference = speech[:1, 6000:14_000].double().requires_grad_()
    weights = torch.randn(N_MELS, 22, dtype=torch.float64)

    def loss(reference: Tensor) -> Tensor:
        return (network(mels[0][:1], front(reference)) * weights).sum()

    (gradient,) = torch.autograd.grad(loss(reference), reference)
    assert gradient.norm() > 0.0
    for _ in range(3):
        direction = torch.randn_like(reference)
        with torch.no_grad():
            slope = float(loss(reference + 1e-8 * direction) - loss(reference - 1e-8 * direction)) / 2e-8
        assert float((gradient * direction).sum()) == pytest.approx(slope, rel=1e-3, abs=1e-5)


def test_another_networks_weights_are_refused(network: Any) -> None:
    state = network.state_dict()
    for spoiled in (state | {"mine": torch.zeros(1)}, {name: state[name] for name in list(state)[1:]}):
        with pytest.raises(RuntimeError, match=r"Missing key|Unexpected key"):
            network.load_state_dict(spoiled, strict=True)
    network.load_state_dict(state, strict=True)


@pytest.mark.parametrize(("content", "reference", "which"), [(8, 20, "content"), (20, 8, "reference")])
def test_too_little_speech_is_said_so(network: Any, content: int, reference: int, which: str) -> None:
    assert network.min_frames == 9
    with pytest.raises(BadInputError, match=f"The {which} has 8 frames and AdaIN-VC needs 9: give it more speech"):
        network(torch.zeros(1, N_MELS, content).double(), torch.zeros(1, N_MELS, reference).double())
