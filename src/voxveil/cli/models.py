"""``voxveil models``: what there is, what it is worth, fetching it, and a card for a checkpoint of one's own."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="List, show and fetch models, and describe your own.", no_args_is_help=True)


@app.command("list")
def list_models(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Every model: what it is, its licence, and whether its weights are on this machine."""
    from voxveil import hub
    from voxveil.clone.description import names as programs
    from voxveil.clone.listing import without_card

    rows = []
    for name in hub.names():
        card = hub.card(name)
        rows.append(
            {
                "name": name,
                "kind": card.kind,
                "source": "this package" if card.shipped else card.weights.sources[0],
                "licence": card.licence,
                "shipped": card.shipped,
                "available": hub.local_path(card) is not None,
                "extra": card.extra,
            }
        )
    rows += [asdict(row) for row in without_card()]
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    width = max(len(str(row["name"])) for row in rows) + 2
    for row in rows:
        missing = f"extra {row['extra']}" if row["kind"] == "cloner" and row["extra"] else "to be pulled"
        missing = "a checkout" if row["name"] in programs() else missing
        where = "shipped" if row["shipped"] else "here" if row["available"] else missing
        licence = re.split(r" \(|[;:,]", str(row["licence"]))[0][:16]
        print(f"{row['name']:<{width}}{row['kind']:<18}{licence:<18}{where:<14}{row['source']}")


@app.command("show")
def show_model(name: str, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """The card of a model: paper, licence, sha256, thresholds, measured numbers and limits."""
    from voxveil import hub

    card = hub.card(name)
    if as_json:
        print(json.dumps(asdict(card), indent=2))
        return
    print(f"{card.name}: {card.title}\n{card.paper}\nlicence   {card.licence}")
    print(f"weights   {card.weights.bytes:,} bytes, sha256 {card.weights.sha256}")
    for source in card.weights.sources:
        print(f"source    {source}")
    for scorer, figures in card.thresholds.items():
        for criterion, figure in figures.items():
            print(f"threshold {scorer} {criterion} {figure.value:g} ({figure.corpus})")
    for key, figure in card.measured.items():
        print(f"measured  {key} {figure.value:g} ({figure.corpus})")
    if card.training is not None:
        print(f"trained   on {card.training.data}, in {card.training.minutes:g} minutes on {card.training.device}")
        print(f"again     {card.training.command}")
    for limit in card.limits:
        print(f"limit     {limit}")


@app.command("pull")
def pull_model(name: str) -> None:
    """Fetch a model's weights into the cache and verify them; those of all its models for a cloner such as sv2tts."""
    from voxveil import hub
    from voxveil.cli.progress import bar
    from voxveil.clone.composition import composition, is_composition

    for model in composition(name).networks.values() if is_composition(name) else [name]:
        with bar(f"pulling {model}") as progress:
            path = hub.fetch(model, on_progress=progress)
        print(path)


@app.command("card")
def make_card(
    checkpoint: Annotated[Path, typer.Argument(metavar="FILE", help="Weights: .safetensors, or a torch checkpoint.")],
    architecture: Annotated[str, typer.Option(help="The network that they fill, such as wavlm or autovc-official.")],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="CARD.toml", help="Where the card goes.")],
    judge: Annotated[
        Path | None, typer.Option(metavar="CORPUS", help="Speakers it has not heard, to find thresholds on.")
    ] = None,
    size: Annotated[
        list[str] | None, typer.Option(metavar="KEY=N", help="A size that is not the default (repeat for several).")
    ] = None,
    state_key: Annotated[
        str | None, typer.Option(metavar="KEY", help="Where a torch checkpoint holds its tensors, such as model_state.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda, for --judge.")] = "cpu",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a card that exists.")] = False,
) -> None:
    """Describe a speaker encoder, or a network of a cloner, that you have: the card's path is a model's name.

    The file is loaded once, to prove that it fits the network.
    """
    sizes = dict(_size(words) for words in size or ())
    from voxveil.checkpoint_card import Request, write_card
    from voxveil.cli.progress import bar

    with bar(f"judging {out.name}") as progress:
        request = Request(checkpoint, architecture, out, sizes, state_key, judge, device, overwrite)
        print(write_card(request, progress))


def _size(words: str) -> tuple[str, int]:
    key, _, number = words.partition("=")
    if not key or not number.isdecimal():
        raise typer.BadParameter(f"'{words}' is no size: write KEY=N", param_hint="--size")
    return key, int(number)
