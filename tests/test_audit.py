"""An audit: many attacks on one recording, the same on the clean one, and a verdict that claims no more than that."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch
from running import DATA, one_sentence, voxveil_here
from tiny import tiny_card

from voxveil import catalog, report
from voxveil.audio.corpus import read_mono
from voxveil.bench import audit as auditing
from voxveil.bench.audit import CONTENT, VERIFIERS, audit
from voxveil.bench.audit_page import page
from voxveil.bench.audit_verdict import Attack, Audit
from voxveil.bench.grid import read_grid
from voxveil.errors import VoxveilError
from voxveil.loading import encoder_and_scorer, verifier


@dataclass(frozen=True)
class Case:
    """Two short recordings of a speaker, and somebody else's: as good as a protection can be."""

    clean: Path
    other: Path
    protected: Path
    card: str

    def audit(self, recording: Path, clean: Path | None = None, enrol: tuple[Path, ...] = ()) -> Audit:
        return audit(recording, clean, enrol, cloning_with=["knn-vc"], judged_by=[self.card])

    def score(self, enrolled: Path, *probes: Path) -> float:
        """By hand."""
        judge = verifier(self.card)
        voices = [[torch.as_tensor(read_mono(path, 16_000))[None] for path in paths] for paths in ([enrolled], probes)]
        return float(judge.scorer(*map(judge.enrol, voices)))


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder = tmp_path_factory.mktemp("audit")
    places = [folder / f"{name}.wav" for name in ("rms-1", "rms-2", "kal16-1")]
    for place in places:
        sf.write(place, sf.read(DATA / f"{place.stem}.flac")[0][3_000:27_000], 16_000)
    return Case(*places, str(tiny_card(folder)))


@pytest.fixture(scope="module")
def fair(case: Case) -> Audit:
    return case.audit(case.protected, case.clean, (case.other,))


@pytest.fixture(scope="module")
def unprotected(case: Case) -> Audit:
    return case.audit(case.clean, case.clean)


def _attack(name: str, score: float, clean: float | None, nearness: float = 0.0) -> Attack:
    accepted = None if clean is None else clean >= 0.5
    return Attack("none", name, "V", score, 0.5, score >= 0.5, clean, accepted, nearness)


def test_every_purifier_cloner_and_verifier_meets_the_recording_and_the_clean_one(fair: Audit) -> None:
    purifiers = ["none", *catalog.names("purifier")]
    assert [(a.purifier, a.cloner) for a in fair.attacks] == [(p, c) for p in purifiers for c in ("none", "knn-vc")]
    assert fair.enrolment == "other recordings" and {a.verifier for a in fair.attacks} == {"tiny"}


def test_an_attack_gets_through_from_the_threshold_on(fair: Audit, unprotected: Audit) -> None:
    attacks = [*fair.attacks, *unprotected.attacks]
    assert {a.accepted for a in attacks} == {True, False}
    for attack in attacks:
        assert attack.accepted == (attack.score >= attack.threshold)
        assert attack.clean_score is not None and attack.clean_accepted == (attack.clean_score >= attack.threshold)


def test_the_recording_itself_scores_as_by_hand(fair: Audit, case: Case) -> None:
    itself = fair.attacks[0]
    assert itself.score == pytest.approx(case.score(case.other, case.protected), abs=1e-4)
    assert itself.clean_score == pytest.approx(case.score(case.other, case.clean), abs=1e-4)
    assert itself.nearness == pytest.approx((itself.score - 0.5) / 0.5, abs=1e-3)


def test_a_purifier_and_a_cloner_change_what_is_judged(fair: Audit) -> None:
    assert len({round(a.score, 4) for a in fair.attacks}) == len(fair.attacks)


def test_an_unprotected_recording_fares_as_the_clean_one_does(unprotected: Audit) -> None:
    assert all(a.score == a.clean_score for a in unprotected.attacks)
    itself = unprotected.attacks[0]
    assert itself.score == pytest.approx(1.0, abs=1e-4) and itself.nearness == pytest.approx(1.0, abs=1e-3)
    assert unprotected.worst == itself and unprotected.enrolment == "the clean recording itself"


def test_without_a_clean_recording_only_clones_are_judged(case: Case) -> None:
    found = case.audit(case.protected)
    assert {a.cloner for a in found.attacks} == {"knn-vc"} and found.enrolment == "the recording itself"
    assert all(a.clean_score is None and a.clean_accepted is None for a in found.attacks)
    said = " ".join(found.verdict())
    assert "Only the clones were judged" in said and "give the clean recording" in said


def test_of_a_long_recording_the_excerpts_are_heard_that_report_hears(tmp_path: Path, case: Case) -> None:
    place = tmp_path / "long.wav"
    sf.write(place, np.tile(sf.read(DATA / "rms-1.flac")[0], 4), 16_000)
    told: list[float] = []
    found = audit(place, None, [case.other], cloning_with=["knn-vc"], judged_by=[case.card], progress=told.append)
    excerpts = report.speech_of(place)
    assert len(excerpts) == 4
    for number, excerpt in enumerate(excerpts):
        sf.write(tmp_path / f"{number}.wav", excerpt, 16_000)
    by_hand = case.score(case.other, *(tmp_path / f"{number}.wav" for number in range(4)))
    assert found.attacks[0].cloner == "none" and found.attacks[0].score == pytest.approx(by_hand, abs=1e-4)
    assert told == sorted(told) and told[-1] == 1.0 and len(told) == 6


def test_verifiers_that_take_the_content_for_the_speaker_are_named(
    unprotected: Audit, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert unprotected.blind == ()
    monkeypatch.setattr(auditing, "CONTENT", case.clean)
    deaf = case.audit(case.clean, case.clean)
    assert deaf.blind == ("tiny",) and "Taken for the speaker by tiny" in " ".join(deaf.verdict())


def test_the_verdict_counts_only_what_the_clean_recording_shows_to_work() -> None:
    attacks = (
        _attack("a", 0.9, 0.9, 0.8),
        _attack("b", 0.1, 0.9, -0.8),
        _attack("c", 0.2, 0.3, -0.6),
        _attack("d", 0.6, 0.3, 0.2),
    )
    first, control, *_ = Audit("p.wav", "c.wav", "other recordings", attacks, ()).verdict()
    assert first.startswith("2 of 4 attacks got through; the worst was a, which V scored 0.90")
    assert control == (
        "On the clean recording 2 of them succeed; of these 1 got through here. "
        "Another 2 failed on clean speech too, which proves nothing."
    )
    none = Audit("p.wav", "c.wav", "other recordings", attacks[1:3], ()).verdict()
    assert none[0].startswith("None of 2 attacks got through; the nearest was c")
    idle = Audit("p.wav", "c.wav", "other recordings", attacks[2:3], ()).verdict()
    assert idle[1] == "None of them gets through on the clean recording either: this audit proves nothing."


@pytest.mark.parametrize("score", [0.1, 0.9])
@pytest.mark.parametrize("source", ["other recordings", "the recording itself", "the clean recording itself"])
def test_no_verdict_says_safe(source: str, score: float) -> None:
    for clean in ("c.wav", None):
        found = Audit("p.wav", clean, source, (_attack("a", score, 0.9 if clean else None),), ("V",))
        assert "safe" not in (" ".join(found.verdict()) + page(found)).lower()
        assert "may do better" in found.verdict()[-1]


def test_the_page_shows_every_attack_beside_the_clean_one_and_needs_nothing_else() -> None:
    attacks = (_attack("a", 0.9, 0.9), _attack("<b>", 0.1, 0.3))
    html = page(Audit("my <tape>.wav", "c.wav", "other recordings", attacks, ()))
    assert 'class="through">0.90 got through<br>clean 0.90 got through' in html
    assert 'class="idle">0.10 stopped<br>clean 0.30 stopped' in html
    assert "<tape>" not in html and "&lt;b&gt;" in html and "http" not in html and "src=" not in html


def test_the_command_prints_and_writes_what_was_found(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(auditing, "audit", partial(audit, cloning_with=["knn-vc"], judged_by=[case.card]))
    place = tmp_path / "a.html"
    words = ("audit", case.protected, "--clean", case.clean, "--enrol", case.other, "--html", place, "--json")
    ended = voxveil_here(monkeypatch, capsys, *words)
    assert ended.code == 0, ended.err
    said = json.loads(ended.out)
    assert said["total"] == len(said["attacks"]) == 6
    assert said["passed"] == sum(a["accepted"] for a in said["attacks"])
    assert {"purifier", "cloner", "verifier", "score", "threshold", "accepted"} <= set(said["worst"])
    assert said["worst"] in said["attacks"]
    assert place.read_text().startswith("<!doctype html>")
    again = voxveil_here(monkeypatch, capsys, *words)
    assert again.code == 4 and one_sentence(again.err, place)


@pytest.mark.parametrize("option", ["", "--clean", "--enrol"])
def test_recordings_that_cannot_be_used_are_named(
    option: str, case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    silent = tmp_path / "silent.wav"
    sf.write(silent, np.zeros(32_000), 16_000)
    for bad in (tmp_path / "missing.wav", silent):
        words = (case.clean, option, bad) if option else (bad,)
        ended = voxveil_here(monkeypatch, capsys, "audit", *words)
        assert ended.code == 3 and one_sentence(ended.err, bad)


def test_the_grid_is_all_that_is_shipped_with_one_system_an_encoder() -> None:
    assert auditing.cloners() == ["none", "knn-vc", "adain-vc", "autovc"]
    assert sorted(encoder_and_scorer(name)[0] for name in VERIFIERS) == sorted(catalog.ENSEMBLE)
    assert CONTENT.stat().st_size <= 60_000 and len(read_mono(CONTENT, 16_000)) > 4 * 16_000


def test_a_grid_can_say_how_long_a_converter_is_adapted(tmp_path: Path) -> None:
    text = '[parts]\ncloner = [{{name = "{}", adaptation_steps = 7}}]\nverifier = ["XV-COS"]\n'
    (tmp_path / "g.toml").write_text(text.format("adain-vc"))
    (part,) = read_grid(tmp_path / "g.toml").parts["cloner"]
    assert dict(part.settings) == {"adaptation_steps": 7}
    (tmp_path / "h.toml").write_text(text.format("knn-vc"))
    with pytest.raises(VoxveilError, match="has no setting 'adaptation_steps'"):
        read_grid(tmp_path / "h.toml")
