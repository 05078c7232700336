"""Published checkpoints by name: a card for every network, a composition of them, and a clone; or one sentence."""

from __future__ import annotations

import json
from functools import partial, partialmethod
from pathlib import Path

import pytest
import torch
from microsoft_names import microsofts
from running import DATA, one_sentence, speech_file, voxveil_here
from safetensors.torch import save_file
from torch import Tensor, nn

from voxveil import catalog, hub, loading
from voxveil.audio.synthetic_mark import is_marked
from voxveil.checkpoint_card import PARTS_OF_CLONERS
from voxveil.clone.composition import composition, is_composition
from voxveil.models.speaker.ge2e import GE2E
from voxveil.models.vocoder.wavernn import WaveRNN

UNKNOWN, BAD_INPUT, BAD_OUTPUT, NO_MODEL = 1, 3, 4, 5
TINY = {
    "adain-vc-mel": {"n_mels": 40},
    "adain-vc-official": {"n_mels": 40, "channels": 8, "bank_channels": 4, "bank_size": 2, "dim": 6},
    "autovc-official": {"width": 8, "lstm_width": 10},
    "autovc-speaker": {"width": 8},
    "content-encoder": {"channels": 8, "blocks": 1, "dim": 6},
    "diffvc-official": {"encoder_channels": 16, "filters": 16, "layers": 1, "postnet_channels": 8}
    | {"decoder_channels": 8, "condition_channels": 8},
    "ge2e": {},
    "hifigan-official": {"width": 16},
    "tacotron": {"embedding_width": 8, "encoder_width": 8, "decoder_width": 4, "lstm_width": 8, "postnet_width": 8},
    "wavernn": {"width": 8, "context_width": 8, "blocks": 1, "bits": 4},
    "wavlm-frames": {"hidden_size": 16, "layer": 1, "num_hidden_layers": 1, "num_attention_heads": 2}
    | {"intermediate_size": 16},
}
KEYS = {
    "autovc-official": "model",
    "autovc-speaker": "model_b",
    "ge2e": "model_state",
    "hifigan-official": "generator",
    "tacotron": "model_state",
    "wavernn": "model_state",
    "wavlm-frames": "model",
}
"""Where the published files hold their tensors; the others hold nothing else."""


@pytest.fixture
def here(monkeypatch, capsys):
    return partial(voxveil_here, monkeypatch, capsys)


def tiny(architecture: str) -> nn.Module:
    if architecture == "wavlm-frames":
        pytest.importorskip("transformers", reason="WavLM needs the extra 'ssl'")
    torch.manual_seed(1)
    network: nn.Module = catalog.part("architecture", architecture)(**TINY[architecture])
    return network


def checkpoint(folder: Path, architecture: str) -> Path:
    """A file nested as the publishers', with an optimiser beside the network where they left it."""
    state: dict[str, Tensor] = tiny(architecture).state_dict()
    if architecture == "wavlm-frames":
        state = microsofts({name.removeprefix("network."): tensor for name, tensor in state.items()})
    if architecture == "adain-vc-mel":
        save_file(state, folder / f"{architecture}.safetensors")
        return folder / f"{architecture}.safetensors"
    if architecture == "autovc-speaker":
        state = {f"module.{name}": tensor for name, tensor in state.items()}
    key = KEYS.get(architecture)
    optimiser = {"state": {0: {"step": 7, "exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 0.1}]}
    torch.save(state if key is None else {key: state, "optimizer_state": optimiser}, folder / f"{architecture}.pt")
    return folder / f"{architecture}.pt"


def card_words(file: Path, architecture: str, out: Path) -> list[object]:
    sizes = [word for key, value in TINY[architecture].items() for word in ("--size", f"{key}={value}")]
    key = ["--state-key", KEYS[architecture]] if architecture in KEYS else []
    return ["models", "card", file, "--architecture", architecture, *sizes, *key, "-o", out]


def composed(folder: Path, cloner: str, **networks: str) -> Path:
    lines = "".join(f'{part} = "{model}"\n' for part, model in networks.items())
    path = folder / "mine.toml"
    path.write_text(f'cloner = "{cloner}"\n\n[networks]\n{lines}')
    return path


@pytest.mark.parametrize("cloner", catalog.COMPOSED)
def test_checkpoints_nested_as_published_become_a_cloner(here, tmp_path, monkeypatch, cloner) -> None:
    # Every fold is filled up, and a sample is a step.
    monkeypatch.setattr(WaveRNN, "generate", partialmethod(WaveRNN.generate, fold_samples=300, overlap_samples=20))
    parts = catalog.COMPOSED[cloner]
    for part, architecture in parts.items():
        out = tmp_path / f"{part}.toml"
        done = here(*card_words(checkpoint(tmp_path, architecture), architecture, out))
        assert (done.code, done.err, done.out) == (0, "", f"{out}\n")
        loaded = loading.network(str(out), architecture)
        wanted = tiny(architecture).state_dict()
        assert all(torch.equal(tensor, wanted[name]) for name, tensor in loaded.state_dict().items())
        assert not loaded.training and not any(weight.requires_grad for weight in loaded.parameters())
    mine = composed(tmp_path, cloner, **{part: f"{part}.toml" for part in parts})
    reference, said = speech_file(tmp_path / "voice.wav"), speech_file(tmp_path / "words.wav", seconds=0.4)
    content = ["--text", "Go."] if cloner == "sv2tts" else ["--content", said]
    done = here("clone", mine, "--reference", reference, *content, "-o", tmp_path / "a.wav")
    assert (done.code, done.err) == (0, ""), done.err
    assert is_marked(tmp_path / "a.synthetic.wav")


@pytest.mark.parametrize("architecture", PARTS_OF_CLONERS)
def test_a_card_says_what_the_network_is(here, tmp_path, architecture) -> None:
    file = checkpoint(tmp_path, architecture)
    out = tmp_path / "mine.toml"
    assert here(*card_words(file, architecture, out)).code == 0
    card = hub.card(str(out))
    assert (card.kind, card.licence) == (PARTS_OF_CLONERS[architecture], "not stated")
    assert (card.network.architecture, dict(card.network.size)) == (architecture, TINY[architecture])
    assert card.self_test is None and any("synthetic" in limit for limit in card.limits)


def test_every_part_of_a_composed_cloner_can_have_a_card() -> None:
    architectures = {name for parts in catalog.COMPOSED.values() for name in parts.values()}
    assert architectures - {"ge2e"} == PARTS_OF_CLONERS.keys() == TINY.keys() - {"ge2e"}
    assert catalog.COMPOSED.keys() == catalog.PARTS["composed cloner"].keys()


# Files that do not serve.


@pytest.mark.parametrize("architecture", PARTS_OF_CLONERS)
def test_a_checkpoint_that_does_not_fit_gets_no_card(here, tmp_path, architecture) -> None:
    file, out = checkpoint(tmp_path, architecture), tmp_path / "mine.toml"
    words = card_words(file, architecture, out)
    key, value = next(iter(TINY[architecture].items()))
    cases = {"another size": [f"{key}={2 * value}" if word == f"{key}={value}" else word for word in words]}
    if architecture in KEYS:
        cases["no state key"] = [word for word in words if word not in ("--state-key", KEYS[architecture])]
    for case, wrong in cases.items():
        done = here(*wrong)
        assert wrong != words and done.code == NO_MODEL and one_sentence(done.err), (case, done.err)
        assert not out.exists()


@pytest.mark.parametrize("name", ["noise.pt", "noise.safetensors", "pickle.pt", "cut.pt"])
def test_a_file_that_is_no_checkpoint_gets_no_card(here, tmp_path, name) -> None:
    file = tmp_path / name
    if name == "pickle.pt":
        torch.save({"model_state": tiny("wavernn")}, file)  # a whole module: code would run
    elif name == "cut.pt":
        whole = checkpoint(tmp_path, "wavernn").read_bytes()
        file.write_bytes(whole[: len(whole) // 2])
    else:
        file.write_bytes(b"This is no checkpoint.\n" * 40)
    done = here(*card_words(file, "wavernn", tmp_path / "mine.toml"))
    assert done.code == NO_MODEL and one_sentence(done.err, file), done.err
    assert not (tmp_path / "mine.toml").exists()


def test_a_part_of_a_cloner_is_not_judged(here, tmp_path) -> None:
    words = card_words(checkpoint(tmp_path, "wavernn"), "wavernn", tmp_path / "mine.toml")
    done = here(*words, "--judge", tmp_path)
    assert done.code == UNKNOWN and one_sentence(done.err, "wavernn"), done.err
    done = here("models", "card", tmp_path / "wavernn.pt", "--architecture", "adain-vc", "-o", tmp_path / "mine.toml")
    assert done.code == UNKNOWN and one_sentence(done.err, "adain-vc"), done.err


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ('cloner = "parrot"\n[networks]\nvocoder = "a"\n', BAD_INPUT, "'parrot'; there is: adain-vc-official"),
        ('cloner = "sv2tts"\n[networks]\nvocoder = "sv2tts-wavernn"\n', BAD_INPUT, "encoder, synthesizer, vocoder"),
        ('cloner = "sv2tts"\n[networks]\n', BAD_INPUT, "the networks none"),
        ('[networks]\nvocoder = "sv2tts-wavernn"\n', BAD_INPUT, "missing cloner"),
        ('cloner = "sv2tts"\nvoice = 1\n[networks]\n', BAD_INPUT, "unknown voice"),
        ('cloner = "sv2tts"\n[networks]\nvocoder = 3\n', BAD_INPUT, "3 is not text"),
        ('cloner = "sv2tts"\nnetworks = "many"\n', BAD_INPUT, "is not a table"),
        ('cloner = "sv2tts"\n', NO_MODEL, "is not the card of a model"),
        ("cloner = \n", NO_MODEL, "is not the card of a model"),
    ],
)
def test_a_composition_that_does_not_serve_is_named(here, tmp_path, text, code, said) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text(text)
    words = ["--reference", DATA / "rms-1.flac", "--text", "Go.", "-o", tmp_path / "a.wav"]
    done = here("clone", mine, *words)
    assert done.code == code and one_sentence(done.err, mine) and said in done.err, done.err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.toml"]


@pytest.mark.parametrize(
    ("speaker_encoder", "said"),
    [("gone.toml", "gone.toml cannot be read"), ("nobody", "no model 'nobody'"), ("ecapa", "a 'autovc-speaker'")],
)
def test_a_network_that_cannot_be_had_is_named(here, tmp_path, speaker_encoder, said) -> None:
    here(*card_words(checkpoint(tmp_path, "autovc-official"), "autovc-official", tmp_path / "converter.toml"))
    mine = composed(tmp_path, "autovc-official", converter="converter.toml", speaker_encoder=speaker_encoder)
    words = ["--reference", DATA / "rms-1.flac", "--content", DATA / "awb-1.flac", "-o", tmp_path / "a.wav"]
    done = here("clone", mine, *words)
    assert done.code == NO_MODEL and one_sentence(done.err, tmp_path / speaker_encoder if "." in said else said)


def test_a_card_of_a_part_is_no_cloner(here, tmp_path) -> None:
    out = tmp_path / "converter.toml"
    here(*card_words(checkpoint(tmp_path, "autovc-official"), "autovc-official", out))
    words = ["--reference", DATA / "rms-1.flac", "--content", DATA / "awb-1.flac", "-o", tmp_path / "a.wav"]
    done = here("clone", out, *words)
    assert done.code == NO_MODEL and one_sentence(done.err, "mel converter"), done.err


def test_paths_are_relative_to_the_composition(tmp_path) -> None:
    found = composition(
        str(composed(tmp_path, "sv2tts", encoder="ge2e", vocoder="far/mine.toml", synthesizer="~/a.toml"))
    )
    assert found.networks == {
        "encoder": "ge2e",
        "vocoder": str(tmp_path / "far" / "mine.toml"),
        "synthesizer": str(Path("~/a.toml").expanduser()),
    }
    assert is_composition(str(tmp_path / "mine.toml"))


# SV2TTS by its name.


@pytest.fixture
def without_weights(monkeypatch, tmp_path) -> Path:
    monkeypatch.setenv("VOXVEIL_OFFLINE", "1")
    monkeypatch.setenv("VOXVEIL_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "weights"
    folder.mkdir()
    monkeypatch.setenv("VOXVEIL_MODELS", str(folder))
    return folder


def row(here, name: str) -> dict[str, object]:
    return next(row for row in json.loads(here("models", "list", "--json").out) if row["name"] == name)


def test_sv2tts_is_listed_with_its_models(here, without_weights) -> None:
    sv2tts = {
        "name": "sv2tts",
        "kind": "cloner",
        "source": "ge2e + sv2tts-synthesizer + sv2tts-wavernn",
        "licence": "Apache-2.0 + MIT",
        "shipped": False,
        "available": False,
        "extra": None,
    }
    assert row(here, "sv2tts") == sv2tts
    for name, kind in (("sv2tts-synthesizer", "synthesizer"), ("sv2tts-wavernn", "vocoder")):
        listed = row(here, name)
        assert (listed["kind"], listed["licence"], listed["shipped"], listed["extra"]) == (kind, "MIT", False, None)
        assert str(listed["source"]).startswith("https://huggingface.co/CorentinJ/SV2TTS/")
    line = next(line for line in here("models", "list").out.splitlines() if line.startswith("sv2tts "))
    assert line.split()[1:6] == ["cloner", "Apache-2.0", "+", "MIT", "to"]
    for name in composition("sv2tts").networks.values():
        assert row(here, "sv2tts")["available"] is False
        card = hub.card(name)
        with (without_weights / card.filename).open("wb") as file:
            file.truncate(card.weights.bytes)
    assert row(here, "sv2tts") == sv2tts | {"available": True}
    lines = {line.split()[0]: line for line in here("models", "list").out.splitlines()}
    assert " here " in lines["sv2tts"] and " a checkout " in lines["seed-vc"]


def test_weights_that_cannot_be_had_are_named(here, without_weights, tmp_path) -> None:
    for words in (
        ["models", "pull", "sv2tts"],
        ["clone", "sv2tts", "--reference", DATA / "rms-1.flac", "--text", "Go.", "-o", tmp_path / "a.wav"],
    ):
        done = here(*words)
        assert done.code == NO_MODEL and "models pull ge2e" in done.err, done.err


def test_all_models_of_a_composed_cloner_are_pulled(here, monkeypatch, tmp_path) -> None:
    pulled: list[str] = []
    monkeypatch.setattr(hub, "fetch", lambda name, on_progress=None: pulled.append(name) or tmp_path / name)
    assert here("models", "pull", "sv2tts").out.splitlines() == [str(tmp_path / name) for name in pulled]
    assert pulled == ["ge2e", "sv2tts-synthesizer", "sv2tts-wavernn"]


def test_a_cloner_of_text_takes_no_recording(here, tmp_path) -> None:
    torch.save({"model_state": GE2E().state_dict()}, tmp_path / "ge2e.pt")
    for part, architecture in catalog.COMPOSED["sv2tts"].items():
        here(*card_words(checkpoint(tmp_path, architecture), architecture, tmp_path / f"{part}.toml"))
    mine = composed(tmp_path, "sv2tts", **{part: f"{part}.toml" for part in catalog.COMPOSED["sv2tts"]})
    words = ["--reference", DATA / "rms-1.flac", "-o", tmp_path / "a.wav"]
    done = here("clone", mine, *words, "--content", DATA / "awb-1.flac")
    assert done.code == BAD_INPUT and one_sentence(done.err, "SV2TTS takes text"), done.err
    done = here("clone", mine, *words, "--text", "Скажи это")
    assert done.code == BAD_INPUT and "CYRILLIC" in done.err, done.err
    assert not list(tmp_path.glob("a*.wav"))
