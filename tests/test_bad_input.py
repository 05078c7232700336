"""Whatever is wrong is said in one sentence that names it, with the documented exit code, and no file is left."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from running import DATA, ENVIRONMENT, one_sentence, speech_file, voxveil, voxveil_here

from voxveil import api
from voxveil.catalog import ENSEMBLE
from voxveil.errors import ModelUnavailableError

RATE = 16_000
NAME_OR_SETTING, USAGE, BAD_INPUT, BAD_OUTPUT, NO_MODEL, NO_EXTRA = 1, 2, 3, 4, 5, 6
FAST = ("--effort", "fast", "--against", "ge2e")


@pytest.fixture
def here(monkeypatch, capsys):
    return partial(voxveil_here, monkeypatch, capsys)


@pytest.fixture
def loaded(ge2e):
    """For what is found out only after the models are there."""


def sound(path: Path, values: np.ndarray, rate: int = RATE, subtype: str = "FLOAT") -> Path:
    sf.write(path, values, rate, subtype)
    return path


def content(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def truncated(path: Path) -> Path:
    whole = speech_file(path).read_bytes()
    return content(path, whole[: len(whole) * 6 // 10])


def with_nan(path: Path) -> Path:
    values = sf.read(DATA / "slt-1.flac")[0]
    values[30_000] = np.nan
    return sound(path, values)


def text(path: Path) -> Path:
    return content(path, b"This is no sound.\n" * 50)


def empty_folder(path: Path) -> Path:
    path.mkdir()
    (path / "notes.txt").write_text("no recording")
    return path


CASES = {
    "empty": (lambda p: content(p / "a.wav", b""), "is empty"),
    "silent": (lambda p: sound(p / "a.wav", np.zeros(2 * RATE)), "is silent"),
    "silent stereo": (lambda p: sound(p / "a.wav", np.zeros((2 * RATE, 2))), "is silent"),
    "all NaN": (lambda p: sound(p / "a.wav", np.full(2 * RATE, np.nan)), "not numbers"),
    "one NaN": (lambda p: with_nan(p / "a.wav"), "not numbers"),
    "infinite": (lambda p: sound(p / "a.wav", np.full(2 * RATE, np.inf)), "not numbers"),
    "truncated wav": (lambda p: truncated(p / "a.wav"), "truncated"),
    "truncated flac": (lambda p: truncated(p / "a.flac"), "damaged"),
    "not audio": (lambda p: text(p / "a.wav"), ""),
    "not audio, mp3": (lambda p: text(p / "a.mp3"), ""),
    "one sample": (lambda p: sound(p / "a.wav", np.full(1, 0.1)), "0.5 s"),
    "0.4 s": (lambda p: sound(p / "a.wav", sf.read(DATA / "slt-1.flac")[0][8000:14_400]), "400.0 ms"),
    "no frames": (lambda p: sound(p / "a.wav", np.zeros(0)), "no sound"),
    "missing": (lambda p: p / "a.wav", "does not exist"),
    "in a missing folder": (lambda p: p / "b" / "a.wav", "does not exist"),
    "a name of 300 letters": (lambda p: p / ("x" * 300 + ".wav"), "too long"),
    "a folder without recordings": (lambda p: empty_folder(p / "a"), "holds no recordings"),
    "a slow file": (lambda p: sound(p / "a.wav", np.zeros(4000), 4000), "4000 Hz"),
}


@pytest.mark.weights
@pytest.mark.usefixtures("loaded")
@pytest.mark.parametrize("case", CASES)
def test_a_recording_that_cannot_be_used(here, tmp_path, case):
    make, cause = CASES[case]
    path = make(tmp_path)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    for out in ([], ["-o", tmp_path / "new" / f"b{path.suffix}"]):
        done = here("protect", path, *out, *FAST)
        assert done.code == BAD_INPUT
        assert one_sentence(done.err, path) and cause in done.err, done.err
        assert done.out == ""
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before, "nothing made, nothing changed"


MEASURED = [case for case in CASES if case not in ("0.4 s", "a folder without recordings")]


@pytest.mark.weights
@pytest.mark.usefixtures("loaded")
@pytest.mark.parametrize("case", MEASURED)
def test_a_recording_that_cannot_be_measured(here, tmp_path, case):
    path = CASES[case][0](tmp_path)
    for words in ([path, path], [DATA / "slt-1.flac", DATA / "slt-1.flac", "--enrol", path]):
        done = here("measure", *words)
        assert done.code == BAD_INPUT
        assert one_sentence(done.err, path), done.err
        assert done.out == ""


@pytest.mark.weights
@pytest.mark.usefixtures("loaded")
@pytest.mark.parametrize("case", ["silent", "missing", "not audio", "one sample", "one NaN"])
def test_a_target_that_is_no_speaker(here, tmp_path, case):
    source, target = speech_file(tmp_path / "talk.wav"), CASES[case][0](tmp_path)
    done = here("protect", source, "--target", target, *FAST)
    assert done.code == BAD_INPUT and one_sentence(done.err, target), done.err
    assert not (tmp_path / "talk.protected.wav").exists()


@pytest.mark.weights
@pytest.mark.usefixtures("loaded")
def test_a_clipped_recording_is_protected_like_any_other(here, tmp_path):
    values = sf.read(DATA / "slt-1.flac")[0][3000:22_000]
    path = sound(tmp_path / "a.wav", np.clip(20.0 * values, -1.0, 1.0), subtype="PCM_16")
    done = here("protect", path, *FAST)
    assert (done.code, done.err) == (0, "")
    made = sf.read(tmp_path / "a.protected.wav")[0]
    assert np.abs(made).max() <= 1.0 and not np.array_equal(made, sf.read(path)[0])


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read and write everything")
@pytest.mark.weights
@pytest.mark.usefixtures("loaded")
def test_forbidden_places(here, tmp_path):
    path = speech_file(tmp_path / "a.wav")
    path.chmod(0)
    done = here("protect", path)
    assert done.code == BAD_INPUT and one_sentence(done.err, path)
    path.chmod(0o600)
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    for out in (locked / "b.wav", locked / "new" / "b.wav"):
        done = here("protect", path, "-o", out)
        assert done.code == BAD_OUTPUT and one_sentence(done.err, out.parent)


# Where to.


@pytest.mark.weights
@pytest.mark.usefixtures("loaded")
@pytest.mark.parametrize(
    ("out", "named"),
    [
        ("b.flac", "b.flac"),
        ("b", "b"),
        ("notes.txt/b.wav", "notes.txt"),
        ("notes.txt/deep/b.wav", "notes.txt/deep"),
        ("x" * 300 + ".wav", "x" * 300),
    ],
)
@pytest.mark.parametrize("resume", [[], ["--resume", "--overwrite"]])
def test_a_result_that_cannot_be_written(here, tmp_path, out, named, resume):
    source = speech_file(tmp_path / "a.wav")
    (tmp_path / "notes.txt").write_text("precious")
    before = sorted(tmp_path.rglob("*"))
    done = here("protect", source, "-o", tmp_path / out, *resume, *FAST)
    assert done.code == BAD_OUTPUT and one_sentence(done.err, tmp_path / named), done.err
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "notes.txt").read_text() == "precious"


@pytest.mark.parametrize("report", ["report.wav", "report", "missing/report.json"])
def test_a_report_that_cannot_be_written_is_refused_before_the_work(here, tmp_path, report):
    source = speech_file(tmp_path / "a.wav")
    done = here("protect", source, "--report", tmp_path / report)
    assert done.code == BAD_OUTPUT and one_sentence(done.err, tmp_path / report), done.err
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a.wav"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
@pytest.mark.weights
@pytest.mark.usefixtures("loaded")
def test_a_full_disk(tmp_path):
    """A process may limit its files to some bytes; writing more then fails as on a full disk."""
    source = speech_file(tmp_path / "a.wav", 2.0)
    program = """
        import resource
        from voxveil.cli.main import run
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        run()
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), "protect", str(source), *FAST],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == BAD_OUTPUT
    assert one_sentence(done.stderr, tmp_path / "a.protected.wav"), done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["a.wav"]


# Words.


@pytest.mark.weights
@pytest.mark.usefixtures("loaded")
@pytest.mark.parametrize(
    ("words", "code", "named"),
    [
        (["--method", "cloak"], NAME_OR_SETTING, ["cloak", "there is: antifake", "veil, voicecloak"]),
        (["--against", "nobody"], NO_MODEL, ["nobody", "DV-COS"]),
        (["--against", "ge2e,nobody"], NO_MODEL, ["nobody", "DV-COS"]),
        (["--against", ""], NAME_OR_SETTING, ["ge2e"]),
        (["--against", "ivector-plda"], NO_MODEL, ["ivector-plda", "scorer"]),
        (["--against", "ge2e", "--except", "ge2e"], NAME_OR_SETTING, ["ge2e"]),
        (["--except", "nobody"], NAME_OR_SETTING, ["nobody", "ge2e"]),
        (["--device", "toaster"], NAME_OR_SETTING, ["toaster", "cpu"]),
        (["--device", "meta"], NAME_OR_SETTING, ["meta", "cpu"]),
        (["--device", "mps"], NAME_OR_SETTING, ["mps", "cpu"]),
        (["--device", "cuda:99"], NAME_OR_SETTING, ["cuda:99", "cpu"]),
        (["--seed", "-1"], NAME_OR_SETTING, ["-1", "seed"]),
        (["--seed", "99999999999999999999"], NAME_OR_SETTING, ["99999999999999999999", "seed"]),
        (["--quality", "0.5"], NAME_OR_SETTING, ["0.5", "PESQ"]),
        (["--quality", "4.7"], NAME_OR_SETTING, ["4.7", "PESQ"]),
        (["--quality", "nan"], NAME_OR_SETTING, ["nan", "PESQ"]),
    ],
)
def test_a_name_or_a_setting_that_does_not_exist(here, tmp_path, words, code, named):
    source = speech_file(tmp_path / "a.wav")
    done = here("protect", source, *words)
    assert done.code == code and one_sentence(done.err, *named), done.err
    assert [p.name for p in tmp_path.iterdir()] == ["a.wav"]


def test_one_name_may_stand_without_a_list(tmp_path):
    source = speech_file(tmp_path / "a.wav")
    with pytest.raises(ModelUnavailableError, match="'nobody'"):
        api.measure(source, source, against="nobody")


@pytest.mark.parametrize(
    "words",
    [
        ["--strength", "huge"],
        ["--effort", "none"],
        ["--quality", "good"],
        ["--seed", "x"],
        ["--frobnicate"],
        ["--overwrite=7"],
    ],
)
def test_words_that_the_parser_does_not_know(here, tmp_path, words):
    source = speech_file(tmp_path / "a.wav")
    done = here("protect", source, *words)
    assert done.code == USAGE
    assert words[0].split("=")[0] in done.err and "Traceback" not in done.err
    assert [p.name for p in tmp_path.iterdir()] == ["a.wav"]


def test_a_command_that_does_not_exist(here):
    assert here("clone").code == USAGE
    assert here("protect").code == USAGE


def test_a_model_that_does_not_exist(here):
    for words in (["models", "show", "nobody"], ["models", "pull", "nobody"]):
        done = here(*words)
        assert done.code == NO_MODEL and one_sentence(done.err, "nobody", "ge2e")


# What is missing on this machine.


def away(folder: Path) -> dict[str, str]:
    """A machine without a network and without weights but those of the package."""
    return {"VOXVEIL_OFFLINE": "1", "VOXVEIL_CACHE": str(folder / "cache"), "VOXVEIL_MODELS": ""}


def test_without_a_network_the_shipped_encoders_serve(tmp_path):
    source = speech_file(tmp_path / "a.wav")
    done = voxveil("protect", source, "--effort", "fast", "--report", tmp_path / "r.json", **away(tmp_path))
    assert done.code == 0 and one_sentence(done.err, "ge2e is left out", "voxveil models pull ge2e"), done.err
    assert set(json.loads((tmp_path / "r.json").read_text())["verifiers"]) == set(ENSEMBLE) - {"ge2e"}


NEEDS_GE2E = (
    ["protect", "a.wav", "--against", "ge2e"],
    ["measure", "a.wav", "a.wav", "--against", "ge2e"],
    ["models", "pull", "ge2e"],
)


@pytest.mark.parametrize("words", NEEDS_GE2E)
def test_without_weights_and_network_it_says_what_to_do(tmp_path, words):
    speech_file(tmp_path / "a.wav")
    done = voxveil(*words, cwd=tmp_path, **away(tmp_path))
    assert done.code == NO_MODEL
    assert one_sentence(done.err, "ge2e", "voxveil models pull ge2e", "VOXVEIL_MODELS"), done.err
    assert [p.name for p in tmp_path.rglob("*.wav")] == ["a.wav"] and not list(tmp_path.rglob("*.part"))


@pytest.mark.weights
@pytest.mark.usefixtures("loaded")
def test_without_an_extra_it_says_which(here, monkeypatch, tmp_path):
    source = speech_file(tmp_path / "a.wav")
    monkeypatch.setitem(sys.modules, "pesq", None)
    done = here("protect", source, "--quality", "4", *FAST)
    assert done.code == NO_EXTRA and one_sentence(done.err, "pip install 'voxveil[eval]'"), done.err
    assert not (tmp_path / "a.protected.wav").exists()
    done = here("protect", source, *FAST)
    assert done.code == 0 and "PESQ ? of" in done.out and "voxveil[eval]" in done.out


def test_a_real_process_ends_alike(tmp_path):
    done = voxveil("protect", "missing.wav", cwd=tmp_path)
    assert done.code == BAD_INPUT
    assert done.err == "voxveil: missing.wav does not exist.\n" and done.out == ""


def test_a_traceback_is_shown_to_whoever_asks(here, monkeypatch):
    assert "Traceback" not in here("protect", "missing.wav").err
    monkeypatch.setenv("VOXVEIL_DEBUG", "1")
    for words in (["protect", "missing.wav"], ["measure", "missing.wav", "missing.wav"]):
        said = here(*words).err
        assert "Traceback" in said and said.endswith("voxveil: missing.wav does not exist.\n")


def test_a_defect_of_ours_is_one_sentence_too(here, monkeypatch):
    from voxveil import hub

    monkeypatch.delattr(hub, "names")
    done = here("models", "list")
    assert done.code == 1 and done.err.count("\n") == 1 and "please report it" in done.err
    assert "Traceback" not in done.err
