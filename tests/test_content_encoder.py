"""The content encoder: its formula written in NumPy, what it does not hear, and how it is trained."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from running import DATA, voxveil_here
from scipy.special import logsumexp
from tiny import corpus as recorded
from torch import Generator, Tensor

from voxveil import loading
from voxveil.audio.synthetic_mark import is_marked
from voxveil.cards.card import card
from voxveil.models.conversion.content_encoder import ContentEncoder
from voxveil.models.conversion.stacked_cepstra import StackedCepstra
from voxveil.train.content import ContentTrainee, Hearings, assigned, retrieval, retrieved, swapped_prediction
from voxveil.train.recipes import CONTENT_ENCODERS
from voxveil.train.speech_bank import SpeechBank

SMALL = {"channels": 12, "blocks": 2, "dim": 8}


@pytest.fixture
def encoder() -> ContentEncoder:
    return ContentEncoder(**SMALL).eval()


def standardised(rows: np.ndarray) -> np.ndarray:
    return (rows - rows.mean(1, keepdims=True)) / np.sqrt(rows.var(1, keepdims=True) + 1e-5)


def convolved(rows: np.ndarray, layer: torch.nn.Conv1d) -> np.ndarray:
    weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    taps, apart = weight.shape[2], layer.dilation[0]
    edge = apart * (taps - 1) // 2
    padded = np.pad(rows, ((0, 0), (edge, edge)))
    count = rows.shape[1]
    return bias[:, None] + sum(weight[:, :, k] @ padded[:, k * apart : k * apart + count] for k in range(taps))


def test_the_formula_in_numpy(encoder: ContentEncoder) -> None:
    levels = torch.randn(2, 40, 37, dtype=torch.float64)
    found = encoder.double().encode(levels)
    for clip, mine in zip(levels.numpy(), found.detach().numpy(), strict=True):
        rows = np.maximum(standardised(convolved(standardised(clip), encoder.first)), 0.0)
        for block in encoder.blocks:
            rows = rows + np.maximum(standardised(convolved(rows, block)), 0.0)
        features = convolved(rows, encoder.last).T
        np.testing.assert_allclose(mine, features / np.linalg.norm(features, axis=1, keepdims=True), atol=1e-4)


def test_levels_are_librosas(encoder: ContentEncoder, speech: Tensor) -> None:
    import librosa

    clip = speech[0].double().numpy()
    energy = librosa.feature.melspectrogram(
        y=clip, sr=16_000, n_fft=512, hop_length=160, n_mels=40, pad_mode="constant"
    )
    wanted = librosa.power_to_db(energy) / (20.0 / np.log(10.0))
    np.testing.assert_allclose(encoder.levels(speech[:1])[0].numpy(), wanted, atol=2e-3)


def test_neither_loudness_nor_a_microphone_is_heard(encoder: ContentEncoder, speech: Tensor) -> None:
    levels = encoder.levels(speech)
    curve = torch.randn(2, 40, 1)
    assert torch.allclose(encoder.encode(levels + curve), encoder.encode(levels), atol=1e-4)
    assert torch.allclose(encoder.encode(0.5 * levels), encoder.encode(levels), atol=1e-3)
    assert torch.allclose(encoder(0.1 * speech), encoder(speech), atol=1e-2)


def test_cepstra_and_network_have_the_same_say(encoder: ContentEncoder, speech: Tensor) -> None:
    frames = encoder(speech)
    cepstra = StackedCepstra()(speech)
    assert torch.allclose(frames[:, :, :91], cepstra / cepstra.norm(dim=2, keepdim=True), atol=1e-5)
    assert torch.equal(frames[:, :, 91:], encoder.encode(encoder.levels(speech)))


def test_a_batch_is_its_clips_one_by_one(encoder: ContentEncoder, speech: Tensor) -> None:
    encoder.double()
    clips = torch.cat([speech, speech.flip(1)]).double()
    assert torch.allclose(encoder(clips), torch.cat([encoder(clip[None]) for clip in clips]), atol=1e-6)


@pytest.mark.parametrize("samples", [1, 159, 160, 1000])
def test_short_clips_have_frames_of_numbers(encoder: ContentEncoder, samples: int) -> None:
    frames = encoder(torch.randn(1, samples))
    assert frames.shape == (1, samples // 160 + 1, 99) and bool(frames.isfinite().all())


def test_gradient_is_that_of_finite_differences(encoder: ContentEncoder, speech: Tensor) -> None:
    levels = encoder.double().levels(speech[:1, 6400:12_800].double()).requires_grad_()
    weights = torch.randn(41, 8, dtype=torch.float64)
    (gradient,) = torch.autograd.grad((encoder.encode(levels).double() * weights).sum(), levels)
    direction = torch.randn_like(levels)
    with torch.no_grad():
        ahead, behind = ((encoder.encode(levels + h * direction).double() * weights).sum() for h in (1e-3, -1e-3))
    assert gradient.norm() > 0.0
    assert float((gradient * direction).sum()) == pytest.approx(float(ahead - behind) / 2e-3, rel=0.02, abs=0.02)


def test_a_gradient_reaches_the_waveform(encoder: ContentEncoder, speech: Tensor) -> None:
    reference = speech[:1].clone().requires_grad_()
    (encoder(reference) * torch.randn(99)).sum().backward()
    assert reference.grad is not None and bool(reference.grad.isfinite().all()) and reference.grad.abs().max() > 0


def test_the_loss_is_its_equation_in_a_loop() -> None:
    one, other = (0.5 * torch.randn(12, 5) for _ in range(2))
    total = 0.0
    for mine, yours in ((one, other), (other, one)):
        wanted, told = assigned(mine).double().numpy(), yours.double().numpy() / 0.1
        total += sum(wanted[row, c] * (logsumexp(told[row]) - told[row, c]) for row in range(12) for c in range(5))
    assert float(swapped_prediction(one, other)) == pytest.approx(total / 24, rel=1e-5)


def test_clusters_get_equal_shares() -> None:
    """Even where one prototype is nearest to every frame, and however different the frames."""
    shares = assigned(0.05 * torch.randn(400, 4) + torch.tensor([0.9, 0.0, 0.1, 0.2]))
    assert torch.allclose(shares.sum(1), torch.ones(400), atol=1e-4)
    assert bool(((shares.sum(0) - 100.0).abs() < 10.0).all())
    assert bool(assigned(torch.tensor([[1.0, -1.0], [-1.0, 1.0]])).isfinite().all())


def test_retrieval_counts_frames_that_find_their_neighbourhood() -> None:
    frames = torch.eye(20)[None]
    assert retrieved(frames, frames.roll(3, 1), within_frames=3) == pytest.approx(17 / 20)
    assert retrieved(frames, frames.roll(4, 1), within_frames=3) == 0.0


def test_two_hearings_differ_in_everything_but_when_things_are_said(encoder: ContentEncoder) -> None:
    """Bursts of noise at known frames stay there, however fast the crop was played."""
    noise = np.random.default_rng(0).normal(0.0, 0.3, 32_000).astype(np.float32)
    clip = noise * (np.arange(32_000) // 1600 % 5 == 2) + 1e-3 * noise
    hearings = Hearings(SpeechBank([clip], ["a"]), batch=4, frames=150)
    for seed in range(3):
        one, other = hearings.draw(encoder, Generator().manual_seed(seed))
        assert one.shape == other.shape == (4, 40, 150)
        assert (one - other).abs().mean() > 0.1
        for first, second in zip(one.mean(1).numpy(), other.mean(1).numpy(), strict=True):
            at_shift = [np.corrcoef(first[5:-5], np.roll(second, n)[5:-5])[0, 1] for n in range(-4, 5)]
            assert abs(int(np.argmax(at_shift)) - 4) <= 1 and max(at_shift) > 0.8
    again = hearings.draw(encoder, Generator().manual_seed(2))
    assert torch.equal(again[0], one) and torch.equal(again[1], other)


def test_training_lets_frames_be_known_again_in_another_voice(speech: Tensor) -> None:
    encoder = ContentEncoder(**SMALL)
    hearings = Hearings(SpeechBank(list(speech.numpy()), ["a", "b"]), batch=4, frames=100)
    trainee = ContentTrainee(encoder, hearings, half=False, judge=retrieval(replace(hearings, batch=8)))
    before = trainee.measure()["retrieved_percent"]
    optimiser = torch.optim.Adam(encoder.parameters(), 1e-2)
    losses = []
    for step in range(25):
        loss = trainee.loss(0.0, Generator().manual_seed(step))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert np.isfinite(losses).all() and np.mean(losses[-5:]) < 0.9 * np.mean(losses[:5])
    assert trainee.measure()["retrieved_percent"] > before
    assert not trainee.trained().training


def test_an_encoder_is_trained_carded_and_cloned_with(tmp_path, monkeypatch, capsys):
    recipe = replace(CONTENT_ENCODERS["content-encoder"], size=SMALL, steps=2, batch=2, frames=64)
    monkeypatch.setitem(CONTENT_ENCODERS, "content-encoder", recipe)
    heard, judge = recorded(tmp_path / "heard", "rms", "slt"), recorded(tmp_path / "judges", "awb", "kal16")
    words = ["train", "content-encoder", "--corpus", heard, "--judge", judge, "-o", tmp_path / "out"]
    assert voxveil_here(monkeypatch, capsys, *words).code == 0
    path = tmp_path / "out" / "content-encoder.toml"
    made = card(str(path))
    assert made.kind == "content encoder" and made.network.size == SMALL
    assert 0.0 < made.measured["retrieved_percent"].value <= 100.0
    loaded = loading.network(str(path), "content-encoder")
    assert not loaded.training and not any(weight.requires_grad for weight in loaded.parameters())
    mine = tmp_path / "mine.toml"
    mine.write_text('cloner = "knn-vc"\n\n[networks]\nfeatures = "out/content-encoder.toml"\n')
    files = ["--reference", DATA / "rms-1.flac", "--content", DATA / "awb-1.flac", "-o", tmp_path / "clone.wav"]
    assert voxveil_here(monkeypatch, capsys, "clone", mine, *files).code == 0
    assert is_marked(tmp_path / "clone.synthetic.wav")
