"""SV2TTS's Tacotron: the published names and shapes, and the same speech as a second implementation in NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from plain_layers import (
    Numbers,
    Shapes,
    affine,
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

from voxveil.models.synthesis import tacotron_decoder
from voxveil.models.synthesis.english_text import SYMBOLS
from voxveil.models.synthesis.tacotron import Reading, Tacotron

N_MELS, SPEAKER_DIM = 5, 3
Thinned = Callable[[np.ndarray], np.ndarray]


def kernels(name: str, width_in: int, width: int, projected: int) -> Shapes:
    """The convolutions, highways and recurrent layer of a CBHG."""
    table: Shapes = {f"{name}.conv1d_bank.{k}.conv.weight": (width, width_in, k + 1) for k in range(5)}
    table |= normalisation(f"{name}.conv1d_bank.{{k}}.bnorm", width, k=5)
    table |= {f"{name}.conv_project1.conv.weight": (width, 5 * width, 3)}
    table |= {f"{name}.conv_project2.conv.weight": (projected, width, 3)}
    table |= normalisation(f"{name}.conv_project1.bnorm", width)
    table |= normalisation(f"{name}.conv_project2.bnorm", projected)
    table |= affine(f"{name}.highways.{{i}}.W{{j}}", width, width, i=4, j=(1, 2))
    for way in ("", "_reverse"):
        table |= {f"{name}.rnn.weight_ih_l0{way}": (3 * width // 2, width)}
        table |= {f"{name}.rnn.weight_hh_l0{way}": (3 * width // 2, width // 2)}
        table |= {f"{name}.rnn.bias_{part}_l0{way}": (3 * width // 2,) for part in ("ih", "hh")}
    return table


def cell(name: str, gates: int, width_in: int, width: int) -> Shapes:
    return {
        **{f"decoder.{name}.weight_ih": (gates * width, width_in), f"decoder.{name}.weight_hh": (gates * width, width)},
        **{f"decoder.{name}.bias_{part}": (gates * width,) for part in ("ih", "hh")},
    }


PUBLISHED: Shapes = {
    **{"step": (1,), "stop_threshold": (), "decoder.r": ()},
    "encoder.embedding.weight": (66, 512),
    **affine("encoder.pre_net.fc1", 256, 512),
    **affine("encoder.pre_net.fc2", 256, 256),
    **kernels("encoder.cbhg", 256, 256, 256),
    "encoder_proj.weight": (128, 512),
    **affine("decoder.prenet.fc1", 256, 80),
    **affine("decoder.prenet.fc2", 256, 256),
    **affine("decoder.attn_net.conv", 32, 1, 31),
    "decoder.attn_net.L.weight": (128, 32),
    **affine("decoder.attn_net.W", 128, 128),
    "decoder.attn_net.v.weight": (1, 128),
    **cell("attn_rnn", 3, 768, 128),
    **affine("decoder.rnn_input", 1024, 640),
    **cell("res_rnn1", 4, 1024, 1024),
    **cell("res_rnn2", 4, 1024, 1024),
    "decoder.mel_proj.weight": (1600, 1024),
    **affine("decoder.stop_proj", 1, 1536),
    **kernels("postnet", 80, 512, 80),
    "postnet.pre_highway.weight": (512, 80),
    "post_proj.weight": (80, 512),
}


def test_names_and_shapes_are_the_published_ones() -> None:
    network = Tacotron()
    assert shapes(network) == PUBLISHED
    assert len(PUBLISHED) == 170
    assert (len(SYMBOLS), int(network.decoder.r), round(float(network.stop_threshold), 1)) == (66, 2, -3.4)
    # The published file, 370,554,559 bytes, holds the weights and two numbers for each of Adam's.
    stored = sum(parameter.numel() for parameter in network.parameters()) * 4 * 3
    assert 0 < 370_554_559 - stored < 200_000


def lively(dropout: float, reduction: int = 2) -> Tacotron:
    """As after training: normalisations that do something, attention that moves, stop tokens of either sign."""
    network = Tacotron(
        symbols=9, speaker_dim=SPEAKER_DIM, n_mels=N_MELS, embedding_width=7, encoder_width=6, decoder_width=4,
        lstm_width=11, postnet_width=8, kernels=4, highways=2, dropout=dropout, reduction=reduction,
    )  # fmt: skip
    unlike_new(network)
    network.decoder.attn_net.v.weight.mul_(4.0)
    network.decoder.attn_net.L.weight.mul_(4.0)
    network.decoder.mel_proj.weight.mul_(3.0)
    return network


@pytest.fixture
def voices() -> Tensor:
    return torch.nn.functional.normalize(torch.rand(3, SPEAKER_DIM).double(), dim=1)


TEXT = torch.tensor([[3, 8, 4, 4, 2, 7, 5, 1], [5, 3, 2, 8, 1, 0, 0, 0], [6, 2, 2, 3, 4, 5, 1, 0]])


def dense(x: np.ndarray, state: Numbers, name: str) -> np.ndarray:
    return x @ state[f"{name}.weight"].T + state.get(f"{name}.bias", 0.0)


def convolution(x: np.ndarray, state: Numbers, name: str, rectified: bool = True) -> np.ndarray:
    weight = state[f"{name}.conv.weight"]
    padded = np.pad(x, ((0, 0), (weight.shape[2] // 2,) * 2))
    y = sum(weight[:, :, k] @ padded[:, k : k + x.shape[1]] for k in range(weight.shape[2]))
    return normalised(np.maximum(0.0, y) if rectified else y, state, f"{name}.bnorm")


def gru(x: np.ndarray, h: np.ndarray, state: Numbers, name: str, layer: str = "") -> np.ndarray:
    seen = state[f"{name}.weight_ih{layer}"] @ x + state[f"{name}.bias_ih{layer}"]
    kept = state[f"{name}.weight_hh{layer}"] @ h + state[f"{name}.bias_hh{layer}"]
    (r, z, n), (hr, hz, hn) = np.split(seen, 3), np.split(kept, 3)
    update = sigmoid(z + hz)
    return (1.0 - update) * np.tanh(n + sigmoid(r + hr) * hn) + update * h


def lstm(x: np.ndarray, past: tuple[np.ndarray, np.ndarray], state: Numbers, name: str) -> Any:
    gates = state[f"{name}.weight_ih"] @ x + state[f"{name}.weight_hh"] @ past[0]
    i, f, g, o = np.split(gates + state[f"{name}.bias_ih"] + state[f"{name}.bias_hh"], 4)
    cell = sigmoid(f) * past[1] + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(cell), cell


def around(x: np.ndarray, state: Numbers, name: str) -> np.ndarray:
    """CBHG of [width, frame]."""
    bank = np.concatenate([convolution(x, state, f"{name}.conv1d_bank.{k}") for k in range(4)])
    bank[:, 1:] = np.maximum(bank[:, 1:], bank[:, :-1])
    projected = convolution(bank, state, f"{name}.conv_project1")
    y = (x + convolution(projected, state, f"{name}.conv_project2", rectified=False)).T
    if f"{name}.pre_highway.weight" in state:
        y = dense(y, state, f"{name}.pre_highway")
    for i in range(2):
        gate = sigmoid(dense(y, state, f"{name}.highways.{i}.W2"))
        y = gate * np.maximum(0.0, dense(y, state, f"{name}.highways.{i}.W1")) + (1.0 - gate) * y
    ways = []
    for way, frames in (("_l0", y), ("_l0_reverse", y[::-1])):
        h, heard = np.zeros(y.shape[1] // 2), []
        for frame in frames:
            h = gru(frame, h, state, f"{name}.rnn", way)
            heard.append(h)
        ways.append(np.stack(heard if way == "_l0" else heard[::-1]))
    return np.concatenate(ways, axis=1)


def prenet(x: np.ndarray, state: Numbers, name: str, thinned: Thinned) -> np.ndarray:
    for layer in ("fc1", "fc2"):
        x = thinned(np.maximum(0.0, dense(x, state, f"{name}.{layer}")))
    return x


class Loop:
    """The decoder, one step after the other, for one clip."""

    def __init__(self, state: Numbers, text: np.ndarray, voice: np.ndarray, thinned: Thinned) -> None:
        self.state, self.text, self.thinned = state, text, thinned
        letters = prenet(state["encoder.embedding.weight"][text], state, "encoder.pre_net", thinned)
        heard = around(letters.T, state, "encoder.cbhg")
        self.encoded = np.concatenate([heard, np.tile(voice, (len(text), 1))], axis=1)
        self.keys = dense(self.encoded, state, "encoder_proj")
        width, self.wide = (
            len(state[f"decoder.{name}.bias_hh"]) // n for name, n in (("attn_rnn", 3), ("res_rnn1", 4))
        )
        self.query, self.context = np.zeros(width), np.zeros(self.encoded.shape[1])
        self.past = [(np.zeros(self.wide), np.zeros(self.wide)) for _ in range(2)]
        self.attended = np.zeros(len(text))

    def step(self, before: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        state = self.state
        heard = np.concatenate([self.context, prenet(before, state, "decoder.prenet", self.thinned)])
        self.query = gru(heard, self.query, state, "decoder.attn_rnn")
        weight = state["decoder.attn_net.conv.weight"]
        padded = np.pad(self.attended, weight.shape[2] // 2)
        location = np.lib.stride_tricks.sliding_window_view(padded, weight.shape[2]) @ weight[:, 0].T
        location = dense(location + state["decoder.attn_net.conv.bias"], state, "decoder.attn_net.L")
        energy = np.tanh(dense(self.query, state, "decoder.attn_net.W") + self.keys + location)
        attention = softmax((dense(energy, state, "decoder.attn_net.v")[:, 0] * (self.text != 0))[None])[0]
        self.attended = self.attended + attention
        self.context = attention @ self.encoded
        x = dense(np.concatenate([self.context, self.query]), state, "decoder.rnn_input")
        for i in range(2):
            self.past[i] = lstm(x, self.past[i], state, f"decoder.res_rnn{i + 1}")
            x = x + self.past[i][0]
        frames = dense(x, state, "decoder.mel_proj").reshape(N_MELS, 20)[:, : int(state["decoder.r"])]
        return frames, attention, float(dense(np.concatenate([x, self.context]), state, "decoder.stop_proj")[0])


def sharpened(coarse: np.ndarray, state: Numbers) -> np.ndarray:
    return dense(around(coarse, state, "postnet"), state, "post_proj").T


def all_kept(x: np.ndarray) -> np.ndarray:
    return x


@pytest.mark.parametrize("reduction", [1, 2, 3])
def test_the_network_is_the_one_written_in_numpy(voices: Tensor, reduction: int) -> None:
    network = lively(dropout=0.0, reduction=reduction)
    state = numbers(network)
    mel = 4.0 * torch.rand(3, N_MELS, 12).double() - 2.0
    readings = []
    for text, voice, told in zip(TEXT.numpy(), voices.numpy(), mel.numpy(), strict=True):
        loop = Loop(state, text, voice, all_kept)
        before = np.concatenate([np.zeros((N_MELS, 1)), told], axis=1)
        frames, attention, stop = zip(*(loop.step(before[:, t]) for t in range(0, 12, reduction)), strict=True)
        coarse = np.concatenate(frames, axis=1)
        readings.append((coarse, sharpened(coarse, state), np.stack(attention), np.array(stop)))
    got = network(TEXT, mel, voices)
    for mine, wanted in zip(got, zip(*readings, strict=True), strict=True):
        assert relative(mine, np.stack(wanted)) < 1e-12
    assert got.attention.std() > 0.05, "or wherever it looks would be the same"
    assert bool((got.attention[1, :, 5:] > 0.0).all()), "places without text keep a share, as published"


def drawn(seed: int) -> Thinned:
    generator = torch.Generator().manual_seed(seed)
    return lambda x: 2.0 * x * torch.empty(x.shape).bernoulli_(0.5, generator=generator).numpy()


def spoken(state: Numbers, text: np.ndarray, voice: np.ndarray, seed: int, most_frames: int) -> Reading:
    loop, before, steps = Loop(state, text, voice, drawn(seed)), np.zeros(N_MELS), []
    reduction = int(state["decoder.r"])
    for start in range(0, most_frames, reduction):
        steps.append(loop.step(before))
        before = steps[-1][0][:, -1]
        if start > 10 and sigmoid(np.array(steps[-1][2])) > 0.5:
            break
    frames, attention, stop = zip(*steps, strict=True)
    coarse = np.concatenate(frames, axis=1)
    return Reading(*map(torch.as_tensor, (coarse, sharpened(coarse, state), np.stack(attention), np.array(stop))))


def ending(network: Tacotron, voices: Tensor) -> Tacotron:
    """With a stop token that comes for one voice at once, for another late, and for the third never."""
    network.decoder.stop_proj.bias.fill_(-1e3)
    readings = network.generate(TEXT[:1].expand(3, -1), voices, seed=4, most_frames=50)
    _, late, _ = sorted(float(reading.stop[7:].max()) for reading in readings)
    network.decoder.stop_proj.bias.sub_(late - 1e-6)
    return network


def test_generated_speech_is_that_of_the_loop(voices: Tensor) -> None:
    network = ending(lively(dropout=0.5), voices)
    got = network.generate(TEXT[:1].expand(3, -1), voices, seed=4, most_frames=50)
    wanted = [spoken(numbers(network), TEXT[0].numpy(), voice, 4, 50) for voice in voices.numpy()]
    first, late, never = sorted(2 * len(reading.stop) for reading in got)
    assert first == 14 < late < never == 50
    for mine, theirs in zip(got, wanted, strict=True):
        for part, other in zip(mine, theirs, strict=True):
            assert part.shape == other.shape
            torch.testing.assert_close(part, other, rtol=1e-9, atol=1e-12)


def test_a_clip_is_the_same_in_every_batch_and_the_seed_decides_alone(voices: Tensor) -> None:
    network, text = ending(lively(dropout=0.5), voices), TEXT[:1].expand(3, -1)
    together = network.generate(text, voices, seed=4, most_frames=50)
    torch.manual_seed(99)
    again = network.generate(text, voices, seed=4, most_frames=50)
    for row, reading in enumerate(together):
        (alone,) = network.generate(text[:1], voices[row : row + 1], seed=4, most_frames=50)
        for part, other, same in zip(reading, alone, again[row], strict=True):
            torch.testing.assert_close(part, other)
            assert torch.equal(part, same)
    (other,) = network.generate(text[:1], voices[:1], seed=5, most_frames=14)
    assert not torch.allclose(together[0].coarse[:, :14], other.coarse)


@pytest.mark.parametrize(("reduction", "least"), [(1, 12), (2, 14), (5, 20)])
def test_speech_has_a_shortest_and_a_longest_length(voices: Tensor, reduction: int, least: int) -> None:
    """As published, no speech is over before the first step that begins after more than ten frames."""
    network = lively(dropout=0.5, reduction=reduction)
    network.decoder.stop_proj.bias.fill_(1e3)
    assert network.generate(TEXT[:1], voices[:1])[0].coarse.shape == (N_MELS, least)
    network.decoder.stop_proj.bias.fill_(-1e3)
    (endless,) = network.generate(TEXT[:1], voices[:1], most_frames=29)
    assert endless.coarse.shape == (N_MELS, 29 + -29 % reduction)
    assert endless.stop[-1] < 0.0


def test_silence_at_the_end_is_cut_off(voices: Tensor) -> None:
    network = lively(dropout=0.5)
    levels = torch.full((1, 8, N_MELS), -3.41, dtype=torch.float64)
    network.post_proj.forward = lambda frames: levels
    network.postnet.forward = lambda coarse: coarse.mT
    (silent,) = network.generate(TEXT[:1], voices[:1], most_frames=8)
    assert silent.mel.shape == silent.coarse.shape == (N_MELS, 0)
    levels[0, 5, 2] = -3.4
    (loud,) = network.generate(TEXT[:1], voices[:1], most_frames=8)
    assert loud.mel.shape == loud.coarse.shape == (N_MELS, 6)
    assert loud.attention.shape[0] == len(loud.stop) == 4


def test_the_prenets_forget_at_all_times_and_the_recurrent_layers_in_training_only(
    voices: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    mel = torch.rand(3, N_MELS, 6).double()
    forgetful, sure = lively(dropout=0.5), lively(dropout=0.0)
    assert not torch.allclose(forgetful(TEXT, mel, voices).coarse, forgetful(TEXT, mel, voices).coarse)
    assert torch.equal(sure(TEXT, mel, voices).coarse, sure(TEXT, mel, voices).coarse)
    decoder = sure.decoder.train()
    assert not torch.allclose(sure(TEXT, mel, voices).coarse, sure(TEXT, mel, voices).coarse)
    monkeypatch.setattr(tacotron_decoder, "ZONEOUT", 0.0)
    told = sure(TEXT, mel, voices)
    decoder.eval()
    torch.testing.assert_close(told.coarse, sure(TEXT, mel, voices).coarse)


def test_a_tenth_of_the_recurrent_layers_outputs_is_held_in_training(voices: Tensor) -> None:
    decoder = tacotron_decoder.Decoder(N_MELS, dim=6, width=4, lstm_width=1000, dropout=0.0, reduction=2)
    memory = tacotron_decoder.Memory(torch.rand(1, 3, 6), torch.rand(1, 3, 4), torch.ones(1, 3, dtype=torch.bool))
    held = torch.rand(1, 1000)
    state = decoder.rest(memory)._replace(first=(held, held), second=(held, held))
    with torch.no_grad():
        after = decoder.train()(torch.zeros(1, N_MELS), state, memory).state
    for hidden, cell in (after.first, after.second):
        assert float((hidden == held).float().mean()) == pytest.approx(0.1, abs=0.03)
        assert not bool((cell == held).any())


def test_gradient_of_the_speaker_is_that_of_finite_differences(voices: Tensor) -> None:
    network = lively(dropout=0.5)
    network.decoder.stop_proj.bias.fill_(-1e3)
    mel, weights = torch.rand(3, N_MELS, 12).double(), torch.randn(3, N_MELS, 12).double()

    def told(speaker: Tensor) -> Tensor:
        torch.manual_seed(7)
        reading = network(TEXT, mel, speaker)
        return ((reading.coarse + reading.mel) * weights).sum() + reading.attention.square().sum() + reading.stop.sum()

    def generated(speaker: Tensor) -> Tensor:
        readings = network.generate(TEXT[:1].expand(3, -1), speaker, most_frames=12)
        return sum(((r.coarse + r.mel) * weight).sum() for r, weight in zip(readings, weights, strict=True))

    for loss in (told, generated):
        speaker = voices.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(loss(speaker), speaker)
        assert bool((gradient.norm(dim=1) > 0.0).all())
        for _ in range(3):
            direction = torch.randn_like(voices)
            slope = float(loss(voices + 1e-6 * direction) - loss(voices - 1e-6 * direction)) / 2e-6
            assert float((gradient * direction).sum()) == pytest.approx(slope, rel=1e-4, abs=1e-6)


def test_a_checkpoint_brings_the_number_of_frames_a_step(voices: Tensor) -> None:
    network = lively(dropout=0.0, reduction=1)
    network.load_state_dict(lively(dropout=0.0, reduction=4).state_dict(), strict=True)
    reading = network(TEXT, torch.zeros(3, N_MELS, 10).double(), voices)
    assert (reading.stop.shape, reading.mel.shape) == ((3, 3), (3, N_MELS, 12)), "three steps of four frames"
