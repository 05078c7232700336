"""A grid from its file to a report: nothing is computed twice, and a run that was stopped ends as any other."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import sqlite3
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from running import DATA, ENVIRONMENT, command, one_sentence, voxveil, voxveil_here
from tiny import corpus as recorded
from tiny import tiny_card, untrained_card

from voxveil import catalog
from voxveil.bench.doubts import doubts
from voxveil.bench.export import rows_of, write_csv, write_parquet
from voxveil.bench.grid import Grid, read_grid
from voxveil.bench.kept_audio import KeptAudio
from voxveil.bench.parts import weights
from voxveil.bench.rates import Rate, interval, rates_of
from voxveil.bench.report import write_report
from voxveil.bench.run import AUDIO, RESULTS, cells_of, run
from voxveil.bench.scenario import STATIONS, Part, Scenario, Slice
from voxveil.bench.speech import read_speech
from voxveil.bench.store import Store
from voxveil.errors import BadInputError, BadOutputError, VoxveilError

NONE = Part("none")


@pytest.fixture
def grid(tmp_path: Path) -> Grid:
    (tmp_path / "tiny").mkdir()
    card = str(tiny_card(tmp_path / "tiny"))
    veil = Part("veil", (("against", (card,)), ("effort", "fast"), ("strength", "light")))
    parts = {
        "protection": (veil,),
        "channel": (NONE,),
        "purification": (NONE, Part("resample")),
        "cloner": (NONE, Part("knn-vc")),
        "verifier": (Part(card),),
    }
    return Grid("small", DATA, parts, speakers=2, references=1, contents=1, clip_s=2.0)


def test_a_run_computes_every_cell_once_and_the_second_time_none(grid: Grid, tmp_path: Path) -> None:
    out = tmp_path / "run"
    told: list[tuple[int, int, str]] = []
    first = run(grid, None, out, on_cell=lambda *said: told.append(said))
    rows = rows_of(out)
    assert (first.cells, first.computed) == (16, 16)  # 4 protections with the controls × 2 purifiers × 2 cloners
    assert [done for done, _, _ in told] == list(range(16)) and "veil" in "".join(words for _, _, words in told)
    assert len(rows) == 32 and {row["speaker"] for row in rows} == {"awb", "kal16"}
    assert all(row["accepted"] == (row["score"] >= row["threshold"]) for row in rows)
    assert run(grid, None, out).computed == 0
    assert rows_of(out) == rows
    assert not (out / AUDIO).exists()


def test_the_controls_are_what_they_are_called(grid: Grid, tmp_path: Path) -> None:
    run(grid, None, tmp_path / "run")
    bare = {
        row["protection"]: row
        for row in rows_of(tmp_path / "run")
        if row["cloner"] == row["purification"] == "none" and row["speaker"] == "awb"
    }
    clean, other = bare["none"], bare["another-speaker"]
    assert clean["pesq_wb"] > 4.6 and clean["stoi"] > 0.999
    assert other["pesq_wb"] is None and other["score"] < clean["score"]
    veil, noise = (next(row for name, row in bare.items() if name.startswith(kind)) for kind in ("veil", "noise"))
    assert abs(veil["pesq_wb"] - noise["pesq_wb"]) < 0.05
    assert veil["snr_db"] < 40 and veil["score"] < clean["score"]


def test_a_run_that_was_stopped_ends_with_the_same_table(grid: Grid, tmp_path: Path) -> None:
    run(grid, None, tmp_path / "whole")

    def stop_later(done: int, cells: int, words: str) -> None:
        if done == 9:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(grid, None, tmp_path / "stopped", on_cell=stop_later)
    assert len(Store(tmp_path / "stopped" / RESULTS).finished()) == 9
    assert run(grid, None, tmp_path / "stopped").computed == 7
    for name in ("whole", "stopped"):
        write_csv(tmp_path / name, tmp_path / f"{name}.csv")
    assert (tmp_path / "whole.csv").read_bytes() == (tmp_path / "stopped.csv").read_bytes()


def test_a_run_that_was_killed_goes_on(tmp_path: Path) -> None:
    file = tmp_path / "g.toml"
    file.write_text(
        f'corpus = "{DATA}"\nspeakers = 2\nreferences = 1\ncontents = 1\nclip_s = 2\n[parts]\n'
        'channel = ["none", "telephone"]\ncloner = ["none", "knn-vc"]\nverifier = ["XV-COS"]\n'
    )
    out = tmp_path / "run"
    started = subprocess.Popen(command("bench", "run", file, "-o", out), env=ENVIRONMENT)
    until = time.monotonic() + 120
    while not (out / RESULTS).exists() or len(Store(out / RESULTS).finished()) < 2:
        assert time.monotonic() < until and started.poll() is None
        time.sleep(0.05)
    os.kill(started.pid, signal.SIGKILL)
    started.wait()
    finished = len(Store(out / RESULTS).finished())
    assert 2 <= finished < 8
    # The same number of threads, or the last digits differ.
    again, whole = (voxveil("bench", "run", file, "-o", place, "--json") for place in (out, tmp_path / "whole"))
    assert json.loads(again.out)["computed"] == 8 - finished and json.loads(whole.out)["computed"] == 8
    assert rows_of(out) == rows_of(tmp_path / "whole")


def test_kept_audio_serves_a_second_run_and_damage_is_noticed(grid: Grid, tmp_path: Path) -> None:
    out = tmp_path / "run"
    run(grid, None, out, keep_audio=True)
    rows = rows_of(out)
    cells = cells_of(grid, read_speech(grid, DATA))
    kept = KeptAudio(out / AUDIO)
    protected = next(cell for cell in cells if cell.parts[0].name == "veil")
    clips = kept.read(protected.audio)
    assert clips is not None and [len(c) for spoken in clips.values() for c in spoken] == [32_000, 32_000]
    (name,) = kept.names(protected.audio)["awb"]
    kept.path(name).write_bytes(kept.path(name).read_bytes()[:2000])
    assert kept.read(protected.audio) is None
    (out / RESULTS).unlink()
    assert run(grid, None, out).computed == 16
    assert rows_of(out) == rows


def test_a_key_changes_with_whatever_the_numbers_depend_on(grid: Grid, tmp_path: Path) -> None:
    speech = read_speech(grid, recorded(tmp_path / "corpus", "awb", "kal16"))
    keys = {cell.parts: cell.key for cell in cells_of(grid, speech)}
    assert len(set(keys.values())) == len(keys) == 16
    scenario = Scenario(speech.slice, next(iter(keys)), seed=0)
    assert scenario.key(["a"], "1") == Scenario(speech.slice, next(iter(keys)), 0).key(["a"], "1")
    others = [
        scenario.key(["b"], "1"),
        scenario.key(["a"], "2"),
        replace(scenario, seed=1).key(["a"], "1"),
        replace(scenario, speech=replace(speech.slice, contents=9)).key(["a"], "1"),
    ]
    assert len({scenario.key(["a"], "1"), *others}) == 5
    same = read_speech(grid, tmp_path / "corpus")
    assert same.slice == speech.slice
    sound = tmp_path / "corpus" / "awb" / "awb-2.flac"
    sound.write_bytes((DATA / "rms-2.flac").read_bytes())
    assert read_speech(grid, tmp_path / "corpus").slice != speech.slice


def test_weights_are_those_of_every_network_behind_a_part() -> None:
    from voxveil import hub

    sha = {name: hub.card(name).weights.sha256 for name in ("ivector", "ivector-plda", "ge2e", "adain-vc", "xvector")}
    assert weights("verifier", Part("IV-PLDA")) == [sha["ivector"], sha["ivector-plda"]]
    assert sha["adain-vc"] in weights("cloner", Part("adain-vc")) and sha["xvector"] in weights(
        "cloner", Part("adain-vc")
    )
    veil = Part("veil", (("against", ("ge2e",)),))
    assert weights("protection", veil) == [sha["ge2e"]]
    assert weights("protection", Part("noise-of-equal-pesq", (("of", veil),))) == [sha["ge2e"]]


def test_speech_is_split_so_that_nobody_says_what_his_reference_says(tmp_path: Path) -> None:
    asked = Grid("g", None, {}, speakers=4, references=1, contents=5)
    speech = read_speech(asked, recorded(tmp_path / "c"))
    for speaker in speech.speakers:
        named = [[take.name for take in group[speaker]] for group in (speech.references, speech.enrolment)]
        assert named == [[f"{speaker}-1"], [f"{speaker}-2"]]
        said = [take.name for take in speech.contents[speaker]]
        assert len(said) == 5 and not any(name.startswith(speaker) for name in said)
    with pytest.raises(BadInputError, match="has 0 speakers with more than 3 utterances"):
        read_speech(replace(asked, references=3), tmp_path / "c")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("corpus = ", "is no grid file"),
        ('colour = "red"', "has 'colour', which no grid has"),
        ('[parts]\nprotection = ["vail"]\nverifier = ["DV-COS"]', "no protection 'vail'; the nearest is 'veil'"),
        ('opinions = ["mine"]\n[parts]\nverifier = ["DV-COS"]', "There is no opinion 'mine'"),
        ('[parts]\ncloner = ["knn"]\nverifier = ["DV-COS"]', "the nearest is 'knn-vc'"),
        ('[parts]\nprotection = [{name = "veil", size = 3}]\nverifier = ["DV-COS"]', "has no setting 'size'"),
        ('[parts]\nchannel = ["telephone"]', "names no verifier"),
        ('[parts]\nverb = ["x"]', "has no station 'verb'"),
        ('speakers = 1\n[parts]\nverifier = ["DV-COS"]', "asks for speakers = 1: give at least 2"),
        ('speakers = "many"\n[parts]\nverifier = ["DV-COS"]', "is no grid file"),
        ("parts = 3", "is no grid file"),
    ],
)
def test_a_grid_that_is_none_is_named(text: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "g.toml").write_text(text)
    with pytest.raises(VoxveilError, match=sentence) as raised:
        read_grid(tmp_path / "g.toml")
    assert one_sentence(f"voxveil: {raised.value}\n")


def test_a_part_that_is_not_built_yet_is_shown_as_such(tmp_path: Path) -> None:
    (tmp_path / "g.toml").write_text(
        f'corpus = "{DATA}"\nspeakers = 2\nreferences = 1\ncontents = 1\nclip_s = 2\nnot_built = ["waveguard"]\n'
        '[parts]\npurification = ["none", "waveguard"]\nverifier = ["XV-COS"]\n'
    )
    asked = read_grid(tmp_path / "g.toml")
    assert run(asked, None, tmp_path / "run").cells == 2
    (text, _, _) = write_report(tmp_path / "run", tmp_path / "report")
    assert "| none | 4.64 | waveguard | not built |" in text.read_text()


def test_a_part_that_is_out_of_reach_is_left_out_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    grid = f'corpus = "{DATA}"\nspeakers = 2\nreferences = 1\ncontents = 1\nclip_s = 2\n'
    (tmp_path / "g.toml").write_text(
        f'{grid}[parts]\ncloner = ["none", "seed-vc", {{ name = "openvoice", checkout = "nowhere" }}]\n'
        'verifier = ["XV-COS"]\n'
    )
    words = ["bench", "run", tmp_path / "g.toml", "-o", tmp_path / "run"]
    done = voxveil_here(monkeypatch, capsys, *words, "--json")
    assert done.code == 0, done.err
    said = json.loads(done.out)
    assert said["cells"] == 2
    assert said["out_of_reach"].keys() == {"seed-vc", "openvoice (checkout nowhere)"}
    assert voxveil_here(monkeypatch, capsys, *words).out.count("left out: ") == 2
    (text, _, page) = write_report(tmp_path / "run", tmp_path / "report")
    assert "| none | 4.64 | seed-vc | not available |" in text.read_text()
    for reason in said["out_of_reach"].values():
        assert f"- {reason}\n" in text.read_text() and reason in page.read_text()
    (tmp_path / "h.toml").write_text(f'{grid}[parts]\ncloner = ["seed-vc"]\nverifier = ["XV-COS"]\n')
    gone = voxveil_here(monkeypatch, capsys, "bench", "run", tmp_path / "h.toml", "-o", tmp_path / "other")
    assert gone.code == 5 and one_sentence(gone.err) and "seed-vc" in gone.err


def test_predicted_opinions_and_defence_success_are_columns(
    grid: Grid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The peak of a clip in the place of a network's opinion of it: 1 … 5, as those are."""
    monkeypatch.setattr("voxveil.metrics.mos.nisqa", lambda sound, rate: 1.0 + 4.0 * float(abs(sound).max()))
    grid = replace(grid, opinions=("nisqa",), parts=grid.parts | {"purification": (NONE,)})
    out = tmp_path / "run"
    run(grid, None, out, keep_audio=True)
    rows = rows_of(out)
    kept = KeptAudio(out / AUDIO)
    for cell in cells_of(grid, read_speech(grid, DATA)):
        words = tuple(map(str, cell.parts))
        mine = [row for row in rows if tuple(row[station] for station in STATIONS) == words]
        heard = {speaker: [kept.clip(name) for name in names] for speaker, names in kept.names(cell.audio).items()}
        for row in mine:
            (clip,) = heard[row["speaker"]]
            assert row["nisqa"] == pytest.approx(1.0 + 4.0 * float(clip.abs().max())) and row["dnsmos"] is None
        (found,) = [rate for rate in rates_of(out) if rate.parts == words]
        assert found.opinions == {"nisqa": pytest.approx(np.mean([row["nisqa"] for row in mine]))}
        lost = [row["score"] < row["threshold"] and row["nisqa"] < 3.0 for row in mine]
        assert found.defended_percent == pytest.approx(100.0 * np.mean(lost))
    (text, _, _) = write_report(out, tmp_path / "report")
    assert "| protection | PESQ | attack | NISQA | " in text.read_text() and "DSR %" in text.read_text()
    assert run(replace(grid, opinions=()), None, out).computed == 8, "or old rows would be without an opinion"


def test_files_that_are_no_results_are_named(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("This is not a database, and it is longer than a header." * 9)
    with pytest.raises(BadInputError, match="is no file of results"):
        Store(tmp_path / "a")
    with sqlite3.connect(tmp_path / "b") as other:
        other.executescript("PRAGMA user_version = 99; CREATE TABLE x (y);")
    other.close()
    with pytest.raises(BadInputError, match="of another version"):
        Store(tmp_path / "b")
    with pytest.raises(BadOutputError, match="cannot be written"):
        Store(tmp_path)
    with pytest.raises(BadInputError, match="holds no run yet"):
        Store(tmp_path / "c").described()


def test_a_full_disk_leaves_what_was_finished(grid: Grid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, room = tmp_path / "run", [5]

    def full(path: Path, content: bytes) -> None:
        raise BadOutputError(f"{path} cannot be written: no space left on device.")

    def on_cell(done: int, cells: int, words: str) -> None:
        if done == room[0]:
            monkeypatch.setattr("voxveil.bench.kept_audio.write_whole", full)

    with pytest.raises(BadOutputError, match="no space left"):
        run(grid, None, out, on_cell=on_cell)
    finished = Store(out / RESULTS).finished()
    assert len(finished) >= 5
    monkeypatch.undo()
    assert run(grid, None, out).computed == 16 - len(finished)


def test_intervals_are_those_of_all_draws_of_speakers() -> None:
    accepted = [("a", True), ("a", True), ("b", False), ("b", True), ("c", False)]
    counts = {"a": (2, 2), "b": (1, 2), "c": (0, 1)}
    draws = [(x, y, z) for x in counts for y in counts for z in counts]
    shares = sorted(sum(counts[s][0] for s in drawn) / sum(counts[s][1] for s in drawn) for drawn in draws)
    low, high = interval(accepted)
    wanted = np.quantile(shares, [0.025, 0.975], method="inverted_cdf")
    assert np.allclose((low, high), wanted, atol=0.05)
    assert interval([("a", True), ("b", True)]) == (1.0, 1.0)


def _rate(protection: str, percent: float, cloner: str = "none") -> Rate:
    return Rate((protection, "none", "none", cloner, "V"), percent, 0.0, 100.0, 0.5, 0.7, 10, 4.0)


def test_a_benchmark_can_fail_and_says_so() -> None:
    noise = "noise-of-equal-pesq (veil)"
    good = [_rate("none", 95), _rate("another-speaker", 2), _rate("veil", 3), _rate(noise, 90)]
    assert doubts(good, speakers=10) == []
    blind = [_rate("none", 50), _rate("another-speaker", 50)]
    assert "tells nobody apart" in doubts(blind, 10)[0]
    idle = [*good[:2], _rate("veil", 95), _rate(noise, 95)]
    assert doubts(idle, 10) == ["veil protects from nothing here: no row falls by 10 points."]
    no_better = [*good[:2], _rate("veil", 40), _rate(noise, 42)]
    assert doubts(no_better, 10) == ["veil does no better than noise that costs a listener as much."]
    weak = [*good, _rate("none", 20, "parrot"), _rate("another-speaker", 10, "parrot")]
    assert "does not clone" in doubts(weak, 10)[0]
    assert "2 speakers" in doubts(good, speakers=2)[0]


def test_a_run_notices_parts_that_do_nothing_and_a_verifier_of_random_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(catalog.PARTS["method"], "idle", "tiny:idle")
    monkeypatch.setitem(catalog.PARTS["purifier"], "mirror", "tiny:Mirror")
    card = str(untrained_card(tmp_path))
    parts = dict.fromkeys(STATIONS, (NONE,))
    parts |= {"purification": (NONE, Part("mirror"), Part("resample"))}
    parts |= {"protection": (Part("idle"),), "verifier": (Part(card), Part("XV-COS"))}
    run(Grid("failing", DATA, parts, speakers=4, references=1, contents=1, clip_s=3.0), None, tmp_path / "run")
    (text, _, page) = write_report(tmp_path / "run", tmp_path / "report")
    for place in (text, page):
        said = place.read_text()
        assert f"{card} accepts " in said and said.count("tells nobody apart") == 1
        assert "idle protects from nothing here" in said
        assert "mirror purifies nothing" in said and "resample purifies nothing" not in said


def test_rows_leave_as_csv_and_parquet_and_as_a_report(
    grid: Grid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    out = tmp_path / "run"
    run(grid, None, out, keep_audio=True)
    ended = voxveil_here(monkeypatch, capsys, "bench", "export", out, "--csv", tmp_path / "a.csv")
    assert ended.code == 0
    rows = list(csv.DictReader((tmp_path / "a.csv").read_text().splitlines()))
    assert list(rows[0])[:5] == list(STATIONS) and len(rows) == 32
    write_parquet(out, tmp_path / "a.parquet")
    table = parquet.read_table(tmp_path / "a.parquet").to_pylist()
    assert [row["score"] for row in table] == [float(row["score"]) for row in rows]
    assert voxveil_here(monkeypatch, capsys, "bench", "export", out).code == 1
    assert voxveil_here(monkeypatch, capsys, "bench", "export", out, "--csv", tmp_path / "a.csv").code == 4
    ended = voxveil_here(monkeypatch, capsys, "bench", "report", out, "-o", tmp_path / "report")
    assert ended.code == 0
    text, paper, page = ((tmp_path / "report" / f"report.{kind}").read_text() for kind in ("md", "tex", "html"))
    assert "another-speaker" in text and r"\toprule" in paper
    assert page.count("<audio") >= 4 and page.count("data:image/png;base64,") >= 6
    assert "safe" not in (text + re.sub(r"base64,[^\"]+", "", page)).lower()
    shares = [rate.accepted_percent for rate in rates_of(out)]
    assert len(shares) == 16 and all(0.0 <= share <= 100.0 for share in shares)


def test_the_command_says_what_it_did(
    grid: Grid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "g.toml").write_text('[parts]\nverifier = ["XV-COS"]\n')
    ended = voxveil_here(monkeypatch, capsys, "bench", "run", tmp_path / "g.toml", "-o", tmp_path / "r")
    assert ended.code == 3 and "names no corpus" in ended.err
    text = f'corpus = "{DATA}"\nspeakers = 2\nreferences = 1\nclip_s = 2\n[parts]\nverifier = ["XV-COS"]\n'
    (tmp_path / "g.toml").write_text(text)
    ended = voxveil_here(monkeypatch, capsys, "bench", "run", tmp_path / "g.toml", "-o", tmp_path / "r", "--json")
    said = json.loads(ended.out)
    assert ended.code == 0 and (said["cells"], said["computed"]) == (2, 2)
    assert 0.0 < said["stations_s"] <= said["seconds"]


def test_a_scenario_fills_every_station() -> None:
    with pytest.raises(VoxveilError, match="a part for each of"):
        Scenario(Slice("0", 2, 1, 1, 6.0), (NONE,), 0)
