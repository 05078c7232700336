"""A HiFi-GAN in training: who learns from what, distances as other libraries compute them, and a card in the end."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from running import DATA, one_sentence, voxveil_here
from safetensors.torch import load_file
from scipy import signal
from tiny import corpus as recorded
from torch import Generator, Tensor, nn

from voxveil import loading
from voxveil.audio.corpus import read_mono
from voxveil.cards.card import card
from voxveil.clone.conversion import ConversionCloner
from voxveil.errors import BadInputError, ModelUnavailableError
from voxveil.models.conversion.standard_mel import SPREAD, StandardMel
from voxveil.models.vocoder.hifigan import HifiGan
from voxveil.models.vocoder.hifigan_discriminators import MultiPeriodDiscriminator, Verdict
from voxveil.models.vocoder.standard_hifigan import LevelsVocoder, standard_hifigan
from voxveil.train.adversarial import deception_loss, discriminator_loss, feature_distance
from voxveil.train.disguise import NEPER_DB
from voxveil.train.loop import Plan, train
from voxveil.train.multi_resolution import WINDOWS, spectral_distance
from voxveil.train.recipes import VOCODERS
from voxveil.train.speech_bank import SpeechBank
from voxveil.train.vocoder import FEATURES, MEL, SPECTRA, Recital, VocoderTrainee, copying_error

WIDTHS = (4, 4, 4, 4, 4)
SAMPLES = 4096


@pytest.fixture
def trainee(speech: Tensor) -> VocoderTrainee:
    return fresh(speech)


def fresh(speech: Tensor, half: bool = False, alone_until: float = 0.5) -> VocoderTrainee:
    torch.manual_seed(1)
    recital = Recital(SpeechBank(list(speech.numpy()), ["a", "b"]), batch=2, samples=SAMPLES)
    return VocoderTrainee(standard_hifigan(16), MultiPeriodDiscriminator(WIDTHS), recital, alone_until, half)


def gradients(network: nn.Module) -> list[Tensor | None]:
    return [None if weight.grad is None else weight.grad.clone() for weight in network.parameters()]


def test_each_player_learns_from_its_own_loss_only(trainee: VocoderTrainee) -> None:
    trainee.loss(0.5, Generator().manual_seed(0)).backward()
    both = gradients(trainee.vocoder), gradients(trainee.discriminators)
    trainee.network.zero_grad()

    recorded = trainee.recital.draw(Generator().manual_seed(0))
    mel = trainee.vocoder.mel(recorded)
    made = trainee.vocoder(mel)
    (discriminator_loss(trainee.discriminators(recorded), trainee.discriminators(made.detach())) / MEL).backward()
    assert all(grad is None for grad in gradients(trainee.vocoder))
    for mine, wanted in zip(both[1], gradients(trainee.discriminators), strict=True):
        torch.testing.assert_close(mine, wanted)

    # Here the discriminators are frozen as PyTorch freezes weights.
    trainee.discriminators.requires_grad_(False)
    verdicts = trainee.discriminators(made)
    loss = deception_loss(verdicts) + FEATURES * feature_distance(trainee.discriminators(recorded), verdicts)
    loss = loss + MEL * (trainee.vocoder.mel(made) - mel).abs().mean() + SPECTRA * spectral_distance(made, recorded)
    (loss / MEL).backward()
    for mine, wanted in zip(both[0], gradients(trainee.vocoder), strict=True):
        torch.testing.assert_close(mine, wanted, rtol=1e-4, atol=1e-7)


def test_the_discriminators_come_in_when_their_time_has_come(trainee: VocoderTrainee) -> None:
    trainee.loss(0.49, Generator().manual_seed(0)).backward()
    assert all(grad is None for grad in gradients(trainee.discriminators))
    alone = [grad for grad in gradients(trainee.vocoder) if grad is not None]
    trainee.network.zero_grad()
    trainee.loss(0.5, Generator().manual_seed(0)).backward()
    assert all(grad is not None and grad.abs().sum() > 0 for grad in gradients(trainee.discriminators))
    joint = gradients(trainee.vocoder)
    assert not all(torch.allclose(a, b) for a, b in zip(alone, joint, strict=True) if b is not None)


def test_the_losses_are_least_squares_over_all_discriminators() -> None:
    rng = np.random.default_rng(0)
    real, fake = ([[rng.standard_normal((2, n)) for n in (5, 3)] for _ in range(4)] for _ in range(2))
    of_real, of_fake = (
        [Verdict(torch.tensor(maps[-1]), [torch.tensor(one) for one in maps]) for maps in verdicts]
        for verdicts in (real, fake)
    )
    told = sum(np.mean((r[-1] - 1) ** 2) + np.mean(f[-1] ** 2) for r, f in zip(real, fake, strict=True))
    assert float(discriminator_loss(of_real, of_fake)) == pytest.approx(told)
    assert float(deception_loss(of_fake)) == pytest.approx(sum(np.mean((f[-1] - 1) ** 2) for f in fake))
    apart = sum(np.mean(np.abs(a - b)) for r, f in zip(real, fake, strict=True) for a, b in zip(r, f, strict=True))
    assert float(feature_distance(of_real, of_fake)) == pytest.approx(apart)


def test_the_features_of_recorded_speech_are_a_target() -> None:
    target, mine = torch.zeros(1, 3, requires_grad=True), torch.ones(1, 3, requires_grad=True)
    feature_distance([Verdict(target, [target])], [Verdict(mine, [mine])]).backward()
    assert target.grad is None and mine.grad is not None


def test_the_spectral_distance_is_scipys(speech: Tensor) -> None:
    made, recorded = (sound.double() for sound in (speech[:, 8000:14_000], speech[:, 20_000:26_000]))

    def magnitudes(sound: Tensor, window: int) -> np.ndarray:
        padded = np.pad(sound.numpy(), ((0, 0), (window // 2, window // 2)))
        hann = signal.get_window("hann", window)
        starts = range(0, padded.shape[1] - window + 1, window // 4)
        return np.abs(np.fft.rfft(np.stack([padded[:, s : s + window] * hann for s in starts]), axis=-1))

    wanted = []
    for window in WINDOWS:
        mine, theirs = (np.sqrt(magnitudes(sound, window) ** 2 + 1e-9) for sound in (made, recorded))
        shape = np.sqrt(((theirs - mine) ** 2).sum() / (theirs**2).sum())
        wanted.append(shape + np.abs(np.log(theirs) - np.log(mine)).mean())
    assert float(spectral_distance(made.float(), recorded.float())) == pytest.approx(np.mean(wanted), rel=1e-4)


def test_silence_has_a_finite_gradient() -> None:
    made = torch.zeros(1, SAMPLES, requires_grad=True)
    spectral_distance(made, torch.zeros(1, SAMPLES)).backward()
    assert made.grad is not None and bool(made.grad.isfinite().all())


@pytest.mark.parametrize("half", [False, True])
def test_the_loss_falls_and_the_copy_comes_nearer(speech: Tensor, half: bool) -> None:
    trainee = fresh(speech, half)
    judge = copying_error(trainee.recital)
    before = judge(trainee.vocoder)["copying_error_db"]
    optimiser = torch.optim.AdamW(trainee.network.parameters(), 3e-3)
    losses = []
    for step in range(16):
        loss = trainee.loss(step / 32, Generator().manual_seed(step))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert np.isfinite(losses).all()
    assert np.mean(losses[-4:]) < 0.85 * np.mean(losses[:4])
    assert judge(trainee.vocoder)["copying_error_db"] < 0.8 * before


def test_the_copying_error_is_in_decibels(speech: Tensor) -> None:
    recital = Recital(SpeechBank([speech[0].numpy()], ["a"]), batch=2, samples=SAMPLES)

    vocoder = standard_hifigan(16)
    # It knows the answer, and gives it 6 dB down.
    vocoder.forward = lambda mel: 0.5 * recital.draw(Generator().manual_seed(0))  # type: ignore[method-assign]
    error_db = copying_error(recital)(vocoder)["copying_error_db"]
    assert error_db == pytest.approx(20.0 * np.log10(2.0), abs=0.3)  # pauses are near the floor of the mel


def test_crops_are_louder_and_quieter_by_up_to_six_decibels() -> None:
    recital = Recital(SpeechBank([np.full(9000, 0.1, np.float32)], ["a"]), batch=400, samples=10)
    gains_db = 20.0 * torch.log10(recital.draw(Generator().manual_seed(0))[:, 0] / 0.1)
    assert -6.01 < gains_db.min() < -5.7 and 5.7 < gains_db.max() < 6.01 and abs(gains_db.mean()) < 0.6


def test_a_training_that_was_interrupted_ends_the_same(speech: Tensor, tmp_path: Path) -> None:
    plan = Plan(steps=4, learning_rate=1e-3, measure_every=1)
    whole, halves = fresh(speech), fresh(speech)
    train(whole, plan, tmp_path / "whole.checkpoint")

    def interrupt(share: float) -> None:
        if share > 0.7:  # the discriminators have learnt from one step
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(halves, plan, tmp_path / "halves.checkpoint", interrupt)
    again = fresh(speech)
    train(again, plan, tmp_path / "halves.checkpoint")
    pairs = zip(whole.network.state_dict().values(), again.network.state_dict().values(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)
    with pytest.raises(BadInputError):
        train(fresh(speech, alone_until=0.25), plan, tmp_path / "halves.checkpoint")


def test_levels_speak_as_their_log_mels_do(speech: Tensor) -> None:
    generator = standard_hifigan(16)
    levels = StandardMel()(speech[:, :8192]).requires_grad_()
    spoken = LevelsVocoder.of(generator)(levels)
    assert spoken.shape == (2, 8192)
    torch.testing.assert_close(spoken, generator(generator.mel(speech[:, :8192])), atol=1e-5, rtol=1e-4)
    spoken.square().sum().backward()
    assert levels.grad is not None and levels.grad.abs().sum() > 0
    assert all(weight.grad is None for weight in generator.parameters())


def test_a_converter_speaks_with_it(speech: Tensor) -> None:
    class Echo(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gain = nn.Parameter(torch.ones(()))  # whatever is adapted has a weight

        def forward(self, content: Tensor, reference: Tensor, generator: Generator) -> Tensor:
            return self.gain * content

    generator = standard_hifigan(16)
    cloner = ConversionCloner(Echo(), adaptation_steps=0, vocoder=LevelsVocoder.of(generator))
    said = speech[0, :20_000]
    (clone,) = cloner([said], [said])
    # A voice that is converted into itself keeps its statistics.
    wanted = generator(generator.mel(said[None]))[0].detach()
    assert clone.shape == said.shape
    torch.testing.assert_close(clone[: len(wanted)], wanted, atol=2e-3, rtol=0.0)


def test_the_shipped_one_copies_speech_that_it_never_heard() -> None:
    speech = torch.as_tensor(read_mono(DATA / "slt-1.flac", 16_000))[None]
    levels = StandardMel()(speech)

    def error_db(generator: HifiGan) -> float:
        copy = LevelsVocoder.of(generator)(levels)
        return SPREAD * NEPER_DB * float((StandardMel()(copy) - levels).abs().mean())

    shipped = loading.vocoder("hifigan")
    assert error_db(shipped) < 0.4 * error_db(standard_hifigan(shipped.conv_pre.weight().shape[0]))


def test_a_vocoder_from_recordings_to_a_card(tmp_path, monkeypatch, capsys):
    small = replace(VOCODERS["hifigan"], size={"width": 16}, steps=3, batch=2, discriminator_widths=WIDTHS)
    monkeypatch.setitem(VOCODERS, "hifigan", small)
    heard, judge = (
        recorded(tmp_path / f, *names) for f, names in (("heard", ("rms", "slt")), ("judge", ("awb", "kal16")))
    )
    out = tmp_path / "out"
    ended = voxveil_here(monkeypatch, capsys, "train", "hifigan", "--corpus", heard, "--judge", judge, "-o", out)
    assert ended.code == 0 and "copying_error_db" in ended.out
    path = out / "hifigan.toml"
    made = card(str(path))
    assert (made.kind, made.network.size) == ("vocoder", {"width": 16})
    assert made.thresholds == {} and made.self_test is None
    (line,) = (out / "hifigan.log.jsonl").read_text().splitlines()
    assert made.measured["copying_error_db"].value == pytest.approx(json.loads(line)["copying_error_db"], abs=1e-3)
    kept = load_file(out / "hifigan.safetensors")
    assert {"conv_pre.weight_g", "ups.2.weight_v", "resblocks.8.convs.1.bias", "conv_post.bias"} < set(kept)
    standard_hifigan(16).load_state_dict(kept, strict=True)
    vocoder = loading.vocoder(str(path))
    assert isinstance(vocoder, HifiGan) and not vocoder.training
    with pytest.raises(ModelUnavailableError, match="is a vocoder, not a voice converter"):
        loading.converter(str(path))
    clip = heard / "rms" / "rms-1.flac"
    words = ["clone", path, "--reference", clip, "--content", clip, "-o", tmp_path / "a.wav"]
    ended = voxveil_here(monkeypatch, capsys, *words)
    assert ended.code == 5 and one_sentence(ended.err, "not a voice converter")
