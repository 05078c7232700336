"""WaveRNN: the published names and shapes, and the same samples as a second implementation, loop by loop."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from plain_layers import Numbers, Shapes, normalisation, normalised, numbers, relative, shapes, sigmoid, softmax
from torch import Tensor

from voxveil.errors import BadInputError
from voxveil.models.vocoder.folding import cross_faded, fold
from voxveil.models.vocoder.wavernn import WaveRNN

SMALL: dict[str, Any] = {
    "bits": 5,
    "n_mels": 6,
    "width": 12,
    "context_width": 8,
    "blocks": 2,
    "rates": (2, 3),
    "pad": 1,
}


def published(classes: int) -> Shapes:
    """The tensors of ``vocoder.pt`` with so many logits."""
    table: Shapes = {"step": (1,), "upsample.resnet.conv_in.weight": (128, 80, 5)}
    table |= {"upsample.resnet.conv_out.weight": (128, 128, 1), "upsample.resnet.conv_out.bias": (128,)}
    table |= normalisation("upsample.resnet.batch_norm", 128)
    table |= normalisation("upsample.resnet.layers.{b}.batch_norm{i}", 128, b=10, i=(1, 2))
    table |= {f"upsample.resnet.layers.{b}.conv{i}.weight": (128, 128, 1) for b in range(10) for i in (1, 2)}
    table |= {f"upsample.up_layers.{n}.weight": (1, 1, 1, k) for n, k in ((1, 11), (3, 11), (5, 17))}
    for name, width in (("rnn1", 512), ("rnn2", 544)):
        table |= {f"{name}.weight_ih_l0": (1536, width), f"{name}.weight_hh_l0": (1536, 512)}
        table |= {f"{name}.bias_ih_l0": (1536,), f"{name}.bias_hh_l0": (1536,)}
    for name, shape in (("I", (512, 113)), ("fc1", (512, 544)), ("fc2", (512, 544)), ("fc3", (classes, 512))):
        table |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    return table


@pytest.mark.parametrize(("mode", "classes"), [("raw", 512), ("mol", 30)])
def test_names_and_shapes_are_the_published_ones(mode: Any, classes: int) -> None:
    vocoder = WaveRNN(mode)
    assert shapes(vocoder) == published(classes)
    assert (vocoder.sample_rate, vocoder.hop_samples) == (16_000, 200)
    # The published file, 53,845,290 bytes, holds the weights and two numbers for each of Adam's.
    stored = sum(parameter.numel() for parameter in vocoder.parameters()) * 4 * 3
    assert mode == "mol" or 0 < 53_845_290 - stored < 200_000


def lively(mode: Any = "raw") -> WaveRNN:
    """As after training: normalisations that do something, logits that differ, float64."""
    vocoder = WaveRNN(mode, **SMALL).double().eval().requires_grad_(False)
    for name, tensor in vocoder.state_dict().items():
        if "batch_norm" in name and tensor.is_floating_point():
            tensor.uniform_(0.5, 1.5) if name.endswith(("weight", "var")) else tensor.normal_(0.0, 0.3)
        elif "up_layers" in name:
            tensor.add_(0.1 * torch.randn_like(tensor))
    vocoder.fc3.weight.mul_(5.0)
    return vocoder


def smoothed(rows: np.ndarray, kernel: np.ndarray, rate: int) -> np.ndarray:
    repeated = np.repeat(rows, rate, axis=1)
    return np.stack([np.convolve(row, kernel[::-1], mode="same") for row in repeated])


def conditioned(padded: np.ndarray, state: Numbers, rates: tuple[int, ...], pad: int, blocks: int) -> np.ndarray:
    """Features [time, mel + context] of mel frames [mel, frame] in −1 … 1."""
    name = "upsample.resnet"
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * pad + 1, axis=1)
    x = np.einsum("ctk,ock->ot", windows, state[f"{name}.conv_in.weight"])
    x = np.maximum(0.0, normalised(x, state, f"{name}.batch_norm"))
    for b in range(blocks):
        layer = f"{name}.layers.{b}"
        inner = normalised(state[f"{layer}.conv1.weight"][..., 0] @ x, state, f"{layer}.batch_norm1")
        inner = state[f"{layer}.conv2.weight"][..., 0] @ np.maximum(0.0, inner)
        x = x + normalised(inner, state, f"{layer}.batch_norm2")
    x = state[f"{name}.conv_out.weight"][..., 0] @ x + state[f"{name}.conv_out.bias"][:, None]
    smooth = padded
    for index, rate in enumerate(rates):
        smooth = smoothed(smooth, state[f"upsample.up_layers.{2 * index + 1}.weight"][0, 0, 0], rate)
    hop = int(np.prod(rates))
    return np.concatenate([smooth[:, pad * hop : -pad * hop], np.repeat(x, hop, axis=1)]).T


def gru(x: np.ndarray, h: np.ndarray, state: Numbers, name: str) -> np.ndarray:
    seen = state[f"{name}.weight_ih_l0"] @ x + state[f"{name}.bias_ih_l0"]
    kept = state[f"{name}.weight_hh_l0"] @ h + state[f"{name}.bias_hh_l0"]
    (r, z, n), (hr, hz, hn) = np.split(seen, 3), np.split(kept, 3)
    update = sigmoid(z + hz)
    return (1.0 - update) * np.tanh(n + sigmoid(r + hr) * hn) + update * h


def dense(x: np.ndarray, state: Numbers, name: str) -> np.ndarray:
    return state[f"{name}.weight"] @ x + state[f"{name}.bias"]


class Loop:
    """The recurrent part, one sample after the other."""

    def __init__(self, state: Numbers, n_mels: int) -> None:
        self.state, self.n_mels = state, n_mels
        self.h1, self.h2 = (np.zeros(state[f"{name}.weight_hh_l0"].shape[1]) for name in ("rnn1", "rnn2"))

    def step(self, before: float, conditions: np.ndarray) -> np.ndarray:
        mel, a = conditions[: self.n_mels], np.split(conditions[self.n_mels :], 4)
        x = dense(np.concatenate([[before], mel, a[0]]), self.state, "I")
        self.h1 = gru(x, self.h1, self.state, "rnn1")
        x = x + self.h1
        self.h2 = gru(np.concatenate([x, a[1]]), self.h2, self.state, "rnn2")
        x = x + self.h2
        x = np.maximum(0.0, dense(np.concatenate([x, a[2]]), self.state, "fc1"))
        x = np.maximum(0.0, dense(np.concatenate([x, a[3]]), self.state, "fc2"))
        return dense(x, self.state, "fc3")


def features(vocoder: WaveRNN, padded: Tensor) -> np.ndarray:
    return conditioned(padded.numpy() / 4.0, numbers(vocoder), SMALL["rates"], SMALL["pad"], SMALL["blocks"])


@pytest.mark.parametrize("mode", ["raw", "mol"])
def test_logits_are_those_of_the_loop(mode: Any) -> None:
    vocoder = lively(mode)
    mel = 4.0 * torch.rand(2, 6, 7, dtype=torch.float64) - 2.0
    before = 2.0 * torch.rand(2, 30, dtype=torch.float64) - 1.0
    wanted = []
    for clip, samples in zip(mel, before.numpy(), strict=True):
        loop = Loop(numbers(vocoder), 6)
        wanted.append([loop.step(s, c) for s, c in zip(samples, features(vocoder, clip), strict=True)])
    assert relative(vocoder(before, mel), np.array(wanted)) < 1e-12


def test_generated_speech_is_that_of_the_loop() -> None:
    vocoder = lively()
    mel = 8.0 * torch.rand(1, 6, 31, dtype=torch.float64) - 4.0
    chances = torch.rand(1, 31 * 6, 1, generator=torch.Generator().manual_seed(5), dtype=torch.float64).flatten()
    loop, sample, speech, emphasised = Loop(numbers(vocoder), 6), 0.0, [], 0.0
    padded = torch.nn.functional.pad(mel[0], (1, 1))
    for chance, conditions in zip(chances.tolist(), features(vocoder, padded), strict=True):
        probability = softmax(loop.step(sample, conditions)[None])[0]
        sample = 2.0 * np.searchsorted(np.cumsum(probability), chance, side="right") / 31 - 1.0
        emphasised = np.sign(sample) * (32.0 ** abs(sample) - 1.0) / 31 + 0.97 * emphasised
        speech.append(emphasised)
    wanted = np.array(speech[: 30 * 6])
    wanted[-120:] *= np.linspace(1.0, 0.0, 120)
    got = vocoder.generate(mel, seed=5, fold_samples=31 * 6, overlap_samples=0)
    assert relative(got[0], wanted) < 1e-12


@pytest.mark.parametrize("mode", ["raw", "mol"])
def test_the_seed_decides_alone_and_a_batch_is_its_clips(mode: Any) -> None:
    vocoder = lively(mode)
    mel = 8.0 * torch.rand(2, 6, 25, dtype=torch.float64) - 4.0
    folding = {"fold_samples": 40, "overlap_samples": 10}
    speech = vocoder.generate(mel, seed=1, **folding)
    torch.manual_seed(99)
    assert torch.equal(vocoder.generate(mel, seed=1, **folding), speech)
    assert not torch.allclose(vocoder.generate(mel, seed=2, **folding), speech)
    one_by_one = torch.cat([vocoder.generate(clip[None], seed=1, **folding) for clip in mel])
    torch.testing.assert_close(one_by_one, speech)
    assert speech.shape == (2, 24 * 6)


def test_the_first_fold_is_the_beginning_of_the_whole() -> None:
    vocoder = lively()
    mel = 8.0 * torch.rand(1, 6, 60, dtype=torch.float64) - 4.0
    whole = vocoder.generate(mel, fold_samples=360, overlap_samples=0)
    folded = vocoder.generate(mel, fold_samples=100, overlap_samples=20)
    # Folds begin at 0 and 120; from 130 on the second is heard.
    torch.testing.assert_close(folded[:, :130], whole[:, :130])
    assert not torch.allclose(folded[:, 131:], whole[:, 131:])


def test_folds_cover_everything_once() -> None:
    for length in (5, 20, 21, 100, 101, 333):
        sequence = torch.arange(float(length))[None, :, None]
        folds = fold(sequence, fold_samples=30, overlap_samples=10)[0, :, :, 0]
        assert folds.shape[1] == 50
        for index, part in enumerate(folds.tolist()):
            wanted = [float(t) if t < length else 0.0 for t in range(40 * index, 40 * index + 50)]
            assert part == wanted
        assert 40 * (len(folds) - 1) + 10 < length or len(folds) == 1


@pytest.mark.parametrize("overlap", [0, 1, 2, 9, 10])
def test_cross_fades_keep_the_power(overlap: int) -> None:
    """Folds of noise, unlike each other: their powers add up to one at every sample."""
    folds = torch.eye(3, dtype=torch.float64)[:, :, None].expand(3, 3, 40)
    heard = cross_faded(folds, overlap)
    assert heard.shape == (3, 3 * (40 - overlap) + overlap)
    torch.testing.assert_close(heard.square().sum(0), torch.ones(heard.shape[1], dtype=torch.float64))
    warm_up = overlap // 2
    assert bool((heard[1, : 40 - overlap + warm_up] == 0.0).all())


def test_gradients_of_the_logits() -> None:
    vocoder = lively()
    mel = torch.randn(1, 6, 3, dtype=torch.float64, requires_grad=True)
    before = torch.rand(1, 6, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda m: vocoder(before, m), mel)


def test_one_frame_makes_no_sound() -> None:
    vocoder, mel = lively(), torch.zeros(1, 6, 2, dtype=torch.float64)
    assert vocoder.generate(mel, fold_samples=10, overlap_samples=4).shape == (1, 6)
    with pytest.raises(BadInputError, match=r"^A mel spectrum of fewer than two frames makes no sound: give a longer"):
        vocoder.generate(mel[:, :, :1])
