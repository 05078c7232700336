"""The scripts beside the descriptions do what the checkouts' demonstrations do, as stand-ins for the checkouts tell."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from voxveil.clone.description import description
from voxveil.clone.descriptions import duta_vc
from voxveil.clone.external import ExternalCloner


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose scripts run inside this process: it has imported torch already."""

    def run(title: str, command: list[str], folder: Path, scratch: Path, timeout_s: float) -> str:
        before = set(sys.modules)
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", command[1:])
            patch.setattr(sys, "path", [str(Path(command[1]).parent), *sys.path])
            patch.chdir(folder)
            runpy.run_path(command[1], run_name="__main__")
        for name in set(sys.modules) - before:
            if str(folder) in str(getattr(sys.modules[name], "__file__", "")):
                del sys.modules[name]
        return ""

    monkeypatch.setattr("voxveil.clone.external.run", run)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return tmp_path


@pytest.fixture
def clip(speech: Tensor) -> Tensor:
    return (speech[0, :8000] * 32768).round() / 32768


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_a_script_without_a_seed_is_seeded(checkout, clip):
    """Seed-VC's own command line; its stand-in draws from all three generators, and imports what lies beside it."""
    inference = """
import argparse, random, beside, numpy, soundfile, torch
parser = argparse.ArgumentParser()
for name in "source target output diffusion-steps length-adjust inference-cfg-rate f0-condition fp16".split():
    parser.add_argument("--" + name)
given = parser.parse_args()
noise = [random.random(), numpy.random.rand(), float(torch.rand(1)), 0.0]
soundfile.write(given.output + "/vc_content_reference_1.0_30_0.7.wav", noise, 22050)
"""
    write(checkout, {"inference.py": inference, "beside.py": ""})
    seed_vc = ExternalCloner(description("seed-vc"), checkout)
    first, again, other = (seed_vc([clip], [clip], seed=seed)[0] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert (first != other)[:3].all()


def test_openvoice_is_called_as_its_notebook_does(checkout, clip):
    api = """
import soundfile, torch
class ToneColorConverter:
    def __init__(self, config_path, device="cuda:0"):
        assert config_path == "checkpoints_v2/converter/config.json"
    def load_ckpt(self, ckpt_path):
        assert ckpt_path == "checkpoints_v2/converter/checkpoint.pth"
    def extract_se(self, ref_wav_list, se_save_path=None):
        return soundfile.read(ref_wav_list[0])[0]
    def convert(self, audio_src_path, src_se, tgt_se, output_path=None, tau=0.3, message="default"):
        assert (soundfile.read(audio_src_path)[0] == src_se).all()
        soundfile.write(output_path, [*tgt_se, float(torch.rand(1))], 22050, subtype="FLOAT")
"""
    write(checkout, {"openvoice/__init__.py": "", "openvoice/api.py": api})
    openvoice = ExternalCloner(description("openvoice"), checkout)
    reference = clip.flip(0)
    first, again, other = (openvoice([reference], [clip], seed=seed)[0] for seed in (1, 1, 2))
    assert torch.equal(first[:-1], reference)
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_duta_vc_normalises_the_content_alone(checkout, clip):
    """Its networks' stand-ins show what they are given: the clone is loud only if all of it is as it should be."""
    sizes = "n_mels channels filters heads layers kernel dropout window_size enc_dim spk_dim use_ref_t dec_dim"
    files = {
        "params.py": "".join(f"{name} = {n}\n" for n, name in enumerate([*sizes.split(), "beta_min", "beta_max"])),
        "model.py": """
import torch
class DiffVC(torch.nn.Linear):
    def __init__(self, *sizes):
        assert sizes == tuple(range(14))
        super().__init__(1, 1)
    def forward(self, x, x_lengths, x_ref, x_ref_lengths, c, n_timesteps, mode="ml"):
        assert (self.weight == 0.25).all() and (n_timesteps, mode) == (100, "ml") and c.shape == (1, 256)
        assert (int(x_lengths), int(x_ref_lengths)) == (x.shape[2], x_ref.shape[2]) and x.shape[1] == 80
        assert torch.allclose((2 * x + 1).flip(2)[..., 4:-4], x_ref[..., 4:-4], atol=0.05)
        return None, x + torch.rand(())
""",
        "hifi-gan/env.py": "class AttrDict(dict): pass\n",
        "hifi-gan/models.py": """
import torch
class Generator(torch.nn.Linear):
    def __init__(self, h): super().__init__(h["size"], 1)
    def remove_weight_norm(self): pass
    def forward(self, mel): return mel.reshape(1, 1, -1) / 100
""",
        "speaker_encoder/encoder/__init__.py": "",
        "speaker_encoder/encoder/inference.py": """
import numpy
def load_model(weights_fpath, device="cpu"): assert weights_fpath.name == "pretrained.pt"
def preprocess_wav(fpath_or_wav, source_sr=None): return fpath_or_wav
def embed_utterance(wav): return numpy.zeros(256)
""",
        "checkpts/vocoder/config.json": '{"size": 3}',
        "libritts_data/global_mean_var.txt": " ".join(["1.0"] * 80) + "\n" + " ".join(["2.0"] * 80),
        "checkpts/vc/none": "",
    }
    write(checkout, files)
    torch.save({"weight": torch.full((1, 1), 0.25), "bias": torch.zeros(1)}, checkout / "checkpts/vc/vc.pt")
    torch.save({"generator": torch.nn.Linear(3, 1).state_dict()}, checkout / "checkpts/vocoder/generator")
    duta = ExternalCloner(description("duta-vc"), checkout)
    content = torch.cat([clip, clip])[: 256 * 60]  # whole frames, so that its mirror image has the same frames
    noisy = content + 0.05 * torch.randn(len(content))
    first, again, other = (duta([noisy.flip(0)], [noisy], seed=seed)[0] for seed in (1, 1, 2))
    assert len(first) == 80 * 60
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_duta_vc_takes_the_noise_floor_away_and_leaves_the_voice():
    noise, voice = 1e-3, 1.0
    power = np.full((80, 100), noise)
    power[:, 40:] += voice
    cleaned = np.exp(2.0 * duta_vc._without_hiss(0.5 * np.log(power)))
    assert np.allclose(cleaned[:, 40:], voice)
    assert np.allclose(cleaned[:, :40], 0.02 * noise)
