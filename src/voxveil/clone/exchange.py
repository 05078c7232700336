"""What goes over to another toolkit and what comes back: WAV files, and clips that are speech at all."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import soundfile as sf
import torch

from voxveil.audio.levels import SILENCE_DBFS, rms_dbfs
from voxveil.audio.sample_formats import left_justified
from voxveil.errors import BadInputError, ProgramError
from voxveil.roles import Clip, Reference

PAUSE_S = 0.3
"""Between utterances that are joined: long enough to be no word, short enough to be no turn."""


def write_wav(path: Path, clip: Clip, sample_rate: int) -> Path:
    """Writes ``clip`` as 16-bit PCM, the one form that every program reads; gives ``path``.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_wav(Path(folder, "a.wav"), torch.zeros(8), 16_000).stat().st_size
    60
    """
    samples = left_justified(clip.detach().cpu().double().numpy(), 16)
    sf.write(path, samples, sample_rate, subtype="PCM_16")
    return path


def joined(reference: Reference, sample_rate: int) -> Clip:
    """All utterances of ``reference`` in one clip, with :data:`PAUSE_S` of silence between.

    >>> joined([torch.ones(10), torch.ones(10)], 10).shape
    torch.Size([23])
    """
    pause = torch.zeros(round(PAUSE_S * sample_rate))
    parts = [part for utterance in reference for part in (pause, utterance.detach().cpu().float())]
    return torch.cat(parts[1:])


def check_reference(reference: Reference, title: str) -> None:
    """Raises :class:`~voxveil.errors.BadInputError` where ``title`` would get a reference in which nobody speaks.

    >>> check_reference([], "Seed-VC")
    Traceback (most recent call last):
    voxveil.errors.BadInputError: Seed-VC was given a reference without speech.
    """
    if not any(_heard(utterance) for utterance in reference):
        raise BadInputError(f"{title} was given a reference without speech.")


def check_content(content: Clip | str, takes: Literal["speech", "text"], title: str) -> None:
    """Raises :class:`~voxveil.errors.BadInputError` unless ``content`` is what ``title`` takes, and not empty.

    >>> check_content("Hello.", "speech", "Seed-VC")
    Traceback (most recent call last):
    voxveil.errors.BadInputError: Seed-VC takes speech as its content, not text.
    """
    given = "text" if isinstance(content, str) else "speech"
    if given != takes:
        raise BadInputError(f"{title} takes {takes} as its content, not {given}.")
    if not (content.strip() if isinstance(content, str) else _heard(content)):
        raise BadInputError(f"{title} was given an empty content.")


def check_clone(clone: Clip, title: str) -> Clip:
    """``clone`` itself; raises :class:`~voxveil.errors.ProgramError` where it is empty, silent or not finite.

    >>> check_clone(torch.zeros(100), "Seed-VC")
    Traceback (most recent call last):
    voxveil.errors.ProgramError: Seed-VC gave silence.
    """
    if not clone.isfinite().all():
        raise ProgramError(f"{title} gave samples that are not numbers.")
    if not _heard(clone):
        raise ProgramError(f"{title} gave silence.")
    return clone


def _heard(clip: Clip) -> bool:
    # A constant is no sound either.
    return len(clip) > 0 and bool(rms_dbfs(clip - clip.mean()) > SILENCE_DBFS)
