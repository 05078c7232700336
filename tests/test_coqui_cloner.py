"""coqui-tts is called as its release 0.28.0 wants it; a stand-in with its signatures takes the package's place."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
import soundfile as sf
import torch
from torch import Tensor, nn

from voxveil.clone.coqui import TERMS, CoquiCloner
from voxveil.clone.coqui_models import MODELS
from voxveil.errors import BadInputError, MissingExtraError, ModelUnavailableError, ProgramError
from voxveil.roles import Cloner

RATES = {"tts_models": 24_000, "voice_conversion_models": 16_000}


class TTS(nn.Module):
    """The signatures of ``TTS.api.TTS`` in coqui-tts 0.28.0, over a random filter of the reference."""

    calls: ClassVar[list[dict[str, Any]]] = []
    answer: Any = None

    def __init__(
        self,
        model_name: str = "",
        *,
        model_path=None,
        config_path=None,
        vocoder_name=None,
        vocoder_path=None,
        vocoder_config_path=None,
        encoder_path=None,
        encoder_config_path=None,
        speakers_file_path=None,
        progress_bar: bool = True,
        gpu: bool = False,
    ) -> None:
        super().__init__()
        kind, language, _, self.name = model_name.split("/")
        assert not progress_bar and not gpu
        loaded = SimpleNamespace(output_sample_rate=RATES[kind])
        self.multilingual = language == "multilingual"
        self.synthesizer = loaded if kind == "tts_models" else None
        self.voice_converter = None if kind == "tts_models" else loaded
        self.filter = nn.Conv1d(1, 1, 9, padding=4, bias=False)

    def tts(self, text, speaker=None, language=None, speaker_wav=None, emotion=None, split_sentences=True, **kwargs):
        assert self.synthesizer is not None and (language is not None) == self.multilingual
        assert kwargs == ({"use_deterministic_seed": kwargs["use_deterministic_seed"]} if "tort" in self.name else {})
        return self._answer({"text": text, "language": language, **kwargs}, speaker_wav).tolist()

    def voice_conversion(
        self, source_wav, target_wav=None, *, speaker=None, voice_dir=None, source_speaker=None, **kwargs
    ):
        assert self.voice_converter is not None and not kwargs
        return self._answer({"source": sf.read(source_wav)[0]}, target_wav)

    def _answer(self, call: dict[str, Any], wavs: list[str]) -> Tensor:
        voices = [sf.read(path) for path in wavs]
        TTS.calls.append({**call, "voices": [voice for voice, _ in voices], "rates": {rate for _, rate in voices}})
        if isinstance(TTS.answer, Exception):
            raise TTS.answer
        if TTS.answer is not None:
            return torch.tensor(TTS.answer)
        voice = torch.from_numpy(voices[0][0]).float()
        return self.filter(voice[None] + 0.01 * torch.randn(1, len(voice)))[0]


@pytest.fixture(autouse=True)
def scratch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """The stand-in in the package's place, terms agreed to, and no file left behind."""
    module = ModuleType("TTS.api")
    module.TTS = TTS  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "TTS", ModuleType("TTS"))
    monkeypatch.setitem(sys.modules, "TTS.api", module)
    monkeypatch.setenv(TERMS, "1")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    TTS.calls.clear()
    TTS.answer = None
    yield
    assert not list(tmp_path.iterdir())


@pytest.fixture
def clip(speech: Tensor) -> Tensor:
    return (speech[0, :8000] * 32768).round() / 32768


def content_of(name: str, clip: Tensor) -> Tensor | str:
    return "Nobody said this." if MODELS[name].takes == "text" else clip.flip(0)


@pytest.mark.parametrize("name", MODELS)
def test_every_model_hears_all_utterances_and_answers_once_a_content(name, clip):
    told: list[float] = []
    cloner = CoquiCloner(name, language="fr-fr")
    assert isinstance(cloner, Cloner)
    content = content_of(name, clip)
    clones = cloner([clip, clip[:5000]], [content, content], seed=5, progress=told.append)
    assert [clone.shape for clone in clones] == [(8000,), (8000,)]
    assert all(clone.dtype == torch.float32 and not clone.requires_grad for clone in clones)
    assert told == [0.5, 1.0]
    call = TTS.calls[0]
    assert [voice.tolist() for voice in call["voices"]] == [clip.tolist(), clip[:5000].tolist()]
    assert call["rates"] == {cloner.sample_rate} and cloner.sample_rate in RATES.values()
    if isinstance(content, str):
        assert call["text"] == content
        assert call["language"] == (None if name == "tortoise" else "fr-fr")
        assert call.get("use_deterministic_seed") == (5 if name == "tortoise" else None)
    else:
        assert np.array_equal(call["source"], content.numpy())


@pytest.mark.parametrize("name", ["freevc", "yourtts"])
def test_the_seed_decides_and_torch_is_left_as_it_was(name, clip):
    cloner = CoquiCloner(name)
    before = torch.get_rng_state()
    first, again, other = (cloner([clip], [content_of(name, clip)], seed=seed)[0] for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("value", [None, "", "0", "yes"])
def test_terms_are_agreed_to_by_people(monkeypatch, value):
    monkeypatch.delenv(TERMS)
    if value is not None:
        monkeypatch.setenv(TERMS, value)
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked on the terminal"))
    with pytest.raises(ModelUnavailableError, match=rf"XTTS v2 .*https://tts-hub\.github\.io/cpml.*{TERMS}=1"):
        CoquiCloner("xtts-v2")
    assert CoquiCloner("freevc").takes == "speech"


def test_without_the_package_its_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "TTS.api", None)
    with pytest.raises(MissingExtraError, match=r"kNN-VC .*voxveil\[coqui\]"):
        CoquiCloner("knn-vc")


def test_weights_that_cannot_be_had(monkeypatch):
    def offline(self: TTS, *_: object, **__: object) -> None:
        raise ConnectionError("Max retries exceeded\nwith url")

    monkeypatch.setattr(TTS, "__init__", offline)
    with pytest.raises(ModelUnavailableError, match="cannot load FreeVC: ConnectionError: Max retries exceeded; with"):
        CoquiCloner("freevc")


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (
            RuntimeError("Kernel size can't be greater\nthan input"),
            "FreeVC failed: RuntimeError: Kernel .*; than input",
        ),
        ([0.0] * 100, "FreeVC gave silence"),
        ([], "FreeVC gave silence"),
        ([0.1, float("nan")], "FreeVC gave samples that are not numbers"),
        ([0.1, float("inf")], "FreeVC gave samples that are not numbers"),
    ],
)
def test_no_clone_is_an_error(clip, answer, sentence):
    TTS.answer = answer
    with pytest.raises(ProgramError, match=sentence):
        CoquiCloner("freevc")([clip], [clip])


def test_what_it_does_not_take_is_not_sent(clip):
    with pytest.raises(BadInputError, match="no cloner 'bark'"):
        CoquiCloner("bark")
    for name, reference, content in (
        ("freevc", [clip], "words"),
        ("yourtts", [clip], clip),
        ("yourtts", [clip], "  "),
        ("freevc", [], clip),
        ("freevc", [clip], torch.zeros(100)),
    ):
        with pytest.raises(BadInputError, match=MODELS[name].title):
            CoquiCloner(name)(reference, [content])
    assert not TTS.calls
