"""What ``cloners.py`` measured, as a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cloner_words import RECOGNISER

NONE = "–"


def table(rows: Mapping[str, Mapping[str, Any]], judges: Sequence[str], references: Sequence[int]) -> str:
    head = " | ".join(f"{judge} (another's)" for judge in judges)
    lines = [
        "# The shipped cloners",
        "",
        "Share of clones that a verifier accepts as the speaker of the reference, at the threshold of its equal error",
        "rate, and in brackets as one of the four other speakers. Five speakers of LibriSpeech test-other × ten",
        "contents of the others (whole utterances of at most 8 s); enrolment from utterances that are not in the",
        "reference. STOI is the clone's against the content.",
        "",
        f"Word error rates by {RECOGNISER}, of two contents a speaker: of what it recognises in the clone, beside",
        "what it recognises in the content, and beside the transcript; in brackets its own error, that of the content",
        "beside the transcript.",
        "",
        f"| cloner | utterances | {head} | STOI | WER, content | WER, transcript (content) | DNSMOS (content) |",
        "|---|---|" + "---|" * (len(judges) + 4),
        *(_quality(name, count, found[str(count)]) for name, found in rows.items() for count in references),
        "",
        "![content, reference and clones](cloners.png)",
        "",
        "How long they take: [speed](cloner_speed.md).",
        "",
        "Again: `python benchmarks/cloners.py --corpus LIBRISPEECH/test-other`",
        "",
    ]
    return "\n".join(lines)


def _quality(name: str, count: int, found: Mapping[str, Any]) -> str:
    shares = [
        f"{judge['accepted_percent']:.0f} % ({judge['others_accepted_percent']:.0f} %)"
        for judge in found["judges"].values()
    ]
    errors = found["word_errors_percent"]
    beside_content = NONE if errors is None else _percent(errors["clone_beside_content"])
    beside_transcript = NONE
    if errors is not None and errors["clone_beside_transcript"] is not None:
        own = _percent(errors["content_beside_transcript"])
        beside_transcript = f"{_percent(errors['clone_beside_transcript'])} ({own})"
    heard = NONE if found["dnsmos"] is None else f"{found['dnsmos']:.2f} ({found['content_dnsmos']:.2f})"
    cells = [name, str(count), *shares, f"{found['stoi']:.2f}", beside_content, beside_transcript, heard]
    return f"| {' | '.join(cells)} |"


def _percent(share: float) -> str:
    return f"{share:.0f} %"
