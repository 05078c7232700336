"""``voxveil train``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from voxveil.cli import choices


def command(
    name: Annotated[
        str, typer.Argument(help="What to train, such as ecapa, adain-vc, hifigan; NAME-plda for a scorer.")
    ],
    corpus: Annotated[Path, typer.Option(help="LibriSpeech, VCTK, VoxCeleb, or a folder for every speaker.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for weights, card, log and checkpoint.")],
    judge: Annotated[
        Path | None, typer.Option(help="A corpus of other speakers, to measure and to find thresholds on.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Steps; for ivector and scorers, crops of 4 s. Default: the recipe's.")
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, max=2**32 - 1, help="The same seed, threads and machine give the same weights.")
    ] = 0,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    precision: Annotated[
        choices.Precision, typer.Option(help="What the network computes in.")
    ] = choices.Precision.bf16,
    licence: Annotated[str, typer.Option(help="The licence you give the weights, for the card.")] = "not stated",
) -> None:
    """Train a model, and write its weights and a card that says what they are worth.

    Interrupted, the same command goes on from the last measurement. The card's path can be named wherever a model can.
    """
    from voxveil.cli.progress import bar
    from voxveil.training import Request, train

    request = Request(name, corpus, out, judge, steps, seed, device, precision.value, licence)
    with bar(f"training {name}") as progress:
        card = train(request, progress, _print_measured)
    print(card)


def _print_measured(found: Mapping[str, float]) -> None:
    print("   ".join(f"{name} {value:.4g}" for name, value in found.items()), flush=True)
