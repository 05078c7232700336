"""Text as a speech synthesiser can take it: nothing in it is a command, and every letter is one it speaks."""

from __future__ import annotations

import re
import unicodedata

from voxveil.errors import BadInputError

# Latin letters without a decomposition, and punctuation, as English writes them.
_IN_ASCII = str.maketrans(
    {"ß": "ss", "Æ": "AE", "æ": "ae", "Œ": "OE", "œ": "oe", "Ø": "O", "ø": "o", "Ł": "L", "ł": "l", "Đ": "D", "đ": "d"}
    | {"Ð": "D", "ð": "d", "Þ": "Th", "þ": "th", "ı": "i"}
    | {"‘": "'", "’": "'", "“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "‐": "-", "–": " - ", "—": " - ", "−": "-"}
)
_LETTERS = ("Lu", "Ll", "Lt", "Lo")
# To the end, else to the last full stop, else to the last comma, else to the last space; else a word that long is cut.
_ENDS = (r"\Z", r"[.!?](?=\s)", r"[,;:](?=\s)", r"(?=\s)")


def plain(text: str) -> str:
    r"""``text`` without control characters: espeak-ng takes some for commands (to play a file, for one).

    Raises :class:`~voxveil.errors.BadInputError` if no letter or digit is in it, or half a surrogate pair.

    >>> plain(" one\x01two\n\nthree")
    'one two\n\nthree'
    >>> plain("...")
    Traceback (most recent call last):
    voxveil.errors.BadInputError: The text holds nothing to speak: give it at least one word.
    """
    spaced = "".join(char if char == "\n" or unicodedata.category(char) != "Cc" else " " for char in text).strip()
    if not any(map(str.isalnum, spaced)):
        raise BadInputError("The text holds nothing to speak: give it at least one word.")
    if any(unicodedata.category(char) == "Cs" for char in spaced):
        raise BadInputError("The text is not valid Unicode: save it as UTF-8.")
    return spaced


def latin(text: str) -> str:
    """``text`` itself; raises :class:`~voxveil.errors.BadInputError` naming the letters that are not Latin.

    >>> latin("Zoë says “naïve”")
    'Zoë says “naïve”'
    >>> latin("say мир")
    Traceback (most recent call last):
    voxveil.errors.BadInputError: An English voice cannot speak 'м', 'и', 'р': \
write it in English, or take espeak-ng with a voice of its language.
    """
    letters = (char for char in unicodedata.normalize("NFKC", text) if unicodedata.category(char) in _LETTERS)
    _refuse([char for char in letters if not unicodedata.name(char, "").startswith("LATIN ")])
    return text


def in_ascii(text: str) -> str:
    r"""``text`` in ASCII: accents go, typographic signs become plain ones, and emoji a space.

    Raises :class:`~voxveil.errors.BadInputError` naming the letters, numbers and signs that would be lost.

    >>> in_ascii("“Zoë” paid ½ – it’s naïve…")
    '"Zoe" paid 1/2  -  it\'s naive...'
    """
    decomposed = unicodedata.normalize("NFKD", text.translate(_IN_ASCII)).replace("⁄", "/")
    foreign = {char: unicodedata.category(char) for char in decomposed if not char.isascii()}
    _refuse([char for char, kind in foreign.items() if kind[0] == "N" or kind in (*_LETTERS, "Sc", "Sm")])
    # An accent (Mn) or joiner (Cf) stands inside a word.
    return decomposed.translate({ord(char): "" if kind[0] in "MC" else " " for char, kind in foreign.items()})


def in_portions(text: str, longest: int = 400) -> str:
    r"""``text`` with a blank line about every ``longest`` characters, at the ends of sentences where there are some.

    flite takes time and memory by the square of what stands between two breaks: 10,000 digits fill 2.5 GB.

    >>> in_portions("One. two").count("\n"), in_portions("One of many words. " * 30).split("\n\n")[0][-11:]
    (0, 'many words.')
    """
    most = "|".join(rf"\S.{{0,{longest}}}{end}" for end in _ENDS)
    return "\n\n".join(re.findall(rf"{most}|\S{{{longest}}}", text, re.DOTALL))


def _refuse(chars: list[str]) -> None:
    if chars:
        named = ", ".join(f"'{char}'" for char in list(dict.fromkeys(chars))[:5])
        raise BadInputError(
            f"An English voice cannot speak {named}: write it in English, "
            "or take espeak-ng with a voice of its language."
        )
