"""The DET plot: normal deviates on both axes, and a file or none."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy.stats import norm

from voxveil.errors import BadOutputError, MissingExtraError
from voxveil.metrics.rates import equal_error_rate
from voxveil.verify import det_plot
from voxveil.verify.det_plot import write_det_plot
from voxveil.verify.evaluate import Evaluation


def made(apart: float, spread: float = 1.0, trials: int = 4000) -> Evaluation:
    """Gaussian scores: impostors N(0, 1), genuine N(``apart``, ``spread``²), at equal probabilities."""
    places = norm.ppf((np.arange(trials) + 0.5) / trials)
    genuine, impostor = apart + spread * places, places
    eer = equal_error_rate(genuine, impostor)[0]
    return Evaluation(genuine, impostor, eer, eer, eer, 1.0, {})


def drawn(systems: dict[str, Evaluation]) -> tuple[object, list[Line2D]]:
    """The axes, and the curves by the order of the legend."""
    axes = Figure().add_subplot()
    det_plot._draw(axes, systems)
    return axes, [line for line in axes.get_lines() if "EER" in str(line.get_label())]


@pytest.mark.parametrize(("apart", "spread"), [(2.0, 1.0), (3.0, 1.5), (1.5, 0.7)])
def test_gaussian_scores_are_a_straight_line(apart, spread):
    """FAR = Φ(−t) and FRR = Φ((t − μ) / σ): probit(FRR) = −(probit(FAR) + μ) / σ."""
    _, (curve,) = drawn({"made-up": made(apart, spread)})
    x, y = np.asarray(curve.get_data())
    inside = (np.abs(x) < 2.5) & (np.abs(y) < 2.5)
    assert inside.sum() > 100
    assert np.abs(y + (x + apart) / spread)[inside].max() < 0.05


def test_the_axes_are_in_percent_and_the_dot_lies_at_the_equal_error_rate():
    system = made(2.0)
    axes, (curve,) = drawn({"made-up": system})
    assert curve.get_label() == f"made-up, EER {100 * system.eer:.2f} %"
    assert system.eer == pytest.approx(norm.cdf(-1.0), abs=1e-3)
    for axis in (axes.xaxis, axes.yaxis):
        for place, label in zip(axis.get_ticklocs(), axis.get_ticklabels(), strict=True):
            assert 100 * norm.cdf(place) == pytest.approx(float(label.get_text()), rel=1e-6)
    (dot,) = (line for line in axes.get_lines() if line.get_marker() == "o")
    assert np.ravel(dot.get_data()) == pytest.approx([-1.0, -1.0], abs=0.01)
    assert "acceptance in %" in axes.get_xlabel() and "rejection in %" in axes.get_ylabel()


@pytest.mark.parametrize("aparts", [(3.0, 2.0), (-2.0, 3.0, 0.0), (9.0,)])
def test_every_dot_lies_inside(aparts):
    """A verifier that is worse than a coin, and one without errors, too."""
    axes, curves = drawn({f"{apart}": made(apart) for apart in aparts})
    low, high = axes.get_xlim()
    dots = [line.get_data()[0][0] for line in axes.get_lines() if line.get_marker() == "o"]
    assert len(dots) == len(curves) == len(aparts) and all(low <= dot <= high for dot in dots)


def test_many_systems_are_told_apart_and_listed_as_the_curves_lie():
    systems = {f"system {n}": made(0.1 + 0.15 * n, trials=100) for n in range(21)}
    _, curves = drawn(systems)
    assert len({(curve.get_color(), curve.get_linestyle()) for curve in curves}) == 21
    assert [curve.get_label().split(",")[0] for curve in curves] == list(systems)


def test_a_system_has_the_same_colour_whatever_its_errors():
    first = {str(c.get_label())[0]: c.get_color() for c in drawn({"a": made(1.0), "b": made(2.0)})[1]}
    other = {str(c.get_label())[0]: c.get_color() for c in drawn({"a": made(2.0), "b": made(1.0)})[1]}
    assert first == other


def test_millions_of_trials_are_a_few_thousand_points():
    _, (curve,) = drawn({"made-up": made(1.0, trials=1_000_000)})
    assert len(curve.get_data()[0]) < 10_000


@pytest.mark.parametrize(("name", "start"), [("det.png", b"\x89PNG"), ("det.SVG", b"<?xml")])
def test_the_same_curves_give_the_same_file_and_nothing_else(tmp_path, name, start):
    systems = {"made-up": made(2.0, trials=50), "other": made(1.0, trials=50)}
    path = tmp_path / name
    write_det_plot(path, systems)
    first = path.read_bytes()
    write_det_plot(str(path), systems)
    assert first.startswith(start) and path.read_bytes() == first
    assert list(tmp_path.iterdir()) == [path]
    if start == b"<?xml":
        assert "made-up, EER 16.00 %" in first.decode()


@pytest.mark.parametrize("name", ["det.pdf", "det", "det.png.txt", ".png"])
def test_another_suffix_is_refused(tmp_path, name):
    with pytest.raises(BadOutputError, match=r"should be named \.png or \.svg"):
        write_det_plot(tmp_path / name, {"made-up": made(2.0, trials=10)})
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_named_and_left_alone(tmp_path):
    systems = {"made-up": made(2.0, trials=10)}
    with pytest.raises(BadOutputError, match=r"det\.png cannot be written: no such file or directory"):
        write_det_plot(tmp_path / "gone" / "det.png", systems)
    (tmp_path / "det.png").mkdir()
    with pytest.raises(BadOutputError, match=r"det\.png cannot be written: is a directory"):
        write_det_plot(tmp_path / "det.png", systems)
    assert list(tmp_path.iterdir()) == [tmp_path / "det.png"]


def test_without_the_extra_that_is_said(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"'voxveil\[plots\]'"):
        write_det_plot(Path(tmp_path, "det.png"), {"made-up": made(2.0, trials=10)})
