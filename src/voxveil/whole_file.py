"""A file that is there whole or not at all."""

from __future__ import annotations

from pathlib import Path

from voxveil.audio import recording
from voxveil.errors import BadOutputError


def check_place(path: Path, suffix: str, overwrite: bool) -> None:
    """Raises :class:`~voxveil.errors.BadOutputError` if no file ``path`` can be written, before the work that fills it.

    The name has to end in ``suffix``, so that no recording is ever the place; what exists needs ``overwrite``.

    >>> check_place(Path("voice.wav"), ".safetensors", overwrite=True)
    Traceback (most recent call last):
    voxveil.errors.BadOutputError: voice.wav should be named .safetensors.
    """
    if path.suffix != suffix:
        raise BadOutputError(f"{path} should be named {suffix}.")
    recording.check_place(path, overwrite)


def write_whole(path: Path, content: bytes) -> None:
    """Writes ``content`` beside ``path`` and renames it; raises :class:`~voxveil.errors.BadOutputError`.

    >>> write_whole(Path("no/such/folder/x"), b"")
    Traceback (most recent call last):
    voxveil.errors.BadOutputError: no/such/folder/x cannot be written: no such file or directory.
    """
    part = path.with_name(path.name + ".part")
    with recording.output_errors(path):
        try:
            part.write_bytes(content)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
