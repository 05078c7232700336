"""The page of a listening test: one file that needs no network, and that tells a listener nothing but sounds."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from voxveil.bench.page import STYLE, document

ASKED: Mapping[str, tuple[str, tuple[str, ...], tuple[tuple[str, str], ...]]] = {
    "noise": (
        "How much noise or distortion do you hear?",
        ("recording",),
        (
            ("1", "None"),
            ("2", "A little; it does not disturb"),
            ("3", "Some; it disturbs slightly"),
            ("4", "Much; it disturbs"),
            ("5", "Very much; it disturbs badly"),
        ),
    ),
    "speaker": (
        "Does the same person speak in both recordings?",
        ("first recording", "second recording"),
        (
            ("same-certain", "The same person, certain"),
            ("same-uncertain", "The same person, not certain"),
            ("different-uncertain", "Different people, not certain"),
            ("different-certain", "Different people, certain"),
        ),
    ),
    "abx": (
        "Recording X is exactly one of A and B. Which?",
        ("recording A", "recording B", "recording X"),
        (("A", "X is A"), ("B", "X is B")),
    ),
}
"""By kind of question: the words, the names of its clips, and the answers with their words."""

_STYLE = (
    STYLE
    + """
:focus-visible { outline: 3px solid #38f; outline-offset: 2px; }
h1:focus { outline: none; }
main { max-width: 40rem; }
fieldset { border: 1px solid #8888; border-radius: .4rem; padding: .5rem 1rem; }
label { display: block; padding: .35rem 0; }
audio { width: 100%; }
progress { width: 100%; }
button { font: inherit; padding: .4rem 1.2rem; margin-right: .5rem; }
[role=alert] { min-height: 1.5em; font-weight: bold; }
"""
)

_BODY = """<main>
<p><progress id="bar" value="0" max="1" aria-label="Progress"></progress> <span id="place"></span></p>
<h1 id="title" tabindex="-1">Listening test</h1>
<form id="form" novalidate><div id="question">
<p>Use headphones, in a quiet place, and set the volume once. Listen to every recording, as often as you like; there is
no time limit. You can go back and change an answer. Number keys choose an answer, Enter goes on.</p>
<p>Nothing leaves this page by itself: at the end you save a file with your answers and send it
to whoever asked you.</p>
</div>
<p role="alert" id="alert"></p>
<p><button type="button" id="back" hidden>Back</button><button type="submit" id="next">Start</button></p></form>
<noscript><p>This test needs JavaScript.</p></noscript>
</main>"""


def page(test: str, kinds: Mapping[str, str], sounds: Mapping[str, Sequence[bytes]]) -> str:
    """The HTML: ``kinds`` and ``sounds`` (FLAC) are those of every question, by its opaque name.

    >>> html = page("00", {"1f": "noise"}, {"1f": [b"fLaC"]})
    >>> "ZkxhQw==" in html, "http" in html
    (True, False)
    """
    asked = [
        {"id": name, "kind": kind, "sounds": [base64.b64encode(sound).decode() for sound in sounds[name]]}
        for name, kind in kinds.items()
    ]
    data = json.dumps({"test": test, "asked": ASKED, "questions": asked})
    script = Path(__file__).with_name("listen.js").read_text()
    return document(
        "Listening test",
        f'{_BODY}<script id="data" type="application/json">{data}</script><script>{script}</script>',
        _STYLE,
    )
