"""``voxveil train`` from recordings to a card: what it says is so, and what was trained can be used by its path."""

from __future__ import annotations

import hashlib
import shlex
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from running import DATA, one_sentence, voxveil_here
from tiny import SIZE
from tiny import corpus as recorded

from voxveil import catalog, loading, training
from voxveil.audio.corpus import read_corpus, read_mono
from voxveil.cards.card import Card, card, parse_card
from voxveil.errors import VoxveilError
from voxveil.metrics.bootstrap import bootstrap_equal_error_rate
from voxveil.train import encoder, extractor
from voxveil.train.loop import Plan
from voxveil.train.recipes import ENCODERS, EXTRACTORS
from voxveil.training import Request
from voxveil.verify import evaluate as evaluation
from voxveil.verify.evaluate import embed_all, evaluate
from voxveil.verify.trials import all_pairs

RECIPES = dict(ENCODERS)
TINY = replace(RECIPES["xvector"], size=SIZE, steps=3, batch=6)


@pytest.fixture(autouse=True)
def _tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Recipes that take no time, and few draws of the interval around an error rate."""
    monkeypatch.setattr(evaluation, "bootstrap_equal_error_rate", partial(bootstrap_equal_error_rate, resamples=20))
    for module, name, value in (
        (extractor, "CROP_S", 1.0),
        (extractor, "BATCH", 32),
        (encoder, "SHORTEST_S", 0.5),
        (encoder, "LONGEST_S", 0.8),
    ):
        monkeypatch.setattr(module, name, value)
    monkeypatch.setitem(ENCODERS, "xvector", TINY)
    small = replace(EXTRACTORS["ivector"], crops=32, size={"components": 4, "factors": 16, "n_mfcc": 8})
    monkeypatch.setitem(EXTRACTORS, "ivector", small)
    monkeypatch.setitem(EXTRACTORS, "ivector-lfcc", replace(small, size={"components": 4, "factors": 16, "n_lfcc": 8}))
    monkeypatch.setattr(training, "PLDA", replace(training.PLDA, crops=64, kept=6))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two voices, two recordings each."""
    return recorded(tmp_path_factory.mktemp("two voices"), "rms", "slt")


@pytest.fixture
def request_of(corpus: Path, tmp_path: Path):
    return lambda name, **settings: Request(name, corpus, tmp_path / "out", **settings)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def judged(path: Path, corpus: Path, kind: str) -> tuple[float, dict[str, float]]:
    """Equal error rate in percent and thresholds, as an evaluation of the same model gives them."""
    spoken = read_corpus(corpus)
    name = str(path.with_name(path.name.replace("-plda", "")))
    voices = embed_all(loading.embedder(name), [u.path for u in spoken])
    found = evaluate(loading.scorer(kind, name), voices, all_pairs(spoken))
    return 100.0 * found.eer, dict(found.thresholds)


def tells_the_truth(path: Path, corpus: Path, kinds: tuple[str, ...]) -> Card:
    """The card in ``path``, whose figures are those of its model."""
    found = card(str(path))
    assert tuple(found.thresholds) == kinds
    for kind in kinds:
        eer, thresholds = judged(path, corpus, kind)
        written = {criterion: figure.value for criterion, figure in found.thresholds[kind].items()}
        assert written == pytest.approx(thresholds, abs=1e-4)
        if kind == kinds[0]:
            assert found.measured["eer_percent"].value == pytest.approx(eer, abs=1e-3)
    assert "4 recordings of 2 speakers, all 6 pairs" in found.measured["eer_percent"].corpus
    assert found.measured["eer_low_percent"].value <= found.measured["eer_high_percent"].value
    return found


@pytest.mark.parametrize("name", [name for name, recipe in RECIPES.items() if recipe.last is not None])
def test_the_last_layer_of_a_recipe_is_the_one_that_gives_the_embedding(name):
    network = catalog.part("architecture", name)(**RECIPES[name].size).eval()
    given: list[torch.Tensor] = []
    network.get_submodule(RECIPES[name].last).register_forward_hook(lambda *called: given.append(called[-1]))
    with torch.no_grad():
        embedded = network.embed(network.features(0.1 * torch.randn(2, 4000)))
    assert torch.equal(given[0].flatten(1), embedded)


@pytest.mark.parametrize("last", [TINY.last, None])
def test_an_encoder_from_recordings_to_a_card(request_of, corpus, monkeypatch, last):
    monkeypatch.setitem(ENCODERS, "xvector", replace(TINY, last=last))
    told = []
    request = request_of("xvector", judge=corpus, precision="fp32", licence="CC0-1.0")
    path = training.train(request, on_measured=told.append)
    assert names(path.parent) == [f"xvector.{end}" for end in ("checkpoint", "log.jsonl", "safetensors", "toml")]
    text = path.read_text(encoding="utf-8")
    assert parse_card(text, "xvector").weights.sources == ("path:xvector.safetensors",)
    made = tells_the_truth(path, corpus, ("cosine", "euclidean"))
    assert made.weights.sha256 == sha256(path.with_suffix(".safetensors"))
    assert (made.licence, made.network.architecture, made.network.size) == ("CC0-1.0", "xvector", SIZE)
    assert made.training.data.startswith(corpus.name) and "2 speakers" in made.training.data
    assert [found["step"] for found in told] == [3] and 0.0 <= told[0]["eer_percent"] <= 100.0
    verifier = loading.verifier(str(path), criterion="far1")
    assert (verifier.name, verifier.threshold) == ("xvector", made.thresholds["cosine"]["far1"].value)
    speech = torch.as_tensor(read_mono(DATA / "slt-1.flac", 16_000))[None]
    assert verifier.decide(verifier.enrol([speech]), speech).item(), "the path of the card is a model's name"


def test_the_command_on_the_card_makes_the_same_weights(corpus, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(corpus.parent)
    words = ["train", "xvector", "--corpus", corpus.name, "--judge", corpus.name, "--steps", 2, "--seed", 5]
    first = voxveil_here(monkeypatch, capsys, *words, "-o", tmp_path / "one")
    assert first.code == 0 and first.err == ""
    measured, printed = first.out.splitlines()
    assert printed == str(tmp_path / "one" / "xvector.toml") and "eer_percent" in measured
    command = shlex.split(card(printed).training.command.replace("OUT", str(tmp_path / "two")))
    again = voxveil_here(monkeypatch, capsys, *command[1:])
    assert again.code == 0
    one, two = (tmp_path / folder / "xvector.safetensors" for folder in ("one", "two"))
    assert sha256(one) == sha256(two)


def test_a_training_that_was_interrupted_gives_the_same_weights(request_of, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "Plan", partial(Plan, measure_every=1))
    whole = training.train(replace(request_of("xvector"), out=tmp_path / "whole"))

    def interrupt(share: float) -> None:
        if share > 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        training.train(request_of("xvector"), interrupt)
    assert names(tmp_path / "out") == ["xvector.checkpoint", "xvector.log.jsonl"]
    resumed = training.train(request_of("xvector"))
    assert sha256(resumed.with_suffix(".safetensors")) == sha256(whole.with_suffix(".safetensors"))
    assert len(resumed.with_suffix(".log.jsonl").read_text().splitlines()) == 3
    assert card(str(resumed)).thresholds == {}, "nobody has judged it"


def test_another_training_does_not_go_on_from_its_checkpoint(request_of, tmp_path):
    training.train(request_of("xvector"))
    other = recorded(tmp_path / "other", "rms", "slt", takes=(1,))
    for change in ({"precision": "fp32"}, {"seed": 1}, {"steps": 4}, {"corpus": other}):
        with pytest.raises(VoxveilError, match="belongs to another training") as caught:
            training.train(replace(request_of("xvector"), **change))
        assert caught.value.exit_code == 3


@pytest.mark.parametrize("name", ["ivector", "ivector-lfcc"])
def test_an_ivector_and_its_plda(request_of, corpus, name):
    """The scorer is trained for the encoder beside it, and both make a system."""
    path = training.train(request_of(name, judge=corpus))
    tells_the_truth(path, corpus, ("cosine", "euclidean"))
    shares: list[float] = []
    scored = training.train(request_of(f"{name}-plda", judge=corpus), shares.append)
    made = tells_the_truth(scored, corpus, ("plda",))
    assert made.kind == "scorer" and made.network.size == {"dim": 16, "kept": 6} and made.self_test is None
    assert shares == [0.5, 1.0]
    assert names(path.parent) == sorted(f"{n}.{s}" for n in (name, f"{name}-plda") for s in ("safetensors", "toml"))
    again = training.train(request_of(f"{name}-plda"))
    assert card(str(again)).weights.sha256 == made.weights.sha256


def test_a_network_that_is_trained_anew_is_judged_anew(request_of, corpus):
    """In one process, where the network of the older card is still loaded."""
    path = training.train(request_of("xvector", judge=corpus))
    before = loading.embedder(str(path))
    assert loading.embedder(str(path)) is before
    path.with_suffix(".checkpoint").unlink()
    training.train(request_of("xvector", judge=corpus, seed=7))
    assert loading.embedder(str(path)) is not before
    tells_the_truth(path, corpus, ("cosine", "euclidean"))


@pytest.mark.parametrize(
    ("change", "code", "says"),
    [
        ({"--corpus": "alone"}, 3, "alone holds one speaker only"),
        ({"--corpus": "missing"}, 3, "missing does not exist"),
        ({"--judge": "missing"}, 3, "missing does not exist"),
        ({"--judge": "once"}, 3, "once holds no genuine trials"),
        ({"--judge": "alone"}, 3, "alone holds one speaker only"),
        ({"name": "tape"}, 1, "There is no recipe for 'tape'"),
        ({"name": "tape-plda"}, 1, "There is no recipe for 'tape-plda'"),
        ({"name": "xvector-plda"}, 5, "xvector"),
        ({"--device": "tpu"}, 1, "There is no device 'tpu'"),
        ({"--device": "cuda:99"}, 1, "There is no device 'cuda:99'"),
        ({"-o": "file"}, 4, "file cannot be made"),
    ],
)
def test_what_cannot_be_trained_is_said_in_one_sentence(corpus, tmp_path, monkeypatch, capsys, change, code, says):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("voxveil.cards.card.names", list)  # as if the package had no x-vector of its own
    Path("file").touch()
    recorded(tmp_path / "alone", "slt")
    recorded(tmp_path / "once", "slt", "rms", takes=(1,))
    options = {"--corpus": corpus, "-o": "out", **change}
    name = options.pop("name", "xvector")
    ended = voxveil_here(monkeypatch, capsys, "train", name, *(word for pair in options.items() for word in pair))
    assert ended.code == code and ended.out == ""
    assert one_sentence(ended.err) and says in ended.err
    assert not list(tmp_path.glob("out/*"))


@pytest.mark.parametrize("words", [["--steps", 0], ["--seed", -1], ["--seed", 2**32], ["--precision", "fp8"]])
def test_numbers_out_of_range_are_refused(corpus, tmp_path, monkeypatch, capsys, words):
    ended = voxveil_here(monkeypatch, capsys, "train", "xvector", "--corpus", corpus, "-o", tmp_path / "out", *words)
    assert ended.code == 2 and words[0] in ended.err


@pytest.mark.parametrize("change", [{"steps": 0}, {"seed": -1}, {"seed": 2**32}])
def test_so_they_are_from_python(request_of, change):
    with pytest.raises(VoxveilError):
        request_of("xvector", **change)


def test_a_checkpoint_that_finds_no_room_leaves_nothing(request_of, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "xvector.checkpoint.part").symlink_to("/dev/full")
    with pytest.raises(VoxveilError, match="no space left on device") as caught:
        training.train(request_of("xvector"))
    assert caught.value.exit_code == 4 and not names(tmp_path / "out")
