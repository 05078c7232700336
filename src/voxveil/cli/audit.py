"""``voxveil audit``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def command(
    recording: Annotated[Path, typer.Argument(metavar="FILE", help="The protected recording, as an attacker has it.")],
    clean: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The original: shows which attacks work at all.")
    ] = None,
    enrol: Annotated[
        list[Path] | None, typer.Option(help="Other recordings of the speaker (repeat the option for several).")
    ] = None,
    to_html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write a page as well.")] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    seed: Annotated[int, typer.Option(help="Seed of the cloners.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a page that exists.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Attack one recording with every purifier and cloner in the package, and let verifiers judge; takes minutes.

    Without --enrol the speaker is enrolled from the clean recording, without that from the recording itself; other
    recordings of the speaker are a fairer judge.
    """
    from voxveil.audio.files import probe
    from voxveil.bench.audit import audit
    from voxveil.bench.audit_page import page
    from voxveil.cli.complaint import complain
    from voxveil.cli.progress import bar
    from voxveil.whole_file import check_place, write_whole

    for path in (recording, *([] if clean is None else [clean]), *(enrol or ())):
        probe(path)
    if to_html is not None:
        check_place(to_html, ".html", overwrite)
    with bar("auditing") as progress:
        found = audit(recording, clean, enrol or (), device=device, seed=seed, on_left_out=complain, progress=progress)
    if to_html is not None:
        write_whole(to_html, page(found).encode())
    print(json.dumps(found.as_json(), indent=2) if as_json else "\n".join(found.verdict()))
