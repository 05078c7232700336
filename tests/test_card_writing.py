"""A card that was written is the card that is read, whatever its texts hold."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from importlib.resources import files

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from voxveil import hub
from voxveil.cards.card import Card, Figure, Network, SelfTest, Training, Weights, parse_card
from voxveil.cards.writing import card_text

TOY = Card(
    "toy",
    "toy",
    "A toy",
    "Nobody 2000",
    "@misc{toy}",
    "CC0-1.0",
    Weights("0" * 64, 1, "safetensors", ("path:toy.safetensors",)),
    Network("toy"),
    ("Good for nothing.",),
)
# Quotes, escapes, ends of lines, the controls that TOML forbids, and what lies beyond 16 bit.
AWKWARD = "\"'\\/\n\r\t\b\f\0\x1b\x7f\x80\u2028\ufeff\ufffd🎙"
texts = st.text() | st.text(st.sampled_from(AWKWARD))
numbers = st.floats(allow_nan=False)
figures = st.builds(Figure, numbers, texts, st.none() | numbers)


def again(card: Card) -> Card:
    text = card_text(card)
    assert text.endswith("\n")
    # As on disk: UTF-8, and ends of lines as they are read there.
    return parse_card(text.encode().decode().replace("\r\n", "\n"), card.name)


@pytest.mark.parametrize("name", hub.names())
def test_every_card_of_the_package_is_the_same_when_written(name):
    original = parse_card((files("voxveil.cards") / f"{name}.toml").read_text(encoding="utf-8"), name)
    assert again(original) == original


@pytest.mark.parametrize("text", [*AWKWARD, AWKWARD, "a\r\nb", "'''", '"""', "\\u0041", ""])
def test_awkward_characters(text):
    card = replace(TOY, title=text, measured={f"x.{text}": Figure(1.0, text)})
    assert again(card) == card
    assert tomllib.loads(card_text(card))["title"] == text


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan"), 1e-300, 1e22, 5e-324, -0.0])
def test_numbers_that_json_does_not_have(value):
    found = again(replace(TOY, measured={"eer_percent": Figure(value, "c")})).measured["eer_percent"].value
    assert str(found) == str(value)


@given(
    title=texts,
    limits=st.lists(texts).map(tuple),
    expected=st.lists(numbers, min_size=1).map(tuple),
    training=st.none() | st.builds(Training, texts, texts, st.integers(0, 2**32), numbers, texts),
    thresholds=st.dictionaries(texts, st.dictionaries(texts, figures, min_size=1)),
    measured=st.dictionaries(texts, figures),
    size=st.dictionaries(texts, st.integers(-(2**62), 2**62)),
)
def test_whatever_its_texts_and_numbers_are(title, limits, expected, training, thresholds, measured, size):
    card = replace(
        TOY,
        title=title,
        citation=title + "\n",
        limits=limits,
        training=training,
        self_test=SelfTest(expected, 1e-7),
        network=Network("toy", size),
        thresholds={scorer: found for scorer, found in thresholds.items() if found},
        measured=measured,
    )
    assert again(card) == card


@given(st.text(st.characters() | st.sampled_from("\ud83c\udf99\udc80")))
@example("\ud83c\udf99 \udc80")
def test_half_a_surrogate_pair_is_replaced_and_a_whole_one_is_a_character(text):
    """A folder whose name is no UTF-8 has such halves in its name, and no file can hold them."""
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    assert again(replace(TOY, title=text)).title == whole
