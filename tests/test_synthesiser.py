"""Speech from text: no text is a command, what cannot be spoken is named, and programs that fail are found out."""

from __future__ import annotations

import shutil
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from voxveil.clone import synthesiser as module
from voxveil.clone.speakable import in_ascii, in_portions, latin, plain
from voxveil.clone.synthesiser import FLITE_VOICES, EspeakNg, Flite, synthesiser
from voxveil.errors import BadInputError, ProgramError, VoxveilError
from voxveil.roles import Synthesiser

COMMANDS = ["--help", "-o /tmp/x.wav", "/etc/passwd", "$(id)", "play", "-t b\n--voices"]
SENTENCE = "The quick brown fox jumps over the lazy dog."


class StandIn:
    """Programs that do as ``behaviour``, a shell script, says; they note their arguments and their input."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self._bin = folder / "bin"
        self._bin.mkdir()
        for name in ("sh", "cat", "cp", "pwd", "sleep"):
            (self._bin / name).symlink_to(str(shutil.which(name)))
        # Nothing else is installed now.
        monkeypatch.setenv("PATH", str(self._bin))

    def install(self, name: str, behaviour: str) -> None:
        script = f"#!/bin/sh\nprintf '%s\\n' \"$@\" > {self.folder}/arguments\ncat > {self.folder}/input\n"
        program = self._bin / name
        program.write_text(script + f"pwd > {self.folder}/place\n" + behaviour + "\n")
        program.chmod(0o755)

    def speaking(self, name: str, sound: np.ndarray, rate: int) -> None:
        sf.write(self.folder / "spoken.wav", sound, rate, "FLOAT")
        self.install(name, f"cp {self.folder}/spoken.wav speech.wav")

    def noted(self, what: str) -> str:
        return (self.folder / what).read_text()


@pytest.fixture
def programs(tmp_path, monkeypatch) -> StandIn:
    return StandIn(tmp_path, monkeypatch)


def hum(rate: int, seconds: float = 1.0, frequency_hz: float = 440.0) -> np.ndarray:
    return 0.3 * np.sin(2 * np.pi * frequency_hz * np.arange(round(seconds * rate)) / rate)


# How the programs are called.


@pytest.mark.parametrize("text", [*COMMANDS, pytest.param(SENTENCE * 250, id="long")])
def test_text_goes_to_the_input_and_never_to_the_arguments(programs, text):
    for name, arguments in (
        ("flite", ["-voice", "rms", "-o", "speech.wav"]),
        ("espeak-ng", ["-b", "1", "--stdin", "-v", "en-us", "-w", "speech.wav"]),
    ):
        programs.speaking(name, hum(16_000), 16_000)
        synthesiser(name, "rms" if name == "flite" else None)(text)
        assert programs.noted("arguments").splitlines() == arguments
        assert programs.noted("input").split() == text.split()


def test_the_program_works_in_a_folder_that_is_gone_afterwards(programs):
    programs.speaking("flite", hum(16_000), 16_000)
    Flite()(SENTENCE)
    assert not Path(programs.noted("place").strip()).exists()


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100])
def test_speech_comes_at_16_khz_and_at_its_pitch(programs, rate):
    programs.speaking("espeak-ng", np.stack([hum(rate)] * 2, axis=1), rate)
    clip = EspeakNg()(SENTENCE)
    assert clip.dtype == torch.float32
    assert clip.shape == (16_000,)
    spectrum = torch.fft.rfft(clip * torch.hann_window(16_000)).abs()
    assert spectrum.argmax() == 440
    assert clip[4_000:12_000].abs().max() == pytest.approx(0.3, rel=0.01)


def test_speech_at_full_scale_stays_in_range(programs):
    programs.speaking("espeak-ng", np.sign(hum(22_050)), 22_050)
    assert EspeakNg()(SENTENCE).abs().max() == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        ("exit 0", "flite wrote no sound"),
        (": > speech.wav", "flite wrote no sound"),
        ("echo no sound > speech.wav", "flite wrote no sound"),
        (
            "cat > speech.wav; echo The voice broke. >&2; exit 2",
            "ended with code 2; its last words: The voice broke",
        ),
        ("sleep 600", "took longer than 0.5 s"),
    ],
)
def test_programs_that_fail_are_reported(programs, monkeypatch, behaviour, said):
    monkeypatch.setattr(module, "TIMEOUT_S", 0.5 if "sleep" in behaviour else 60.0)
    programs.install("flite", behaviour)
    with pytest.raises(ProgramError) as caught:
        Flite()(SENTENCE)
    assert said in str(caught.value)
    assert not Path(programs.noted("place").strip()).exists()


@pytest.mark.parametrize("sound", [np.zeros(0), np.zeros(16_000), np.full(16_000, 1e-4)])
def test_silence_is_found_out(programs, sound):
    programs.speaking("flite", sound, 16_000)
    with pytest.raises(ProgramError, match=r"flite wrote (silence|no sound)"):
        Flite()(SENTENCE)


# Which program.


def test_flite_comes_first_and_each_can_be_named(programs):
    for name in ("espeak-ng", "flite"):
        programs.speaking(name, hum(16_000), 16_000)
        assert synthesiser() == synthesiser(name)
    assert synthesiser("espeak-ng") == EspeakNg()
    assert synthesiser(voice="rms") == synthesiser("flite", "rms") == Flite("rms")
    assert synthesiser(voice="de") == synthesiser("espeak-ng", "de") == EspeakNg("de")
    assert isinstance(synthesiser(), Synthesiser)
    assert synthesiser().sample_rate == 16_000


def test_what_is_not_installed_is_named_with_the_way_to_install_it(programs):
    with pytest.raises(ProgramError, match=r"No speech synthesiser is installed.*apt install flite"):
        synthesiser()
    for name, voice in [("flite", "slt"), ("espeak-ng", "de")]:
        for asked in (lambda n=name: synthesiser(n), lambda v=voice: synthesiser(voice=v)):
            with pytest.raises(ProgramError, match=f"{name} is not installed.*apt install {name}"):
                asked()
    with pytest.raises(ProgramError, match="flite is not installed"):
        Flite()(SENTENCE)


@pytest.mark.parametrize("voice", ["", "/tmp/a.flitevox", "http://a/b.flitevox", "kal", "SLT", "-lv"])
def test_flite_is_given_no_voice_that_it_does_not_have(voice):
    with pytest.raises(VoxveilError, match="there is: slt, rms, awb, kal16"):
        Flite(voice)


@pytest.mark.parametrize("voice", ["", "../../etc/passwd", "/etc/passwd", "-x", "en us", "de\n", "é"])
def test_espeak_ng_is_given_no_file_or_option_as_a_voice(voice):
    with pytest.raises(VoxveilError, match="is no voice of espeak-ng"):
        EspeakNg(voice)


# What text.


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds nothing to speak"),
        (" \n\t ", "holds nothing to speak"),
        ("?! … 😀", "holds nothing to speak"),
        ("\x00\x01", "holds nothing to speak"),
        ("half \ud83d", "not valid Unicode"),
        ("say мир", "cannot speak 'м', 'и', 'р': "),
        ("漢字", "cannot speak '漢', '字': "),
        ("абвгдежз", "cannot speak 'а', 'б', 'в', 'г', 'д': "),
    ],
)
def test_what_english_cannot_speak_is_named_and_no_program_is_run(programs, text, said):
    for speaker in (Flite(), EspeakNg(), EspeakNg("en"), EspeakNg("en-gb-x-rp")):
        with pytest.raises(BadInputError) as caught:
            speaker(text)
        assert said in str(caught.value)
    assert not (programs.folder / "arguments").exists()


def test_a_voice_of_another_language_is_given_its_letters(programs):
    programs.speaking("espeak-ng", hum(16_000), 16_000)
    EspeakNg("ru")("Привет, мир")
    assert programs.noted("input") == "Привет, мир"


def test_flite_is_given_what_has_no_end_in_portions(programs):
    programs.speaking("flite", hum(16_000), 16_000)
    Flite()("9" * 1_000)
    assert programs.noted("input") == "\n\n".join(["9" * 400, "9" * 400, "9" * 200])


def test_signs_that_flite_does_not_know_are_written_in_ascii(programs):
    programs.speaking("flite", hum(16_000), 16_000)
    Flite()("Zoë’s “naïve” straße… №\u00a05 😀 ﬁn")
    assert programs.noted("input") == 'Zoe\'s "naive" strasse... No 5   fin'
    for text in ("€5", "٣ apples", "2 ≤ 3"):
        with pytest.raises(BadInputError, match=r"cannot speak '[€٣≤]'"):
            Flite()(text)


@given(st.text())
@example("a\x00b\x01450S c\x1bd\x7fe\x9bf")
def test_no_command_is_left_in_text(text):
    try:
        spoken = plain(text)
    except BadInputError:
        return
    assert not {chr(code) for code in (*range(10), *range(11, 32), *range(127, 160))} & set(spoken)
    assert any(char.isalnum() for char in spoken)
    assert spoken == spoken.strip()


def test_brackets_that_begin_phonemes_are_parted(programs):
    programs.speaking("espeak-ng", hum(16_000), 16_000)
    EspeakNg()("say [[[h@l]] and [x]")
    assert programs.noted("input") == "say [ [ [h@l]] and [x]"


@given(st.text())
def test_what_becomes_ascii_is_ascii_and_ascii_stays(text):
    try:
        spoken = in_ascii(text)
    except BadInputError:
        assert not text.isascii()
        return
    assert spoken.isascii()
    assert spoken == text or not text.isascii()
    assert in_ascii(spoken) == spoken


@given(st.text(st.characters(min_codepoint=0x100, max_codepoint=0x17F)))
def test_letters_of_europe_are_latin(text):
    assert latin(text) == text


@given(st.lists(st.text("ab.,! \n", max_size=700), max_size=6).map("".join))
@example("9" * 10_000)
@example(SENTENCE * 1_000)
def test_portions_hold_all_words_and_none_is_long(text):
    portions = in_portions(text)
    assert "".join(portions.split()) == "".join(text.split())
    assert all(len(portion) <= 402 for portion in portions.split("\n\n"))


def test_portions_end_where_sentences_end_if_they_can():
    assert in_portions(SENTENCE) == SENTENCE
    sentences = " ".join([SENTENCE] * 40)
    assert all(portion.endswith("dog.") for portion in in_portions(sentences).split("\n\n"))
    clauses = "word " * 50 + "word, " + "word " * 60
    assert in_portions(clauses).split("\n\n")[0].endswith("word,")


# The programs themselves.

REAL = [
    pytest.param(Flite("slt"), id="flite slt"),
    pytest.param(Flite("kal16"), id="flite kal16"),
    pytest.param(EspeakNg(), id="espeak-ng en-us"),
]


def installed(speaker: Synthesiser) -> Synthesiser:
    name = "flite" if isinstance(speaker, Flite) else "espeak-ng"
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    return speaker


@pytest.mark.parametrize("speaker", REAL)
def test_a_sentence_lasts_about_three_seconds(speaker):
    clip = installed(speaker)(SENTENCE)
    assert clip.ndim == 1
    assert 1.5 < len(clip) / 16_000 < 5.0
    assert 0.05 < clip.abs().max() <= 1.0


@pytest.mark.parametrize("speaker", REAL[1:])
@pytest.mark.parametrize("text", COMMANDS)
def test_commands_are_spoken(speaker, text):
    assert len(installed(speaker)(text)) > 0.2 * 16_000


def test_flite_has_these_voices():
    clips = [installed(Flite(voice))("One.") for voice in FLITE_VOICES]
    assert not any(torch.equal(one, other) for one, other in combinations(clips, 2))


def test_espeak_ng_neither_obeys_nor_skips_what_it_takes_for_commands():
    speaker = installed(EspeakNg())
    plain_one = len(speaker("hello there"))
    # Ctrl-A 450 S would speak more than twice as fast.
    assert len(speaker("\x01450S hello there")) > plain_one
    # As phonemes, two brackets are one short syllable.
    assert len(speaker("[[h@l]]")) > plain_one


def test_espeak_ng_speaks_other_languages_and_names_those_it_does_not():
    assert len(installed(EspeakNg("ru"))("Привет, мир")) > 0.3 * 16_000
    with pytest.raises(ProgramError, match=r"espeak-ng ended.*voice does not exist"):
        EspeakNg("xx")(SENTENCE)


def test_a_text_of_several_portions_is_spoken_to_its_end():
    speaker = installed(Flite("kal16"))
    assert len(speaker("nine " * 200)) > 1.9 * len(speaker("nine " * 100))
