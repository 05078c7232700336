"""Speech to text: what is said in known clips, whatever was heard before and however loud, and what is no speech."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import soundfile as sf
import torch
from torch import Tensor

from voxveil import catalog
from voxveil.errors import BadInputError, MissingExtraError
from voxveil.metrics.recognition import PocketSphinx
from voxveil.metrics.word_error import word_errors

DATA = Path(__file__).parent / "data"
CLIPS = {
    "rms-1.flac": "The north wind and the sun were disputing which was the stronger, when a traveler came along.",
    "slt-2.flac": "Please call Stella, and ask her to bring these things with her from the store on Wednesday.",
}


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    with pytest.raises(MissingExtraError, match=r"voxveil\[asr\]"):
        catalog.part("recogniser", "pocketsphinx")()


@pytest.fixture(scope="module")
def recogniser() -> PocketSphinx:
    pytest.importorskip("pocketsphinx", reason="recognising speech needs the extra 'asr'")
    return PocketSphinx()


def clip(name: str) -> Tensor:
    sound, rate = sf.read(DATA / name, dtype="float32")
    assert rate == PocketSphinx.sample_rate
    return torch.from_numpy(sound)


@pytest.fixture(scope="module")
def heard(recogniser: PocketSphinx) -> list[str]:
    return [recogniser(clip(name)) for name in CLIPS]


def test_what_is_said_is_recognised(heard: list[str]) -> None:
    said = list(CLIPS.values())
    assert word_errors(said, heard).rate < 0.1
    # The words are those of the clip, not of English at large.
    assert word_errors(said[::-1], heard).rate > 0.8


def test_neither_what_was_heard_before_nor_the_level_changes_the_words(
    recogniser: PocketSphinx, heard: list[str]
) -> None:
    assert recogniser(0.25 * clip(next(iter(CLIPS)))) == heard[0]


@pytest.mark.parametrize("length", [0, 1, 100, 16_000])
def test_where_nobody_speaks_there_are_no_words(recogniser: PocketSphinx, length: int) -> None:
    assert recogniser(torch.zeros(length)) == ""


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_what_cannot_be_recognised_is_named(recogniser: PocketSphinx, value: float) -> None:
    with pytest.raises(BadInputError, match="samples that are not numbers"):
        recogniser(torch.full((16_000,), value))
