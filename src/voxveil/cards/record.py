"""Dataclasses as a file format: what their type hints say is what a table may hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

_SPOKEN = {str: "text", int: "a whole number", float: "a number", tuple: "a list", Mapping: "a table"}


def record(kind: type[Any], table: object, where: str) -> Any:
    """The dataclass ``kind`` filled from ``table``; ``where`` is how errors call it.

    Raises ``ValueError``, naming the field, for whatever is missing, unknown or of a wrong type.

    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True)
    ... class Pair:
    ...     left: float
    ...     right: tuple[str, ...] = ()
    >>> record(Pair, {"left": 1, "right": ["a"]}, "pair").right
    ('a',)
    >>> record(Pair, {"left": "one"}, "pair")
    Traceback (most recent call last):
    ValueError: pair, left: 'one' is not a number
    """
    if not isinstance(table, dict):
        raise ValueError(f"{where}: not a table")
    hints = get_type_hints(kind)
    if unknown := [key for key in table if key not in hints]:
        raise ValueError(f"{where}: unknown {', '.join(unknown)}")
    required = (f.name for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING)
    if missing := [key for key in required if key not in table]:
        raise ValueError(f"{where}: missing {', '.join(missing)}")
    return kind(**{key: _typed(value, hints[key], f"{where}, {key}") for key, value in table.items()})


def _typed(value: object, hint: Any, where: str) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if isinstance(hint, type) and is_dataclass(hint):
        return record(hint, value, where)
    if origin is UnionType:  # TOML has no None, so a field that is there is one of the others; a list is a tuple
        fitting = (one for one in arguments if (get_origin(one) is tuple) == isinstance(value, list))
        return _typed(value, next(fitting, arguments[0]), where)
    if origin is Mapping and isinstance(value, dict):
        return {key: _typed(entry, arguments[1], f"{where}.{key}") for key, entry in value.items()}
    if origin is tuple and isinstance(value, list):
        return tuple(_typed(entry, arguments[0], where) for entry in value)
    kind = type(value)  # not isinstance: true is no number
    fits = value in arguments if origin is Literal else kind is hint or (kind is int and hint is float)
    if not fits:
        known = " or ".join(map(str, arguments)) if origin is Literal else _SPOKEN[origin or hint]
        raise ValueError(f"{where}: {value!r} is not {known}")
    return float(value) if hint is float else value  # type: ignore[arg-type]
