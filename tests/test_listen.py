"""A listening test from a run to percentages: nothing tells a listener what is heard, and the key tells all of it."""

from __future__ import annotations

import base64
import json
import random
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from running import DATA, voxveil_here
from scipy.stats import binom
from tiny import tiny_card

from voxveil.bench import listen
from voxveil.bench.grid import Grid
from voxveil.bench.listen import Question, drawn, make, questions
from voxveil.bench.listen_page import ASKED
from voxveil.bench.listen_score import score, share
from voxveil.bench.run import AUDIO, run
from voxveil.bench.scenario import Part
from voxveil.errors import BadInputError, BadOutputError

NONE = Part("none")


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with its clips: a protection with its controls, and a cloner."""
    folder = tmp_path_factory.mktemp("listen")
    card = str(tiny_card(folder))
    veil = Part("veil", (("against", (card,)), ("effort", "fast"), ("strength", "light")))
    parts = {
        "protection": (veil,),
        "channel": (NONE,),
        "purification": (NONE,),
        "cloner": (NONE, Part("knn-vc")),
        "verifier": (Part(card),),
    }
    grid = Grid("small", DATA, parts, speakers=2, references=1, contents=1, clip_s=2.0)
    run(grid, None, folder / "run", keep_audio=True)
    return folder / "run"


def _data(page: Path) -> dict[str, Any]:
    found = re.search(r'<script id="data" type="application/json">(.*?)</script>', page.read_text())
    assert found is not None
    data: dict[str, Any] = json.loads(found[1])
    return data


def test_every_kind_is_asked_of_the_conditions_that_it_makes_sense_for(ran: Path) -> None:
    asked = {kind: {q.condition for q in questions(ran) if q.kind == kind} for kind in ASKED}
    veil = next(name for name in asked["abx"] if name.startswith("veil"))
    noise = f"noise-of-equal-pesq ({veil})"
    assert asked["noise"] == {"clean", veil, noise}
    assert asked["abx"] == {veil, noise}
    cloned = {f"{protection} → knn-vc" for protection in (veil, noise, "another-speaker")} | {"knn-vc"}
    # With one reference a speaker there is no second clean clip to put beside the first.
    assert asked["speaker"] == {veil, noise, "another-speaker", *cloned}


def test_the_page_and_the_key_speak_of_the_same_sounds(ran: Path, tmp_path: Path) -> None:
    made = make(ran, tmp_path / "t.html")
    data, key = _data(tmp_path / "t.html"), json.loads((tmp_path / "t.key.json").read_text())
    assert data["test"] == key["test"] and made.questions == len(data["questions"]) == len(key["questions"])
    assert made.conditions == made.of_conditions == 12
    for question in data["questions"]:
        behind = key["questions"][question["id"]]
        assert question["kind"] == behind["kind"] and len(question["sounds"]) == len(ASKED[question["kind"]][1])
        for sound, clip in zip(question["sounds"], behind["clips"], strict=True):
            assert base64.b64decode(sound) == (ran / AUDIO / f"{clip}.flac").read_bytes()
        if question["kind"] == "abx":
            a, b, x = question["sounds"]
            assert a != b and x == {"A": a, "B": b}[behind["right"]]


def test_the_page_reveals_no_condition_and_needs_no_network(ran: Path, tmp_path: Path) -> None:
    make(ran, tmp_path / "t.html")
    html = re.sub(r'"sounds": \[[^]]*\]', "", (tmp_path / "t.html").read_text())
    key = json.loads((tmp_path / "t.key.json").read_text())
    for question in key["questions"].values():
        for secret in (question["condition"], question["speaker"], *question["clips"]):
            assert secret not in html or secret == "clean"
    assert set(_data(tmp_path / "t.html")["questions"][0]) == {"id", "kind", "sounds"}
    assert not re.search(r"https?:|//cdn|@import|<link", html)
    make(ran, tmp_path / "u.html")
    other = json.loads((tmp_path / "u.key.json").read_text())
    assert not set(other["questions"]) & set(key["questions"]) and other["test"] != key["test"]


def test_too_many_questions_are_drawn_evenly() -> None:
    every = [
        Question(kind, f"{kind}-{condition}", "ada", (f"{number}",))
        for kind, conditions in (("noise", 2), ("speaker", 20), ("abx", 2))
        for condition in range(conditions)
        for number in range(5)
    ]
    chosen = drawn(every, 30, random.Random(0))
    assert len(set(chosen)) == 30
    counts = {kind: sum(q.kind == kind for q in chosen) for kind in ASKED}
    assert counts == {"noise": 10, "speaker": 10, "abx": 10}
    assert len({q.condition for q in chosen if q.kind == "speaker"}) == 10
    assert sorted(map(str, drawn(every, 999, random.Random(1)))) == sorted(map(str, every))
    assert drawn(every, 30, random.Random(2)) != chosen


def test_a_run_without_clips_is_named(ran: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listen, "AUDIO", "nothing")
    with pytest.raises(BadInputError, match="lacks its clips: run its grid into a new folder with --keep-audio"):
        make(ran, tmp_path / "t.html")
    monkeypatch.undo()
    damaged = tmp_path / "run"
    shutil.copytree(ran, damaged)
    next((damaged / AUDIO).glob("*.flac")).unlink()
    with pytest.raises(BadInputError, match="lacks its clips"):
        make(damaged, tmp_path / "t.html")
    with pytest.raises(BadOutputError, match=r"should be named \.html"):
        make(ran, tmp_path / "t.txt")
    (tmp_path / "t.key.json").write_text("mine")
    with pytest.raises(BadOutputError, match="exists already"):
        make(ran, tmp_path / "t.html")
    assert not (tmp_path / "t.html").exists()


KEY = {
    "test": "ab",
    "questions": {
        "n1": {"kind": "noise", "condition": "veil", "speaker": "ada", "clips": ["c"], "right": None},
        "x1": {"kind": "abx", "condition": "veil", "speaker": "ada", "clips": ["c", "d", "c"], "right": "A"},
        "x2": {"kind": "abx", "condition": "veil", "speaker": "ada", "clips": ["c", "d", "d"], "right": "B"},
        "s1": {"kind": "speaker", "condition": "veil → knn-vc", "speaker": "ada", "clips": ["c", "e"], "right": None},
    },
}


def _answers(folder: Path, listener: str, test: str = "ab", **answers: str) -> Path:
    (folder / "k.key.json").write_text(json.dumps(KEY))
    place = folder / f"{listener}.json"
    place.write_text(json.dumps({"test": test, "listener": listener, "answers": answers}))
    return place


def test_percentages_are_means_over_listeners(tmp_path: Path) -> None:
    files = [
        _answers(tmp_path, "l1", n1="1", x1="A", x2="B", s1="same-uncertain"),
        _answers(tmp_path, "l2", n1="4", x2="B", s1="different-certain"),
        _answers(tmp_path, "l3", x1="B"),
    ]
    noise, speaker, abx = score(files, tmp_path / "k.key.json")
    assert (noise.kind, noise.listeners, noise.answers, noise.headline.percent) == ("noise", 2, 2, 50.0)
    assert {answer: found.percent for answer, found in noise.each.items()} == {
        "1": 50.0,
        "2": 0.0,
        "3": 0.0,
        "4": 50.0,
        "5": 0.0,
    }
    assert speaker.headline.percent == 50.0 and speaker.each["same-uncertain"].percent == 50.0
    assert speaker.condition == "veil → knn-vc"
    # (1 + 1 + 0) / 3: the first listener, who answered twice, is as heavy as the others.
    assert (abx.headline.percent, abx.answers, abx.listeners) == (66.67, 4, 3)


@pytest.mark.parametrize(("hits", "count"), [(0, 8), (3, 8), (8, 8), (1, 1)])
def test_intervals_are_where_the_binomial_leaves_a_fortieth_on_either_side(hits: int, count: int) -> None:
    found = share([1.0] * hits + [0.0] * (count - hits))
    low, high = found.low_percent / 100.0, found.high_percent / 100.0
    assert low == 0.0 if hits == 0 else abs(binom.sf(hits - 1, count, low) - 0.025) < 2e-4
    assert high == 1.0 if hits == count else abs(binom.cdf(hits, count, high) - 0.025) < 2e-4


def test_intervals_hold_the_truth_however_alike_the_answers_of_a_listener_are() -> None:
    chance = random.Random(0)
    for spread in (0.0, 0.5):
        held = 0
        for _ in range(200):
            own = [0.7 + chance.choice((-spread, spread)) * 0.6 for _ in range(12)]
            shares = [sum(chance.random() < p for _ in range(5)) / 5 for p in own]
            found = share(shares)
            held += found.low_percent <= 70.0 <= found.high_percent
        assert held >= 190


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"test": "cd"}, "answers another test"),
        ({"listener": "l1"}, "are by the same listener"),
        ({"answers": {"zz": "5"}}, "has an answer '5' to 'zz'"),
        ({"answers": {"n1": "9"}}, "has an answer '9' to 'n1'"),
        ({"answers": None}, "is no file of answers"),
        (None, "is no file of answers of a listening test: it is not JSON"),
    ],
)
def test_answers_that_are_none_are_named(change: dict[str, Any] | None, sentence: str, tmp_path: Path) -> None:
    good, bad = _answers(tmp_path, "l1", n1="5"), _answers(tmp_path, "l2", n1="5")
    bad.write_text("no" if change is None else json.dumps(json.loads(bad.read_text()) | change))
    with pytest.raises(BadInputError, match=sentence):
        score([good, bad], tmp_path / "k.key.json")
    with pytest.raises(BadInputError, match="is no key of a listening test"):
        score([good], bad)
    (tmp_path / "k.key.json").write_text('{"test": "ab", "questions": {"n1": {}}}')
    with pytest.raises(BadInputError, match="lacks kind or condition"):
        score([good], tmp_path / "k.key.json")


def test_the_commands_make_a_test_and_count_its_answers(
    ran: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "t.html"
    ended = voxveil_here(monkeypatch, capsys, "bench", "listen", ran, "-o", page)
    assert ended.code == 0 and "about 12 of 12 conditions" in ended.out
    assert voxveil_here(monkeypatch, capsys, "bench", "listen", ran, "-o", page).code == 4
    key = json.loads((tmp_path / "t.key.json").read_text())
    right = {name: question["right"] for name, question in key["questions"].items() if question["kind"] == "abx"}
    (tmp_path / "a.json").write_text(json.dumps({"test": key["test"], "listener": "l", "answers": right}))
    words = ("bench", "listen-score", tmp_path / "a.json", "--key", tmp_path / "t.key.json")
    said = voxveil_here(monkeypatch, capsys, *words)
    assert said.code == 0 and said.out.count("100 % [2, 100] right (chance: 50)") == 2
    rows = json.loads(voxveil_here(monkeypatch, capsys, *words, "--json").out)
    assert [row["each"]["right"]["percent"] for row in rows] == [100.0, 100.0]
