"""The report of a run, for people, for papers and for a browser."""

from __future__ import annotations

from pathlib import Path

from voxveil.audio.recording import output_errors
from voxveil.bench.doubts import doubts
from voxveil.bench.export import results_of, rows_of
from voxveil.bench.page import page
from voxveil.bench.rates import not_computed, out_of_reach, paper_beside, rates_of
from voxveil.bench.tables import latex, markdown
from voxveil.whole_file import check_place, write_whole


def write_report(run: Path, folder: Path, overwrite: bool = False) -> list[Path]:
    """Writes ``report.md``, ``report.tex`` and ``report.html`` into ``folder`` and gives their paths.

    Raises :class:`~voxveil.errors.BadInputError` for a folder without results,
    :class:`~voxveil.errors.BadOutputError` where they cannot be written, and
    :class:`~voxveil.errors.MissingExtraError` without the extra ``plots``.

    >>> write_report(Path("nowhere"), Path("report"))
    Traceback (most recent call last):
    voxveil.errors.BadInputError: nowhere holds no results: name the folder of a run.
    """
    described = results_of(run).described()
    places = [folder / f"report.{suffix}" for suffix in ("md", "tex", "html")]
    with output_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    for place in places:
        check_place(place, place.suffix, overwrite)
    rates, missing, paper = rates_of(run), not_computed(run), paper_beside(run)
    doubted = [*doubts(rates, len({row["speaker"] for row in rows_of(run)})), *out_of_reach(run)]
    texts = (
        markdown(described["name"], rates, missing, doubted, paper),
        latex(described["name"], rates, missing, paper),
        page(run, described["name"], rates, missing, doubted, paper),
    )
    for place, text in zip(places, texts, strict=True):
        write_whole(place, text.encode())
    return places
