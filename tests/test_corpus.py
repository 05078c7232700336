"""Corpora by their layouts: who speaks where, whatever else lies about."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from voxveil.audio.corpus import Utterance, read_corpus, read_mono
from voxveil.audio.suffixes import MEDIA_SUFFIXES
from voxveil.errors import BadInputError

DATA = Path(__file__).parent / "data"


def tree(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def listed(folder: Path) -> list[tuple[str, str]]:
    return [(found.speaker, found.path.relative_to(folder).as_posix()) for found in read_corpus(folder)]


LIBRISPEECH = (
    "LibriSpeech/SPEAKERS.TXT",
    "LibriSpeech/test-other/1998/15444/1998-15444-0001.flac",
    "LibriSpeech/test-other/1998/15444/1998-15444-0000.flac",
    "LibriSpeech/test-other/1998/15444/1998-15444.trans.txt",
    "LibriSpeech/dev-clean/84/121123/84-121123-0000.flac",
    "LibriSpeech/train-clean-100/103/1240/103-1240-0000.flac",
)


@pytest.mark.parametrize("below", ["", "LibriSpeech"])
def test_librispeech_with_all_its_subsets(tmp_path, below):
    folder = tree(tmp_path, *LIBRISPEECH, "LibriSpeech/test-other/notes/1/a.flac", "music/b.flac") / below
    found = read_corpus(folder)
    assert [utterance.speaker for utterance in found] == ["103", "1998", "1998", "84"]
    assert [utterance.path.stem for utterance in found][1:3] == ["1998-15444-0000", "1998-15444-0001"]
    assert all(utterance.path.is_file() for utterance in found)


def test_one_subset_of_librispeech(tmp_path):
    folder = tree(tmp_path, *LIBRISPEECH) / "LibriSpeech" / "test-other"
    assert listed(folder) == [("1998", f"1998/15444/1998-15444-000{n}.flac") for n in (0, 1)]


VCTK = (
    "p225/p225_001_mic1.flac",
    "p225/p225_001_mic2.flac",
    "p225/p225_002_mic2.flac",
    "p315/p315_001_mic2.flac",
    "s5/s5_001_mic1.flac",
    "log.txt",
)
ONE_MICROPHONE = [
    ("p225", "p225/p225_001_mic1.flac"),
    ("p315", "p315/p315_001_mic2.flac"),
    ("s5", "s5/s5_001_mic1.flac"),
]


@pytest.mark.parametrize("above", ["", "VCTK-Corpus-0.92/"])
def test_vctk_is_heard_by_one_microphone_and_read_once(tmp_path, above):
    trimmed = f"{above}wav48_silence_trimmed"
    tree(tmp_path, f"{above}wav48/p225/p225_001.wav", f"{above}txt/p225/p225_001.txt")
    tree(tmp_path, *(f"{trimmed}/{name}" for name in VCTK))
    assert listed(tmp_path) == [(speaker, f"{trimmed}/{path}") for speaker, path in ONE_MICROPHONE]
    assert listed(tmp_path / trimmed) == ONE_MICROPHONE


def test_the_older_vctk(tmp_path):
    folder = tree(tmp_path, "VCTK-Corpus/wav48/p225/p225_001.wav", "VCTK-Corpus/wav48/p226/p226_001.wav")
    wanted = [(speaker, f"{speaker}/{speaker}_001.wav") for speaker in ("p225", "p226")]
    assert listed(folder / "VCTK-Corpus" / "wav48") == wanted
    assert listed(folder) == [(speaker, f"VCTK-Corpus/wav48/{path}") for speaker, path in wanted]


@pytest.mark.parametrize(("sound", "suffix"), [("wav", "wav"), ("aac", "m4a")])
def test_voxceleb(tmp_path, sound, suffix):
    names = [f"{sound}/id1000{n}/1zcIwhmdeo4/00001.{suffix}" for n in (1, 2)]
    wanted = [("id10001", names[0]), ("id10002", names[1])]
    assert listed(tree(tmp_path / "one", *names)) == wanted
    assert listed(tmp_path / "one" / sound) == [(s, path.removeprefix(f"{sound}/")) for s, path in wanted]
    assert listed(tree(tmp_path / "both", f"dev/{names[0]}", f"test/{names[1]}")) == [
        ("id10001", f"dev/{names[0]}"),
        ("id10002", f"test/{names[1]}"),
    ]


def test_any_other_corpus_is_a_folder_for_each_speaker(tmp_path):
    folder = tree(
        tmp_path,
        "slt/a.WAV",
        "slt/deep/er/b.opus",
        "slt/b.protected.wav",
        "test/c.mp3",
        "wav/d.wav",
        "Jörg Müller/e_mic2.flac",
        "alone.wav",
        "slt/._a.wav",
        ".cache/f.wav",
        "slt/notes.txt",
    )
    (tmp_path / "slt" / "folder.wav").mkdir()
    assert listed(folder) == [
        ("Jörg Müller", "Jörg Müller/e_mic2.flac"),
        ("slt", "slt/a.WAV"),
        ("slt", "slt/b.protected.wav"),
        ("slt", "slt/deep/er/b.opus"),
        ("test", "test/c.mp3"),
        ("wav", "wav/d.wav"),
    ]


@pytest.mark.parametrize("suffix", sorted(MEDIA_SUFFIXES))
def test_every_format_that_can_be_protected_is_read(tmp_path, suffix):
    path = tree(tmp_path, f"slt/a{suffix}") / f"slt/a{suffix}"
    assert read_corpus(str(tmp_path)) == [Utterance("slt", path)]


def test_a_folder_below_a_hidden_one_is_read(tmp_path):
    assert len(read_corpus(tree(tmp_path / ".data" / "corpus", "slt/a.wav"))) == 1


def test_links_to_recordings_are_recordings(tmp_path):
    (tmp_path / "slt").mkdir()
    (tmp_path / "slt" / "a.flac").symlink_to(DATA / "slt-1.flac")
    (tmp_path / "slt" / "gone.flac").symlink_to(tmp_path / "nowhere.flac")
    assert listed(tmp_path) == [("slt", "slt/a.flac")]


def test_what_is_no_corpus_is_named(tmp_path):
    tree(tmp_path, "flat/a.wav", "text/slt/a.txt")
    (tmp_path / "empty").mkdir()
    for name in ("flat", "text", "empty"):
        with pytest.raises(BadInputError, match=f"{name} holds no recordings of speakers: .*LibriSpeech, VCTK or"):
            read_corpus(tmp_path / name)
    with pytest.raises(BadInputError, match=r"nowhere does not exist\.$"):
        read_corpus(tmp_path / "nowhere")
    with pytest.raises(BadInputError, match=r"a\.wav is a file: name the folder of a corpus\.$"):
        read_corpus(tmp_path / "flat" / "a.wav")
    with pytest.raises(BadInputError, match="cannot be read: file name too long"):
        read_corpus(tmp_path / ("x" * 300))


def test_a_recording_is_mixed_and_resampled(tmp_path):
    time_s = np.arange(48_000) / 48_000
    left, right = np.sin(2 * np.pi * 440 * time_s), np.sin(2 * np.pi * 1000 * time_s)
    sf.write(tmp_path / "a.wav", np.stack([left, right], axis=1), 48_000, "FLOAT")
    sound = read_mono(tmp_path / "a.wav", 16_000)
    assert sound.dtype == np.float32 and sound.shape == (16_000,)
    wanted = (left + right)[::3] / 2
    assert np.abs(sound - wanted)[200:-200].max() < 1e-3


def test_channels_that_cancel_are_not_mixed_to_silence(tmp_path):
    clean, rate = sf.read(DATA / "slt-1.flac")
    sf.write(tmp_path / "a.wav", np.stack([clean, -clean], axis=1), rate, "FLOAT")
    assert np.allclose(read_mono(tmp_path / "a.wav", rate), clean, atol=1e-6)


def test_a_bad_recording_is_named(tmp_path):
    with pytest.raises(BadInputError, match=r"gone\.wav does not exist"):
        read_mono(tmp_path / "gone.wav", 16_000)


def test_the_suffixes_cost_nothing():
    code = "import sys, voxveil.audio.suffixes; print('numpy' in sys.modules or 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
