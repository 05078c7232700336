"""The ResNetSE34 encoders: the published names and shapes, their front end by a second road."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
import torch
from plain_layers import trained
from torch import Tensor, nn

from voxveil.models.speaker.resnet34 import Block, ResNetSE34L, ResNetSE34V2, network_state

Encoder = ResNetSE34L | ResNetSE34V2
KINDS = [ResNetSE34L, ResNetSE34V2]
BLOCKS = (3, 4, 6, 3)


def narrow(kind: type[Encoder]) -> Encoder:
    return kind(widths=(8, 8, 16, 16), n_mels=24, dim=12)


def norm(name: str, width: int) -> dict[str, tuple[int, ...]]:
    running = {f"{name}.{part}": (width,) for part in ("weight", "bias", "running_mean", "running_var")}
    return running | {f"{name}.num_batches_tracked": ()}


def dense(name: str, *shape: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": shape, f"{name}.bias": (shape[0],)}


def published_trunk(widths: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    table, before = {}, widths[0]
    for stage, (width, count) in enumerate(zip(widths, BLOCKS, strict=True), start=1):
        for index in range(count):
            name = f"layer{stage}.{index}"
            table |= {f"{name}.conv1.weight": (width, before, 3, 3), f"{name}.conv2.weight": (width, width, 3, 3)}
            table |= norm(f"{name}.bn1", width) | norm(f"{name}.bn2", width)
            table |= dense(f"{name}.se.fc.0", width // 8, width) | dense(f"{name}.se.fc.2", width, width // 8)
            if stage > 1 and index == 0:
                table |= {f"{name}.downsample.0.weight": (width, before, 1, 1)} | norm(f"{name}.downsample.1", width)
            before = width
    return table


PUBLISHED_L = (
    {"conv1.weight": (16, 1, 7, 7), "attention": (128, 1)}
    | norm("bn1", 16)
    | published_trunk((16, 32, 64, 128))
    | {"torchfb.spectrogram.window": (400,), "torchfb.mel_scale.fb": (257, 40)}
    | dense("sap_linear", 128, 128)
    | dense("fc", 512, 128)
)
PUBLISHED_V2 = (
    dense("conv1", 32, 1, 3, 3)
    | norm("bn1", 32)
    | published_trunk((32, 64, 128, 256))
    | {"torchfb.0.flipped_filter": (1, 1, 2), "torchfb.1.spectrogram.window": (400,)}
    | {"torchfb.1.mel_scale.fb": (257, 64)}
    | dense("attention.0", 128, 2048, 1)
    | norm("attention.2", 128)
    | dense("attention.3", 2048, 128, 1)
    | dense("fc", 512, 4096)
)


# What voxceleb_trainer's own networks (commit f51bab8) answer to `sweeps` when `fill_with_waves` gives their weights,
# with widths 8, 8, 16, 16, 24 mels and four outputs, in float64.
ANSWERS_L = [
    [0.3443965341, 0.8938142836, 0.3516146371, -0.4629679827],
    [0.5327304523, 0.684064357, 0.07812020837, -0.3642594546],
]
ANSWERS_V2 = [
    [-0.2077510557, -0.2734367018, -0.1613699346, -0.2741842217],
    [-0.1295816994, -0.239048381, -0.2627502586, -0.2401442111],
]


@pytest.mark.parametrize(
    ("kind", "published", "tensors"), [(KINDS[0], PUBLISHED_L, 287), (KINDS[1], PUBLISHED_V2, 295)]
)
def test_names_and_shapes_are_the_published_ones(
    kind: type[Encoder], published: dict[str, tuple[int, ...]], tensors: int
) -> None:
    encoder = kind()
    assert {name: tuple(tensor.shape) for name, tensor in encoder.state_dict().items()} == published
    assert len(published) == tensors


@pytest.mark.parametrize("prefix", ["", "module.__S__."])
def test_a_trainers_checkpoint_loads_strictly(prefix: str) -> None:
    source, target = narrow(ResNetSE34L), narrow(ResNetSE34L)
    checkpoint = {prefix + name: tensor for name, tensor in source.state_dict().items()}
    target.load_state_dict(network_state(checkpoint | {"__L__.w": torch.tensor(10.0)}), strict=True)
    assert all(torch.equal(a, b) for a, b in zip(source.parameters(), target.parameters(), strict=True))


def reference_features(clip: np.ndarray, n_mels: int, emphasise: bool) -> np.ndarray:
    if emphasise:
        clip = clip - 0.97 * np.concatenate([clip[1:2], clip[:-1]])
    energy = librosa.feature.melspectrogram(
        y=clip, sr=16_000, n_fft=512, win_length=400, hop_length=160, window="hamming", pad_mode="reflect",
        n_mels=n_mels, htk=True, norm=None,
    )  # fmt: skip
    level = np.log(energy + 1e-6)
    return (level - level.mean(1, keepdims=True)) / np.sqrt(level.var(1, keepdims=True) + 1e-5)


@pytest.mark.parametrize(("kind", "n_mels", "emphasise"), [(KINDS[0], 40, False), (KINDS[1], 64, True)])
def test_the_front_end_is_librosas(speech: Tensor, kind: type[Encoder], n_mels: int, emphasise: bool) -> None:
    features = kind(n_mels=n_mels, widths=(8, 8, 8, 8)).double().features(speech.double())
    for clip, mine in zip(speech.double().numpy(), features.numpy(), strict=True):
        np.testing.assert_allclose(mine, reference_features(clip, n_mels, emphasise), atol=5e-5)


def fill_with_waves(network: nn.Module) -> None:
    """Every weight a sample of a sine, so that any implementation can be given the same ones."""
    for index, (name, tensor) in enumerate(sorted(network.state_dict().items())):
        if "torchfb" in name or not tensor.is_floating_point():
            continue
        wave = torch.sin(0.7 * torch.arange(tensor.numel(), dtype=torch.float64) + index).view(tensor.shape)
        if name.endswith("running_var") or (tensor.dim() == 1 and name.endswith("weight")):
            tensor.copy_(1.0 + 0.4 * wave)
        elif tensor.dim() == 1:
            tensor.copy_(0.3 * wave)
        else:
            tensor.copy_(wave * 0.8 / tensor[0].numel() ** 0.5)


@pytest.mark.parametrize(("kind", "published"), [(KINDS[0], ANSWERS_L), (KINDS[1], ANSWERS_V2)])
def test_the_published_code_answers_the_same(kind: type[Encoder], published: list[list[float]]) -> None:
    encoder = kind(widths=(8, 8, 16, 16), n_mels=24, dim=4).double().eval()
    fill_with_waves(encoder)
    answer = encoder.embed(encoder.features(sweeps()))
    np.testing.assert_allclose(answer.detach(), published, rtol=1e-7)


def sweeps() -> Tensor:
    time_s = torch.arange(8000, dtype=torch.float64) / 16_000
    return torch.stack([torch.sin(9000.0 * time_s**power) + 0.1 * torch.cos(700.0 * time_s) for power in (2, 3)])


def test_a_block_without_weights_is_its_shortcut() -> None:
    block = Block(8, 8, stride=1, projects=False).eval()
    nn.init.zeros_(block.conv2.weight)
    maps = torch.rand(2, 8, 5, 6)
    torch.testing.assert_close(block(maps), maps)


@pytest.mark.parametrize("kind", KINDS)
def test_loudness_hardly_matters(speech: Tensor, kind: type[Encoder]) -> None:
    """In the log, a gain is an offset, which the normalisation removes where the 1e-6 does not tell."""
    encoder = trained(narrow(kind))
    hiss = speech[:, 6000:18_000].double() + 0.01 * torch.randn(2, 12_000)
    raw = encoder.embed(encoder.features(hiss))
    torch.testing.assert_close(encoder.embed(encoder.features(3.0 * hiss)), raw, atol=1e-2, rtol=1e-2)
