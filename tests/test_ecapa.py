"""ECAPA-TDNN: the published names and shapes, and the same numbers as a second implementation in NumPy."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

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
    softmax,
    unlike_new,
)
from torch import Tensor

from voxveil import hub, loading
from voxveil.audio.fbank import Fbank
from voxveil.models.speaker.ecapa import ECAPA, AttentiveStatistics, Res2Net, statistics


def published(channels: int) -> Shapes:
    """The tensors of ``embedding_model.ckpt``, were it ``channels`` wide instead of 1024."""
    part, pooled, blocks = channels // 8, 3 * channels, range(1, 4)
    return {
        **affine("blocks.0.conv.conv", channels, 80, 5),
        **normalisation("blocks.0.norm.norm", channels),
        **affine("blocks.{b}.tdnn{i}.conv.conv", channels, channels, 1, b=blocks, i=(1, 2)),
        **normalisation("blocks.{b}.tdnn{i}.norm.norm", channels, b=blocks, i=(1, 2)),
        **affine("blocks.{b}.res2net_block.blocks.{i}.conv.conv", part, part, 3, b=blocks, i=7),
        **normalisation("blocks.{b}.res2net_block.blocks.{i}.norm.norm", part, b=blocks, i=7),
        **affine("blocks.{b}.se_block.conv1.conv", 128, channels, 1, b=blocks),
        **affine("blocks.{b}.se_block.conv2.conv", channels, 128, 1, b=blocks),
        **affine("mfa.conv.conv", pooled, 3 * channels, 1),
        **normalisation("mfa.norm.norm", pooled),
        **affine("asp.tdnn.conv.conv", 128, 3 * pooled, 1),
        **normalisation("asp.tdnn.norm.norm", 128),
        **affine("asp.conv.conv", pooled, 128, 1),
        **normalisation("asp_bn.norm", 2 * pooled),
        **affine("fc.conv", 192, 2 * pooled, 1),
    }


@pytest.mark.parametrize("channels", [256, 1024])
def test_names_and_shapes_are_the_published_ones(channels: int) -> None:
    assert shapes(ECAPA(channels)) == published(channels)


def test_the_published_size() -> None:
    assert len(published(1024)) == 231
    assert sum(parameter.numel() for parameter in ECAPA().parameters()) == 20_767_552
    # The published file has 83,316,686 bytes: these tensors, and a few hundred bytes of names for each.
    stored = sum(tensor.numel() * tensor.element_size() for tensor in ECAPA().state_dict().values())
    assert 0 < 83_316_686 - stored < 231 * 512


def time_delay(x: np.ndarray, state: Numbers, name: str, dilation: int = 1) -> np.ndarray:
    return normalised(np.maximum(0.0, convolved(x, state, f"{name}.conv.conv", dilation)), state, f"{name}.norm.norm")


def block(x: np.ndarray, state: Numbers, name: str, dilation: int) -> np.ndarray:
    mixed = time_delay(x, state, f"{name}.tdnn1")
    part = len(mixed) // 8
    out = mixed.copy()
    before: np.ndarray | float = 0.0
    for i in range(1, 8):
        rows = slice(i * part, (i + 1) * part)
        before = time_delay(mixed[rows] + before, state, f"{name}.res2net_block.blocks.{i - 1}", dilation)
        out[rows] = before
    out = time_delay(out, state, f"{name}.tdnn2")
    narrow = np.maximum(0.0, convolved(out.mean(1, keepdims=True), state, f"{name}.se_block.conv1.conv"))
    return x + out * sigmoid(convolved(narrow, state, f"{name}.se_block.conv2.conv"))


def moments(x: np.ndarray, share: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean = (share * x).sum(1)
    return mean, np.sqrt(np.maximum(1e-12, (share * (x - mean[:, None]) ** 2).sum(1)))


def embedded(features: np.ndarray, state: Numbers) -> np.ndarray:
    x = time_delay(features, state, "blocks.0")
    outputs = []
    for number, dilation in ((1, 2), (2, 3), (3, 4)):
        x = block(x, state, f"blocks.{number}", dilation)
        outputs.append(x)
    x = time_delay(np.concatenate(outputs), state, "mfa")
    rows = [np.broadcast_to(part[:, None], x.shape) for part in moments(x, np.full_like(x, 1.0 / x.shape[1]))]
    hidden = np.tanh(time_delay(np.concatenate([x, *rows]), state, "asp.tdnn"))
    share = softmax(convolved(hidden, state, "asp.conv.conv"))
    pooled = normalised(np.concatenate(moments(x, share))[:, None], state, "asp_bn.norm")
    return convolved(pooled, state, "fc.conv")[:, 0]


@pytest.mark.parametrize("channels", [16, 32])
def test_the_network_is_the_one_written_in_numpy(speech: Tensor, channels: int) -> None:
    network = unlike_new(ECAPA(channels, squeeze_channels=6, attention_channels=5, dim=12))
    features = network.features(speech[:, :16_000].double())
    wanted = np.stack([embedded(clip.numpy(), numbers(network)) for clip in features])
    assert relative(network.embed(features), wanted) < 1e-9


def test_the_first_slice_passes_unchanged() -> None:
    frames = torch.randn(2, 16, 20)
    assert torch.equal(Res2Net(16, dilation=3).eval()(frames)[:, :2], frames[:, :2])


def test_pooling_knows_no_order_and_no_length() -> None:
    frames = torch.randn(2, 16, 30, dtype=torch.float64)
    pool = unlike_new(AttentiveStatistics(16, 4))
    wanted = pool(frames)
    assert torch.allclose(pool(frames[..., torch.randperm(30)]), wanted)
    assert torch.allclose(pool(frames.repeat(1, 1, 3)), wanted)


def test_statistics_of_equal_shares_are_numpys() -> None:
    frames = torch.randn(2, 4, 9, dtype=torch.float64)
    wanted = np.concatenate([frames.numpy().mean(2), frames.numpy().std(2)], axis=1)
    assert np.allclose(statistics(frames, torch.full_like(frames, 1 / 9)).numpy(), wanted)


def test_constant_frames_have_a_finite_gradient() -> None:
    frames = torch.ones(1, 16, 10, requires_grad=True)
    AttentiveStatistics(16, 4).eval()(frames).sum().backward()
    assert frames.grad is not None and bool(frames.grad.isfinite().all())


def test_a_checkpoint_of_the_published_kind_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Random weights under the published names, size and shapes; only the card's sha256 and source are others."""
    published = unlike_new(ECAPA()).float()
    stand_in = tmp_path / "embedding_model.ckpt"
    torch.save(published.state_dict(), stand_in)
    content = stand_in.read_bytes()
    shipped = hub.card("ecapa-voxceleb")
    assert abs(len(content) - shipped.weights.bytes) < 231 * 512
    described = replace(
        shipped.weights,
        sha256=hashlib.sha256(content).hexdigest(),
        bytes=len(content),
        sources=(f"path:{stand_in}",),
    )
    monkeypatch.delenv("VOXVEIL_MODELS", raising=False)
    monkeypatch.setenv("VOXVEIL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(hub, "card", lambda name: replace(shipped, weights=described))
    loaded = loading.embedder("ecapa-voxceleb")
    features = 10.0 * torch.randn(1, 80, 50)
    assert torch.equal(loaded.embed(features), published.embed(features))
    assert not loaded.training
    assert loading.verifier("ecapa-voxceleb").threshold == 0.25


def test_speechbrains_own_code_gives_the_same(speech: Tensor) -> None:
    """Weights, front end and network, against the package that published them."""
    why = "a check against the package speechbrain, which Voxveil does not need"
    official = pytest.importorskip("speechbrain.lobes.models.ECAPA_TDNN", reason=why)
    features = pytest.importorskip("speechbrain.lobes.features", reason=why)
    channels = [64, 64, 64, 64, 192]
    reference = unlike_new(official.ECAPA_TDNN(80, channels=channels)).float()
    network = ECAPA(64).eval()
    network.load_state_dict(reference.state_dict(), strict=True)
    levels = features.Fbank(n_mels=80)(speech)
    assert (Fbank(80)(speech).transpose(1, 2) - levels).abs().max() < 1e-3
    with torch.no_grad():
        wanted = reference(levels - levels.mean(1, keepdim=True))[:, 0].numpy()
        assert relative(network.embed(network.features(speech)), wanted) < 1e-4
