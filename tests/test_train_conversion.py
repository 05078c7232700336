"""Converters learn from disguises: what a disguise does to sound, and a training from recordings to a clone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from running import DATA, one_sentence, voxveil, voxveil_here
from tiny import corpus as recorded
from torch import Generator, Tensor

from voxveil import cloning, hub, loading
from voxveil.audio.synthetic_mark import is_marked
from voxveil.cards.card import card
from voxveil.errors import VoxveilError
from voxveil.models.conversion.standard_mel import CENTRE, SPREAD, StandardMel
from voxveil.train.conversion import ConverterTrainee, Lesson
from voxveil.train.disguise import NEPER_DB, Disguise, warped
from voxveil.train.recipes import CONVERTERS
from voxveil.train.speech_bank import SpeechBank

RATE = 16_000
SMALL = {
    "adain-vc": {"channels": 8, "bank_channels": 4, "dim": 6, "frames_per_code": 4},
    "autovc": {"width": 8, "lstm_width": 10, "code_dim": 3, "frames_per_code": 8, "speaker_width": 9, "dim": 6},
    "diffvc": {"encoder_channels": 16, "filters": 16, "layers": 1, "postnet_channels": 8, "channels": 8}
    | {"condition_channels": 8, "speaker_width": 6, "dim": 4},
}


@pytest.mark.parametrize("factor", [0.85, 1.2])
def test_a_warped_tone_is_the_tone_at_the_other_frequency(factor: float) -> None:
    mel, time = StandardMel(), torch.arange(16_000) / RATE
    levels, moved = (mel(0.3 * torch.sin(2 * torch.pi * hz * time)[None]) for hz in (1500.0, 1500.0 * factor))
    out = warped(levels, mel.centres_hz(), torch.tensor([factor]))
    assert abs(int(out.mean(2).argmax()) - int(moved.mean(2).argmax())) <= 1
    assert torch.allclose(warped(levels, mel.centres_hz(), torch.tensor([1.0])), levels, atol=1e-5)


def test_warping_is_numpys_interpolation() -> None:
    centres, mel = StandardMel.centres_hz(), torch.randn(1, 80, 3)
    out = warped(mel, centres, torch.tensor([1.1]))[0].numpy()
    wanted = np.stack([np.interp(centres.numpy() / 1.1, centres.numpy(), mel[0, :, n].numpy()) for n in range(3)], 1)
    assert np.allclose(out, wanted, atol=1e-4)


def test_a_disguise_without_a_warp_is_a_smooth_equaliser_that_never_changes() -> None:
    mel = torch.randn(4000, 80, 2, generator=Generator().manual_seed(1))
    disguise = Disguise(StandardMel.centres_hz(), highest=1.0, microphone_db=7.0)
    curve = disguise(mel, Generator().manual_seed(0)) - mel
    assert torch.allclose(curve[:, :, 0], curve[:, :, 1], atol=1e-5)
    spread_db = NEPER_DB * curve[:, :, 0].std(0)
    # At a node of the eight bands it is the whole deviation, and less in between; below the first it fades out.
    assert 6.5 < float(spread_db.max()) < 7.5
    assert float(spread_db[2:].min()) > 4.0


def test_the_lesson_is_one_utterance_and_its_disguise_has_its_rhythm(speech: Tensor) -> None:
    lesson = Lesson(SpeechBank([speech[0].numpy()], ["a"]), StandardMel(), batch=4, frames=60, reference_frames=50)
    disguised, reference, target = lesson.draw(Generator().manual_seed(0))
    assert disguised.shape == target.shape == (4, 80, 60) and reference.shape == (4, 80, 50)
    again = lesson.draw(Generator().manual_seed(0))
    assert all(torch.equal(a, b) for a, b in zip((disguised, reference, target), again, strict=True))
    for one, other in zip(disguised.mean(1).numpy(), target.mean(1).numpy(), strict=True):
        assert np.corrcoef(one, other)[0, 1] > 0.9
    assert (disguised - target).abs().mean() > 0.1
    assert abs(float(target.mean())) < 3.0 and CENTRE < 0 < SPREAD


@pytest.mark.parametrize("name", CONVERTERS)
def test_the_loss_is_finite_and_falls(name: str, speech: Tensor) -> None:
    from voxveil import catalog

    converter = catalog.part("architecture", name)(**SMALL[name])
    lesson = Lesson(
        SpeechBank(list(speech.numpy()), ["a", "b"]), StandardMel(), batch=4, frames=40, reference_frames=40
    )
    trainee = ConverterTrainee(converter, lesson, half=False)
    optimiser = torch.optim.Adam(converter.parameters(), 3e-3)
    losses = []
    for step in range(16):
        loss = trainee.loss(0.5, Generator().manual_seed(step))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert np.isfinite(losses).all()
    assert np.mean(losses[-4:]) < 0.9 * np.mean(losses[:4])


@pytest.mark.parametrize("name", CONVERTERS)
def test_a_converter_is_trained_carded_and_cloned_with(name, tmp_path, monkeypatch, capsys):
    recipe = replace(CONVERTERS[name], size=SMALL[name], steps=2, batch=2, judged=2, adaptation_steps=1)
    monkeypatch.setitem(CONVERTERS, name, recipe)
    heard, judge = (recorded(tmp_path / f, *names) for f, names in (("heard", ("rms", "slt")), ("judge", ("awb",))))
    words = ["train", name, "--corpus", heard, "--judge", judge, "-o", tmp_path / "out"]
    ended = voxveil_here(monkeypatch, capsys, *words)
    # One speaker is no judge of a verifier, and two are asked for whatever is trained.
    assert ended.code == 3 and one_sentence(ended.err)
    judge = recorded(tmp_path / "judges", "awb", "kal16")
    assert voxveil_here(monkeypatch, capsys, *words[:5], judge, "-o", tmp_path / "out").code == 0
    path = tmp_path / "out" / f"{name}.toml"
    made = card(str(path))
    assert made.kind == "voice converter"
    assert made.measured["rebuilding_error_db"].value > 0
    assert loading.converter(str(path)).training is False
    place = tmp_path / "clone.wav"
    ended = voxveil_here(
        monkeypatch, capsys, "clone", path, "--reference", DATA / "rms-1.flac", "--content", DATA / "awb-1.flac",
        "-o", place,
    )  # fmt: skip
    assert ended.code == 0
    assert is_marked(tmp_path / "clone.synthetic.wav")
    assert not place.exists()


def test_the_command_clones_as_a_process_and_says_that_it_is_synthetic(tmp_path: Path) -> None:
    out = tmp_path / "a.flac"
    words = ["clone", "knn-vc", "--reference", DATA / "rms-1.flac", "--content", DATA / "slt-1.flac", "-o", out]
    ended = voxveil(*words, "--json")
    assert ended.code == 0 and '"synthetic": true' in ended.out
    assert is_marked(tmp_path / "a.synthetic.flac")
    again = voxveil(*words)
    assert again.code == 4 and "exists already" in again.err
    assert [path.name for path in tmp_path.iterdir()] == ["a.synthetic.flac"]


def test_an_input_is_never_overwritten(tmp_path, monkeypatch, capsys):
    mine = tmp_path / "mine.synthetic.flac"
    mine.write_bytes((DATA / "rms-1.flac").read_bytes())
    words = ["clone", "knn-vc", "--content", DATA / "slt-1.flac", "--reference", mine, "-o", mine, "--overwrite"]
    ended = voxveil_here(monkeypatch, capsys, *words)
    assert ended.code == 4 and one_sentence(ended.err, mine)
    assert mine.read_bytes() == (DATA / "rms-1.flac").read_bytes()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["knn-vc", "--content", DATA / "slt-1.flac", "--text", "both"], 1, "either a recording or a text"),
        (["knn-vc"], 1, "either a recording or a text"),
        (["parrot", "--content", DATA / "slt-1.flac"], 1, "There is no cloner 'parrot'"),
        (["ecapa", "--content", DATA / "slt-1.flac"], 1, "There is no cloner 'ecapa'"),
        (["seed-vc", "--content", DATA / "slt-1.flac"], 7, "--checkout"),
        (["seed-vc", "--content", DATA / "slt-1.flac", "--checkout", "nowhere"], 7, "nowhere"),
        (["knn-vc", "--content", "missing.wav"], 3, "missing.wav does not exist"),
        (["knn-vc", "--text", "   "], 3, ""),
        (["missing.toml", "--content", DATA / "slt-1.flac"], 5, "missing.toml"),
    ],
)
def test_bad_requests_get_one_sentence_and_leave_nothing(tmp_path, monkeypatch, capsys, words, code, said):
    if "--text" in words:
        from voxveil.clone.synthesiser import synthesiser

        try:
            synthesiser()
        except VoxveilError as error:
            pytest.skip(str(error))
    out = ["--reference", DATA / "rms-1.flac", "-o", tmp_path / "a.wav"]
    ended = voxveil_here(monkeypatch, capsys, "clone", *words, *out)
    assert ended.code == code
    assert one_sentence(ended.err, said)
    assert not list(tmp_path.iterdir())


def test_every_converter_card_of_the_package_can_be_cloned_with() -> None:
    mine = [name for name in hub.names() if hub.card(name).kind == cloning.CONVERTER]
    assert "adain-vc" in mine and set(mine) <= set(cloning.names())
    assert cloning.cloner("adain-vc").sample_rate == RATE
