"""A speaker encoder of a few thousand random weights, and its card: most tests of verifiers need no other."""

from __future__ import annotations

import shutil
from copy import deepcopy
from functools import lru_cache
from pathlib import Path

import torch
from plain_layers import trained
from running import DATA

from voxveil.audio.corpus import read_mono
from voxveil.cards.card import Card, Figure, Network, Weights
from voxveil.cards.writing import card_text
from voxveil.models.speaker.xvector import XVector
from voxveil.train.export import write_weights
from voxveil.verify.plda import Plda

SIZE = {"channels": 16, "pooled_channels": 24, "dim": 16}
SPEAKERS = ("awb", "kal16", "rms", "slt")


@lru_cache
def tiny_network(seed: int = 0) -> XVector:
    """Its embeddings lie around zero for the clips in tests/data, so that some pairs are alike and others are not."""
    torch.manual_seed(seed)
    network = trained(XVector(**SIZE)).float()
    clips = [torch.as_tensor(read_mono(path, 16_000))[None] for path in sorted(DATA.glob("*.flac"))]
    raw = [network.embed(network.features(clip)) for clip in clips]
    network.get_submodule("blocks.16.w").bias -= torch.cat(raw).mean(0)
    return network


def tiny_card(folder: Path, name: str = "tiny", seed: int = 0, threshold: float | None = 0.5) -> Path:
    """A card in ``folder``, with its weights; ``threshold`` None: it was never calibrated."""
    weights = write_weights(deepcopy(tiny_network(seed)), folder, name)
    figure = {} if threshold is None else {"eer": Figure(threshold, "nobody's")}
    thresholds = {kind: figure for kind in ("cosine", "euclidean") if figure}
    return _written(folder, name, "speaker encoder", weights, Network("xvector", SIZE), thresholds)


def untrained_card(folder: Path) -> Path:
    """The card of a network as it was initialised, at a threshold that would do for a trained one."""
    torch.manual_seed(0)
    weights = write_weights(XVector(**SIZE).eval(), folder, "untrained")
    thresholds = {"cosine": {"eer": Figure(0.5, "nobody's")}}
    return _written(folder, "untrained", "speaker encoder", weights, Network("xvector", SIZE), thresholds)


def tiny_plda(folder: Path, encoder: str = "tiny") -> Path:
    size = {"dim": SIZE["dim"], "kept": 8}
    weights = write_weights(Plda(**size), folder, f"{encoder}-plda")
    thresholds = {"plda": {"eer": Figure(0.0, "nobody's")}}
    return _written(folder, f"{encoder}-plda", "scorer", weights, Network("plda", size), thresholds)


def _written(
    folder: Path, name: str, kind: str, weights: Weights, network: Network, thresholds: dict[str, dict[str, Figure]]
) -> Path:
    path = folder / f"{name}.toml"
    card = Card(name, kind, "Tiny", "Nobody 2000", "@misc{a}", "CC0-1.0", weights, network, (), thresholds=thresholds)
    path.write_text(card_text(card))
    return path


def corpus(folder: Path, *speakers: str, takes: tuple[int, ...] = (1, 2)) -> Path:
    """A folder a speaker, by default all four with two recordings of each."""
    for speaker in speakers or SPEAKERS:
        (folder / speaker).mkdir(parents=True)
        for take in takes:
            shutil.copy(DATA / f"{speaker}-{take}.flac", folder / speaker)
    return folder


class Idle:
    """A protector that does nothing, as a benchmark must be able to notice."""

    sample_rate = 16_000

    def __call__(self, speech: torch.Tensor, seed: int, progress: object = None) -> torch.Tensor:
        return speech.clone()


def idle(order: object) -> Idle:
    return Idle()


class Mirror:
    """A purifier that gives back what it was given, as a benchmark must be able to notice."""

    differentiable, random, keeps_length = True, False, True

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = sample_rate

    def __call__(self, speech: torch.Tensor) -> torch.Tensor:
        return speech
