"""A card as TOML text, which :func:`voxveil.cards.card.parse_card` reads back."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from voxveil.cards.card import Card


def card_text(card: Card) -> str:
    r"""The text of ``card``; what is None or empty is left out.

    >>> from voxveil.cards.card import Network, Weights
    >>> weights = Weights("0" * 64, 1, "safetensors", ("path:a.safetensors",))
    >>> print(card_text(Card("a", "toy", "A toy", "Nobody 2000", "@misc{a}", "CC0-1.0", weights, Network("toy"), ())))
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
    return "\n".join(_lines(asdict(card), ()))


def _lines(table: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    given = {key: value for key, value in table.items() if value is not None}
    plain = {key: value for key, value in given.items() if not isinstance(value, Mapping)}
    if path and plain:
        yield from ("", f"[{'.'.join(path)}]")
    for key, value in plain.items():
        yield f"{key} = {_value(value)}"
    for key, value in given.items():
        if isinstance(value, Mapping):
            yield from _lines(value, (*path, key))


def _value(value: Any) -> str:
    # TOML's basic strings, numbers and lists are written as JSON writes them.
    return json.dumps(value, ensure_ascii=False)
