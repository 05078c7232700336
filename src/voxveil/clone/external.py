"""A cloner that is another program: it gets WAV files and leaves one, as its description says."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import torch

from voxveil.audio.files import read
from voxveil.audio.resample import resample
from voxveil.clone.description import Description
from voxveil.clone.exchange import check_clone, check_content, check_reference, joined, write_wav
from voxveil.clone.program import run
from voxveil.errors import ProgramError, VoxveilError
from voxveil.roles import Clip, Progress, Reference


@dataclass(frozen=True)
class ExternalCloner:
    """Runs the program of ``description`` in ``checkout``, once for every content. A :class:`~voxveil.roles.Cloner`.

    The utterances of a reference go over in one WAV file, with short pauses between. All files lie in a private
    temporary folder, which is gone afterwards. Programs that take no seed differ from run to run; their description
    says so.

    Attributes:
        description: How the program is called.
        checkout: The folder of its code and weights, where it is run.
        python: The interpreter that has what the program needs: a name on the PATH, or a path (one that is relative is
            looked up in ``checkout``).

    Raises:
        ProgramError: ``checkout`` is no folder.

    >>> from voxveil.clone.description import description
    >>> ExternalCloner(description("seed-vc"), Path("no/such/folder"))
    Traceback (most recent call last):
    voxveil.errors.ProgramError: Seed-VC needs a folder: no/such/folder is none (github.com/Plachtaa/seed-vc, d334fb72).
    """

    description: Description
    checkout: Path
    python: str = sys.executable

    def __post_init__(self) -> None:
        if not self.checkout.is_dir():
            title, source = self.description.title, self.description.source
            raise ProgramError(f"{title} needs a folder: {self.checkout} is none ({source}).")

    @property
    def sample_rate(self) -> int:
        """The rate in Hz of all speech that it takes and gives."""
        return self.description.sample_rate

    @property
    def takes(self) -> Literal["speech", "text"]:
        """What the content has to be."""
        return self.description.takes

    def __call__(
        self, reference: Reference, contents: Sequence[Clip | str], seed: int = 0, progress: Progress | None = None
    ) -> list[Clip]:
        """One clone for every content.

        Raises:
            ProgramError: The program is not there, fails, takes too long, or leaves no usable sound.
            BadInputError: A content is not what the program takes; in the reference, or in a content, is no sound.
        """
        check_reference(reference, self.description.title)
        for content in contents:
            check_content(content, self.takes, self.description.title)
        clones = []
        for content in contents:
            with TemporaryDirectory(prefix="voxveil-") as scratch:
                clones.append(self._clone(reference, content, seed, Path(scratch)))
            if progress is not None:
                progress(len(clones) / len(contents))
        return clones

    def _clone(self, reference: Reference, content: Clip | str, seed: int, scratch: Path) -> Clip:
        folder = scratch / "output"
        folder.mkdir()
        rate = self.sample_rate
        values = {
            "reference": str(write_wav(scratch / "reference.wav", joined(reference, rate), rate)),
            "output": str(folder / "clone.wav"),
            "output_folder": str(folder),
            "checkout": str(self.checkout.resolve()),
            "python": self.python,
            "seed": str(seed),
        }
        if isinstance(content, str):
            values["text"] = content
        else:
            values["content"] = str(write_wav(scratch / "content.wav", content, rate))
        title, timeout_s = self.description.title, self.description.timeout_s
        words = run(title, self.description.arguments(values), self.checkout, scratch, timeout_s)
        found = sorted(folder.glob(self.description.output))
        if len(found) != 1:
            left = f"{len(found)} files {self.description.output} where one was expected" if found else "no output"
            raise ProgramError(f"{title} left {left}; its last words: {words or 'none'}.")
        return self._heard(found[0])

    def _heard(self, path: Path) -> Clip:
        title = self.description.title
        try:
            sound, rate = read(path)
        except VoxveilError as error:
            # The folder that the path names is gone when somebody reads the sentence.
            raise ProgramError(f"{title} failed: {str(error).replace(str(path), 'its output')}") from error
        mono = resample(sound.mean(0, keepdims=True), rate, self.sample_rate)[0]
        return check_clone(torch.as_tensor(mono, dtype=torch.float32), title)
