"""English text as SV2TTS's synthesizer reads it: the official code's answers, numbers there and back, and refusals."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxveil.errors import BadInputError
from voxveil.models.synthesis.english_numbers import cardinal, in_words, ordinal, year
from voxveil.models.synthesis.english_text import SYMBOLS, as_spoken, text_symbols

SCALES = [
    "thousand", "million", "billion", "trillion", "quadrillion", "quintillion", "sextillion", "septillion",
    "octillion", "nonillion", "decillion",
]  # fmt: skip
SMALL = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
]  # fmt: skip
TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
WORDS = {word: number for number, word in enumerate(SMALL)} | {word: 10 * tens for tens, word in enumerate(TENS, 2)}


def value(words: str) -> int:
    """The number that the words say, by the rules of grammar, not by the tables of the speller."""
    total = group = 0
    for word in re.findall("[a-z]+", words):
        if word == "hundred":
            group *= 100
        elif word in SCALES:
            total, group = total + group * 1000 ** (1 + SCALES.index(word)), 0
        elif word != "and":
            group += WORDS[word]
    return total + group


@given(st.integers(0, 10**36 - 1) | st.integers(0, 10**7))
def test_a_cardinal_says_its_number(number: int) -> None:
    for conjunction in (" ", " and "):
        assert value(cardinal(number, conjunction)) == number
    assert re.fullmatch(r"[a-z]+(-[a-z]+|,? [a-z]+)*", cardinal(number))


@given(st.integers(1001, 2999))
def test_a_year_says_its_number(number: int) -> None:
    words = year(number).replace(" hundred", " zero").replace("oh ", "")
    if "thousand" in words:
        assert value(words) == number and number // 10 == 200
    else:
        century, rest = words.split(" ")
        assert 100 * value(century) + value(rest) == number


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("0 7 13 20 21 100 101 115 999 1000", "zero seven thirteen twenty twenty-one one hundred one hundred one "
         "one hundred fifteen nine hundred ninety-nine one thousand"),
        ("1001 1010 1100 1905 1984 2000", "ten oh one ten ten eleven hundred nineteen oh five nineteen eighty-four "
         "two thousand"),
        ("2009 2010 2999 3000 3001", "two thousand nine twenty ten twenty-nine ninety-nine three thousand "
         "three thousand one"),
        ("12,345 1,000,001 1234567", "twelve thousand, three hundred forty-five one million one one million, "
         "two hundred thirty-four thousand, five hundred sixty-seven"),
        ("1st 2nd 3rd 12th 20th 21st 100th 101st", "first second third twelfth twentieth twenty-first one hundredth "
         "one hundred and first"),
        ("0th 5th 8th 9th 1905th 1000000th", "zeroth fifth eighth ninth one thousand, nine hundred and fifth "
         "one millionth"),
        ("$5 $1.01 $.50 $0 $1,200", "five dollars one dollar, one cent fifty cents zero dollars "
         "twelve hundred dollars"),
        ("3.14 0.05 1.2.3 $1.2.3 007", "three point fourteen zero point five one point two.three "
         "one point two.three dollars seven"),
    ],
)  # fmt: skip
def test_numbers_are_those_of_the_official_code(written: str, spoken: str) -> None:
    assert in_words(written) == spoken


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("  Dr. Smith, Mrs. Jones,\n\tSt. Ives Co. Ltd.", "doctor smith, misess jones, saint ives company limited"),
        ("First. Cost. Drs. Mr", "first. cost. doctors mr"),
        ("“Naïve” Müller’s café…", '"naive" muller\'s cafe...'),
        ("STRASSE Straße Œuvre Łódź ﬁn", "strasse strasse oeuvre lodz fin"),
        ("either–or — a\u00a0b\u00adc\u200bd", "either-or -- a bcd"),
        ("£5, £1.50 and 5 $", "five pounds, one pound, fifty pence and five dollars "),
        ("Ｆｕｌｌ ｗｉｄｔｈ № １２", "full width no twelve"),
    ],
)  # fmt: skip
def test_texts_are_written_out(written: str, spoken: str) -> None:
    assert as_spoken(written) == spoken


def test_symbols_are_indices_into_the_published_table() -> None:
    assert SYMBOLS == "_~ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!'\"(),-.:;? "
    got = text_symbols("Hi, (you) 2!").tolist()
    assert "".join(SYMBOLS[index] for index in got) == "hi, (you) two!~"


@given(st.text())
def test_every_text_is_either_spoken_or_refused(text: str) -> None:
    try:
        symbols = text_symbols(text).tolist()
    except BadInputError:
        return
    assert symbols[-1] == 1 and all(2 <= index < 66 for index in symbols[:-1])


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("Привет", r"no symbol for 'п' \(CYRILLIC SMALL LETTER PE\): write the text in Latin letters"),
        ("Say 你好", r"no symbol for '你' \(CJK UNIFIED IDEOGRAPH-4F60\)"),
        ("αβγ", "GREEK SMALL LETTER ALPHA"),
        ("مرحبا", "ARABIC LETTER MEEM"),
        ("٣ apples", "ARABIC-INDIC DIGIT THREE"),
        ("fine 🙂", "SLIGHTLY SMILING FACE"),
        ("50% off", r"'%' \(PERCENT SIGN\).*such signs in words"),
        ("{HH AW1 S}", "LEFT CURLY BRACKET"),
        ("½ a cup", "VULGAR FRACTION ONE HALF"),
        ("a_b", "LOW LINE"),
        ("a~b", "TILDE"),
        ("a\x00b", r"\(unnamed\)"),
        ("", "no word"),
        (" \n\t", "no word"),
        ("... !", "no word"),
        ("1" * 37, "more than 36 digits"),
        ("0" * 5000, "more than 36 digits"),
    ],
)
def test_what_cannot_be_spoken_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(BadInputError, match=complaint):
        text_symbols(text)


def test_the_largest_number_and_the_smallest_orders() -> None:
    assert value(in_words("9" * 36)) == 10**36 - 1
    assert [ordinal(number) for number in range(4)] == ["zeroth", "first", "second", "third"]
