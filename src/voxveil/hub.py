"""Models by name: weights are fetched as their card says, verified, loaded, and proved to be loaded.

Weights are looked for in this order, and their size and sha256 are verified before every use:

1. ``<name>.pt`` or ``<name>.safetensors`` in the folder named by the environment variable VOXVEIL_MODELS;
2. the cache, ``models/<sha256>/`` in the user's cache folder (VOXVEIL_CACHE names another);
3. the sources of the card (:mod:`voxveil.fetch`); VOXVEIL_OFFLINE=1 leaves out those that need a network.

Importing this module does not import torch.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from platformdirs import user_cache_dir

from voxveil.cards.card import Card, card, names
from voxveil.errors import ModelUnavailableError
from voxveil.fetch import SourceError, download, local_file, problem_of, scheme_of

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["Card", "card", "fetch", "load_into", "load_state", "local_path", "names"]


def local_path(model: str | Card) -> Path | None:
    """Where the weights of ``model`` lie on this machine, by presence and size alone; None: not here.

    >>> local_path("ge2e") is None or local_path("ge2e").name == "ge2e.pt"
    True
    """
    wanted = _as_card(model)
    here = (local_file(source) for source in wanted.weights.sources)
    for path in (_provided_path(wanted), _cache_path(wanted), *here):
        if path is not None and path.is_file() and path.stat().st_size == wanted.weights.bytes:
            return path
    return None


def fetch(model: str | Card, on_progress: Callable[[float], None] | None = None) -> Path:
    """A file with the verified weights of ``model``, downloaded into the cache if it is not on this machine.

    Args:
        model: A name or a card.
        on_progress: Called with the fraction 0 … 1 of the file that has come, while one is downloaded.

    Raises:
        ModelUnavailableError: No source gives the file that the card describes.
    """
    wanted = _as_card(model)
    provided = _provided_path(wanted)
    if provided is not None and provided.is_file():
        if problem := _problem(provided, wanted):
            raise ModelUnavailableError(f"{provided}, which VOXVEIL_MODELS names, {problem}; replace it or remove it.")
        return provided
    cached = _cache_path(wanted)
    if cached.is_file() and not _problem(cached, wanted):
        return cached
    reasons = []
    for source in wanted.weights.sources:
        try:
            return _obtain(source, wanted, cached, on_progress)
        except SourceError as error:
            reasons.append(f"{scheme_of(source)}: {error}")
    # A spoiled file in the cache stays until a good one replaces it, lest another process lose a good one.
    with suppress(OSError):
        cached.unlink()
    raise ModelUnavailableError(
        f"The weights of '{wanted.name}' are not on this machine and could not be fetched "
        f"({'; '.join(reasons)}); run 'voxveil models pull {wanted.name}' with a connection, "
        f"or put {wanted.filename} into a folder named by VOXVEIL_MODELS."
    )


def load_state(model: str | Card) -> dict[str, Tensor]:
    """The tensors of ``model`` by name, on the CPU.

    A torch checkpoint is read with ``weights_only``: what it pickles beyond plain data is refused, never run.

    Raises:
        ModelUnavailableError: The file cannot be had or is not what its card says.
    """
    wanted = _as_card(model)
    path = fetch(wanted)
    try:
        content = _read(path, wanted)
    except Exception as error:  # a foreign file can break a reader in any way, and all mean the same
        raise ModelUnavailableError(
            f"The weights of '{wanted.name}' were refused: {path} is damaged or holds more than plain "
            "tensors; use only the file that the model's authors published."
        ) from error
    key = wanted.weights.state_key
    state = content.get(key) if key is not None and isinstance(content, Mapping) else content
    if not isinstance(state, Mapping) or not state or not all(map(_is_tensor, state.values())):
        inside = f"under '{key}' in" if key is not None else "in"
        raise ModelUnavailableError(
            f"The weights of '{wanted.name}' have no tensors by name {inside} {path}; correct the state_key."
        )
    return dict(state)


def load_into(
    module: nn.Module,
    model: str | Card,
    self_test: Callable[[nn.Module], Tensor] | None = None,
    rename: Callable[[Mapping[str, Tensor]], dict[str, Tensor]] | None = None,
) -> None:
    """Fill ``module`` with the weights of ``model``, prove it, and leave it in eval mode without gradients.

    Names and shapes are compared before the first tensor is copied: a file that does not fit changes nothing.
    The proof: every parameter and buffer equals the file's, and the network answers as its card says.

    Args:
        module: The network, on any device.
        model: A name or a card.
        self_test: The network's answer (1-D) to a fixed probe, compared with the card's ``[self_test]``; not
            called when the card has none.
        rename: The network's tensors by its own names, from those of a file that names or holds them otherwise.

    Raises:
        ModelUnavailableError: The weights cannot be had, do not fit, or fail the proof.
    """
    wanted = _as_card(model)
    state = load_state(wanted)
    if rename is not None:
        state = rename(state)
    _check_fit(module, state, wanted)
    module.load_state_dict(state, strict=True)
    module.eval().requires_grad_(False)
    _check_arrival(module, state, wanted)
    if wanted.self_test is not None and self_test is not None:
        _check_answer(self_test(module), wanted)


def _as_card(model: str | Card) -> Card:
    return card(model) if isinstance(model, str) else model


def _provided_path(wanted: Card) -> Path | None:
    folder = os.environ.get("VOXVEIL_MODELS")
    return Path(folder).expanduser() / wanted.filename if folder else None


def _cache_path(wanted: Card) -> Path:
    folder = os.environ.get("VOXVEIL_CACHE") or user_cache_dir("voxveil")
    return Path(folder).expanduser() / "models" / wanted.weights.sha256 / wanted.filename


def _problem(path: Path, wanted: Card) -> str | None:
    return problem_of(path, wanted.weights.bytes, wanted.weights.sha256)


def _obtain(source: str, wanted: Card, cached: Path, on_progress: Callable[[float], None] | None) -> Path:
    if (local := local_file(source)) is not None:
        if problem := _problem(local, wanted):
            raise SourceError(f"{local} {problem}")
        return local
    if os.environ.get("VOXVEIL_OFFLINE", "0") not in ("", "0"):
        raise SourceError("VOXVEIL_OFFLINE forbids it")
    try:
        cached.parent.mkdir(parents=True, exist_ok=True)
        download(source, cached, wanted.weights.bytes, wanted.weights.sha256, on_progress)
    except OSError as error:
        raise ModelUnavailableError(
            f"The weights of '{wanted.name}' cannot be kept in {cached.parent} ({error.strerror or error}); "
            "make room there, or let VOXVEIL_CACHE name another folder."
        ) from error
    return cached


def _read(path: Path, wanted: Card) -> Any:
    if wanted.weights.format == "safetensors":
        from safetensors.torch import load_file

        return load_file(path, device="cpu")
    import torch

    return torch.load(path, map_location="cpu", weights_only=True)


def _is_tensor(value: object) -> bool:
    import torch

    return isinstance(value, torch.Tensor)


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    # A parameter that a module keeps out of its state dict has to be filled as well.
    return {**dict(module.named_parameters()), **module.state_dict()}


def _check_fit(module: nn.Module, state: Mapping[str, Tensor], wanted: Card) -> None:
    network = _tensors(module)
    problems = []
    if missing := [name for name in network if name not in state]:
        problems.append(f"{len(missing)} missing, first '{missing[0]}'")
    if unexpected := [name for name in state if name not in network]:
        problems.append(f"{len(unexpected)} unexpected, first '{unexpected[0]}'")
    if odd := [name for name in network if name in state and network[name].shape != state[name].shape]:
        shapes = f"{list(state[odd[0]].shape)} instead of {list(network[odd[0]].shape)}"
        problems.append(f"{len(odd)} of another shape, first '{odd[0]}' with {shapes}")
    if problems:
        raise ModelUnavailableError(
            f"The weights of '{wanted.name}' do not fit {type(module).__name__} "
            f"(tensors: {'; '.join(problems)}); build the network with the sizes that its paper gives."
        )


def _check_arrival(module: nn.Module, state: Mapping[str, Tensor], wanted: Card) -> None:
    import torch

    network = _tensors(module)
    for name, tensor in state.items():
        if not torch.equal(network[name].detach().cpu(), tensor.to(network[name].dtype)):
            raise ModelUnavailableError(
                f"The weights of '{wanted.name}' did not arrive in {type(module).__name__}: '{name}' differs "
                "from the file; do not use this network, and report it."
            )


def _check_answer(answer: Tensor, wanted: Card) -> None:
    import torch

    assert wanted.self_test is not None
    expected = torch.tensor(wanted.self_test.expected, dtype=torch.float64)
    given = answer.detach().cpu().double()
    if given.shape != expected.shape:
        off_by = f"{list(given.shape)} numbers instead of {list(expected.shape)}"
    else:
        error = float((given - expected).abs().max())
        if error <= wanted.self_test.tolerance:  # never true of NaN
            return
        off_by = f"off by {error:.2g}, where {wanted.self_test.tolerance:g} is allowed"
    raise ModelUnavailableError(
        f"The weights of '{wanted.name}' are loaded, but the network does not answer as published "
        f"({off_by}); do not use it, and report it."
    )
