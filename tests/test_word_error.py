"""Word error rates: the fewest changes as a search over all alignments finds them, known texts, and what no word is."""

from __future__ import annotations

import re
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxveil.errors import BadInputError
from voxveil.metrics.word_error import WordErrors, word_errors, words

TEXTS = st.lists(st.sampled_from(["yes", "no", "maybe"]), max_size=6)


def searched(said: tuple[str, ...], heard: tuple[str, ...]) -> WordErrors:
    """Over all alignments: fewest errors, then most substitutions."""

    @cache
    def best(i: int, j: int) -> tuple[int, int, int, int]:
        """(errors, −substitutions, deletions, insertions) from word i and word j to the ends."""
        ways = []
        if i < len(said) and j < len(heard):
            errors, swaps, left, put = best(i + 1, j + 1)
            ways.append((errors, swaps, left, put) if said[i] == heard[j] else (errors + 1, swaps - 1, left, put))
        if i < len(said):
            errors, swaps, left, put = best(i + 1, j)
            ways.append((errors + 1, swaps, left + 1, put))
        if j < len(heard):
            errors, swaps, left, put = best(i, j + 1)
            ways.append((errors + 1, swaps, left, put + 1))
        return min(ways, default=(0, 0, 0, 0))

    _, swaps, left, put = best(0, 0)
    return WordErrors(-swaps, left, put, len(said))


@given(said=TEXTS, heard=TEXTS)
def test_the_errors_are_the_fewest_of_all_alignments(said: list[str], heard: list[str]) -> None:
    assert word_errors([" ".join(said)], [" ".join(heard)]) == searched(tuple(said), tuple(heard))


@given(said=TEXTS, heard=TEXTS)
def test_from_there_to_here_what_was_left_out_is_put_in(said: list[str], heard: list[str]) -> None:
    there, back = word_errors([" ".join(said)], [" ".join(heard)]), word_errors([" ".join(heard)], [" ".join(said)])
    assert (there.substitutions, there.deletions, there.insertions) == (
        back.substitutions,
        back.insertions,
        back.deletions,
    )
    assert there.deletions - there.insertions == len(said) - len(heard)


@pytest.mark.parametrize(
    ("said", "heard", "errors"),
    [
        ("he was a man", "He was a man.", (0, 0, 0)),
        ("he was a man", "", (0, 4, 0)),
        ("he was a man", "he saw a woman", (2, 0, 0)),
        ("he was a man", "so he was", (0, 2, 1)),
        ("he was a man", "man a was he", (4, 0, 0)),
    ],
)
def test_known_texts(said: str, heard: str, errors: tuple[int, int, int]) -> None:
    assert word_errors([said], [heard]) == WordErrors(*errors, 4)


def test_texts_are_summed_and_long_ones_weigh_more() -> None:
    found = word_errors(["one two three", "four"], ["one two three", "five"])
    assert found == WordErrors(1, 0, 0, 4)
    assert found.rate == 0.25
    assert word_errors(["a"], ["b c d"]).rate == 3.0


def test_pairs_are_not_cut_short() -> None:
    with pytest.raises(ValueError, match="shorter"):
        word_errors(["one", "two"], ["one"])


@pytest.mark.parametrize(("said", "heard"), [([], []), ([""], [""]), (["…"], ["what"])])
def test_no_word_has_no_rate(said: list[str], heard: list[str]) -> None:
    with pytest.raises(BadInputError, match="needs a word that was said"):
        _ = word_errors(said, heard).rate


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("IT'S  the\tboys' 'own' O’Clock", "it's the boys own o'clock"),
        ("naïve ﬁancé, STRASSE/Straße", "naive fiance strasse strasse"),
        ("snake_case and 3.5 (twice)", "snake case and 3 5 twice"),
        ("well-known—so", "well known so"),
        (" . ", ""),
    ],
)
def test_words_are_what_is_heard(text: str, found: str) -> None:
    assert " ".join(words(text)) == found


@given(st.text(max_size=20))
def test_words_of_words_are_the_same(text: str) -> None:
    assert words(" ".join(words(text))) == words(text)
    assert not any(re.search(r"\s", word) for word in words(text))
