"""Cloning by name, from files to a file that says that it is synthetic.

It exists to test protections: a protection is worth what cloners fail to do with the speech that it protected.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import torch

from voxveil import catalog, hub, loading
from voxveil.audio.corpus import read_mono
from voxveil.audio.resample import resample
from voxveil.audio.synthetic_mark import marked_place, write_marked
from voxveil.clone import description as programs
from voxveil.clone.composition import composition, is_composition
from voxveil.clone.conversion import ConversionCloner
from voxveil.clone.coqui import CoquiCloner
from voxveil.clone.external import ExternalCloner
from voxveil.clone.listing import COQUI, without_card
from voxveil.clone.synthesiser import synthesiser
from voxveil.errors import BadInputError, BadOutputError, ProgramError, VoxveilError
from voxveil.roles import Clip, Cloner, Progress
from voxveil.train.recipes import CONVERTERS

CONVERTER = "voice converter"


@dataclass(frozen=True)
class Request:
    """What is to be cloned.

    ``name`` is one of :func:`names`, or a file ``mine.toml``: the card of a converter of one's own, a composition of
    several networks, or the description of a program, which needs its ``checkout`` and is run by ``python``. The
    content is the recording ``content``, or ``text``; a cloner that takes speech gets a text spoken by an installed
    synthesiser.

    Raises :class:`~voxveil.errors.VoxveilError` unless the content is one of the two.

    >>> Request("knn-vc", (Path("ada.wav"),), Path("ada.clone.wav"))
    Traceback (most recent call last):
    voxveil.errors.VoxveilError: Say what the clone is to say: give either a recording or a text.
    """

    name: str
    reference: tuple[Path, ...]
    out: Path
    content: Path | None = None
    text: str | None = None
    checkout: Path | None = None
    python: str = sys.executable
    device: str = "cpu"
    seed: int = 0
    overwrite: bool = False

    def __post_init__(self) -> None:
        if (self.content is None) == (self.text is None):
            raise VoxveilError("Say what the clone is to say: give either a recording or a text.")


def names() -> list[str]:
    """Every cloner by name: those of this package, those of coqui-tts, and programs that need a checkout.

    >>> "knn-vc" in names() and "coqui/xtts-v2" in names() and "seed-vc" in names()
    True
    """
    converters = [name for name in hub.names() if hub.card(name).kind == CONVERTER]
    return sorted([*converters, *(row.name for row in without_card())])


def cards_of(name: str) -> list[str]:
    """The cards of all networks that the cloner ``name`` works with, as far as they are this package's.

    >>> cards_of("adain-vc")
    ['adain-vc', 'xvector', 'resnetse34l']
    """
    if is_composition(name):
        return list(composition(name).networks.values())
    return [name, *CONVERTERS[hub.card(name).network.architecture].listeners] if is_converter(name) else []


def is_converter(name: str) -> bool:
    """Whether ``name`` is a voice converter on a card of its own, which is adapted to references.

    >>> is_converter("autovc"), is_converter("knn-vc"), is_converter("sv2tts")
    (True, False, False)
    """
    if is_composition(name):
        return False
    return (name in hub.names() or name.endswith(".toml")) and hub.card(name).kind == CONVERTER


def cloner(
    name: str,
    device: str = "cpu",
    checkout: Path | None = None,
    python: str = sys.executable,
    adaptation_steps: int | None = None,
) -> Cloner:
    """The cloner ``name``, its weights verified and proved to be loaded.

    A converter is adapted to every reference for ``adaptation_steps``; None: as many as its recipe says.

    Raises :class:`~voxveil.errors.VoxveilError` for an unknown name, and what its parts raise.

    >>> cloner("parrot")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    voxveil.errors.VoxveilError: There is no cloner 'parrot'; there is: adain-vc, ...
    """
    loading.check_device(device)
    if name.startswith(COQUI):
        return CoquiCloner(name.removeprefix(COQUI), device)
    if is_composition(name):
        return _composed(name, device)
    if name in programs.names() or checkout is not None:
        if checkout is None:
            raise ProgramError(f"{name} is a program of others: name the folder of its code (--checkout).")
        return ExternalCloner(programs.description(name), checkout, python)
    if name not in names() and not name.endswith(".toml"):
        raise VoxveilError(f"There is no cloner '{name}'; there is: {', '.join(names())}.")
    converter = loading.converter(name, device)
    recipe = CONVERTERS[hub.card(name).network.architecture]
    listeners = [loading.embedder(listener, device) for listener in recipe.listeners]
    steps = recipe.adaptation_steps if adaptation_steps is None else adaptation_steps
    return ConversionCloner(converter, steps, listeners)


def clone(request: Request, progress: Progress | None = None) -> Path:
    """Clones as asked and gives the path of the clone, whose name and tags say that it is synthetic.

    Raises :class:`~voxveil.errors.BadInputError` and its siblings; nothing is left behind then.
    """
    place = marked_place(request.out, request.overwrite)
    inputs = [*request.reference, *([] if request.content is None else [request.content])]
    if any(path.exists() and place.exists() and path.samefile(place) for path in inputs):
        raise BadOutputError(f"{place} is one of the inputs: choose another name.")
    tool = cloner(request.name, request.device, request.checkout, request.python)
    device = torch.device(request.device)
    reference = [_read(path, tool.sample_rate, device) for path in request.reference]
    (made,) = tool(reference, [_content(request, tool, device)], request.seed, progress)
    return write_marked(place, made, tool.sample_rate, request.overwrite)


def _composed(name: str, device: str) -> Cloner:
    found = composition(name)
    if found.cloner not in catalog.COMPOSED:
        raise BadInputError(f"{name} composes a '{found.cloner}'; there is: {', '.join(catalog.COMPOSED)}.")
    parts = catalog.COMPOSED[found.cloner]
    if found.networks.keys() != parts.keys():
        given = ", ".join(found.networks) or "none"
        raise BadInputError(f"{name} names the networks {given}; {found.cloner} is made of {', '.join(parts)}.")
    networks = {part: loading.network(found.networks[part], parts[part], device) for part in parts}
    made: Cloner = catalog.part("composed cloner", found.cloner)(**networks)
    return made


def _content(request: Request, tool: Cloner, device: torch.device) -> Clip | str:
    if request.content is not None:
        return _read(request.content, tool.sample_rate, device)
    assert request.text is not None
    if tool.takes == "text":
        return request.text
    speaker = synthesiser()
    spoken = speaker(request.text)[None].double().numpy()
    return torch.as_tensor(resample(spoken, speaker.sample_rate, tool.sample_rate)[0], dtype=torch.float32).to(device)


def _read(path: Path, sample_rate: int, device: torch.device) -> Clip:
    return torch.as_tensor(read_mono(path, sample_rate), dtype=torch.float32, device=device)
