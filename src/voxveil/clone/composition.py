"""Cloners that are composed of several networks with published weights: which model plays which part.

A composition is the file ``compositions/<name>.toml`` beside this module, or any TOML file of the same form:

    cloner = "autovc-official"

    [networks]
    converter = "autovc.toml"
    speaker_encoder = "autovc-speaker.toml"

Networks are named as everywhere: by a model's name, or by the path of a card, relative to the composition's folder.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path

from voxveil.cards.record import record
from voxveil.errors import BadInputError


@dataclass(frozen=True)
class Composition:
    """The ``cloner`` that puts the networks together, and the model that is each of its ``networks``.

    >>> composition("sv2tts").networks["vocoder"]
    'sv2tts-wavernn'
    """

    cloner: str
    networks: Mapping[str, str]


def names() -> list[str]:
    """The compositions of this package, sorted.

    >>> names()
    ['knn-vc', 'knn-vc-wavlm', 'sv2tts']
    """
    suffix = ".toml"
    found = (entry.name for entry in files("voxveil.clone.compositions").iterdir())
    return sorted(name.removesuffix(suffix) for name in found if name.endswith(suffix))


def is_composition(name: str) -> bool:
    """Whether ``name`` is one of :func:`names`, or a TOML file that lists networks, as a model's card never does.

    >>> is_composition("sv2tts"), is_composition("adain-vc"), is_composition("gone.toml")
    (True, False, False)
    """
    if not name.endswith(".toml"):
        return name in names()
    try:
        return "networks" in tomllib.loads(Path(name).expanduser().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False  # whoever reads it as a card says what is wrong


def composition(name: str) -> Composition:
    """The composition ``name``, or the one in the file ``name`` if that ends in ``.toml``.

    Raises :class:`~voxveil.errors.BadInputError`: nothing is composed under this name; the file cannot be read or is
    no composition.

    >>> composition("gone.toml")
    Traceback (most recent call last):
    voxveil.errors.BadInputError: The composition gone.toml cannot be read (No such file or directory).
    """
    if not name.endswith(".toml"):
        if name not in names():
            raise BadInputError(f"There is no composition '{name}'; choose one of: {', '.join(names())}.")
        return _read(Path(str(files("voxveil.clone.compositions") / f"{name}.toml")))
    return _read(Path(name).expanduser())


def _read(path: Path) -> Composition:
    try:
        read: Composition = record(Composition, tomllib.loads(path.read_text(encoding="utf-8")), path.name)
    except OSError as error:
        raise BadInputError(f"The composition {path} cannot be read ({error.strerror or error}).") from error
    except ValueError as error:
        raise BadInputError(f"{path} does not compose a cloner ({error}).") from error
    here = path.resolve().parent
    return replace(read, networks={part: _beside(model, here) for part, model in read.networks.items()})


def _beside(model: str, folder: Path) -> str:
    return str(folder / Path(model).expanduser()) if model.endswith(".toml") else model
