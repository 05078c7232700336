"""The detection error trade-off of several verifiers in one picture.

A. Martin et al., "The DET curve in assessment of detection task performance", Eurospeech 1997: false rejection over
false acceptance, both on axes of the normal deviate, on which scores with Gaussian distributions give straight lines.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float64
from scipy.special import ndtri

from voxveil.audio.recording import output_errors
from voxveil.errors import BadOutputError, MissingExtraError
from voxveil.metrics.rates import det_points
from voxveil.verify.evaluate import Evaluation

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_TICKS_PERCENT = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 40, 50)
_WIDE_TICKS_PERCENT = (0.1, 0.5, 2, 5, 10, 20, 40, 60, 80, 90, 95, 98, 99.5, 99.9)
_WIDE_FROM_EER = 0.4
# Told apart with any colour vision: M. Okabe, K. Ito 2008, without its yellow.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#000000", "#e69f00", "#56b4e9")
_DASHES = ("solid", "dashed", "dotted")
_FAR_OUT = 5.0
_POINTS_A_DEVIATE = 500


def write_det_plot(path: str | Path, systems: Mapping[str, Evaluation]) -> None:
    """Draws one curve a system, named with its equal error rate, and writes ``path`` (.png or .svg).

    Raises :class:`~voxveil.errors.BadOutputError` for another suffix and for a place that cannot be written, and
    :class:`~voxveil.errors.MissingExtraError` without the extra ``plots``.

    >>> write_det_plot("det.jpg", {})
    Traceback (most recent call last):
    voxveil.errors.BadOutputError: det.jpg should be named .png or .svg: a plot is written as one of these.
    """
    path = Path(path)
    kind = check_det_plot(path)
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    part = path.with_name(path.name + ".part")
    with rc_context({"svg.hashsalt": "voxveil"}), output_errors(path):
        figure = Figure(figsize=(6.4, 6.4))
        _draw(figure.add_subplot(), systems)
        try:
            # The tight box takes in the legend. With a fixed salt and no date the same curves give the same file.
            metadata = {"Date": None} if kind == "svg" else None
            figure.savefig(part, format=kind, dpi=160, bbox_inches="tight", metadata=metadata)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)


def check_det_plot(path: Path) -> str:
    """The kind of picture that ``path`` names, ``png`` or ``svg``, before the work that fills it.

    Raises what :func:`write_det_plot` raises for a name, a folder or an extra that is not there.

    >>> check_det_plot(Path("det.svg"))
    'svg'
    """
    kind = path.suffix.lower().removeprefix(".")
    if kind not in ("png", "svg"):
        raise BadOutputError(f"{path} should be named .png or .svg: a plot is written as one of these.")
    with output_errors(path):
        path.parent.stat()
    try:
        import matplotlib as _  # noqa: F401
    except ImportError as error:
        raise MissingExtraError.naming("plots", "A DET plot") from error
    return kind


def _draw(axes: Axes, systems: Mapping[str, Evaluation]) -> None:
    # A verifier no better than a coin has to be seen as well.
    wide = any(system.eer > _WIDE_FROM_EER for system in systems.values())
    ticks_percent = _WIDE_TICKS_PERCENT if wide else _TICKS_PERCENT
    ticks = ndtri(np.array(ticks_percent) / 100.0)
    low, high = ticks[0], ticks[-1]
    axes.plot([low, high], [low, high], color="0.6", linewidth=0.8)
    # From the worst to the best: the legend's order is that of the curves.
    for number, (name, system) in sorted(enumerate(systems.items()), key=lambda item: -item[1][1].eer):
        turn, place = divmod(number, len(_COLOURS))
        colour, dashes = _COLOURS[place], _DASHES[turn % len(_DASHES)]
        label = f"{name}, EER {100.0 * system.eer:.2f} %"
        axes.plot(*_curve(system), color=colour, linestyle=dashes, linewidth=1.6, label=label)
        at = ndtri(system.eer).clip(low, high)
        axes.plot(at, at, "o", color=colour, markersize=5, clip_on=False)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks(ticks, [f"{percent:g}" for percent in ticks_percent])
    axes.set(xlim=(low, high), ylim=(low, high), aspect="equal")
    axes.set(xlabel="False acceptance in %", ylabel="False rejection in %")
    axes.grid(color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))


def _curve(system: Evaluation) -> Float64[np.ndarray, "2 point"]:
    # Rates of 0 and 1 are infinitely far away; this is outside of the picture.
    points = ndtri(np.stack(det_points(system.genuine, system.impostor))).clip(-_FAR_OUT, _FAR_OUT)
    # Millions of trials make no finer picture.
    places = np.round(points * _POINTS_A_DEVIATE)
    new = np.any(np.diff(places, axis=1, prepend=np.inf), axis=0)
    return points[:, new]
