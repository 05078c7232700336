"""The mark of made speech: cloned audio says what it is, in its name and in its tags."""

from __future__ import annotations

from mmap import ACCESS_READ, mmap
from pathlib import Path

import numpy as np
from jaxtyping import Float
from torch import Tensor

from voxveil.audio.files import creating
from voxveil.audio.recording import Recording, cause, check_place
from voxveil.errors import BadInputError, BadOutputError

MARK = "synthetic, made by voxveil to test a protection"
"""What the comment of a marked file says: ICMT in WAV's INFO list, COMMENT in the Vorbis comments of FLAC and Ogg."""

# libsndfile's container and subtype, by suffix.
_FORMATS = {".wav": ("WAV", "PCM_16"), ".flac": ("FLAC", "PCM_16"), ".ogg": ("OGG", "VORBIS")}


def marked_name(path: Path) -> Path:
    """``path`` with ``.synthetic`` before its suffix, or ``path`` itself where that stands in its name already.

    >>> marked_name(Path("out/ada.wav")).name, marked_name(Path("ada.synthetic.wav")).name
    ('ada.synthetic.wav', 'ada.synthetic.wav')
    """
    # Not path.suffixes: pathlib sees none in names that begin with a dot.
    if "synthetic" in path.name.lower().split(".")[1:]:
        return path
    return path.parent / f"{path.stem}.synthetic{path.suffix}"


def marked_place(path: Path, overwrite: bool = False) -> Path:
    """Where :func:`write_marked` will write for ``path``, checked before the work that fills it.

    Raises :class:`~voxveil.errors.BadOutputError` if the suffix is none that can be written and marked, the folder is
    missing, or the marked name exists and ``overwrite`` is not set.

    >>> marked_place(Path("ada.mp3"))
    Traceback (most recent call last):
    voxveil.errors.BadOutputError: ada.mp3 cannot be written: synthetic speech is written as .wav, .flac or .ogg.
    """
    if path.suffix.lower() not in _FORMATS:
        *most, last = _FORMATS
        raise BadOutputError(f"{path} cannot be written: synthetic speech is written as {', '.join(most)} or {last}.")
    place = marked_name(path)
    check_place(place, overwrite)
    return place


def write_marked(path: Path, speech: Float[Tensor, " time"], sample_rate: int, overwrite: bool = False) -> Path:
    """Writes ``speech`` with the mark at :func:`marked_place`, which is returned; whole or not at all.

    WAV and FLAC hold 16 bits, Ogg holds Vorbis. Speech is in [−1, 1]; louder speech is scaled to a peak of 1.

    Raises :class:`~voxveil.errors.BadOutputError` as :func:`marked_place` does, if the disk is full, or if
    ``speech`` is empty or holds values that are not numbers.

    >>> import tempfile, torch
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     written = write_marked(Path(folder, "ada.wav"), torch.zeros(1600), 16_000)
    ...     written.name, is_marked(written)
    ('ada.synthetic.wav', True)
    """
    place = marked_place(path, overwrite)
    if not speech.numel() or not speech.isfinite().all():
        raise BadOutputError(f"{place} cannot be written: the speech is empty or holds values that are not numbers.")
    container, subtype = _FORMATS[place.suffix.lower()]
    tags = {"comment": MARK, "software": "voxveil"}
    new = Recording(place, sample_rate, 1, len(speech), container, subtype, tags, "soundfile")
    samples = speech.detach().cpu().double().numpy()[None]
    with creating(new, overwrite) as writer:
        writer.write(samples / max(1.0, np.abs(samples).max()))
    return place


def is_marked(path: Path) -> bool:
    """Whether a file carries the mark, whatever its name; BadInputError if it cannot be read.

    Its bytes are searched, not its tags: programs that convert sound keep the words of a comment, but in a field of
    another name, where libsndfile does not look (``comment`` for ``COMMENT``, TXXX for COMM).

    >>> is_marked(Path("missing.wav"))
    Traceback (most recent call last):
    voxveil.errors.BadInputError: missing.wav cannot be read: no such file or directory.
    """
    try:
        with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as content:
            return content.find(MARK.encode()) >= 0
    except (OSError, ValueError) as error:
        raise BadInputError(f"{path} cannot be read: {cause(error)}.") from error
