"""Speech corpora: which recordings lie in a folder, and who speaks in each.

The layouts are those of the published archives: LibriSpeech (V. Panayotov et al., ICASSP 2015), VCTK (C. Veaux,
J. Yamagishi, K. MacDonald 2017) and VoxCeleb 1 and 2 (A. Nagrani et al., Interspeech 2017; J. S. Chung et al.,
Interspeech 2018). Any other corpus is a folder for each speaker.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from voxveil.audio.excerpts import mono
from voxveil.audio.files import read
from voxveil.audio.recording import cause
from voxveil.audio.resample import resample
from voxveil.audio.suffixes import MEDIA_SUFFIXES
from voxveil.errors import BadInputError

# The speaker in the path of a recording below the corpus. The first layout that any recording has is that of all; the
# last one also reads the folder of a single subset, and the folders wav48*, wav and aac themselves.
_LAYOUTS = tuple(
    re.compile(pattern)
    for pattern in (
        r"(?:.*/)?(\d+)-\d+-\d+\.[^/.]+",
        r"(?:LibriSpeech/)?(?:train|dev|test)-[^/]+/(\d+)/.+",
        r"(?:VCTK-Corpus[^/]*/)?wav48_silence_trimmed/([ps]\d+)/.+",
        r"(?:VCTK-Corpus[^/]*/)?wav48/([ps]\d+)/.+",
        r"(?:(?:dev|test)/)?(?:wav|aac)/(id\d+)/.+",
        r"([^/]+)/.+",
        r"([^/-]+)-\d+\.[^/.]+",
    )
)
_SECOND_MICROPHONE = re.compile(r"[ps]\d+_\d+_mic2")


@dataclass(frozen=True, order=True)
class Utterance:
    """A recording and who speaks in it."""

    speaker: str
    path: Path


def read_corpus(folder: str | Path) -> list[Utterance]:
    """Every recording of the corpus in ``folder``, sorted by speaker and path.

    ======================  ==============================================================================
    LibriSpeech             ``1998-15444-0000.flac`` in any folder, or ``[LibriSpeech/]SUBSET/1998/15444/….flac``
    VCTK                    ``[VCTK-Corpus*/]wav48_silence_trimmed/p225/….flac``, else ``wav48/p225/….wav``
    VoxCeleb 1 and 2        ``[dev/ or test/]wav/id10001/VIDEO/….wav``, ``aac/…/….m4a``
    a folder for a speaker  ``SPEAKER/….wav``; also one subset of those above
    one folder              ``SPEAKER-1.wav``, ``SPEAKER-2.wav``, …
    ======================  ==============================================================================

    Of the two microphones of VCTK the first is read; the second of a speaker who has no other. Hidden files, and
    files that are not where the layout puts recordings, are left out.

    Raises :class:`~voxveil.errors.BadInputError` for what is no folder and for a folder without such recordings.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     chapter = Path(folder, "test-other", "1998", "15444")
    ...     chapter.mkdir(parents=True)
    ...     (chapter / "1998-15444-0000.flac").touch()
    ...     [(found.speaker, found.path.name) for found in read_corpus(folder)]
    [('1998', '1998-15444-0000.flac')]
    """
    root = Path(folder)
    recordings = {path: path.relative_to(root).as_posix() for path in _recordings(root)}
    for layout in _LAYOUTS:
        matches = {path: layout.fullmatch(below) for path, below in recordings.items()}
        found = [Utterance(match[1], path) for path, match in matches.items() if match]
        if found:
            return sorted(_of_one_microphone(found))
    raise BadInputError(
        f"{root} holds no recordings of speakers: lay them out as LibriSpeech, VCTK or VoxCeleb does, or in one "
        "folder for each speaker."
    )


def read_mono(path: Path, sample_rate: int) -> Float32[np.ndarray, " time"]:
    """All of a recording, mixed to one channel, at ``sample_rate`` Hz.

    Raises :class:`~voxveil.errors.BadInputError` for a file that cannot be used.

    >>> import tempfile, soundfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     soundfile.write(Path(folder, "a.wav"), np.zeros((44_100, 2)), 44_100)
    ...     read_mono(Path(folder, "a.wav"), 16_000).shape
    (16000,)
    """
    sound, rate = read(path)
    return resample(mono(sound), rate, sample_rate)[0].astype(np.float32)


def _recordings(root: Path) -> list[Path]:
    try:
        next(root.iterdir(), None)
        found = [path for path in root.rglob("*") if path.suffix.lower() in MEDIA_SUFFIXES and path.is_file()]
    except FileNotFoundError:
        raise BadInputError(f"{root} does not exist.") from None
    except NotADirectoryError:
        raise BadInputError(f"{root} is a file: name the folder of a corpus.") from None
    except OSError as error:
        raise BadInputError(f"{root} cannot be read: {cause(error)}.") from error
    return [path for path in found if not any(part.startswith(".") for part in path.relative_to(root).parts)]


def _of_one_microphone(utterances: list[Utterance]) -> list[Utterance]:
    first = {utterance.speaker for utterance in utterances if utterance.path.stem.endswith("_mic1")}
    return [u for u in utterances if u.speaker not in first or not _SECOND_MICROPHONE.fullmatch(u.path.stem)]
