"""Voiceprints as files: what was enrolled comes back, and nothing else is taken for one."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from voxveil.errors import BadInputError, BadOutputError
from voxveil.verify.voiceprint import FORMAT, Voiceprint, read_voiceprint, write_voiceprint
from voxveil.whole_file import check_place

ABOUT = {"format": FORMAT, "encoder": "ge2e", "sha256": "ab" * 32, "clips": "3"}


def voice() -> Voiceprint:
    return Voiceprint(torch.nn.functional.normalize(torch.randn(1, 24)), "ge2e", "ab" * 32, clips=3)


def test_it_comes_back_as_it_was(tmp_path: Path) -> None:
    made = voice()
    write_voiceprint(tmp_path / "ann.safetensors", made)
    again = read_voiceprint(tmp_path / "ann.safetensors")
    assert torch.equal(again.embedding, made.embedding)
    assert (again.encoder, again.sha256, again.clips) == ("ge2e", "ab" * 32, 3)
    assert [path.name for path in tmp_path.iterdir()] == ["ann.safetensors"]


def test_the_file_is_plain_safetensors(tmp_path: Path) -> None:
    """Read here by the format's own description: a length, JSON, and numbers. No pickle."""
    made = voice()
    write_voiceprint(tmp_path / "ann.safetensors", made)
    content = (tmp_path / "ann.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    assert header.pop("__metadata__") == ABOUT
    assert header == {"voiceprint": {"dtype": "F32", "shape": [24], "data_offsets": [0, 96]}}
    assert torch.equal(torch.frombuffer(bytearray(content[8 + length :]), dtype=torch.float32), made.embedding[0])


def test_a_half_precision_network_on_any_device_gives_a_plain_file(tmp_path: Path) -> None:
    made = Voiceprint(torch.randn(1, 48)[:, ::2].bfloat16().requires_grad_(), "ge2e", "ab" * 32, 1)
    write_voiceprint(tmp_path / "ann.safetensors", made)
    assert load_file(tmp_path / "ann.safetensors")["voiceprint"].dtype == torch.float32


def refusal(path: Path) -> str:
    with pytest.raises(BadInputError) as caught:
        read_voiceprint(path)
    sentence = str(caught.value)
    assert sentence.startswith(str(path)) and sentence.endswith(".") and "\n" not in sentence
    return sentence


@pytest.mark.parametrize("kept", [0, 1, 7, 8, 60, -1])
def test_a_truncated_one_is_refused(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "ann.safetensors"
    write_voiceprint(path, voice())
    path.write_bytes(path.read_bytes()[:kept])
    assert "damaged, or no voiceprint" in refusal(path)


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    assert "does not exist" in refusal(tmp_path / "gone.safetensors")
    assert "is a directory" in refusal(tmp_path)
    (tmp_path / "notes.safetensors").write_text("This is no voiceprint.\n" * 9)
    assert "damaged, or no voiceprint" in refusal(tmp_path / "notes.safetensors")
    torch.save({"voiceprint": torch.ones(4)}, tmp_path / "pickled.safetensors")
    assert "damaged, or no voiceprint" in refusal(tmp_path / "pickled.safetensors")


GOOD = torch.ones(4)
OTHERS = {
    "weights": ({"layer.weight": GOOD, "layer.bias": GOOD + 1}, None),
    "no metadata": ({"voiceprint": GOOD}, None),
    "no encoder": ({"voiceprint": GOOD}, {"format": FORMAT, "sha256": "0", "clips": "1"}),
    "no number": ({"voiceprint": GOOD}, ABOUT | {"clips": "many"}),
    "another tensor beside": ({"voiceprint": GOOD, "more": GOOD + 1}, ABOUT),
    "a matrix": ({"voiceprint": torch.ones(2, 2)}, ABOUT),
    "whole numbers": ({"voiceprint": torch.ones(4, dtype=torch.int64)}, ABOUT),
    "not a number": ({"voiceprint": torch.tensor([1.0, float("nan")])}, ABOUT),
    "zero": ({"voiceprint": torch.zeros(4)}, ABOUT),
    "empty": ({"voiceprint": torch.zeros(0)}, ABOUT),
}


@pytest.mark.parametrize("case", OTHERS)
def test_another_safetensors_file_is_no_voiceprint(tmp_path: Path, case: str) -> None:
    tensors, about = OTHERS[case]
    save_file(tensors, tmp_path / "a.safetensors", about)
    assert "is no voiceprint" in refusal(tmp_path / "a.safetensors")


def test_one_of_a_later_format_is_named(tmp_path: Path) -> None:
    save_file({"voiceprint": GOOD}, tmp_path / "a.safetensors", ABOUT | {"format": "voxveil voiceprint 2"})
    assert "'voxveil voiceprint 2'" in refusal(tmp_path / "a.safetensors")


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(BadOutputError, match="cannot be written: no such file or directory"):
        write_voiceprint(tmp_path / "gone" / "ann.safetensors", voice())
    (tmp_path / "folder.safetensors").mkdir()
    with pytest.raises(BadOutputError, match=r"folder\.safetensors cannot be written"):
        write_voiceprint(tmp_path / "folder.safetensors", voice())
    assert [path.name for path in tmp_path.iterdir()] == ["folder.safetensors"]


def test_a_place_is_checked_before_the_work(tmp_path: Path) -> None:
    check_place(tmp_path / "new.toml", ".toml", overwrite=False)
    (tmp_path / "old.toml").write_text("precious")
    (tmp_path / "dangling.toml").symlink_to(tmp_path / "nowhere")
    (tmp_path / "folder.toml").mkdir()
    refused = {
        "old.toml": "exists already",
        "dangling.toml": "exists already",
        "folder.toml": "is a folder",
        "gone/new.toml": "the folder .*gone does not exist",
        "x" * 300 + ".toml": "file name too long",
        "new.wav": r"should be named \.toml",
        "new.TOML": r"should be named \.toml",
    }
    for name, cause in refused.items():
        with pytest.raises(BadOutputError, match=cause):
            check_place(tmp_path / name, ".toml", overwrite=False)
    check_place(tmp_path / "old.toml", ".toml", overwrite=True)
    with pytest.raises(BadOutputError, match="is a folder"):
        check_place(tmp_path / "folder.toml", ".toml", overwrite=True)
