"""``voxveil models card``: a checkpoint that somebody has becomes a model by name, or one sentence says why not."""

from __future__ import annotations

import hashlib
import shutil
from functools import partial
from pathlib import Path

import pytest
import torch
from running import one_sentence, voxveil_here
from safetensors.torch import save_file
from tiny import SIZE, corpus, tiny_network

from voxveil import hub, loading
from voxveil.models.speaker.known_answer import known_answer
from voxveil.models.speaker.resnet34 import ResNetSE34L
from voxveil.train.recipes import ENCODERS

SIZES = [word for key, value in SIZE.items() for word in ("--size", f"{key}={value}")]
NAME_OR_SETTING, USAGE, BAD_INPUT, BAD_OUTPUT, NO_MODEL = 1, 2, 3, 4, 5


@pytest.fixture
def here(monkeypatch, capsys):
    return partial(voxveil_here, monkeypatch, capsys)


@pytest.fixture
def weights(tmp_path) -> Path:
    path = tmp_path / "mine" / "weights.safetensors"
    path.parent.mkdir()
    save_file(tiny_network().state_dict(), path)
    return path


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()}


def test_a_card_says_what_is_known_and_the_model_answers_to_it(here, weights, speech):
    out = weights.with_name("mine.toml")
    done = here("models", "card", weights, "--architecture", "xvector", *SIZES, "-o", out)
    assert (done.code, done.out, done.err) == (0, f"{out}\n", "")
    card = hub.card(str(out))
    assert (card.name, card.kind, card.licence) == ("mine", "speaker encoder", "not stated")
    assert card.weights.sha256 == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert (card.weights.bytes, card.weights.format) == (weights.stat().st_size, "safetensors")
    assert (card.network.architecture, card.network.size) == ("xvector", SIZE)
    assert card.paper == ENCODERS["xvector"].origin.paper and "weights.safetensors" in card.title
    assert any("not stated" in limit for limit in card.limits) and any("--judge" in limit for limit in card.limits)
    assert card.self_test is not None
    assert card.self_test.expected == pytest.approx(known_answer(tiny_network()).tolist(), abs=1e-6)
    assert torch.equal(loading.embedder(str(out))(speech), tiny_network()(speech))
    assert names(weights.parent) == {"weights.safetensors", "mine.toml"}


def test_card_and_weights_travel_together(here, weights, tmp_path):
    beside, elsewhere = weights.with_name("mine.toml"), tmp_path / "far" / "mine.toml"
    elsewhere.parent.mkdir()
    for out in (beside, elsewhere):
        assert here("models", "card", weights, "--architecture", "xvector", *SIZES, "-o", out).code == 0
    assert 'sources = ["path:weights.safetensors"]' in beside.read_text()
    assert f'sources = ["path:{weights}"]' in elsewhere.read_text()
    moved = tmp_path / "moved"
    shutil.move(weights.parent, moved)
    assert hub.fetch(hub.card(str(moved / "mine.toml"))) == moved / "weights.safetensors"


def test_what_was_judged_is_written_and_used(here, weights, tmp_path):
    four, out = corpus(tmp_path / "four"), weights.with_name("mine.toml")
    words = ("models", "card", weights, "--architecture", "xvector", *SIZES, "-o", out)
    assert here(*words, "--judge", four).code == 0
    card = hub.card(str(out))
    assert card.thresholds.keys() == {"cosine", "euclidean"}
    assert all(figures.keys() == {"eer", "frr1", "far1"} for figures in card.thresholds.values())
    assert card.measured["eer_percent"].corpus == "four: 8 recordings of 4 speakers, all 28 pairs"
    assert not any("--judge" in limit for limit in card.limits)
    told = here("verify", "eval", "--corpus", four, "--system", out).out.splitlines()[2].split()
    assert told[1] == f"{card.thresholds['cosine']['eer'].value:.3f}"
    assert float(told[2]) == pytest.approx(card.measured["eer_percent"].value, abs=0.006)


@pytest.mark.parametrize("key", ["model_state", "state_dict", "model", None])
def test_a_torch_checkpoint_may_nest_its_tensors(here, tmp_path, key):
    state = tiny_network().state_dict()
    torch.save(state if key is None else {"step": 7, key: state}, tmp_path / "mine.pt")
    out = tmp_path / "mine.toml"
    where = [] if key is None else ["--state-key", key]
    done = here("models", "card", tmp_path / "mine.pt", "--architecture", "xvector", *SIZES, *where, "-o", out)
    assert done.code == 0, done.err
    assert (hub.card(str(out)).weights.state_key, hub.card(str(out)).weights.format) == (key, "torch")


def test_a_trainers_checkpoint_is_taken_as_published(here, tmp_path):
    """voxceleb_trainer's files hold the loss as well, and have neither a suffix that says what they are."""
    network = ResNetSE34L()
    state = {f"__S__.{name}": tensor for name, tensor in network.state_dict().items()}
    torch.save(state | {"__L__.w": torch.tensor(10.0)}, tmp_path / "baseline_lite_ap.model")
    out = tmp_path / "lite.toml"
    done = here("models", "card", tmp_path / "baseline_lite_ap.model", "--architecture", "resnetse34l", "-o", out)
    assert done.code == 0, done.err
    assert "In Defence of Metric Learning" in hub.card(str(out)).paper


def test_wavlm_is_taken_as_published(here, tmp_path, speech):
    pytest.importorskip("transformers", reason="WavLM needs the extra 'ssl'")
    from voxveil.models.speaker.wavlm import WavLMXVector

    size = {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 16,
        "num_conv_pos_embeddings": 16,
        "num_conv_pos_embedding_groups": 2,
    }
    network = WavLMXVector(**size).eval()
    old = {"original0": "weight_g", "original1": "weight_v"}
    state = {}
    for name, tensor in network.network.state_dict().items():
        stem, _, last = name.rpartition(".parametrizations.weight.")
        state[f"{stem}.{old[last]}" if stem else name] = tensor
    torch.save(state, tmp_path / "pytorch_model.bin")
    out = tmp_path / "small.toml"
    sizes = [word for key, value in size.items() for word in ("--size", f"{key}={value}")]
    done = here("models", "card", tmp_path / "pytorch_model.bin", "--architecture", "wavlm", *sizes, "-o", out)
    assert done.code == 0, done.err
    with torch.no_grad():
        assert torch.allclose(loading.embedder(str(out))(speech), network(speech), atol=1e-6)


# What does not serve.


@pytest.fixture
def refused(here, weights, tmp_path):
    """Runs the command with other words, and holds that nothing was made."""

    def run(*more: object, file: Path = weights, architecture: str = "xvector", out: Path | None = None):
        before = names(tmp_path)
        out = weights.with_name("mine.toml") if out is None else out
        done = here("models", "card", file, "--architecture", architecture, "-o", out, *more)
        assert done.out == "" and names(tmp_path) == before
        return done

    return run


def test_a_file_that_does_not_fit_is_one_sentence(refused, weights, tmp_path):
    cases = {
        "another shape": refused("--size", "channels=8"),
        "missing": refused(architecture="ge2e"),
        "no network 'xvector'": refused("--size", "ears=2"),
        "no network": refused("--size", "dim=0", "--size", "channels=0"),
        "no tensors by name": refused("--state-key", "model", file=tiny_file(tmp_path, {"step": 7})),
        "state_key": refused(file=tiny_file(tmp_path, {"model": tiny_network().state_dict()})),
    }
    for cause, done in cases.items():
        assert done.code == NO_MODEL and one_sentence(done.err, "'mine'") and cause in done.err, done.err
    weights.write_bytes(weights.read_bytes()[:5000])
    done = refused(*SIZES)
    assert done.code == NO_MODEL and one_sentence(done.err, weights, "damaged"), done.err


def tiny_file(folder: Path, content: object) -> Path:
    torch.save(content, folder / "odd.pt")
    return folder / "odd.pt"


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_weights_that_are_not_numbers_are_refused(refused, tmp_path, value):
    state = tiny_network().state_dict()
    state["blocks.16.w.bias"] = torch.full_like(state["blocks.16.w.bias"], value)
    save_file(state, tmp_path / "odd.safetensors")
    done = refused(*SIZES, file=tmp_path / "odd.safetensors")
    assert done.code == NO_MODEL and one_sentence(done.err), done.err


def test_words_that_do_not_serve(refused, weights, tmp_path):
    done = refused(architecture="oracle")
    assert done.code == NAME_OR_SETTING and one_sentence(done.err, "oracle", "xvector", "wavlm")
    done = refused(architecture="plda")
    assert done.code == NAME_OR_SETTING and one_sentence(done.err, "plda", "no speaker encoder")
    done = refused("--device", "toaster")
    assert done.code == NAME_OR_SETTING and one_sentence(done.err, "toaster")
    for size in ("dim", "dim=", "=3", "dim=x", "dim=-3", "dim=1.5"):
        assert refused("--size", size).code == USAGE
    (tmp_path / "empty.pt").touch()
    for path, cause in (
        (tmp_path / "gone.pt", "does not exist"),
        (tmp_path, "directory"),
        (tmp_path / "empty.pt", "empty"),
    ):
        done = refused(file=path)
        assert done.code == BAD_INPUT and one_sentence(done.err, path, cause), done.err


def test_places_that_do_not_serve(refused, weights, tmp_path):
    (tmp_path / "old.toml").write_text("precious")
    for name in ("old.toml", "mine.txt", "gone/mine.toml"):
        done = refused(*SIZES, out=tmp_path / name)
        assert done.code == BAD_OUTPUT and one_sentence(done.err, tmp_path / name), done.err
    assert (tmp_path / "old.toml").read_text() == "precious"
    assert weights.exists()


def test_a_judge_that_does_not_serve_leaves_no_card(refused, tmp_path):
    one, single = corpus(tmp_path / "one", "slt"), corpus(tmp_path / "single", takes=(1,))
    mute = corpus(tmp_path / "mute", "slt", "rms")
    shutil.copy(mute / "rms" / "rms-1.flac", mute / "slt" / "broken.flac")
    (mute / "slt" / "broken.flac").write_bytes(b"This is no sound.\n" * 50)
    for folder, cause in ((one, "one speaker"), (single, "no genuine trials"), (mute, "broken.flac")):
        done = refused(*SIZES, "--judge", folder)
        assert done.code == BAD_INPUT and one_sentence(done.err) and cause in done.err, done.err


def test_an_existing_card_is_replaced_on_demand(here, weights):
    out = weights.with_name("mine.toml")
    out.write_text("old")
    assert here("models", "card", weights, "--architecture", "xvector", *SIZES, "-o", out, "--overwrite").code == 0
    assert hub.card(str(out)).name == "mine"
