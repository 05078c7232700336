"""The models of ``coqui-tts`` that clone voices; names are those of its release 0.28.0 (``TTS/.models.json``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class CoquiModel:
    """A model of ``coqui-tts`` that clones voices.

    Attributes:
        title: How people call it.
        model: Its name in the package; the part before the first slash says whether it speaks text or converts speech.
        licence: Of the weights.
        terms: Where the terms stand that somebody has to agree to before the weights are fetched; None: there are none.
        seed_setting: The setting that carries the seed, where the model would seed itself by the clock.

    >>> MODELS["xtts-v2"].takes, MODELS["xtts-v2"].speaks_languages
    ('text', True)
    """

    title: str
    model: str
    licence: str
    terms: str | None = None
    seed_setting: str | None = None

    @property
    def takes(self) -> Literal["speech", "text"]:
        """What the content has to be."""
        return "text" if self.model.startswith("tts_models/") else "speech"

    @property
    def speaks_languages(self) -> bool:
        """Whether it wants to know the text's language."""
        return self.model.startswith("tts_models/multilingual/")


_MANY, _CONVERSION = "tts_models/multilingual/multi-dataset", "voice_conversion_models/multilingual"
MODELS: Mapping[str, CoquiModel] = {
    "yourtts": CoquiModel("YourTTS", f"{_MANY}/your_tts", "CC BY-NC-ND 4.0"),
    "xtts-v2": CoquiModel(
        "XTTS v2", f"{_MANY}/xtts_v2", "CPML: no commercial use", terms="https://tts-hub.github.io/cpml"
    ),
    "tortoise": CoquiModel(
        "Tortoise", "tts_models/en/multi-dataset/tortoise-v2", "Apache-2.0", seed_setting="use_deterministic_seed"
    ),
    "openvoice-v2": CoquiModel("OpenVoice V2", f"{_CONVERSION}/multi-dataset/openvoice_v2", "MIT"),
    "freevc": CoquiModel("FreeVC", f"{_CONVERSION}/vctk/freevc24", "MIT"),
    "knn-vc": CoquiModel("kNN-VC", f"{_CONVERSION}/multi-dataset/knnvc", "MIT"),
}
"""Our names for the package's models."""
