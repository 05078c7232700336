"""From a text to the symbols of SV2TTS's synthesizer: lower case, numbers and abbreviations written out.

The symbols, their order and what is written out are those of https://github.com/CorentinJ/Real-Time-Voice-Cloning
(``english_cleaners``). The published code writes foreign scripts in Latin letters and leaves out what it has no symbol
for; here both are refused, so that nothing is lost unheard, and £ is read, which there becomes *ps*.
"""

from __future__ import annotations

import re
import unicodedata

import torch
from jaxtyping import Int
from torch import Tensor

from voxveil.errors import BadInputError
from voxveil.models.synthesis.english_numbers import in_words

LETTERS = "abcdefghijklmnopqrstuvwxyz"
SYMBOLS = "_~" + LETTERS.upper() + LETTERS + "!'\"(),-.:;? "
"""Padding, the end of the text, and what can be written."""
NUMBERS = "0123456789$£"
ASCII = {
    **{"ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ı": "i"},
    **{"‘": "'", "’": "'", "ʼ": "'", "´": "'", "“": '"', "”": '"', "‐": "-", "–": "-", "—": "--", "−": "-"},
}
ABBREVIATIONS = {
    "mrs": "misess",
    "mr": "mister",
    "dr": "doctor",
    "st": "saint",
    "co": "company",
    "jr": "junior",
    "maj": "major",
    "gen": "general",
    "drs": "doctors",
    "rev": "reverend",
    "lt": "lieutenant",
    "hon": "honorable",
    "sgt": "sergeant",
    "capt": "captain",
    "esq": "esquire",
    "ltd": "limited",
    "col": "colonel",
    "ft": "fort",
}


def text_symbols(text: str) -> Int[Tensor, " char"]:
    """The indices of the symbols of ``text`` and of its end.

    Raises :class:`~voxveil.errors.BadInputError` for a text without a word, for letters of other scripts, and for signs
    that the synthesizer has no symbol for.

    >>> text_symbols("Dr. Who")
    tensor([31, 42, 30, 47, 42, 45, 65, 50, 35, 42,  1])
    """
    spoken = as_spoken(text)
    if not any(letter in LETTERS for letter in spoken):
        raise BadInputError("The text has no word in it: give at least one to speak.")
    return torch.tensor([SYMBOLS.index(symbol) for symbol in f"{spoken}~"])


def as_spoken(text: str) -> str:
    """``text`` as the synthesizer reads it.

    Raises :class:`~voxveil.errors.BadInputError` as :func:`text_symbols` does.

    >>> as_spoken("Mr. Müller  paid £5 on the 1st—in cash.")
    'mister muller paid five pounds on the first--in cash.'
    """
    plain = in_words("".join(_in_ascii(letter) for letter in text.strip().lower()))
    titles = re.sub(rf"\b({'|'.join(ABBREVIATIONS)})\.", lambda found: ABBREVIATIONS[found[1]], plain)
    return re.sub(r"\s+", " ", titles)


def _in_ascii(letter: str) -> str:
    decomposed = unicodedata.normalize("NFKD", ASCII.get(letter, letter))
    # Accents, and characters without a shape, are not heard.
    kept = "".join(ASCII.get(part, part) for part in decomposed if unicodedata.category(part) not in ("Mn", "Cf"))
    if all(part in SYMBOLS[2:] + NUMBERS or part.isspace() for part in kept):
        return kept.lower()
    raise BadInputError(
        f"The synthesizer reads English and has no symbol for {letter!r} ({unicodedata.name(letter, 'unnamed')}): "
        "write the text in Latin letters, and such signs in words."
    )
