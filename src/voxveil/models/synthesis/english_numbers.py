"""Numbers in a text, written out as the synthesizer of Real-Time-Voice-Cloning was taught to read them.

1,200 is one number; $3.50 is dollars and cents, £3.50 pounds and pence; what follows another decimal point is a number
of its own; 1st is first; 1001 … 2999 are years. American English, but for the *and* in ordinals, as published.
"""

from __future__ import annotations

import re

from voxveil.errors import BadInputError

SMALL = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
]  # fmt: skip
TENS = ["", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
SCALES = [
    "thousand", "million", "billion", "trillion", "quadrillion", "quintillion", "sextillion", "septillion",
    "octillion", "nonillion", "decillion",
]  # fmt: skip
MOST_DIGITS = 3 * (len(SCALES) + 1)
ORDINALS = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}
CURRENCIES = {"$": ("dollar", "dollars", "cent", "cents"), "£": ("pound", "pounds", "penny", "pence")}


def in_words(text: str) -> str:
    """``text``, lower case, with every number in words.

    Raises :class:`~voxveil.errors.BadInputError` for a number of more than 36 digits.

    >>> in_words("the 2nd of 1,200 cost $3.50 in 1984")
    'the second of twelve hundred cost three dollars, fifty cents in nineteen eighty-four'
    """
    text = re.sub(r"[0-9][0-9,]+[0-9]", lambda found: found[0].replace(",", ""), text)
    if re.search(rf"[0-9]{{{MOST_DIGITS + 1}}}", text):
        raise BadInputError(f"A number of more than {MOST_DIGITS} digits cannot be read: write it in words.")
    text = re.sub(r"([$£])([0-9.]*[0-9])?", lambda found: _money(found[1], found[2]), text)
    text = re.sub(r"([0-9]+)\.([0-9]+)", r"\1 point \2", text)
    text = re.sub(r"([0-9]+)(st|nd|rd|th)", lambda found: ordinal(int(found[1])), text)
    return re.sub(r"[0-9]+", lambda found: _read(int(found[0])), text)


def cardinal(number: int, conjunction: str = " ") -> str:
    """``number``, 0 … 10³⁶ − 1, in words; ``conjunction`` stands between the hundreds and what follows.

    >>> cardinal(1_234_567)
    'one million, two hundred thirty-four thousand, five hundred sixty-seven'
    >>> cardinal(1_000_021, " and ")
    'one million and twenty-one'
    """
    parts: list[str] = []
    for power in range(len(SCALES), 0, -1):
        group = number // 1000**power % 1000
        if group:
            parts.append(f"{_below_thousand(group, conjunction)} {SCALES[power - 1]}")
    rest = number % 1000
    if not parts:
        return _below_thousand(rest, conjunction)
    if rest >= 100:
        parts.append(_below_thousand(rest, conjunction))
    return ", ".join(parts) + (conjunction + _below_hundred(rest) if 0 < rest < 100 else "")


def ordinal(number: int) -> str:
    """``number``, 0 … 10³⁶ − 1, as a place in an order.

    >>> ordinal(12), ordinal(130)
    ('twelfth', 'one hundred and thirtieth')
    """
    *before, last = re.split(r"(?<=[ -])", cardinal(number, " and "))
    regular = f"{last[:-1]}ieth" if last.endswith("y") else f"{last}th"
    return "".join(before) + ORDINALS.get(last, regular)


def year(number: int) -> str:
    """``number``, 1001 … 2999, as a year.

    >>> year(1905), year(1800), year(2007)
    ('nineteen oh five', 'eighteen hundred', 'two thousand seven')
    """
    century, rest = divmod(number, 100)
    if century == 20 and rest < 10:
        return cardinal(number)
    if rest == 0:
        return f"{_below_hundred(century)} hundred"
    return f"{_below_hundred(century)} {'oh ' if rest < 10 else ''}{_below_hundred(rest)}"


def _read(number: int) -> str:
    return year(number) if 1000 < number < 3000 else cardinal(number)


def _money(sign: str, amount: str | None) -> str:
    """The amount with its units; its numbers are still digits."""
    unit, units, part, parts = CURRENCIES[sign]
    if amount is None:
        return f" {units} "
    if amount.count(".") > 1:
        return f"{amount} {units}"
    whole, _, hundredths = amount.partition(".")
    named = [
        f"{count} {one if count == 1 else many}"
        for count, one, many in ((int(whole or "0"), unit, units), (int(hundredths or "0"), part, parts))
        if count
    ]
    return ", ".join(named) or f"zero {units}"


def _below_thousand(number: int, conjunction: str) -> str:
    hundreds, rest = divmod(number, 100)
    if not hundreds:
        return _below_hundred(rest)
    return f"{SMALL[hundreds]} hundred" + (conjunction + _below_hundred(rest) if rest else "")


def _below_hundred(number: int) -> str:
    if number < 20:
        return SMALL[number]
    tens, ones = divmod(number, 10)
    return TENS[tens] + (f"-{SMALL[ones]}" if ones else "")
