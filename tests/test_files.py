"""Files in and out: what nobody changed is kept, what is wrong is named, and no file is half written."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from voxveil.audio.files import blocks, probe, read, writing
from voxveil.errors import BadInputError, BadOutputError, VoxveilError

ROUND_TRIPS = [
    ("WAV", "PCM_U8", ".wav"),
    ("WAV", "PCM_16", ".wav"),
    ("WAV", "PCM_24", ".wav"),
    ("WAV", "PCM_32", ".wav"),
    ("WAV", "FLOAT", ".wav"),
    ("WAV", "DOUBLE", ".wav"),
    ("WAV", "ULAW", ".wav"),
    ("WAV", "ALAW", ".wav"),
    ("WAVEX", "PCM_24", ".wav"),
    ("RF64", "PCM_16", ".wav"),
    ("AIFF", "PCM_S8", ".aiff"),
    ("AIFF", "PCM_16", ".aiff"),
    ("AIFF", "FLOAT", ".aiff"),
    ("FLAC", "PCM_S8", ".flac"),
    ("FLAC", "PCM_16", ".flac"),
    ("FLAC", "PCM_24", ".flac"),
    ("CAF", "ALAC_16", ".caf"),
    ("CAF", "ALAC_24", ".caf"),
    ("AU", "PCM_16", ".au"),
    ("W64", "PCM_24", ".w64"),
]
LOSSY = [("MP3", "MPEG_LAYER_III", ".mp3"), ("OGG", "VORBIS", ".ogg"), ("OGG", "OPUS", ".opus")]


def noise(frames: int, channels: int = 1, seed: int = 0) -> np.ndarray:
    """Every bit of an int32 in use, both ends of the range included. [time, channel]."""
    values = np.random.default_rng(seed).integers(-(2**31), 2**31, (frames, channels)).astype(np.int32)
    values[:2] = [[-(2**31)], [2**31 - 1]]
    return values


def hum(seconds: float, rate: int, channels: int = 1) -> np.ndarray:
    time = np.arange(round(seconds * rate)) / rate
    voice = 0.3 * np.sin(2 * np.pi * 150 * time * (1 + 0.1 * np.sin(time)))
    voice += 0.02 * np.random.default_rng(0).standard_normal(len(time))
    return np.repeat(voice[:, None], channels, axis=1)


def copy(source: Path, target: Path, block_frames: int = 777, **settings: bool) -> None:
    recording = probe(source)
    with writing(target, recording, **settings) as writer:
        for block in blocks(recording, block_frames):
            writer.write(block)


def stored(path: Path, subtype: str) -> np.ndarray:
    return sf.read(path, dtype="float64" if subtype in ("FLOAT", "DOUBLE") else "int32", always_2d=True)[0]


@pytest.mark.parametrize("kind", ROUND_TRIPS, ids="-".join)
@pytest.mark.parametrize(("rate", "channels"), [(8_000, 1), (44_100, 2), (192_000, 1), (48_000, 8)])
def test_what_nobody_changed_comes_back_bit_for_bit(tmp_path, kind, rate, channels):
    container, subtype, suffix = kind
    source, target = tmp_path / f"in{suffix}", tmp_path / f"out{suffix}"
    sf.write(source, noise(2_001, channels), rate, subtype, format=container)
    copy(source, target)
    np.testing.assert_array_equal(stored(target, subtype), stored(source, subtype))
    old, new = sf.info(source), sf.info(target)
    for name in ("samplerate", "channels", "frames", "format", "subtype", "endian"):
        assert getattr(new, name) == getattr(old, name)


@pytest.mark.parametrize(("container", "suffix", "endian"), [("AIFF", ".aif", "LITTLE"), ("WAV", ".wav", "BIG")])
def test_byte_order_is_kept(tmp_path, container, suffix, endian):
    source, target = tmp_path / f"in{suffix}", tmp_path / f"out{suffix}"
    sf.write(source, noise(100), 16_000, "PCM_16", endian, container)
    copy(source, target)
    assert sf.info(target).endian == endian
    np.testing.assert_array_equal(stored(target, "PCM_16"), stored(source, "PCM_16"))


@pytest.mark.parametrize("kind", LOSSY, ids="-".join)
@pytest.mark.parametrize(("rate", "channels"), [(8_000, 1), (48_000, 2)])
def test_lossy_files_keep_length_place_and_bit_rate(tmp_path, kind, rate, channels):
    container, subtype, suffix = kind
    source, target = tmp_path / f"in{suffix}", tmp_path / f"out{suffix}"
    sf.write(source, hum(3.001, rate, channels), rate, subtype, format=container, compression_level=0.3)
    copy(source, target)
    before, after = read(source)[0], read(target)[0]
    assert after.shape == before.shape == (channels, probe(target).frames)
    middle = slice(rate, 2 * rate)
    lags = range(-50, 51)
    match = [before[0, middle] @ after[0, rate + lag : 2 * rate + lag] for lag in lags]
    assert lags[int(np.argmax(match))] == 0
    assert target.stat().st_size == pytest.approx(source.stat().st_size, rel=0.25)


def test_integer_formats_limit_and_float_formats_do_not(tmp_path):
    loud = np.array([[1.5, -1.5, 0.25]])
    for subtype, expected in [("PCM_16", [32767 / 32768, -1.0, 0.25]), ("FLOAT", [1.5, -1.5, 0.25])]:
        sf.write(tmp_path / "in.wav", np.zeros(3), 16_000, subtype)
        with writing(tmp_path / "out.wav", probe(tmp_path / "in.wav"), overwrite=True) as writer:
            writer.write(loud)
        assert read(tmp_path / "out.wav")[0][0].tolist() == expected


def test_rounding_is_to_the_nearest_step(tmp_path):
    sf.write(tmp_path / "in.wav", np.zeros(4), 16_000, "PCM_24")
    with writing(tmp_path / "out.wav", probe(tmp_path / "in.wav")) as writer:
        writer.write(np.array([[0.4, 0.6, -0.4, -0.6]]) / 2**23)
    assert (read(tmp_path / "out.wav")[0][0] * 2**23).tolist() == [0.0, 1.0, 0.0, -1.0]


@pytest.mark.parametrize("block_frames", [1, 100, 2_001, 5_000])
@pytest.mark.parametrize("suffix", [".wav", ".flac", ".mp3", ".ogg"])
def test_blocks_put_together_are_the_file(tmp_path, suffix, block_frames):
    path = tmp_path / f"a{suffix}"
    sf.write(path, hum(2_001 / 16_000, 16_000, 2), 16_000)
    whole, rate = read(path)
    parts = list(blocks(probe(path), block_frames))
    assert rate == 16_000
    assert {part.shape[1] for part in parts[:-1]} <= {block_frames}
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole, atol=1e-6)


@pytest.mark.parametrize(
    ("container", "subtype", "suffix"),
    [("WAV", "PCM_16", ".wav"), ("AIFF", "PCM_16", ".aiff"), ("FLAC", "PCM_16", ".flac"), *LOSSY],
)
def test_tags_are_kept(tmp_path, container, subtype, suffix):
    source, target = tmp_path / f"in{suffix}", tmp_path / f"out{suffix}"
    with sf.SoundFile(source, "w", 48_000, 1, subtype, format=container) as file:
        file.title, file.artist, file.comment, file.software = "Ein Märchen", "Ada", "two words", "Recorder 3"
        file.write(hum(0.5, 48_000))
    copy(source, target)
    assert probe(source).tags["title"] == "Ein Märchen"
    assert probe(target).tags == probe(source).tags
    assert suffix == ".mp3" or probe(target).tags["software"] == "Recorder 3"


def test_a_file_without_tags_gets_none(tmp_path):
    sf.write(tmp_path / "in.flac", hum(0.1, 16_000), 16_000)
    copy(tmp_path / "in.flac", tmp_path / "out.flac")
    assert probe(tmp_path / "out.flac").tags == probe(tmp_path / "in.flac").tags == {}


def test_unicode_and_longest_names(tmp_path):
    for stem in ["голос 声 🎙", "name with 'quotes'", "x" * 251, "é" * 125]:
        source = tmp_path / f"{stem}.wav"
        sf.write(source, noise(100), 16_000)
        folder = tmp_path / "öut"
        folder.mkdir(exist_ok=True)
        copy(source, folder / source.name)
        np.testing.assert_array_equal(read(folder / source.name)[0], read(source)[0])


# What cannot be read.


def one_sentence(error: Exception, path: Path) -> bool:
    said = str(error)
    rest = said.replace(str(path), "")
    return str(path) in said and said.endswith(".") and "\n" not in said and ". " not in rest


def wav(path: Path, **settings: object) -> Path:
    sf.write(path, noise(4_000), 16_000, **settings)
    return path


def cut(path: Path, kept: float) -> Path:
    path.write_bytes(path.read_bytes()[: round(path.stat().st_size * kept)])
    return path


def text(path: Path) -> Path:
    path.write_text("This is no sound.\n" * 100)
    return path


def folder(path: Path) -> Path:
    path.mkdir()
    return path


def sound(path: Path, values: np.ndarray, rate: int) -> Path:
    sf.write(path, values, rate, "FLOAT")
    return path


def flac_without_length(path: Path) -> Path:
    data = bytearray(wav(path).read_bytes())
    # STREAMINFO begins at byte 8; its number of samples is the last 36 bits before the 16 bytes of MD5.
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    path.write_bytes(data)
    return path


BAD_INPUTS = {
    "missing": lambda p: p / "a.wav",
    "missing folder": lambda p: p / "b" / "a.wav",
    "null": lambda p: p / "a\0.wav",
    "too long": lambda p: p / ("x" * 300 + ".wav"),
    "folder": lambda p: folder(p / "a.wav"),
    "empty": lambda p: (p / "a.wav").write_bytes(b"") or p / "a.wav",
    "text": lambda p: text(p / "a.wav"),
    "text named flac": lambda p: text(p / "a.flac"),
    "text named raw": lambda p: text(p / "a.raw"),
    "text named m3u8": lambda p: text(p / "a.m3u8"),
    "no frames": lambda p: sound(p / "a.wav", np.zeros(0), 16_000),
    "truncated wav": lambda p: cut(wav(p / "a.wav"), 0.6),
    "truncated aiff": lambda p: cut(wav(p / "a.aiff"), 0.6),
    "truncated flac": lambda p: cut(wav(p / "a.flac"), 0.6),
    "truncated mp3": lambda p: cut(wav(p / "a.mp3"), 0.6),
    "flac without length": lambda p: flac_without_length(p / "a.flac"),
    "only a header": lambda p: cut(wav(p / "a.wav"), 20 / 8_044),
    "nan": lambda p: sound(p / "a.wav", np.array([0.0, np.nan]), 16_000),
    "infinite": lambda p: sound(p / "a.wav", np.array([0.0, np.inf]), 16_000),
    "slow": lambda p: sound(p / "a.wav", np.zeros(100), 4_000),
    "fast": lambda p: sound(p / "a.wav", np.zeros(100), 384_000),
    "many channels": lambda p: sound(p / "a.wav", np.zeros((100, 9)), 16_000),
}


@pytest.mark.parametrize("case", BAD_INPUTS)
def test_bad_input_is_named_in_one_sentence(tmp_path, case):
    path = BAD_INPUTS[case](tmp_path)
    with pytest.raises(BadInputError) as caught:
        read(path)
    assert one_sentence(caught.value, path), str(caught.value)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read and write everything")
def test_forbidden_places(tmp_path):
    path = wav(tmp_path / "a.wav")
    like = probe(path)
    path.chmod(0)
    with pytest.raises(BadInputError, match="ermission"):
        probe(path)
    path.chmod(0o600)
    locked = folder(tmp_path / "locked")
    locked.chmod(0o500)
    with pytest.raises(BadOutputError, match="ermission"), writing(locked / "b.wav", like):
        pass


def test_a_wav_from_a_pipe_is_not_truncated(tmp_path):
    path = wav(tmp_path / "a.wav")
    data = bytearray(path.read_bytes())
    data[40:44] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    assert read(path)[0].shape == (1, 4_000)


def read_or_refused(path: Path) -> bool:
    """Whether the file can be read, or is refused in one sentence that names it."""
    try:
        recording = probe(path)
        for index, _ in enumerate(blocks(recording, 4_096)):
            if index > 100:
                break
    except VoxveilError as error:
        return one_sentence(error, path)
    return True


FUZZ = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@FUZZ
@given(data=st.binary(min_size=0, max_size=400), suffix=st.sampled_from([".wav", ".flac", ".mp3", ".mp4", ""]))
def test_random_bytes_never_surprise(tmp_path, data, suffix):
    path = tmp_path / f"fuzz{suffix}"
    path.write_bytes(data)
    assert read_or_refused(path)


@pytest.mark.parametrize("suffix", [".wav", ".aiff", ".flac", ".ogg", ".mp3"])
@FUZZ
@given(
    edits=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=8),
    kept=st.one_of(st.just(1.0), st.floats(0, 1)),
    near_start=st.booleans(),
)
def test_damaged_files_never_surprise(tmp_path, suffix, edits, kept, near_start):
    path = tmp_path / f"fuzz{suffix}"
    sf.write(path, hum(0.1, 16_000), 16_000)
    data = bytearray(path.read_bytes())
    reach = min(len(data), 128) if near_start else len(data)
    for place, value in edits:
        data[round(place * (reach - 1))] = value
    path.write_bytes(data[: round(kept * len(data))])
    assert read_or_refused(path)


# What cannot be written.


def alone(path: Path, *names: str) -> bool:
    return {entry.name for entry in path.iterdir()} == set(names)


@pytest.mark.parametrize("kind", ["same", "relative", "symlink", "hard link", "dotted"])
def test_the_input_itself_is_never_overwritten(tmp_path, monkeypatch, kind):
    source = wav(tmp_path / "a.wav")
    before = source.read_bytes()
    monkeypatch.chdir(tmp_path)
    target = {
        "same": source,
        "relative": Path("a.wav"),
        "symlink": tmp_path / "link.wav",
        "hard link": tmp_path / "hard.wav",
        "dotted": tmp_path / ".." / tmp_path.name / "a.wav",
    }[kind]
    if kind == "symlink":
        target.symlink_to(source)
    if kind == "hard link":
        target.hardlink_to(source)
    with pytest.raises(BadOutputError, match="is the input itself"):
        copy(source, target, overwrite=True)
    assert source.read_bytes() == before


def test_what_exists_is_overwritten_only_on_demand(tmp_path):
    source, target = wav(tmp_path / "a.wav"), tmp_path / "b.wav"
    target.write_bytes(b"precious")
    with pytest.raises(BadOutputError, match="exists already"):
        copy(source, target)
    assert target.read_bytes() == b"precious"
    copy(source, target, overwrite=True)
    np.testing.assert_array_equal(read(target)[0], read(source)[0])
    assert alone(tmp_path, "a.wav", "b.wav")


@pytest.mark.parametrize("name", ["b.flac", "b", "none/b.wav", "x" * 300 + ".wav", "sub.wav"])
def test_bad_places_are_named(tmp_path, name):
    source = wav(tmp_path / "a.wav")
    (tmp_path / "sub.wav").mkdir()
    with pytest.raises(BadOutputError) as caught:
        copy(source, tmp_path / name, overwrite=True)
    assert one_sentence(caught.value, tmp_path / name)
    assert alone(tmp_path, "a.wav", "sub.wav")


def test_two_spellings_of_a_container_are_one(tmp_path):
    copy(wav(tmp_path / "a.wav"), tmp_path / "b.WAVE")
    assert probe(tmp_path / "b.WAVE").frames == 4_000


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".mp3", ".ogg"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, SystemExit])
def test_what_is_interrupted_leaves_nothing(tmp_path, suffix, error):
    source = wav(tmp_path / f"a{suffix}")
    with pytest.raises(error), writing(tmp_path / f"b{suffix}", probe(source)) as writer:
        writer.write(np.zeros((1, 1_000)))
        raise error
    assert alone(tmp_path, source.name)


def test_an_interrupted_overwrite_leaves_the_old_file(tmp_path):
    source, target = wav(tmp_path / "a.wav"), tmp_path / "b.wav"
    target.write_bytes(b"precious")
    with pytest.raises(RuntimeError), writing(target, probe(source), overwrite=True) as writer:
        writer.write(np.zeros((1, 1_000)))
        raise RuntimeError
    assert target.read_bytes() == b"precious"


def test_a_damaged_input_leaves_no_output(tmp_path):
    source = cut(wav(tmp_path / "a.flac"), 0.6)
    with pytest.raises(BadInputError):
        copy(source, tmp_path / "b.flac")
    assert alone(tmp_path, "a.flac")


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
@pytest.mark.parametrize("suffix", [".wav", ".aiff", ".flac", ".mp3", ".ogg", ".caf"])
def test_a_full_disk_is_reported(tmp_path, suffix):
    # A process may limit its files to some bytes; writing more then fails as on a full disk, with EFBIG.
    sf.write(tmp_path / f"a{suffix}", np.random.default_rng(0).uniform(-1, 1, 200_000), 48_000)
    program = """
        import resource, signal, sys
        from pathlib import Path
        from voxveil.audio.files import blocks, probe, writing
        from voxveil.errors import BadOutputError
        source, target = map(Path, sys.argv[1:])
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        try:
            recording = probe(source)
            with writing(target, recording) as writer:
                for block in blocks(recording, 4_096):
                    writer.write(block)
        except BadOutputError as error:
            print(error)
        else:
            print("written")
    """
    source, target = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), str(source), str(target)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith(f"{target} cannot be written: "), done.stdout
    assert alone(tmp_path, source.name)
