"""``voxveil clone``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer


def command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A cloner of 'voxveil models list', or a description.")],
    reference: Annotated[
        list[Path], typer.Option("--reference", metavar="FILE", help="Speech of the voice (repeat for several).")
    ],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="OUT", help=".wav, .flac or .ogg; marked as synthetic.")],
    content: Annotated[Path | None, typer.Option(metavar="FILE", help="Speech to be said in the voice.")] = None,
    text: Annotated[str | None, typer.Option(help="Or text.")] = None,
    checkout: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The code of a cloner that is a program of others.")
    ] = None,
    python: Annotated[str, typer.Option(help="The interpreter that runs it.")] = sys.executable,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    seed: Annotated[int, typer.Option(help="The same seed gives the same clone.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a clone that exists.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Clone a voice, to see what a protection is worth: what an attacker would get from the reference.

    The clone says that it is synthetic, in its name and in its tags.
    """
    from voxveil.cli.progress import bar
    from voxveil.cloning import Request, clone

    request = Request(name, tuple(reference), out, content, text, checkout, python, device, seed, overwrite)
    with bar(f"cloning with {name}") as progress:
        made = clone(request, progress)
    print(json.dumps({"clone": str(made), "cloner": name, "synthetic": True}, indent=2) if as_json else made)
