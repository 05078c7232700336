"""The report as one HTML page that needs nothing else: tables, pictures, and the clips if they were kept."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path

from voxveil.bench.export import results_of
from voxveil.bench.kept_audio import KeptAudio
from voxveil.bench.paper import Paper
from voxveil.bench.pictures import bars, frontier, spectrogram
from voxveil.bench.rates import Rate
from voxveil.bench.run import AUDIO
from voxveil.bench.tables import HEAD, Missing, beside, grid_of, plain

MOST_CLIPS = 24
"""A page with more would not open on a telephone."""

STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; display: block; overflow-x: auto; }
th, td { padding: .25rem .7rem; border-bottom: 1px solid #8884; text-align: left; white-space: nowrap; }
.doubt { border-left: 4px solid #d80; padding-left: .7rem; }
img { max-width: 100%; background: white; }
figure { display: inline-block; margin: .5rem; }
"""


def document(title: str, body: str, style: str = STYLE) -> str:
    """A whole page around ``body``, which is HTML.

    >>> document("a < b", "<p>So it is.</p>", "")[-36:]
    '<body><p>So it is.</p></body></html>'
    """
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
    return f'<!doctype html><html lang="en"><head>{head}<style>{style}</style></head><body>{body}</body></html>'


def page(
    run: Path,
    name: str,
    rates: Sequence[Rate],
    missing: Missing,
    doubts: Sequence[str],
    paper: Paper | None = None,
) -> str:
    """The HTML of a whole report.

    Raises :class:`~voxveil.errors.MissingExtraError` without the extra ``plots``.
    """
    headings, rows = grid_of(rates, missing, plain, paper)
    body = [f"<h1>{escape(name)}</h1>", *(f'<p class="doubt">{escape(doubt)}</p>' for doubt in doubts)]
    body.append(f"<p>Clones and recordings that each verifier takes for the speaker: {escape(HEAD)}.</p>")
    body += [f"<p>{escape(sentence)}</p>" for sentence in beside(paper)]
    body.append(_table(headings, rows))
    for verifier in dict.fromkeys(rate["verifier"] for rate in rates):
        body.append(f"<h2>{escape(verifier)}</h2>")
        body.append(_image(bars(rates, verifier), f"Acceptance by {verifier} of every protection and attack"))
        body.append(_image(frontier(rates, verifier), f"Acceptance by {verifier} against PESQ"))
    if clips := _clips(run):
        body += ["<h2>Clips</h2>", *clips]
    return document(name, "".join(body))


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings)
    lines = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table>"


def _image(png: bytes, words: str) -> str:
    return f'<img alt="{escape(words)}" src="data:image/png;base64,{base64.b64encode(png).decode()}">'


def _clips(run: Path) -> list[str]:
    kept = KeptAudio(run / AUDIO)
    shown: dict[str, str] = {}
    for cell in results_of(run).described()["cells"]:
        words = " → ".join(part for part in cell["parts"][:-1] if part != "none") or "clean"
        for speaker, names in kept.names(cell["audio"]).items():
            if names and names[0] not in shown and len(shown) < MOST_CLIPS and kept.path(names[0]).is_file():
                shown[names[0]] = f"{speaker}: {words}"
    figures = []
    for name, words in shown.items():
        sound = base64.b64encode(kept.path(name).read_bytes()).decode()
        figures.append(
            f"<figure>{_image(spectrogram(kept.clip(name)), 'Spectrogram of ' + words)}<br>"
            f'<audio controls preload="none" src="data:audio/flac;base64,{sound}"></audio>'
            f"<figcaption>{escape(words)}</figcaption></figure>"
        )
    return figures
