"""Descriptions of cloning programs: how one is called, and what it takes and gives.

A description is the file ``descriptions/<name>.toml`` beside this module, or any TOML file of the same form.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Literal

from voxveil.cards.record import record
from voxveil.errors import BadInputError

LOWEST_RATE_HZ, HIGHEST_RATE_HZ = 8_000, 192_000
"""As for every recording; said again, so that a list of cloners imports nothing heavy."""

_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_PLACEHOLDERS = {"reference", "content", "text", "output", "output_folder", "checkout", "here", "python", "seed"}


@dataclass(frozen=True)
class Description:
    """How a cloning program is called.

    Attributes:
        name: What the file is called, without ``.toml``.
        title: How people call the cloner.
        paper: Who published it, and where.
        licence: Under what terms the code and the weights are.
        source: Where its checkout comes from, and for which commit the command was written.
        takes: ``speech`` or ``text``: what the content is.
        sample_rate: In Hz, of the reference, the content and the clone; a clone at another rate is converted.
        command: The program and its arguments with placeholders; it is run in the checkout, by no shell.
        output: The program's output in ``{output_folder}``, where the program chooses its name: a glob pattern that
            one file matches.
        timeout_s: How long one clone may take, in seconds, a first download of weights included.
        limits: What to know before trusting the result.

    The placeholders are ``{reference}``, ``{content}`` and ``{output}`` (WAV files), ``{text}``, ``{output_folder}``
    (empty and private), ``{checkout}``, ``{here}`` (the folder of the description), ``{python}`` (the checkout's
    interpreter) and ``{seed}``.

    >>> description("seed-vc").sample_rate
    22050
    """

    name: str
    title: str
    paper: str
    licence: str
    source: str
    takes: Literal["speech", "text"]
    sample_rate: int
    command: tuple[str, ...]
    output: str = "clone.wav"
    timeout_s: float = 1800.0
    limits: tuple[str, ...] = ()

    def arguments(self, values: Mapping[str, str]) -> list[str]:
        """The command with ``values`` in place of the placeholders; in the values nothing is replaced.

        >>> description("dddm-vc").arguments({"python": "python3", "content": "{seed}.wav", "seed": "0"})[:4]
        ['python3', 'inference.py', '--src_path', '{seed}.wav']
        """
        return [_PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), argument) for argument in self.command]


def names() -> list[str]:
    """The cloners that have a description in this package, sorted.

    >>> names()
    ['dddm-vc', 'duta-vc', 'openvoice', 'seed-vc']
    """
    suffix = ".toml"
    found = (entry.name for entry in files("voxveil.clone.descriptions").iterdir())
    return sorted(name.removesuffix(suffix) for name in found if name.endswith(suffix))


def description(name: str) -> Description:
    """The description of the cloner ``name``, or the one in the file ``name`` if that ends in ``.toml``.

    Raises:
        BadInputError: No cloner has this name; the file cannot be read or is no description.

    >>> description("my-cloner")
    Traceback (most recent call last):
    voxveil.errors.BadInputError: There is no cloner 'my-cloner'; choose one of: dddm-vc, duta-vc, openvoice, seed-vc.
    """
    if name.endswith(".toml"):
        return _read(Path(name).expanduser())
    if name not in names():
        raise BadInputError(f"There is no cloner '{name}'; choose one of: {', '.join(names())}.")
    return _read(Path(str(files("voxveil.clone.descriptions") / f"{name}.toml")))


def _read(path: Path) -> Description:
    try:
        read = parse_description(path.read_text(encoding="utf-8"), path.stem)
    except OSError as error:
        raise BadInputError(f"The description {path} cannot be read ({error.strerror or error}).") from error
    except ValueError as error:
        raise BadInputError(f"{path} does not describe a cloner ({error}).") from error
    here = str(path.resolve().parent)
    return replace(read, command=tuple(argument.replace("{here}", here) for argument in read.command))


def parse_description(text: str, name: str) -> Description:
    """The description written in the TOML ``text``, which has to be that of ``name``.

    Raises ``ValueError``, naming the description and the field, for whatever is missing, unknown or cannot be.

    >>> parse_description("title = 3", "mine")
    Traceback (most recent call last):
    ValueError: cloner 'mine': missing name, paper, licence, source, takes, sample_rate, command
    """
    where = f"cloner '{name}'"
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{where}: {error}") from error
    parsed: Description = record(Description, table, where)
    if parsed.name != name:
        raise ValueError(f"{where}: name is '{parsed.name}', but the file is called '{name}.toml'")
    if not LOWEST_RATE_HZ <= parsed.sample_rate <= HIGHEST_RATE_HZ:
        raise ValueError(f"{where}, sample_rate: not between {LOWEST_RATE_HZ} and {HIGHEST_RATE_HZ} Hz")
    if not 0.0 < parsed.timeout_s < float("inf"):
        raise ValueError(f"{where}, timeout_s: not a positive number of seconds")
    if not parsed.output or Path(parsed.output).is_absolute() or ".." in Path(parsed.output).parts:
        raise ValueError(f"{where}, output: not a pattern inside the output folder")
    _check_command(parsed, f"{where}, command")
    return parsed


def _check_command(parsed: Description, where: str) -> None:
    if not (parsed.command and parsed.command[0]):
        raise ValueError(f"{where}: names no program")
    used = {name for argument in parsed.command for name in _PLACEHOLDER.findall(argument)}
    if unknown := sorted(used - _PLACEHOLDERS):
        raise ValueError(f"{where}: unknown placeholder {', '.join(f'{{{name}}}' for name in unknown)}")
    content = {"speech": "content", "text": "text"}[parsed.takes]
    if missing := [f"{{{name}}}" for name in ("reference", content) if name not in used]:
        raise ValueError(f"{where}: nothing is said with {' and '.join(missing)}")
    if not used & {"output", "output_folder"}:
        raise ValueError(f"{where}: neither {{output}} nor {{output_folder}} says where the clone goes")
