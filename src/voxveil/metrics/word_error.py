"""How much of what was said is understood: the word error rate between a text and what a recogniser heard.

A text is turned into another by replacing, leaving out and putting in words; the errors are the fewest changes that do
(V. I. Levenshtein, Soviet Physics Doklady 10(8), 1966), and the rate counts them a word of the first text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from voxveil.errors import BadInputError


@dataclass(frozen=True)
class WordErrors:
    """Words that were replaced, left out and put in, beside the number of ``words`` that were said.

    >>> WordErrors(substitutions=1, deletions=0, insertions=1, words=8).rate
    0.25
    """

    substitutions: int
    deletions: int
    insertions: int
    words: int

    @property
    def rate(self) -> float:
        """Errors a word that was said, from 0; above 1 where more is put in than was said.

        Raises :class:`~voxveil.errors.BadInputError` where no word was said.
        """
        if self.words == 0:
            raise BadInputError("A word error rate needs a word that was said: the true texts are empty.")
        return (self.substitutions + self.deletions + self.insertions) / self.words


def word_errors(said: Sequence[str], heard: Sequence[str]) -> WordErrors:
    """The errors of the texts ``heard``, each beside the text ``said``, summed over all pairs.

    Of the ways with the fewest errors, the one with the most substitutions counts, so that the three numbers are
    unique. Raises :class:`ValueError` for lists of different lengths.

    >>> word_errors(["the cat sat on the mat"], ["Cat sat on, on the mat."])
    WordErrors(substitutions=0, deletions=1, insertions=1, words=6)
    """
    counts = [_counts(words(one), words(other)) for one, other in zip(said, heard, strict=True)]
    return WordErrors(*map(sum, zip(*counts, strict=True))) if counts else WordErrors(0, 0, 0, 0)


def words(text: str) -> list[str]:
    """The words of ``text`` in small letters, without accents and punctuation but for apostrophes inside a word.

    Hyphens part words. Digits stay as they are: write numbers out before, with
    :func:`~voxveil.models.synthesis.english_numbers.in_words`.

    >>> words("Don’t—he said—cross the twenty-first 'café'!")
    ["don't", 'he', 'said', 'cross', 'the', 'twenty', 'first', 'cafe']
    """
    plain = unicodedata.normalize("NFKD", text.replace("’", "'")).casefold()
    letters = "".join(letter for letter in plain if not unicodedata.combining(letter))
    return re.findall(r"[^\W_]+(?:'[^\W_]+)*", letters)


def _counts(said: Sequence[str], heard: Sequence[str]) -> tuple[int, int, int, int]:
    # A word left out or put in costs one more than the unit, and there are fewer of them than a unit holds: the price
    # is least where errors are fewest and, among these ways, where such gaps are.
    unit = len(said) + len(heard) + 1
    errors, gaps = divmod(_least_price(said, heard, unit, unit + 1), unit)
    surplus = len(heard) - len(said)
    return errors - gaps, (gaps - surplus) // 2, (gaps + surplus) // 2, len(said)


def _least_price(said: Sequence[str], heard: Sequence[str], substitution: int, gap: int) -> int:
    """Of turning ``said`` into ``heard``, a row of R. Wagner and M. Fischer's table (J. ACM 21(1), 1974) at a time."""
    prices = [gap * count for count in range(len(heard) + 1)]
    for word in said:
        diagonal, prices[0] = prices[0], prices[0] + gap
        for column, other in enumerate(heard, start=1):
            matched = diagonal + (0 if word == other else substitution)
            diagonal = prices[column]
            prices[column] = min(matched, diagonal + gap, prices[column - 1] + gap)
    return prices[-1]
