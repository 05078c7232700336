"""Predicted opinions: the published networks get the verified weights and a clip that they can judge."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile as sf
import torch

from voxveil import hub
from voxveil.errors import BadInputError, MissingExtraError, ModelUnavailableError
from voxveil.metrics import mos
from voxveil.metrics.defence import defence_success_rate

DATA = Path(__file__).parent / "data"


@pytest.fixture
def torchmetrics(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A stand-in that reads its weights once, from the folder that the real one reads, and judges by loudness."""
    published = ModuleType("torchmetrics.functional.audio.nisqa")
    published.NISQA_DIR = "~/.torchmetrics/NISQA"
    read: list[bytes] = []

    def judge(preds: torch.Tensor, fs: int) -> torch.Tensor:
        if not read:
            read.append(Path(published.NISQA_DIR, "nisqa.tar").expanduser().read_bytes())
        return torch.stack([preds.abs().max() + fs, *torch.zeros(4)])

    published.non_intrusive_speech_quality_assessment = judge
    published.read = read
    audio = ModuleType("torchmetrics.functional.audio")
    audio.nisqa = published
    names = ("torchmetrics", "torchmetrics.functional", "torchmetrics.functional.audio")
    for name, module in zip(names, (ModuleType(names[0]), ModuleType(names[1]), audio), strict=True):
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setitem(sys.modules, "torchmetrics.functional.audio.nisqa", published)
    mos._published_nisqa.cache_clear()
    yield published
    mos._published_nisqa.cache_clear()


def test_nisqa_reads_the_verified_file_once(
    torchmetrics: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nisqa.pt").write_bytes(b"verified")
    asked = []
    monkeypatch.setattr(hub, "fetch", lambda name: asked.append(name) or tmp_path / "nisqa.pt")
    sound = np.full(16_000, 0.25)
    assert mos.nisqa(sound, 16_000) == mos.nisqa(sound, 16_000) == 16_000.25
    assert torchmetrics.read == [b"verified"] and asked == ["nisqa"]
    assert torchmetrics.NISQA_DIR == "~/.torchmetrics/NISQA"
    assert (tmp_path / "nisqa.pt").read_bytes() == b"verified"


def test_a_file_that_is_not_the_cards_is_never_read(
    torchmetrics: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nisqa.pt").write_bytes(b"another")
    monkeypatch.setenv("VOXVEIL_MODELS", str(tmp_path))
    with pytest.raises(ModelUnavailableError, match=r"nisqa\.pt"):
        mos.nisqa(np.zeros(16_000), 16_000)
    assert torchmetrics.read == []


@pytest.mark.parametrize("seconds", [0.5, 50.1])
def test_nisqa_names_the_lengths_that_it_takes(seconds: float) -> None:
    with pytest.raises(BadInputError, match=r"0\.6 s to 50 s"):
        mos.nisqa(np.zeros(round(16_000 * seconds)), 16_000)


def test_without_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("torchmetrics", "torchmetrics.functional.audio", "speechmos"):
        monkeypatch.setitem(sys.modules, name, None)
    mos._published_nisqa.cache_clear()
    for judge in (mos.nisqa, mos.dnsmos):
        with pytest.raises(MissingExtraError, match=r"voxveil\[mos\]"):
            judge(np.zeros(16_000), 16_000)


def test_dnsmos_hears_16_khz_within_full_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[tuple[np.ndarray, int]] = []

    def published(sample: np.ndarray, sr: int) -> dict[str, float]:
        heard.append((sample, sr))
        return {"ovrl_mos": 1.0, "sig_mos": 2.0, "bak_mos": 3.0, "p808_mos": 4.0}

    package, module = ModuleType("speechmos"), ModuleType("speechmos.dnsmos")
    package.dnsmos, module.run = module, published
    monkeypatch.setitem(sys.modules, "speechmos", package)
    monkeypatch.setitem(sys.modules, "speechmos.dnsmos", module)
    tone = 1.5 * np.sin(2 * np.pi * 440 * np.arange(48_000) / 48_000)
    assert mos.dnsmos(tone, 48_000) == mos.Dnsmos(overall=1.0, speech=2.0, background=3.0, p808=4.0)
    (sample, rate) = heard[0]
    assert (len(sample), rate) == (16_000, 16_000) and np.abs(sample).max() == 1.0
    with pytest.raises(BadInputError, match=r"0\.6 s and more"):
        mos.dnsmos(tone[:20_000], 48_000)


def test_dnsmos_tells_noise_from_speech() -> None:
    pytest.importorskip("speechmos")
    pytest.importorskip("onnxruntime")
    speech, rate = sf.read(DATA / "slt-1.flac")
    noise = np.random.default_rng(0).standard_normal(len(speech)) * 0.05
    clean, noisy = mos.dnsmos(speech, rate), mos.dnsmos(speech + noise, rate)
    assert clean.background > noisy.background + 1.0 and clean.overall > noisy.overall
    assert all(1.0 <= value <= 5.0 for value in (clean.overall, clean.speech, clean.background, clean.p808))


def test_a_defence_succeeds_in_both_or_not_at_all() -> None:
    scores, quality = np.array([0.1, 0.1, 0.6, 0.6, 0.25]), np.array([2.0, 4.0, 2.0, 4.0, 2.0])
    assert defence_success_rate(scores, quality) == 0.2
    assert defence_success_rate(scores, quality, threshold=0.7) == 0.6
    assert defence_success_rate(scores, quality, quality=5.0) == 0.4
    assert defence_success_rate(np.array([0.0]), np.array([3.0])) == 0.0
