"""The speaker encoder is the published one: its tensors, its framing, its front end, and what it can tell apart."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile as sf
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from voxveil import hub
from voxveil.metrics.rates import equal_error_rate
from voxveil.models.speaker.ge2e import GE2E, window_starts
from voxveil.models.speaker.known_answer import known_answer

DATA = Path(__file__).parent / "data"
NAMES = [f"{voice}-{number}" for voice in ("awb", "kal16", "rms", "slt") for number in (1, 2)]


def clip(name: str) -> Tensor:
    return torch.as_tensor(sf.read(DATA / f"{name}.flac")[0], dtype=torch.float32)[None]


def at_dbfs(speech: Tensor, level: float) -> Tensor:
    return speech * (10.0 ** (level / 20.0) / speech.square().mean().sqrt())


def scores(encoder: nn.Module) -> tuple[np.ndarray, np.ndarray]:
    """The cosines of all pairs of the eight clips: of one voice, and of two."""
    with torch.no_grad():
        embedded = {name: encoder(clip(name))[0] for name in NAMES}
    same, other = [], []
    for one, two in combinations(NAMES, 2):
        pair = same if one.split("-")[0] == two.split("-")[0] else other
        pair.append(float(embedded[one] @ embedded[two]))
    return np.array(same), np.array(other)


def test_the_state_dict_is_the_published_one():
    """Names and shapes of ``encoder.pt`` of Real-Time-Voice-Cloning, from its source."""
    wanted = {"similarity_weight": (1,), "similarity_bias": (1,), "linear.weight": (256, 256), "linear.bias": (256,)}
    for layer, inputs in enumerate((40, 256, 256)):
        wanted[f"lstm.weight_ih_l{layer}"] = (1024, inputs)
        wanted[f"lstm.weight_hh_l{layer}"] = (1024, 256)
        wanted[f"lstm.bias_ih_l{layer}"] = wanted[f"lstm.bias_hh_l{layer}"] = (1024,)
    assert {name: tuple(tensor.shape) for name, tensor in GE2E().state_dict().items()} == wanted


@pytest.mark.weights
def test_the_weights_are_in_the_network(ge2e):
    published = hub.load_state("ge2e")
    assert all(torch.equal(tensor, published[name]) for name, tensor in ge2e.state_dict().items())
    proof = hub.card("ge2e").self_test
    expected = torch.tensor(proof.expected)
    assert float((known_answer(ge2e) - expected).abs().max()) <= proof.tolerance
    assert float((known_answer(GE2E()) - expected).abs().max()) > 10 * proof.tolerance


@pytest.mark.weights
def test_it_tells_the_four_voices_apart(ge2e):
    same, other = scores(ge2e)
    assert len(same) == 4 and len(other) == 24
    rate, threshold = equal_error_rate(same, other)
    assert rate == 0.0
    assert same.min() > 0.90 and other.max() < 0.80, "with room between them"
    calibrated = hub.card("ge2e").thresholds["cosine"]["eer"].value
    assert abs(threshold - calibrated) < 0.15, "synthetic voices, yet the card's threshold is about right"


@pytest.mark.parametrize("seed", [0, 1])
def test_a_network_without_the_weights_tells_nobody_apart(seed):
    torch.manual_seed(seed)
    same, other = scores(GE2E())
    assert other.max() > 0.99, "strangers are as alike as can be"
    assert same.min() - other.max() < 0.005


def published_starts(samples: int, step: int) -> list[int]:
    """``compute_partial_slices`` of Resemblyzer, rewritten for one list."""
    frames = int(np.ceil((samples + 1) / 160))
    starts, start = [], 0
    while start < max(1, frames - 160 + step + 1):
        starts.append(start)
        start += step
    last = np.array([starts[-1], starts[-1] + 160]) * 160
    if (samples - last[0]) / (last[1] - last[0]) < 0.75 and len(starts) > 1:
        del starts[-1]
    return starts


@given(samples=st.integers(1, 700_000), rate=st.sampled_from([1.3, 2.0, 0.625]))
def test_the_framing_is_the_published_rule(samples, rate):
    step = int(np.round(16_000 / rate / 160))
    assert window_starts(samples, step) == published_starts(samples, step)


def independent(state: dict[str, Tensor], speech: np.ndarray) -> np.ndarray:
    """Resemblyzer's ``embed_utterance`` on librosa and a bare LSTM."""
    level = 10 * np.log10(np.mean(speech**2))
    speech = speech * 10 ** (max(0.0, -30.0 - level) / 20)
    starts = published_starts(len(speech), 77)
    speech = np.pad(speech, (0, max(0, (starts[-1] + 160) * 160 - len(speech))))
    mel = librosa.feature.melspectrogram(y=speech, sr=16_000, n_fft=400, hop_length=160, n_mels=40).T
    lstm = nn.LSTM(40, 256, 3, batch_first=True).double()
    lstm.load_state_dict({name[5:]: tensor for name, tensor in state.items() if name.startswith("lstm.")})
    with torch.no_grad():
        windows = torch.as_tensor(np.stack([mel[start : start + 160] for start in starts]))
        last = lstm(windows)[0][:, -1].numpy()
    raw = np.maximum(last @ state["linear.weight"].double().numpy().T + state["linear.bias"].double().numpy(), 0.0)
    mean = (raw / np.linalg.norm(raw, axis=1, keepdims=True)).mean(0)
    return mean / np.linalg.norm(mean)


@pytest.mark.weights
@pytest.mark.parametrize(("name", "samples"), [("slt-1", None), ("kal16-1", None), ("rms-2", 12_000)])
def test_it_is_the_network_that_others_compute(ge2e, name, samples):
    speech = clip(name)[:, 4000:][:, :samples]
    theirs = independent(ge2e.state_dict(), speech[0].double().numpy())
    assert float(ge2e(speech)[0].double().numpy() @ theirs) > 1.0 - 1e-4
    other = independent(ge2e.state_dict(), clip("awb-1")[0].double().numpy())
    assert float(ge2e(speech)[0].double().numpy() @ other) < 0.9, "a cosine near 1 says something"


def test_a_batch_is_its_clips_one_by_one(speech):
    encoder = GE2E()
    with torch.no_grad():
        together = encoder(speech)
        alone = torch.cat([encoder(one[None]) for one in speech])
    assert torch.allclose(together, alone, atol=1e-6)
    assert torch.allclose(together.norm(dim=-1), torch.ones(2), atol=1e-6)
    assert bool((together >= 0.0).all())


@pytest.mark.parametrize("level", [-20.0, -45.0])
def test_the_gradient_is_that_of_finite_differences(speech, generator, level):
    """Above and below the level from which quiet clips are raised."""
    encoder = GE2E().double()
    clean = at_dbfs(speech[:1, 8000:11_200].double(), level).requires_grad_(True)
    direction = torch.randn(256, generator=generator, dtype=torch.float64)

    def value(x: Tensor) -> Tensor:
        return encoder(x)[0] @ direction

    (slope,) = torch.autograd.grad(value(clean), clean)
    with torch.no_grad():
        for _ in range(3):
            way = torch.randn(clean.shape, generator=generator, dtype=torch.float64)
            step = 1e-5 * clean.std() * way
            measured = (value(clean + step) - value(clean - step)) / 2.0
            assert float(measured) == pytest.approx(float((slope * step).sum()), rel=1e-4, abs=1e-12)


def test_the_gradient_reaches_every_sample_that_is_heard(speech):
    encoder = GE2E()
    clean = speech[:1, :32_000].clone().requires_grad_(True)
    encoder(clean)[0, :16].sum().backward()
    assert bool(torch.isfinite(clean.grad).all())
    assert float((clean.grad != 0.0).float().mean()) > 0.99


@pytest.mark.weights
def test_the_coarse_twin_is_the_same_network_on_fewer_windows(ge2e):
    twin = ge2e.coarse()
    assert [id(p) for p in twin.parameters()] == [id(p) for p in ge2e.parameters()]
    speech = clip("rms-1")
    assert twin.step_frames == 160 and ge2e.step_frames == 77
    alike = float(twin(speech)[0] @ ge2e(speech)[0])
    assert 0.97 < alike < 1.0 - 1e-6, "near, and not the same framing"


@pytest.mark.weights
def test_quiet_clips_are_raised_and_loud_ones_left(ge2e):
    speech = clip("slt-1")
    at = {level: ge2e(at_dbfs(speech, level))[0] for level in (-20.0, -30.0, -31.0, -51.0)}
    assert torch.allclose(at[-51.0], at[-31.0], atol=1e-4), "20 dB quieter, the same embedding"
    assert torch.allclose(at[-31.0], at[-30.0], atol=1e-4)
    assert not torch.allclose(at[-20.0], at[-30.0], atol=1e-3), "as published, only ever raised"
    assert 0.85 < float(at[-20.0] @ at[-30.0]) < 0.99


def test_silence_and_very_short_clips_give_numbers():
    encoder = GE2E()
    for samples in (1, 399, 16_000):
        assert bool(torch.isfinite(encoder(torch.zeros(1, samples))).all())
