"""A card for a checkpoint that somebody has: what it is, proof that it loads, and what it is worth.

The path of that card is then a model's name everywhere else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from torch import nn

from voxveil import catalog
from voxveil.audio.recording import cause
from voxveil.calibration import calibrate, trials_of
from voxveil.cards.card import Card, Network, Weights
from voxveil.cards.writing import card_text
from voxveil.errors import BadInputError, VoxveilError
from voxveil.loading import check_device, embedder, network
from voxveil.models.speaker.known_answer import self_test_of
from voxveil.roles import Progress
from voxveil.train.recipes import CONVERTERS, ENCODERS, EXTRACTORS
from voxveil.whole_file import check_place, write_whole

NOT_STATED = "not stated"
UNKNOWN_ORIGIN = "Where its weights come from, what they have heard, and under which licence they are was not stated."
PARTS_OF_CLONERS = {
    "adain-vc-mel": "mel statistics",
    "adain-vc-official": "mel converter",
    "autovc-official": "mel converter",
    "autovc-speaker": "mel encoder",
    "content-encoder": "content encoder",
    "diffvc-official": "mel converter",
    "hifigan-official": "vocoder",
    "tacotron": "synthesizer",
    "wavernn": "vocoder",
    "wavlm-frames": "content encoder",
}
"""What an architecture of published cloners is; the rest of those that get a card are speaker encoders."""

_ORIGINS = {name: recipe.origin for name, recipe in (ENCODERS | EXTRACTORS).items()} | {
    "adain-vc-mel": CONVERTERS["adain-vc"].origin,
    "adain-vc-official": CONVERTERS["adain-vc"].origin,
    "autovc-official": CONVERTERS["autovc"].origin,
    "autovc-speaker": CONVERTERS["autovc"].origin,
}


@dataclass(frozen=True)
class Request:
    """Which checkpoint gets a card, and where it goes.

    ``size`` are the network's sizes where they are not the architecture's default; ``state_key`` is the entry of a
    torch checkpoint that holds the tensors, None if it holds nothing else. ``judge`` is a corpus of speakers that a
    speaker encoder has not heard, on which thresholds are found.
    """

    checkpoint: Path
    architecture: str
    out: Path
    size: Mapping[str, int] = field(default_factory=dict)
    state_key: str | None = None
    judge: Path | None = None
    device: str = "cpu"
    overwrite: bool = False


def write_card(request: Request, progress: Progress | None = None) -> Path:
    """Writes the card, once the checkpoint is proved to fill the network, and gives its path.

    Raises :class:`~voxveil.errors.ModelUnavailableError` for a file that does not fit, and its siblings for other
    things that do not serve; nothing is written then.

    >>> write_card(Request(Path("a.pt"), "oracle", Path("a.toml")))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    voxveil.errors.VoxveilError: There is no architecture 'oracle'; there is: adain-vc, ...
    """
    _check(request)
    drafted = _draft(request)
    with TemporaryDirectory() as folder:
        # Whatever reads cards reads files: the card is a draft in a folder of its own until it is complete.
        draft = Path(folder, request.out.name)
        draft.write_text(card_text(drafted), encoding="utf-8")
        if request.architecture in PARTS_OF_CLONERS:
            network(str(draft), request.architecture)
        else:
            encoder = embedder(str(draft))
            assert isinstance(encoder, nn.Module)
            drafted = replace(drafted, self_test=self_test_of(encoder))
        if request.judge is not None:
            thresholds, measured = calibrate(draft, request.judge, request.device, progress)
            drafted = replace(drafted, thresholds=thresholds, measured=measured)
    weights = replace(drafted.weights, sources=(_source(request.checkpoint, request.out),))
    write_whole(request.out, card_text(replace(drafted, weights=weights)).encode())
    return request.out


def _check(request: Request) -> None:
    check_place(request.out, ".toml", request.overwrite)
    check_device(request.device)
    name = request.architecture
    encodes = name not in PARTS_OF_CLONERS and hasattr(catalog.part("architecture", name), "sample_rate")
    if not encodes and name not in PARTS_OF_CLONERS:
        raise VoxveilError(f"'{name}' is no speaker encoder and no published part: 'voxveil train' makes its card.")
    if request.judge is not None:
        if not encodes:
            raise VoxveilError(f"'{name}' is no speaker encoder: a corpus cannot judge it.")
        trials_of(request.judge)


def _draft(request: Request) -> Card:
    path, origin = request.checkpoint, _ORIGINS.get(request.architecture)
    try:
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        size = path.stat().st_size
    except FileNotFoundError:
        raise BadInputError(f"{path} does not exist.") from None
    except OSError as error:
        raise BadInputError(f"{path} cannot be read: {cause(error)}.") from error
    if size == 0:
        raise BadInputError(f"{path} is empty.")
    kind = PARTS_OF_CLONERS.get(request.architecture, "speaker encoder")
    form: Literal["torch", "safetensors"] = "safetensors" if path.suffix.lower() == ".safetensors" else "torch"
    return Card(
        name=request.out.stem,
        kind=kind,
        title=f"{path.name}, somebody's own checkpoint of {request.architecture}",
        paper=origin.paper if origin is not None else NOT_STATED,
        citation=origin.citation if origin is not None else NOT_STATED,
        licence=NOT_STATED,
        weights=Weights(sha256, size, form, (f"path:{path.absolute()}",), request.state_key),
        network=Network(request.architecture, request.size),
        limits=(*_limits(kind, request.judge is not None), UNKNOWN_ORIGIN),
    )


def _limits(kind: str, judged: bool) -> tuple[str, ...]:
    if kind != "speaker encoder":
        return ("Is part of a cloner, for tests of protections: what that makes is synthetic and is to be called so.",)
    return ("Hears 16 kHz speech.", *(() if judged else ("Has no threshold: --judge CORPUS finds one.",)))


def _source(checkpoint: Path, card: Path) -> str:
    here, there = card.parent.resolve(), checkpoint.parent.resolve() / checkpoint.name
    return f"path:{there.relative_to(here).as_posix() if there.is_relative_to(here) else there}"
