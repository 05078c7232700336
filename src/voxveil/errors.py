"""What can go wrong, by name: every error carries one sentence for a person and an exit code for a program."""

from __future__ import annotations


class VoxveilError(Exception):
    """The root of all errors that Voxveil raises on purpose.

    ``str(error)`` is one sentence that names the thing and the remedy; ``exit_code`` is what the command line
    ends with (the table in ``docs/errors.md``).

    >>> VoxveilError("speech.wav is silent.").exit_code
    1
    """

    exit_code = 1


class BadInputError(VoxveilError):
    """A recording that cannot be used: missing, unreadable, empty, silent, truncated, not audio, too short."""

    exit_code = 3


class BadOutputError(VoxveilError):
    """A place that cannot be written: it exists already, is the input, has no room or no permission."""

    exit_code = 4


class ModelUnavailableError(VoxveilError):
    """Weights that cannot be had, do not match their sha256, or do not fit their network."""

    exit_code = 5


class MissingExtraError(VoxveilError):
    """A feature whose optional packages are not installed.

    >>> str(MissingExtraError.naming("eval", "PESQ"))
    "PESQ needs the extra 'eval': install it with pip install 'voxveil[eval]'."
    """

    exit_code = 6

    @classmethod
    def naming(cls, extra: str, feature: str) -> MissingExtraError:
        """The error for a ``feature`` that the optional dependency group ``extra`` brings."""
        return cls(f"{feature} needs the extra '{extra}': install it with pip install 'voxveil[{extra}]'.")


class ProgramError(VoxveilError):
    """A program that Voxveil was asked to run: it is not there, failed, took too long or wrote nothing usable."""

    exit_code = 7
