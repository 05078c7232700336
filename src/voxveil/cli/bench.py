"""``voxveil bench``: a grid of protections, channels, purifiers, cloners and verifiers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Measure protections against attackers, on a grid.", no_args_is_help=True)

Run = Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a file that exists.")]


@app.command("run")
def run_command(
    grid: Annotated[Path, typer.Argument(metavar="GRID", help="A grid file (TOML).")],
    corpus: Annotated[Path | None, typer.Option(metavar="DIR", help="Speech, if the grid names none.")] = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="RUN", help="A folder (default: NAME.run).")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    workers: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="So many workers, through Ray (extra 'cluster').")
    ] = None,
    address: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="A running Ray cluster for the workers.")
    ] = None,
    keep_audio: Annotated[bool, typer.Option("--keep-audio", help="Leave all clips in the run's folder.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compute what of a grid is not computed yet; a run that was stopped goes on."""
    from voxveil.bench.cluster import Cluster
    from voxveil.bench.grid import read_grid
    from voxveil.bench.run import in_process, run
    from voxveil.cli.progress import bar
    from voxveil.errors import VoxveilError

    if address is not None and workers is None:
        raise VoxveilError("A cluster needs a number of workers: add --workers N to --address.")
    execute = in_process if workers is None else Cluster(workers, address)
    asked = read_grid(grid)
    place = out or Path(f"{asked.name}.run")
    with bar(asked.name) as progress:
        ran = run(
            asked,
            corpus,
            place,
            device,
            keep_audio,
            lambda done, cells, words: progress(done / cells, f"{done}/{cells} {words}"),
            execute,
        )
    if as_json:
        numbers = {"cells": ran.cells, "computed": ran.computed, "seconds": ran.seconds, "stations_s": ran.stations_s}
        print(json.dumps({"run": str(place), **numbers, "out_of_reach": dict(ran.out_of_reach)}, indent=2))
    else:
        print(f"{place}: {ran.cells} cells, {ran.computed} of them computed now, in {ran.seconds:.1f} s")
        for reason in ran.out_of_reach.values():
            print(f"left out: {reason}")


@app.command("export")
def export_command(
    run: Run,
    to_csv: Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="To CSV.")] = None,
    to_parquet: Annotated[Path | None, typer.Option("--parquet", metavar="FILE", help="To Parquet.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write the rows of a run, one a cell and utterance, for other programs."""
    from voxveil.bench.export import write_csv, write_parquet
    from voxveil.errors import VoxveilError

    if to_csv is None and to_parquet is None:
        raise VoxveilError("Say where the rows go: --csv FILE or --parquet FILE.")
    for place, write in ((to_csv, write_csv), (to_parquet, write_parquet)):
        if place is not None:
            write(run, place, overwrite)
            print(place)


@app.command("report")
def report_command(
    run: Run,
    out: Annotated[Path, typer.Option("-o", "--out", metavar="DIR", help="Where report.md, .tex and .html go.")],
    overwrite: Overwrite = False,
) -> None:
    """Write the report of a run: Markdown, LaTeX, and an HTML page with pictures."""
    from voxveil.bench.report import write_report

    for place in write_report(run, out, overwrite):
        print(place)


@app.command("listen")
def listen_command(
    run: Run,
    out: Annotated[Path, typer.Option("-o", "--out", metavar="FILE.html", help="The page; its key lies beside it.")],
    overwrite: Overwrite = False,
) -> None:
    """Make a listening test of a run's clips: a page for listeners, and the key to their answers."""
    from voxveil.bench.listen import make

    made = make(run, out, overwrite)
    print(f"{out}: {made.questions} questions about {made.conditions} of {made.of_conditions} conditions")
    print(f"{out.with_suffix('.key.json')}: the key; keep it from listeners")


@app.command("listen-score")
def listen_score_command(
    answers: Annotated[list[Path], typer.Argument(metavar="ANSWERS...", help="What listeners saved.")],
    key: Annotated[Path, typer.Option(metavar="FILE", help="The test's key (NAME.key.json).")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """What listeners heard, in percent, with 95 % intervals over listeners."""
    from dataclasses import asdict

    from voxveil.bench.listen_score import lines, score

    heard = score(answers, key)
    print(json.dumps([asdict(row) for row in heard], indent=2) if as_json else "\n".join(lines(heard)))
