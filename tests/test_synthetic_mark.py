"""The mark is in the file, where other programs find it; the sound is the sound; nothing is lost on the way."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch
from hypothesis import given
from hypothesis import strategies as st

from voxveil.audio import libsndfile_encoder
from voxveil.audio.files import Recording, blocks, creating, probe, read, writing
from voxveil.audio.synthetic_mark import MARK, is_marked, marked_name, marked_place, write_marked
from voxveil.errors import BadInputError, BadOutputError

RATE = 16_000
SUFFIXES = [".wav", ".flac", ".ogg"]
SPEECH = 0.5 * torch.sin(torch.arange(RATE) * 2 * torch.pi * 200 / RATE)


# Second readers.


def info_list(data: bytes) -> dict[bytes, bytes]:
    """RIFF: chunks of four letters, a length and that many bytes, padded to even; LIST holds INFO and more chunks."""

    def chunks(inside: bytes) -> list[tuple[bytes, bytes]]:
        found, at = [], 0
        while at + 8 <= len(inside):
            length = int.from_bytes(inside[at + 4 : at + 8], "little")
            found.append((inside[at : at + 4], inside[at + 8 : at + 8 + length]))
            at += 8 + length + length % 2
        return found

    assert data[:4] == b"RIFF"
    assert data[8:12] == b"WAVE"
    lists = [body for name, body in chunks(data[12:]) if name == b"LIST" and body[:4] == b"INFO"]
    return {name: body.rstrip(b"\0") for body in lists for name, body in chunks(body[4:])}


def vorbis_comments(data: bytes) -> dict[bytes, bytes]:
    """A vendor and a list of NAME=value, each behind its length in four little-endian bytes."""

    def taken(at: int) -> tuple[bytes, int]:
        end = at + 4 + int.from_bytes(data[at : at + 4], "little")
        return data[at + 4 : end], end

    _, at = taken(0)
    count, at = int.from_bytes(data[at : at + 4], "little"), at + 4
    pairs = []
    for _ in range(count):
        pair, at = taken(at)
        pairs.append(pair.split(b"=", 1))
    return {name.upper(): value for name, value in pairs}


def flac_comments(data: bytes) -> dict[bytes, bytes]:
    """Metadata blocks: a type in seven bits, a length in three big-endian bytes; type 4 holds Vorbis comments."""
    assert data[:4] == b"fLaC"
    at = 4
    while data[at] & 0x7F != 4:
        assert data[at] < 0x80, "the last block, and no comments"
        at += 4 + int.from_bytes(data[at + 1 : at + 4], "big")
    return vorbis_comments(data[at + 4 :])


def test_wav_carries_the_mark_in_its_info_list(tmp_path):
    found = info_list(write_marked(tmp_path / "a.wav", SPEECH, RATE).read_bytes())
    assert found[b"ICMT"] == MARK.encode()
    assert found[b"ISFT"].startswith(b"voxveil")


def test_flac_and_ogg_carry_the_mark_as_vorbis_comments(tmp_path):
    flac = flac_comments(write_marked(tmp_path / "a.flac", SPEECH, RATE).read_bytes())
    ogg = write_marked(tmp_path / "a.ogg", SPEECH, RATE).read_bytes()
    assert ogg[:4] == b"OggS"
    for found in (flac, vorbis_comments(ogg[ogg.index(b"\x03vorbis") + 7 :])):
        assert found[b"COMMENT"] == MARK.encode()
        assert found[b"SOFTWARE"].startswith(b"voxveil")


@pytest.mark.skipif(shutil.which("ffprobe") is None, reason="ffprobe is not installed")
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_ffprobe_finds_the_mark(tmp_path, suffix):
    path = write_marked(tmp_path / f"a{suffix}", SPEECH, RATE)
    asked = ["ffprobe", "-v", "error", "-of", "json", "-show_format", "-show_streams", str(path)]
    said = json.loads(subprocess.run(asked, capture_output=True, check=True).stdout)
    tags = said["format"].get("tags", {}) | said["streams"][0].get("tags", {})
    assert {name.lower(): value for name, value in tags.items()}["comment"] == MARK


# The name.


@pytest.mark.parametrize(
    ("given_", "wanted"),
    [
        ("x.wav", "x.synthetic.wav"),
        ("x.synthetic.wav", "x.synthetic.wav"),
        ("x.Synthetic.flac", "x.Synthetic.flac"),
        ("x.synthetic.2.wav", "x.synthetic.2.wav"),
        ("synthetic.wav", "synthetic.synthetic.wav"),
        ("x.synthetically.wav", "x.synthetically.synthetic.wav"),
        ("a.synthetic/x.wav", "a.synthetic/x.synthetic.wav"),
        ("/a/b.c/x.y.WAV", "/a/b.c/x.y.synthetic.WAV"),
    ],
)
def test_the_name_is_completed(given_, wanted):
    assert marked_name(Path(given_)) == Path(wanted)


@given(st.text(st.sampled_from("a. /synthetic"), max_size=30))
def test_the_name_is_completed_once(name):
    once = marked_name(Path(name))
    assert ".synthetic" in once.name
    assert marked_name(once) == once
    assert once.parent == Path(name).parent


@pytest.mark.parametrize("name", ["a.mp3", "a.m4a", "a", "a.synthetic", ".", "..", "/", ".wav"])
def test_other_formats_are_refused_with_those_that_are_possible(tmp_path, name):
    with pytest.raises(BadOutputError, match=r"written as \.wav, \.flac or \.ogg\.$"):
        marked_place(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_what_is_there_is_kept_unless_overwriting_is_allowed(tmp_path):
    old = tmp_path / "a.synthetic.wav"
    old.write_bytes(b"precious")
    for refused in (lambda: marked_place(tmp_path / "a.wav"), lambda: write_marked(tmp_path / "a.wav", SPEECH, RATE)):
        with pytest.raises(BadOutputError, match=r"a\.synthetic\.wav exists already"):
            refused()
        assert old.read_bytes() == b"precious"
    assert marked_place(tmp_path / "a.wav", overwrite=True) == old
    assert write_marked(tmp_path / "a.wav", SPEECH, RATE, overwrite=True) == old
    assert is_marked(old)
    assert [path.name for path in tmp_path.iterdir()] == [old.name]


def test_places_that_cannot_be_written_are_named(tmp_path):
    with pytest.raises(BadOutputError, match=r"folder .* does not exist"):
        write_marked(tmp_path / "no" / "a.wav", SPEECH, RATE)
    (tmp_path / "b.synthetic.wav").mkdir()
    with pytest.raises(BadOutputError, match="is a folder"):
        write_marked(tmp_path / "b.wav", SPEECH, RATE)
    with pytest.raises(BadOutputError, match="cannot be written"):
        write_marked(tmp_path / ("x" * 250 + ".wav"), SPEECH, RATE)


def test_a_new_file_does_not_replace_an_old_one_unless_it_may(tmp_path):
    new = Recording(tmp_path / "a.wav", RATE, 1, 0, "WAV", "PCM_16", {}, "soundfile")
    new.path.write_bytes(b"precious")
    with pytest.raises(BadOutputError, match="exists already"), creating(new):
        pass
    assert new.path.read_bytes() == b"precious"
    with creating(new, overwrite=True) as writer:
        writer.write(np.zeros((1, 100)))
    assert probe(new.path).frames == 100


# The sound.


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".WAV"])
def test_the_sound_comes_back_within_half_a_step_of_16_bits(tmp_path, suffix):
    speech = torch.rand(5_000) * 1.999 - 1.0
    path = write_marked(tmp_path / f"a{suffix}", speech, 22_050)
    sound, rate = read(path)
    assert (rate, sound.shape, probe(path).subtype) == (22_050, (1, 5_000), "PCM_16")
    assert np.abs(sound[0] - speech.double().numpy()).max() <= 0.5 / 2**15


def test_ogg_keeps_length_and_sound(tmp_path):
    sound, rate = read(write_marked(tmp_path / "a.ogg", SPEECH, RATE))
    assert (rate, sound.shape) == (RATE, (1, RATE))
    error = sound[0] - SPEECH.double().numpy()
    assert np.sum(error**2) < 0.01 * np.sum(sound**2)


@pytest.mark.parametrize("peak", [0.25, 1.0, 4.0])
def test_only_what_is_louder_than_full_scale_is_scaled(tmp_path, peak):
    speech = peak * torch.sin(torch.arange(RATE) * 0.1).double()
    speech[7] = peak
    sound, _ = read(write_marked(tmp_path / "a.wav", speech, RATE))
    wanted = speech.numpy() / max(1.0, peak)
    # The highest value of 16 bits is one step below 1.
    assert np.abs(sound[0] - np.minimum(wanted, 1.0 - 2.0**-15)).max() <= 0.5 / 2**15


@pytest.mark.parametrize("speech", [torch.zeros(0), torch.tensor([0.0, torch.nan]), torch.tensor([torch.inf, 0.0])])
def test_what_is_no_sound_is_refused(tmp_path, speech):
    with pytest.raises(BadOutputError, match="empty or holds values that are not numbers"):
        write_marked(tmp_path / "a.wav", speech, RATE)
    assert not list(tmp_path.iterdir())


def test_speech_that_a_network_made_is_written(tmp_path):
    speech = SPEECH.clone().requires_grad_()
    assert read(write_marked(tmp_path / "a.flac", speech, RATE))[0].shape == (1, RATE)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_interruption_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, suffix):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    old = tmp_path / f"a.synthetic{suffix}"
    old.write_bytes(b"precious")
    monkeypatch.setattr(libsndfile_encoder._Encoder, "finish", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_marked(tmp_path / f"a{suffix}", SPEECH, RATE, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == [old.name]
    assert old.read_bytes() == b"precious"


# Reading it back.


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_mark_stays_when_the_file_is_renamed_or_its_sound_is_changed(tmp_path, suffix):
    marked = write_marked(tmp_path / f"a{suffix}", SPEECH, RATE)
    renamed = marked.rename(tmp_path / f"b{suffix}")
    assert is_marked(renamed)
    like = probe(renamed)
    with writing(tmp_path / f"c{suffix}", like) as writer:
        for block in blocks(like, 4_096):
            writer.write(0.5 * block)
    assert is_marked(tmp_path / f"c{suffix}")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_name_alone_is_no_mark(tmp_path, suffix):
    path = tmp_path / f"a.synthetic{suffix}"
    with sf.SoundFile(path, "w", RATE, 1) as file:
        file.comment = "synthetic, made by hand"
        file.write(SPEECH.numpy())
    assert not is_marked(path)


@pytest.mark.parametrize("name", ["missing.wav", "empty.wav", "folder"])
def test_what_cannot_be_read_is_named(tmp_path, name):
    (tmp_path / "empty.wav").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(BadInputError, match=f"{name} cannot be read: "):
        is_marked(tmp_path / name)
