"""Cloners of the package ``coqui-tts`` (github.com/idiap/coqui-ai-TTS), the maintained fork of Coqui's toolkit.

Names and calls are those of its release 0.28.0 (``TTS/api.py``, ``TTS/.models.json``). The package itself fetches the
weights, keeps them in a folder of its own and loads them in its own way; no card of ours knows them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import torch

from voxveil.clone.coqui_models import MODELS, CoquiModel
from voxveil.clone.exchange import check_clone, check_content, check_reference, write_wav
from voxveil.clone.program import last_words
from voxveil.errors import BadInputError, MissingExtraError, ModelUnavailableError, ProgramError
from voxveil.roles import Clip, Progress, Reference

TERMS = "COQUI_TOS_AGREED"
"""The environment variable by which somebody says to ``coqui-tts`` that they agree to a model's terms: 1."""


class CoquiCloner:
    """A cloner of :data:`~voxveil.clone.coqui_models.MODELS`, loaded when it is made. A :class:`~voxveil.roles.Cloner`.

    A reference goes over as one WAV file an utterance. Random draws are seeded and leave torch's own state as it was.

    Args:
        name: A key of :data:`~voxveil.clone.coqui_models.MODELS`.
        device: Where the model runs.
        language: Of the text, as the model names it; unused where the model knows one language, or takes speech.

    Raises:
        BadInputError: There is no model ``name``.
        MissingExtraError: Without the extra ``coqui``.
        ModelUnavailableError: The weights cannot be fetched or loaded, or nobody agreed to their terms.

    >>> CoquiCloner("vall-e")
    Traceback (most recent call last):
    voxveil.errors.BadInputError: coqui-tts has no cloner 'vall-e'; choose one of: yourtts, xtts-v2, tortoise, \
openvoice-v2, freevc, knn-vc.
    """

    def __init__(self, name: str, device: torch.device | str = "cpu", language: str = "en") -> None:
        if name not in MODELS:
            raise BadInputError(f"coqui-tts has no cloner '{name}'; choose one of: {', '.join(MODELS)}.")
        self.model = MODELS[name]
        self.language = language
        self._device = torch.device(device)
        self._toolkit = _loaded(self.model, self._device)

    @property
    def sample_rate(self) -> int:
        """The rate in Hz of all speech that it takes and gives; references are resampled by the toolkit as it needs."""
        converts = self.model.takes == "speech"
        return int((self._toolkit.voice_converter if converts else self._toolkit.synthesizer).output_sample_rate)

    @property
    def takes(self) -> Literal["speech", "text"]:
        """What the content has to be."""
        return self.model.takes

    def __call__(
        self, reference: Reference, contents: Sequence[Clip | str], seed: int = 0, progress: Progress | None = None
    ) -> list[Clip]:
        """One clone for every content.

        Raises:
            BadInputError: A content is not what the model takes; in the reference, or in a content, is no sound.
            ProgramError: The toolkit fails, or gives no usable sound.
        """
        check_reference(reference, self.model.title)
        for content in contents:
            check_content(content, self.takes, self.model.title)
        clones = []
        for content in contents:
            with TemporaryDirectory(prefix="voxveil-") as scratch, _seeded(seed, self._device):
                clones.append(self._clone(reference, content, seed, Path(scratch)))
            if progress is not None:
                progress(len(clones) / len(contents))
        return clones

    def _clone(self, reference: Reference, content: Clip | str, seed: int, scratch: Path) -> Clip:
        rate = self.sample_rate
        voices = [str(write_wav(scratch / f"{n}.wav", clip, rate)) for n, clip in enumerate(reference)]
        try:
            if isinstance(content, str):
                settings = {} if self.model.seed_setting is None else {self.model.seed_setting: seed}
                language = self.language if self.model.speaks_languages else None
                wave = self._toolkit.tts(text=content, language=language, speaker_wav=voices, **settings)
            else:
                source = str(write_wav(scratch / "content.wav", content, rate))
                wave = self._toolkit.voice_conversion(source_wav=source, target_wav=voices)
        except Exception as error:  # a toolkit of dozens of models raises anything
            raise ProgramError(f"{self.model.title} failed: {_said(error)}.") from error
        # A list of numbers, an array or a tensor: that differs from model to model.
        clone = wave if isinstance(wave, torch.Tensor) else torch.from_numpy(np.asarray(wave, dtype=np.float32))
        return check_clone(clone.detach().cpu().float().flatten(), self.model.title)


def _loaded(model: CoquiModel, device: torch.device) -> Any:
    # Without the variable the toolkit would ask on the terminal, or fail where there is none.
    if model.terms is not None and os.environ.get(TERMS) != "1":
        raise ModelUnavailableError(
            f"The weights of {model.title} come under terms ({model.licence}): read {model.terms} and, if you agree, "
            f"set {TERMS}=1."
        )
    try:
        from TTS.api import TTS
    except ImportError as error:
        raise MissingExtraError.naming("coqui", model.title) from error
    try:
        return TTS(model.model, progress_bar=False).to(device)
    except Exception as error:  # hubs, archives, configurations: each has errors of its own
        raise ModelUnavailableError(f"coqui-tts cannot load {model.title}: {_said(error)}.") from error


def _said(error: Exception) -> str:
    return last_words(f"{type(error).__name__}: {error}")


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
