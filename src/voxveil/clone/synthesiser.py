"""Speech from text, by the programs flite and espeak-ng: what a cloner converts where there is no recording."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

import torch

from voxveil.audio.files import read
from voxveil.audio.levels import rms_dbfs
from voxveil.audio.resample import resample
from voxveil.clone.program import run
from voxveil.clone.speakable import in_ascii, in_portions, latin, plain
from voxveil.errors import BadInputError, ProgramError, VoxveilError
from voxveil.roles import Clip, Synthesiser

FLITE, ESPEAK_NG = "flite", "espeak-ng"
FLITE_VOICES = ("slt", "rms", "awb", "kal16")
"""Voices of 16 kHz that flite is built with; the first two are the most natural."""

RATE_HZ = 16_000
TIMEOUT_S = 600.0
SILENT_DBFS = -60.0

_SPEECH = "speech.wav"


@dataclass(frozen=True)
class Flite:
    """English by CMU's flite: ``voice`` is slt (a woman) or rms, awb, kal16 (men), from [1].

    A call raises :class:`~voxveil.errors.BadInputError` if English has no letters for the text, or the text says
    nothing, and :class:`~voxveil.errors.ProgramError` if flite is not there, fails or stays silent. 10,000 characters
    are about eleven minutes of speech.

    [1] A. W. Black and K. A. Lenzo, "Flite: a small fast run-time synthesis engine", SSW4, 2001.

    >>> Flite().voice, Flite("rms").sample_rate
    ('slt', 16000)
    >>> Flite("alice")
    Traceback (most recent call last):
    voxveil.errors.VoxveilError: flite has no voice 'alice'; there is: slt, rms, awb, kal16.
    """

    voice: str = FLITE_VOICES[0]
    sample_rate: ClassVar[int] = RATE_HZ

    def __post_init__(self) -> None:
        # flite would take a path or an address as well, and its oldest voice for a name that it does not know.
        if self.voice not in FLITE_VOICES:
            raise VoxveilError(f"{FLITE} has no voice '{self.voice}'; there is: {', '.join(FLITE_VOICES)}.")

    def __call__(self, text: str) -> Clip:
        """``text``, spoken: [time] at 16 kHz in [−1, 1]."""
        return _spoken(FLITE, ["-voice", self.voice, "-o", _SPEECH], in_portions(in_ascii(plain(text))))


@dataclass(frozen=True)
class EspeakNg:
    """A hundred languages by espeak-ng, less natural than :class:`Flite`.

    ``voice`` is what ``espeak-ng --voices`` calls Language, such as ``en-us``, ``de`` or ``cmn``. A call raises what
    :class:`Flite`'s raises; an English voice takes Latin letters only, since it would spell others by their names.

    >>> EspeakNg().voice, EspeakNg("de").sample_rate
    ('en-us', 16000)
    >>> EspeakNg("../voice")
    Traceback (most recent call last):
    voxveil.errors.VoxveilError: '../voice' is no voice of espeak-ng: name a language such as 'en-us' or 'de'.
    """

    voice: str = "en-us"
    sample_rate: ClassVar[int] = RATE_HZ

    def __post_init__(self) -> None:
        # espeak-ng would read any file that is named here.
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9+-]*", self.voice):
            raise VoxveilError(f"'{self.voice}' is no voice of {ESPEAK_NG}: name a language such as 'en-us' or 'de'.")

    def __call__(self, text: str) -> Clip:
        """``text``, spoken: [time] at 16 kHz in [−1, 1]."""
        text = plain(text)
        if re.match(r"en\b", self.voice):
            text = latin(text)
        # Two brackets would begin phonemes.
        text = re.sub(r"\[(?=\[)", "[ ", text)
        return _spoken(ESPEAK_NG, ["-b", "1", "--stdin", "-v", self.voice, "-w", _SPEECH], text)


def synthesiser(name: str | None = None, voice: str | None = None) -> Synthesiser:
    """The synthesiser ``name`` (flite or espeak-ng) with its ``voice``; without a name, the one that has this voice.

    With neither, flite before espeak-ng: its slt is statistical speech from recordings of a person [1], espeak-ng's
    voices are made of formants alone; what a converter makes of them keeps some of that.

    Raises :class:`~voxveil.errors.VoxveilError` for a name or voice that is not there, and
    :class:`~voxveil.errors.ProgramError` if the program is not installed.

    [1] A. W. Black, "CLUSTERGEN: a statistical parametric synthesizer using trajectory modeling", Interspeech 2006.

    >>> synthesiser("festival")
    Traceback (most recent call last):
    voxveil.errors.VoxveilError: There is no synthesiser 'festival'; there is: flite, espeak-ng.
    """
    kinds: dict[str, Callable[..., Synthesiser]] = {FLITE: Flite, ESPEAK_NG: EspeakNg}
    if name is None and voice is not None:
        name = FLITE if voice in FLITE_VOICES else ESPEAK_NG
    if name is None:
        name = next(filter(shutil.which, kinds), None)
    if name is None:
        raise ProgramError(
            "No speech synthesiser is installed: install one (apt install flite, or brew install espeak-ng), "
            "or give a recording instead of text."
        )
    if name not in kinds:
        raise VoxveilError(f"There is no synthesiser '{name}'; there is: {', '.join(kinds)}.")
    chosen = kinds[name]() if voice is None else kinds[name](voice)
    _installed(name)
    return chosen


def _installed(name: str) -> str:
    """The program's path, good in any folder."""
    path = shutil.which(name)
    if path is None:
        raise ProgramError(f"{name} is not installed: install it (apt install {name}, or brew install {name}).")
    return str(Path(path).absolute())


def _spoken(name: str, arguments: Sequence[str], text: str) -> Clip:
    """What the program writes for ``text`` on its standard input, where nothing is taken for an option or a file."""
    program = _installed(name)
    with TemporaryDirectory() as folder:
        run(name, [program, *arguments], Path(folder), Path(folder), TIMEOUT_S, text.encode())
        try:
            sound, rate = read(Path(folder, _SPEECH))
        except BadInputError as error:
            raise ProgramError(f"{name} wrote no sound for this text: try another voice or other words.") from error
    clip = torch.from_numpy(resample(sound, rate, RATE_HZ).mean(0)).float()
    if rms_dbfs(clip) < SILENT_DBFS:
        raise ProgramError(f"{name} wrote silence for this text: try another voice or other words.")
    # The resampler overshoots a little where the speech reaches full scale.
    return clip / clip.abs().max().clamp_min(1.0)
