"""A card as TOML text, which :func:`voxveil.cards.card.parse_card` reads back."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from voxveil.cards.card import Card

_BARE_KEY = re.compile("[A-Za-z0-9_-]+")


def card_text(card: Card) -> str:
    r"""The text of ``card``; what is None, and tables that are empty, are left out.

    Half a surrogate pair, which no file can hold, becomes U+FFFD.

    >>> from voxveil.cards.card import Network, Weights
    >>> weights = Weights("0" * 64, 1, "safetensors", ("path:a.safetensors",))
    >>> toy = Card("a", "toy", "A toy", "Nobody 2000", "@misc{a}", "CC0-1.0", weights, Network("toy"), ())
    >>> print(card_text(toy), end="")
    name = "a"
    kind = "toy"
    title = "A toy"
    paper = "Nobody 2000"
    citation = "@misc{a}"
    licence = "CC0-1.0"
    limits = []
    <BLANKLINE>
    [weights]
    sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
    bytes = 1
    format = "safetensors"
    sources = ["path:a.safetensors"]
    <BLANKLINE>
    [network]
    architecture = "toy"
    """
    return "".join(f"{line}\n" for line in _lines(asdict(card), ()))


def _lines(table: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    given = {key: value for key, value in table.items() if value is not None}
    plain = {key: value for key, value in given.items() if not isinstance(value, Mapping)}
    if path and plain:
        yield from ("", f"[{'.'.join(map(_key, path))}]")
    for key, value in plain.items():
        yield f"{_key(key)} = {_value(value)}"
    for key, value in given.items():
        if isinstance(value, Mapping):
            yield from _lines(value, (*path, key))


def _key(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else _value(key)


def _value(value: Any) -> str:
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, float):  # JSON has neither inf nor nan, and TOML spells them as Python does
        return float.__repr__(value)
    if isinstance(value, str):
        # TOML's basic strings escape what JSON's do, and the delete character.
        whole = value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return json.dumps(whole, ensure_ascii=False).replace("\x7f", "\\u007f")
    return json.dumps(value)
