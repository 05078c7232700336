"""``voxveil verify`` as people meet it: voiceprints, decisions and error rates, from files to words."""

from __future__ import annotations

import json
import shutil
import sys
from copy import deepcopy
from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch
from running import DATA, one_sentence, voxveil, voxveil_here
from safetensors.torch import load_file, save_file
from tiny import corpus, tiny_card, tiny_network, tiny_plda
from torch import Tensor

from voxveil import catalog, hub
from voxveil.audio.corpus import read_mono
from voxveil.metrics.rates import equal_error_rate, min_dcf
from voxveil.train.export import stored
from voxveil.verify.voiceprint import read_voiceprint

SLT, SLT_2, RMS, AWB = (DATA / f"{name}.flac" for name in ("slt-1", "slt-2", "rms-1", "awb-1"))
USAGE, BAD_INPUT, BAD_OUTPUT, NO_MODEL = 2, 3, 4, 5


@pytest.fixture
def here(monkeypatch, capsys):
    return partial(voxveil_here, monkeypatch, capsys)


@pytest.fixture
def card(tmp_path) -> Path:
    (tmp_path / "models").mkdir()
    return tiny_card(tmp_path / "models")


@pytest.fixture
def four(tmp_path) -> Path:
    return corpus(tmp_path / "four")


def heard(path: Path) -> Tensor:
    """What the tiny encoder, its matrices in half precision as in its file, makes of a recording."""
    network = deepcopy(tiny_network())
    network.load_state_dict(stored(network))
    return network(torch.as_tensor(read_mono(path, 16_000))[None])[0]


# Enrol.


def test_several_recordings_are_their_normalised_mean(here, card, tmp_path):
    out = tmp_path / "slt.safetensors"
    done = here("verify", "enrol", SLT, SLT_2, "-o", out, "--system", card)
    assert (done.code, done.err) == (0, "")
    assert "2 recordings" in done.out and "personal data" in done.out
    voice = read_voiceprint(out)
    mean = heard(SLT) + heard(SLT_2)
    assert torch.allclose(voice.embedding[0], mean / mean.norm(), atol=1e-5)
    assert (voice.encoder, voice.sha256, voice.clips) == ("tiny", hub.card(str(card)).weights.sha256, 2)
    assert here("verify", "enrol", SLT, "-o", tmp_path / "one.safetensors", "--system", card).code == 0
    assert torch.allclose(read_voiceprint(tmp_path / "one.safetensors").embedding[0], heard(SLT), atol=1e-5)


def test_the_help_says_that_a_voiceprint_is_personal_data(here):
    assert "personal data" in " ".join(here("verify", "enrol", "--help").out.replace("│", " ").split())


def test_a_voiceprint_is_replaced_only_on_demand(here, card, tmp_path):
    out = tmp_path / "slt.safetensors"
    out.write_bytes(b"precious")
    words = ("verify", "enrol", SLT, "-o", out, "--system", card)
    done = here(*words)
    assert done.code == BAD_OUTPUT and one_sentence(done.err, out) and "exists already" in done.err
    assert out.read_bytes() == b"precious"
    assert here(*words, "--overwrite").code == 0 and read_voiceprint(out).clips == 1


@pytest.mark.parametrize("name", ["voice.wav", "voice", "gone/voice.safetensors", "x" * 300 + ".safetensors"])
def test_a_place_that_cannot_be_written_is_refused_before_the_work(here, tmp_path, name):
    done = here("verify", "enrol", "missing.wav", "-o", tmp_path / name)
    assert done.code == BAD_OUTPUT and one_sentence(done.err, tmp_path / name), done.err
    assert not list(tmp_path.iterdir())


def silence(path: Path) -> Path:
    sf.write(path, np.zeros(32_000), 16_000)
    return path


def test_a_recording_in_which_nobody_speaks_enrols_nobody(here, card, tmp_path):
    silent, out = silence(tmp_path / "silent.wav"), tmp_path / "voice.safetensors"
    for recordings in ([silent], [SLT, silent]):
        done = here("verify", "enrol", *recordings, "-o", out, "--system", card)
        assert done.code == BAD_INPUT and done.err == f"voxveil: {silent} is silent: nobody speaks in it.\n"
        assert not out.exists()


# Score.


def scores(done) -> dict[tuple[str, str], float]:
    assert (done.code, done.err) == (0, "")
    return {(Path(one["probe"]).name, one["system"]): one["score"] for one in json.loads(done.out)}


def test_a_score_is_the_cosine_and_decides_at_the_threshold_of_the_card(here, card):
    done = here("verify", "score", SLT, SLT_2, RMS, "--system", card, "--json")
    told = json.loads(done.out)
    assert [list(one) for one in told] == [["system", "probe", "score", "threshold", "accepted"]] * 2
    assert [one["probe"] for one in told] == [str(SLT_2), str(RMS)]
    for one in told:
        wanted = float(heard(SLT) @ heard(Path(one["probe"])))
        assert one["score"] == pytest.approx(wanted, abs=1e-5)
        assert one["threshold"] == 0.5 and one["accepted"] is (one["score"] >= 0.5) and one["system"] == str(card)


def test_a_voiceprint_scores_as_its_recordings_do(here, card, tmp_path):
    out = tmp_path / "slt.safetensors"
    assert here("verify", "enrol", SLT, SLT_2, "-o", out, "--system", card).code == 0
    from_file = scores(here("verify", "score", out, RMS, AWB, "--system", card, "--json"))
    anew = scores(here("verify", "score", SLT, "--enrol", SLT_2, RMS, AWB, "--system", card, "--json"))
    assert from_file == pytest.approx(anew, abs=1e-6)
    alone = scores(here("verify", "score", SLT, RMS, AWB, "--system", card, "--json"))
    assert all(abs(alone[key] - anew[key]) > 1e-4 for key in alone)


def test_the_words_are_plain_and_promise_nothing(here, card):
    done = here("verify", "score", SLT, SLT, RMS, "--system", card)
    *table, last = done.out.splitlines()
    assert [line for line in table if line.endswith(".flac")] == [str(SLT), str(RMS)]
    assert any(line.split()[1:] == ["1.000", "0.500", "accepted"] for line in table)
    accepted = sum(line.endswith(" accepted") for line in table)
    assert last.startswith(f"Accepted in {accepted} of 2 comparisons;")
    assert not any(word in done.out.lower() for word in ("safe", "proof", "certain", "guarantee"))


@pytest.fixture
def systems(monkeypatch, tmp_path) -> dict[str, tuple[str, str]]:
    """A house with two encoders, one of them with a PLDA, and with a system whose weights are gone."""
    one, other = tiny_card(tmp_path), tiny_card(tmp_path, "other", seed=1)
    tiny_plda(tmp_path)
    gone = tiny_card(tmp_path, "gone")
    (tmp_path / "gone.safetensors").unlink()
    known = {"T-COS": (one, "cosine"), "T-EU": (one, "euclidean"), "T-PLDA": (one, "plda"), "O-COS": (other, "cosine")}
    monkeypatch.setattr(catalog, "SYSTEMS", {k: (str(e), s) for k, (e, s) in (known | {"G": (gone, "cosine")}).items()})
    return known


def test_by_default_all_systems_that_can_be_had(here, systems):
    done = here("verify", "score", SLT, RMS, "--json")
    assert done.code == 0 and [one["system"] for one in json.loads(done.out)] == list(systems)
    assert one_sentence(done.err, "G is left out", "'gone'") and "pull" in done.err
    cos, eu, plda, other = (one["score"] for one in json.loads(done.out))
    assert eu == pytest.approx(-np.sqrt(2.0 - 2.0 * cos), abs=1e-4)
    assert len({cos, eu, plda, other}) == 4


@pytest.mark.usefixtures("systems")
def test_a_system_asked_for_by_name_has_to_be_there(here, four):
    for words in (["score", SLT, RMS], ["eval", "--corpus", four]):
        done = here("verify", *words, "--system", "T-COS,G")
        assert done.code == NO_MODEL and one_sentence(done.err, "'gone'", "voxveil models pull gone"), done.err
        assert done.out == ""


@pytest.mark.usefixtures("systems")
def test_where_no_system_can_be_had_that_is_said(here, monkeypatch):
    monkeypatch.setattr(catalog, "SYSTEMS", {"G": catalog.SYSTEMS["G"]})
    done = here("verify", "score", SLT, RMS)
    assert done.code == NO_MODEL and done.out == ""
    first, last = done.err.splitlines()
    assert first.startswith("voxveil: G is left out: ")
    assert last == "voxveil: No speaker encoder can be had: run 'voxveil models pull ge2e' once, online."


def test_a_name_that_is_no_system_lists_those_that_are(here):
    done = here("verify", "score", SLT, RMS, "--system", "XX-COS")
    assert done.code == NO_MODEL and one_sentence(done.err, "XX-COS", *catalog.SYSTEMS)


def test_a_threshold_that_the_card_does_not_give(here, card, tmp_path):
    done = here("verify", "score", SLT, RMS, "--system", card, "--criterion", "far1")
    assert done.code == 1 and one_sentence(done.err, "no threshold", "far1")
    done = here("verify", "score", SLT, RMS, "--system", tiny_card(tmp_path, threshold=None))
    assert done.code == 1 and one_sentence(done.err, "no threshold", "calibrate")


# Voiceprints that do not fit.


def test_a_voiceprint_of_another_encoder_is_refused(here, card, tmp_path):
    out = tmp_path / "slt.safetensors"
    assert here("verify", "enrol", SLT, "-o", out, "--system", card).code == 0
    other = tiny_card(tmp_path, "other", seed=1)
    done = here("verify", "score", out, RMS, "--system", other)
    assert done.code == BAD_INPUT and one_sentence(done.err, out, "'tiny'", "'other'"), done.err
    (tmp_path / "retrained").mkdir()
    retrained = tiny_card(tmp_path / "retrained", "tiny", seed=1)
    done = here("verify", "score", out, RMS, "--system", retrained)
    assert done.code == BAD_INPUT and one_sentence(done.err, out, retrained, "enrol again"), done.err
    done = here("verify", "score", out, RMS)
    assert done.code == BAD_INPUT and one_sentence(done.err, out, "'tiny'", "name its card"), done.err


def test_a_voiceprint_stands_alone(here, card, tmp_path):
    out = tmp_path / "slt.safetensors"
    assert here("verify", "enrol", SLT, "-o", out, "--system", card).code == 0
    done = here("verify", "score", out, RMS, "--enrol", SLT_2, "--system", card)
    assert done.code == BAD_INPUT and one_sentence(done.err, out, "stands alone"), done.err
    done = here("verify", "score", SLT, out, "--system", card)
    assert done.code == BAD_INPUT and one_sentence(done.err, out), done.err


def test_a_voiceprint_that_was_tampered_with(here, card, tmp_path):
    out = tmp_path / "slt.safetensors"
    assert here("verify", "enrol", SLT, "-o", out, "--system", card).code == 0
    about = {"format": "voxveil voiceprint 1", "encoder": "tiny", "clips": "1"}
    about["sha256"] = read_voiceprint(out).sha256
    save_file({"voiceprint": load_file(out)["voiceprint"][:9].contiguous()}, out, about)
    done = here("verify", "score", out, RMS, "--system", card)
    assert done.code == BAD_INPUT and one_sentence(done.err, out, "damaged"), done.err
    out.write_bytes(out.read_bytes()[:100])
    done = here("verify", "score", out, RMS, "--system", card)
    assert done.code == BAD_INPUT and one_sentence(done.err, out, "damaged"), done.err


@pytest.mark.parametrize("case", ["silent", "missing", "text"])
def test_a_recording_that_cannot_be_used_is_named(here, card, tmp_path, case):
    path = tmp_path / "a.wav"
    if case == "silent":
        silence(path)
    if case == "text":
        path.write_text("This is no sound.\n" * 50)
    for words in ([path, SLT], [SLT, path], [SLT, RMS, path], [SLT, RMS, "--enrol", path]):
        done = here("verify", "score", *words, "--system", card)
        assert done.code == BAD_INPUT and one_sentence(done.err, path) and done.out == "", done.err


# Eval.


def counted(four: Path, embed) -> tuple[np.ndarray, np.ndarray]:
    """Genuine and impostor cosines of all pairs."""
    paths = sorted(four.rglob("*.flac"))
    voices = {path: embed(path).double() for path in paths}
    found: dict[bool, list[float]] = {True: [], False: []}
    for one, other in combinations(paths, 2):
        found[one.parent == other.parent].append(float(voices[one] @ voices[other]))
    return np.array(found[True]), np.array(found[False])


def test_the_json_is_the_error_rates_and_nothing_else(here, card, four):
    done = here("verify", "eval", "--corpus", four, "--system", card, "--json")
    assert (done.code, done.err) == (0, "")
    told = json.loads(done.out)
    assert list(told) == [str(card)]
    (found,) = told.values()
    assert list(found) == ["eer", "eer_low", "eer_high", "min_dcf", "thresholds", "trials"]
    assert list(found["thresholds"]) == ["eer", "frr1", "far1"]
    genuine, impostor = counted(four, heard)
    eer, at = equal_error_rate(genuine, impostor)
    assert found["trials"] == len(genuine) + len(impostor) == 28
    assert found["eer"] == eer and found["thresholds"]["eer"] == pytest.approx(at, abs=1e-5)
    assert found["eer_low"] <= eer <= found["eer_high"] and found["min_dcf"] == min_dcf(genuine, impostor)


def test_the_table_has_the_errors_at_the_calibrated_threshold(here, card, four):
    done = here("verify", "eval", "--corpus", four, "--system", card)
    first, head, row, last = done.out.splitlines()
    assert first == "4 speakers, 8 recordings, 28 trials: 4 of one speaker, 24 of two"
    assert head.split() == ["system", "threshold", "EER", "%", "95", "%", "interval", "FRR", "%", "FAR", "%", "minDCF"]
    name, threshold, eer, low, to, high, frr, far, _ = row.split()
    genuine, impostor = counted(four, heard)
    assert (name, threshold, to) == (str(card), "0.500", "to")
    assert eer == f"{100 * equal_error_rate(genuine, impostor)[0]:.2f}"
    assert frr == f"{100 * (genuine < 0.5).mean():.2f}" and far == f"{100 * (impostor >= 0.5).mean():.2f}"
    assert float(low) <= float(eer) <= float(high) and "fewer than ten speakers" in last


def test_a_list_of_trials_is_judged_as_it_says(here, card, four, tmp_path):
    listed = tmp_path / "lists" / "trials.txt"
    listed.parent.mkdir()
    pairs = ("1 slt/slt-1 slt/slt-2", "0 slt/slt-1 rms/rms-1", "0 awb/awb-1 rms/rms-1")
    listed.write_text("\n".join(pairs).replace("-1", "-1.flac").replace("-2", "-2.flac"))
    done = here("verify", "eval", "--trials", listed, "--root", four, "--system", card, "--json")
    assert done.code == 0 and json.loads(done.out)[str(card)]["trials"] == 3
    done = here("verify", "eval", "--trials", listed, "--root", four, "--system", card)
    assert done.out.startswith("3 speakers, 4 recordings, 3 trials: 1 of one speaker, 2 of two\n")
    shutil.copy(listed, four)
    assert here("verify", "eval", "--trials", four / "trials.txt", "--system", card).out == done.out


def test_an_uncalibrated_card_is_measured_all_the_same(here, four, tmp_path):
    path = tiny_card(tmp_path, "raw", threshold=None)
    row = here("verify", "eval", "--corpus", four, "--system", path).out.splitlines()[2].split()
    assert (row[1], row[-3], row[-2]) == ("–", "–", "–")


def test_all_systems_and_a_plot_of_them(here, systems, four, tmp_path):
    for name, start in (("det.png", b"\x89PNG"), ("det.svg", b"<?xml")):
        done = here("verify", "eval", "--corpus", four, "--plot", tmp_path / name, "--json")
        assert done.code == 0 and list(json.loads(done.out)) == list(systems)
        assert one_sentence(done.err, "G is left out")
        assert (tmp_path / name).read_bytes().startswith(start)
    drawn = (tmp_path / "det.svg").read_text()
    assert all(f"{name}, EER {100 * found['eer']:.2f} %" in drawn for name, found in json.loads(done.out).items())
    assert not list(tmp_path.glob("*.part"))


def test_a_cohort_normalises_the_scores_and_leaves_no_calibrated_threshold(here, card, tmp_path):
    judged, cohort = corpus(tmp_path / "judged", "slt", "rms"), corpus(tmp_path / "cohort", "awb", "kal16")
    words = ("verify", "eval", "--corpus", judged, "--system", card)
    plain, normal = (json.loads(here(*words, *more, "--json").out)[str(card)] for more in ([], ["--cohort", cohort]))
    assert plain.keys() == normal.keys() and plain["trials"] == normal["trials"] == 6
    assert plain["thresholds"]["eer"] != pytest.approx(normal["thresholds"]["eer"], abs=1e-3)
    row = here(*words, "--cohort", cohort).out.splitlines()[2].split()
    assert (row[1], row[-3], row[-2]) == ("–", "–", "–")


# What cannot be judged.


@pytest.mark.parametrize("words", [[], ["--corpus", "x", "--trials", "y"], ["--corpus", "x", "--root", "z"]])
def test_a_corpus_or_a_list(here, words):
    done = here("verify", "eval", *words)
    assert done.code == USAGE and done.out == "" and "--trials" in done.err and "Traceback" not in done.err


def test_a_list_that_names_a_missing_file(here, card, four):
    (four / "trials.txt").write_text("1 slt/slt-1.flac slt/slt-2.flac\n0 slt/slt-1.flac rms/gone.flac\n")
    done = here("verify", "eval", "--trials", four / "trials.txt", "--system", card)
    assert done.code == BAD_INPUT and one_sentence(done.err, "Line 2", "gone.flac", "does not exist")


def test_corpora_that_have_no_error_rate(here, card, four, tmp_path):
    one = corpus(tmp_path / "one", "slt")
    single = corpus(tmp_path / "single", takes=(1,))
    mute = corpus(tmp_path / "mute", "slt", "rms")
    silence(mute / "rms" / "silent.wav")
    cases = {
        (one,): "holds one speaker only",
        (single,): "holds no genuine trials",
        (mute,): "nobody speaks in it",
        (tmp_path / "gone",): "does not exist",
        (four, "--cohort", one): "holds one speaker only",
        (four, "--cohort", four): "is in the cohort and in a trial",
    }
    for words, cause in cases.items():
        done = here("verify", "eval", "--corpus", *words, "--system", card)
        assert done.code == BAD_INPUT and one_sentence(done.err, cause) and done.out == "", done.err


@pytest.mark.parametrize("name", ["det.pdf", "gone/det.png"])
def test_a_plot_that_cannot_be_written_is_refused_before_the_work(here, monkeypatch, name):
    monkeypatch.setattr(catalog, "SYSTEMS", {})
    done = here("verify", "eval", "--corpus", "anywhere", "--plot", name)
    assert done.code == BAD_OUTPUT and one_sentence(done.err, name)


def test_without_the_extra_a_plot_is_refused_before_the_work(here, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    done = here("verify", "eval", "--corpus", "anywhere", "--plot", "det.png")
    assert done.code == 6 and one_sentence(done.err, "voxveil[plots]")


def test_a_device_that_is_not_there(here, four):
    for words in (["score", SLT, RMS], ["eval", "--corpus", four]):
        done = here("verify", *words, "--device", "toaster")
        assert done.code == 1 and one_sentence(done.err, "toaster", "cpu")


# Real processes, real weights.


def test_a_real_process_judges(card, four):
    done = voxveil("verify", "eval", "--corpus", four, "--system", card, "--json")
    assert (done.code, done.err) == (0, "") and list(json.loads(done.out)) == [str(card)]


@pytest.mark.weights
@pytest.mark.usefixtures("ge2e")
def test_the_published_encoder_knows_its_voices(here, tmp_path):
    out = tmp_path / "slt.safetensors"
    assert here("verify", "enrol", SLT, "-o", out).code == 0
    assert read_voiceprint(out).encoder == "ge2e"
    told = json.loads(here("verify", "score", out, SLT_2, RMS, AWB, "--json").out)
    assert [one["system"] for one in told] == ["DV-COS"] * 3, "what the voiceprint fits"
    assert [one["accepted"] for one in told] == [True, False, False]
    anew = json.loads(here("verify", "score", SLT, SLT_2, RMS, AWB, "--system", "DV-COS,ge2e", "--json").out)
    assert [one["score"] for one in anew] == pytest.approx([one["score"] for one in told for _ in range(2)], abs=1e-6)
