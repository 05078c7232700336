"""Weights on disk: what is halved, that it loads, and that a failing disk leaves nothing behind."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from voxveil import hub
from voxveil.cards.card import Card, Network
from voxveil.errors import BadOutputError
from voxveil.models.speaker.ivector import IVector
from voxveil.models.speaker.xvector import XVector
from voxveil.train.export import LARGE_BUFFER, stored, write_weights
from voxveil.verify.plda import Plda
from voxveil.whole_file import write_whole

NETWORKS = {
    "xvector": lambda: XVector(16, 24, 8),
    "ivector": lambda: IVector(16, 64),
    "plda": lambda: Plda(12, 3),
}


def unlike_new(name: str) -> nn.Module:
    network = NETWORKS[name]()
    for tensor in network.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand_like(tensor) + 0.5)
    return network.eval()


def test_only_matrices_and_large_buffers_are_halved():
    network = nn.Sequential(nn.Conv1d(3, 4, 2), nn.BatchNorm1d(4), nn.Linear(4, 5))
    network.register_buffer("window", torch.ones(LARGE_BUFFER))
    network.register_buffer("trained", torch.ones(2, LARGE_BUFFER))
    network.register_buffer("derived", torch.ones(2, LARGE_BUFFER), persistent=False)
    halved = {name for name, tensor in stored(network).items() if tensor.dtype == torch.float16}
    assert halved == {"0.weight", "2.weight", "trained"}
    kept = {name: tensor for name, tensor in stored(network).items() if name not in halved}
    assert all(torch.equal(tensor, network.state_dict()[name]) for name, tensor in kept.items())
    assert kept["1.num_batches_tracked"].dtype == torch.int64
    assert set(kept) | halved == set(network.state_dict())


@pytest.mark.parametrize("name", NETWORKS)
def test_what_is_written_is_the_network(tmp_path, name):
    network = unlike_new(name)
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    weights = write_weights(network, tmp_path, name)
    file = tmp_path / f"{name}.safetensors"
    assert [path.name for path in tmp_path.iterdir()] == [file.name]
    assert (weights.bytes, weights.sha256) == (file.stat().st_size, hashlib.sha256(file.read_bytes()).hexdigest())
    fresh = NETWORKS[name]()
    fresh.load_state_dict(load_file(file), strict=True)
    for key, tensor in network.state_dict().items():
        assert torch.equal(fresh.state_dict()[key], tensor), "the network is rounded to what the file holds"
        torch.testing.assert_close(tensor, before[key], rtol=2**-11, atol=0)


def test_the_hub_loads_what_was_written(tmp_path, monkeypatch):
    monkeypatch.delenv("VOXVEIL_MODELS", raising=False)
    monkeypatch.setenv("VOXVEIL_CACHE", str(tmp_path / "cache"))
    network = unlike_new("xvector")
    weights = write_weights(network, tmp_path, "mine")
    here = replace(weights, sources=(f"path:{tmp_path / 'mine.safetensors'}",))
    card = Card("mine", "toy", "A toy", "Nobody 2000", "@misc{a}", "CC0-1.0", here, Network("xvector"), ())
    fresh = NETWORKS["xvector"]()
    hub.load_into(fresh, card)
    speech = 0.1 * torch.randn(2, 8000)
    assert torch.equal(fresh(speech), network(speech))


@pytest.mark.parametrize("there_already", [False, True])
def test_a_full_disk_leaves_no_new_file(tmp_path, there_already):
    """What is written under the name .part goes into /dev/full, which never has room."""
    target = tmp_path / "xvector.safetensors"
    if there_already:
        target.write_bytes(b"older")
    (tmp_path / "xvector.safetensors.part").symlink_to("/dev/full")
    with pytest.raises(BadOutputError, match=r"xvector\.safetensors cannot be written: no space left on device\.$"):
        write_weights(unlike_new("xvector"), tmp_path, "xvector")
    assert [path.name for path in tmp_path.iterdir()] == ([target.name] if there_already else [])
    assert not there_already or target.read_bytes() == b"older"


def test_a_folder_that_is_none_is_named(tmp_path):
    (tmp_path / "file").touch()
    for folder in (tmp_path / "missing", tmp_path / "file"):
        with pytest.raises(BadOutputError, match=rf"^{folder}/x cannot be written: no.*\.$"):
            write_whole(folder / "x", b"content")


def test_ctrl_c_leaves_nothing_half_written(tmp_path, monkeypatch):
    def interrupted(part: Path, target: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_whole(tmp_path / "x", b"content")
    assert not list(tmp_path.iterdir())
