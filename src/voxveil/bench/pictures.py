"""The pictures of a report: bars of acceptance, and acceptance against what a protection costs a listener."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from voxveil.bench.rates import Rate
from voxveil.bench.scenario import NONE
from voxveil.errors import MissingExtraError
from voxveil.roles import Clip

SAMPLE_RATE = 16_000
LONGEST_NAME = 28


def bars(rates: Sequence[Rate], verifier: str) -> bytes:
    """A PNG: for every protection, how often each attack passes ``verifier``, with its interval.

    Raises :class:`~voxveil.errors.MissingExtraError` without the extra ``plots``.
    """
    mine = [rate for rate in rates if rate["verifier"] == verifier]
    protections = list(dict.fromkeys(rate["protection"] for rate in mine))
    attacks = list(dict.fromkeys(rate.parts[1:-1] for rate in mine))
    figure, axes = _figure(max(5.0, 1.2 + 0.9 * len(protections) * max(1, len(attacks) // 3)), 4.0)
    width = 0.8 / len(attacks)
    for index, attack in enumerate(attacks):
        found = {rate["protection"]: rate for rate in mine if rate.parts[1:-1] == attack}
        there = [(place, found[name]) for place, name in enumerate(protections) if name in found]
        heights = np.array([rate.accepted_percent for _, rate in there])
        reach = [
            [rate.accepted_percent - rate.low_percent for _, rate in there],
            [rate.high_percent - rate.accepted_percent for _, rate in there],
        ]
        places = [place + (index - (len(attacks) - 1) / 2) * width for place, _ in there]
        axes.bar(places, heights, width, yerr=np.maximum(reach, 0.0), capsize=2, label=_label(attack))
    names = ["\n(".join(map(_short, name.split(" ("))) for name in protections]
    axes.set_xticks(range(len(protections)), names, fontsize=7)
    axes.set(ylabel="accepted, %", ylim=(0, 105))
    _name(figure, axes, verifier)
    return _png(figure)


def frontier(rates: Sequence[Rate], verifier: str) -> bytes:
    """A PNG: for every attack, acceptance by ``verifier`` against the PESQ that the protection leaves."""
    figure, axes = _figure(6.0, 4.0)
    mine = [rate for rate in rates if rate["verifier"] == verifier and rate.pesq_wb is not None]
    for attack in dict.fromkeys(rate.parts[1:-1] for rate in mine):
        line = [rate for rate in mine if rate.parts[1:-1] == attack]
        axes.plot([rate.pesq_wb for rate in line], [rate.accepted_percent for rate in line], "o", label=_label(attack))
    for rate in {rate["protection"]: rate for rate in mine}.values():
        axes.annotate(_short(rate["protection"]), (rate.pesq_wb, rate.accepted_percent), fontsize=6, xytext=(3, 3),
                      textcoords="offset points")  # fmt: skip
    axes.set(xlabel="PESQ-wb of the protected speech", ylabel="accepted, %", ylim=(-5, 105))
    _name(figure, axes, verifier)
    return _png(figure)


def spectrogram(clip: Clip) -> bytes:
    """A PNG of the levels of a clip at 16 kHz over 80 dB.

    >>> import torch
    >>> spectrogram(torch.randn(16_000))[1:4]
    b'PNG'
    """
    figure, axes = _figure(4.5, 1.8)
    axes.specgram(clip.numpy() + 1e-9, NFFT=512, Fs=SAMPLE_RATE, noverlap=384, cmap="magma", vmin=-140, vmax=-60)
    axes.set(xlabel="s", ylabel="Hz")
    return _png(figure)


def _figure(width: float, height: float) -> tuple[Any, Any]:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError.naming("plots", "A picture") from error
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def _name(figure: Any, axes: Any, verifier: str) -> None:
    """Whose verdicts these are, and of which attacks, where both leave the axes their room."""
    axes.set_title(_short(verifier), fontsize=8)
    figure.legend(loc="outside lower center", fontsize=7, ncols=2)


def _label(attack: Sequence[str]) -> str:
    return " → ".join(_short(part) for part in attack if part != NONE) or "not attacked"


def _short(name: str) -> str:
    """Some names hold the path of a card, and layouts collapse under them."""
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME // 2]}…{name[1 - LONGEST_NAME // 2 :]}"


def _png(figure: Any) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=120)
    return file.getvalue()
