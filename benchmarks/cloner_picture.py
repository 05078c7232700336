"""Spectrograms of a content, of a reference, and of the content in the reference's voice, one below the other."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib as mpl
from speakers import RATE

from voxveil.audio.spectrum import Stft, power
from voxveil.roles import Clip

GRID = Stft(n_fft=512, hop_samples=128)
RANGE_DB = 70.0


def picture(sounds: Mapping[str, Clip]) -> mpl.figure.Figure:
    """One row a sound, titled by its name; all of them last as long as the first, or are shorter."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    longest = len(next(iter(sounds.values())))
    size = {"figsize": (10, 1.9 * len(sounds)), "layout": "constrained"}
    figure, rows = plt.subplots(len(sounds), sharex=True, sharey=True, **size)
    for axes, (name, sound) in zip(rows, sounds.items(), strict=True):
        clip = sound[:longest]
        level_db = 10.0 * power(GRID(clip)).clamp_min(1e-10).log10().numpy()
        extent = (0.0, len(clip) / RATE, 0.0, RATE / 2000.0)
        bright = {"vmax": level_db.max(), "vmin": level_db.max() - RANGE_DB}
        axes.imshow(level_db, origin="lower", aspect="auto", extent=extent, cmap="magma", **bright)
        axes.set_title(name, loc="left", fontsize=9)
        axes.set_ylabel("kHz")
    rows[-1].set(xlabel="s", xlim=(0.0, longest / RATE))
    return figure
