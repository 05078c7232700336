"""``voxveil protect``."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import typer

from voxveil.cli import choices
from voxveil.cli.complaint import complain
from voxveil.cli.jobs import Job, jobs
from voxveil.cli.progress import Bar, bar
from voxveil.errors import BadOutputError, VoxveilError

Measured = tuple[list[str], dict[str, Any]]
"""In lines for people, and for programs."""


def command(
    inputs: Annotated[list[Path], typer.Argument(metavar="IN...", help="Recordings, videos or folders of them.")],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="File (one input) or folder; default: beside the input.")
    ] = None,
    method: Annotated[str, typer.Option(help="The protection.")] = "veil",
    strength: Annotated[
        choices.Strength, typer.Option(help="How far the voice is led away from its speaker.")
    ] = choices.Strength.medium,
    quality: Annotated[
        float | None, typer.Option(metavar="PESQ", help="PESQ-wb below which no part may fall, 1 to 4.64.")
    ] = None,
    effort: Annotated[choices.Effort, typer.Option(help="How long to think.")] = choices.Effort.normal,
    target: Annotated[str, typer.Option(help="auto, or a recording of another speaker to steer to.")] = "auto",
    against: Annotated[
        str | None, typer.Option(metavar="NAME,...", help="Speaker encoders to lead astray; default: all there are.")
    ] = None,
    left_out: Annotated[str | None, typer.Option("--except", metavar="NAME,...", help="Encoders to spare.")] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    seed: Annotated[int, typer.Option(help="The same seed and thread count give the same bytes.")] = 0,
    report: Annotated[Path | None, typer.Option(metavar="FILE.json", help="Write what was measured.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace results that exist.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Leave out files whose result exists.")] = False,
) -> None:
    """Protect recordings: a small loss of quality, the same format, and a voice that machines recognise less.

    Prints what was measured: quality, and whether speaker verification still recognises the voice, beside white noise
    of equal quality. One bad file does not stop the others.
    """
    from voxveil import api
    from voxveil.cli.report import lines
    from voxveil.whole_file import check_place, write_whole

    if report is not None:
        check_place(report, ".json", overwrite=True)
    every = jobs(inputs, out)
    todo = [job for job in every if not (resume and _exists(job.destination))]
    encoders = choices.encoders(against, left_out)

    @cache  # once, and not before there is a recording that can be used: loading takes seconds
    def victims() -> list[str]:
        return choices.at_hand(encoders, device) if against is None else encoders

    def protect(job: Job, progress: Bar) -> Measured:
        made = api.protect(
            job.source,
            job.destination,
            method=method,
            strength=strength.value,
            quality=quality,
            effort=effort.value,
            target=target,
            against=victims(),
            device=device,
            seed=seed,
            overwrite=overwrite,
            progress=progress,
        )
        return lines(made), made.as_json()

    reports, worst = _each(todo, protect)
    if resume and not todo:
        print("Nothing to do: every result exists.")
    if report is not None and reports:
        content = json.dumps(reports if len(every) > 1 else reports[0], indent=2)
        write_whole(report, (content + "\n").encode())
    raise typer.Exit(worst)


def _each(todo: list[Job], protect: Callable[[Job, Bar], Measured]) -> tuple[list[dict[str, Any]], int]:
    """What was measured of every recording that could be protected, and the worst exit code."""
    reports, worst = [], 0
    for job in todo:
        try:
            _make_folder(job)
            with bar(job.source.name) as progress:
                words, measured = protect(job, progress)
        except VoxveilError as error:
            complain(error)
            worst = max(worst, error.exit_code)
            continue
        print("\n".join(words))
        reports.append(measured)
    return reports, worst


def _exists(path: Path) -> bool:
    # A name that the system refuses is left to whoever writes it, who says what is wrong.
    with suppress(OSError):
        return path.exists()
    return False


def _make_folder(job: Job) -> None:
    from voxveil.audio.files import probe

    # No folder is made for a recording that cannot be used.
    probe(job.source)
    try:
        job.destination.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadOutputError(f"{job.destination.parent} cannot be made: {error.strerror}.") from error
