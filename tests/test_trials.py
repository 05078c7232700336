"""Lists of trials, and trials from a corpus."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from voxveil.audio.corpus import Utterance
from voxveil.errors import BadInputError
from voxveil.verify.trials import Trial, all_pairs, of_both_kinds, read_trials, recordings

NAMES = ("id10270/a/1.wav", "id10270/b/1.wav", "id10271/a/1.wav")


@pytest.fixture
def corpus(tmp_path):
    for name in NAMES:
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        path.touch()
    return tmp_path


def written(folder: Path, *lines: str) -> Path:
    path = folder / "trials.txt"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


GOOD = (f"1 {NAMES[0]} {NAMES[1]}", f"0 {NAMES[0]} {NAMES[2]}")


def test_a_list_says_which_recordings_and_whether_they_are_of_one_speaker(corpus):
    said = [Utterance(name.split("/", maxsplit=1)[0], corpus / name) for name in NAMES]
    wanted = [Trial(True, said[0], said[1]), Trial(False, said[0], said[2])]
    assert read_trials(written(corpus, *GOOD)) == wanted
    assert read_trials(str(written(corpus, "", GOOD[0], "   ", f"  {GOOD[1]}\r", ""))) == wanted
    assert read_trials(written(corpus, "\ufeff" + GOOD[0], GOOD[1].replace(" ", "\t"))) == wanted
    assert recordings(wanted) == [one.path for one in said]


def test_recordings_may_lie_elsewhere(corpus, tmp_path_factory):
    listed = written(tmp_path_factory.mktemp("lists"), *GOOD)
    assert [trial.probe.path for trial in read_trials(listed, corpus)] == [corpus / NAMES[1], corpus / NAMES[2]]
    with pytest.raises(BadInputError, match=r"Line 1 of .*trials\.txt names .*id10270/a/1\.wav, which does not exist"):
        read_trials(listed)


@pytest.mark.parametrize("form", ["above", "whole", "here"])
def test_speakers_are_the_folders_in_which_recordings_differ(corpus, monkeypatch, form):
    if form == "above":
        root, before = corpus.parent, f"{corpus.name}/"
    elif form == "whole":
        root, before = Path("/"), f"{corpus}/"
    else:
        monkeypatch.chdir(corpus)
        root, before = Path(), "./"
    lines = [line.replace(" id", f" {before}id") for line in GOOD]
    speakers = [(trial.enrol.speaker, trial.probe.speaker) for trial in read_trials(written(corpus, *lines), root)]
    assert speakers == [("id10270", "id10270"), ("id10270", "id10271")]


def test_without_folders_each_recording_stands_for_itself(tmp_path):
    for name in "abc":
        (tmp_path / f"{name}.wav").touch()
    found = read_trials(written(tmp_path, "1 a.wav b.wav", "0 a.wav c.wav"))
    assert [(trial.enrol.speaker, trial.probe.speaker) for trial in found] == [("a.wav", "b.wav"), ("a.wav", "c.wav")]


def test_the_label_is_believed_and_not_the_folder(corpus):
    found = read_trials(written(corpus, f"0 {NAMES[0]} {NAMES[1]}", f"1 {NAMES[0]} {NAMES[2]}"))
    assert [trial.same for trial in found] == [False, True]


@pytest.mark.parametrize("line", ["2 a b", "1 a", "1 a b c", "a b", "genuine a b", "1.0 a b", "\0\1\2"])
def test_a_line_of_another_form_is_named_by_its_number(corpus, line):
    with pytest.raises(BadInputError, match=r"Line 4 of .*trials\.txt is no trial: write '1 ENROL PROBE'"):
        read_trials(written(corpus, *GOOD, "", line))


def test_a_missing_recording_is_named_with_its_line(corpus):
    for name in ("id10271/gone.wav", "id10270", "x" * 300):
        with pytest.raises(BadInputError, match=rf"Line 3 of .*trials\.txt names .*{name}, which does not exist"):
            read_trials(written(corpus, *GOOD, f"0 {NAMES[0]} {name}"))


def test_what_is_no_list_is_named(corpus):
    with pytest.raises(BadInputError, match=r"gone\.txt does not exist\.$"):
        read_trials(corpus / "gone.txt")
    with pytest.raises(BadInputError, match="id10270 cannot be read: is a directory"):
        read_trials(corpus / "id10270")
    (corpus / "sound.wav").write_bytes(bytes(range(256)))
    with pytest.raises(BadInputError, match=r"Line 1 of .*sound\.wav is no trial"):
        read_trials(corpus / "sound.wav")


def test_a_list_of_one_kind_has_no_error_rate(corpus):
    with pytest.raises(BadInputError, match=r"trials\.txt holds no impostor trials"):
        read_trials(written(corpus, GOOD[0]))
    for lines in ((GOOD[1],), ()):
        with pytest.raises(BadInputError, match=r"trials\.txt holds no genuine trials"):
            read_trials(written(corpus, *lines))


def test_every_pair_comes_up_once():
    said = [Utterance(f"speaker {n // 3}", Path(f"{n}.wav")) for n in range(9)]
    pairs = all_pairs(said)
    assert len(pairs) == 36 and sum(trial.same for trial in pairs) == 9
    assert all(trial.same == (trial.enrol.speaker == trial.probe.speaker) for trial in pairs)
    assert set(Counter(frozenset((trial.enrol, trial.probe)) for trial in pairs).values()) == {1}
    assert set(recordings(pairs)) == {one.path for one in said}
    assert of_both_kinds(pairs, "corpus") is pairs
    with pytest.raises(BadInputError, match=r"corpus holds no genuine trials: two recordings of one speaker"):
        of_both_kinds(all_pairs(said[::3]), "corpus")
