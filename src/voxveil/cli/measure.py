"""``voxveil measure``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from voxveil.cli import choices


def command(
    clean: Annotated[Path, typer.Argument(help="The original recording.")],
    protected: Annotated[Path, typer.Argument(help="Its protected version.")],
    enrol: Annotated[
        list[Path] | None, typer.Option(help="Other recordings of the speaker (repeat the option for several).")
    ] = None,
    against: Annotated[
        str | None, typer.Option(metavar="NAME,...", help="Verifiers to judge with; default: all there are.")
    ] = None,
    left_out: Annotated[str | None, typer.Option("--except", metavar="NAME,...", help="Verifiers to spare.")] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    seed: Annotated[int, typer.Option(help="Seed of the noise control.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure a protected recording beside white noise of equal quality.

    Without --enrol the speaker is enrolled from the clean recording itself; other recordings of the speaker are a
    fairer judge.
    """
    from voxveil import api
    from voxveil.audio.files import probe
    from voxveil.cli.progress import bar
    from voxveil.cli.report import lines

    names = choices.encoders(against, left_out)
    for path in (clean, protected, *(enrol or ())):
        probe(path)
    if against is None:
        names = choices.at_hand(names, device)
    with bar("measuring") as progress:
        measured = api.measure(
            clean, protected, enrol=enrol or (), against=names, device=device, seed=seed, progress=progress
        )
    print(json.dumps(measured.as_json(), indent=2) if as_json else "\n".join(lines(measured)))
