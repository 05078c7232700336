"""A few bins of the spectrogram, missing for all of a clip: algorithm 1 of ClearMask (Y. Wang et al., ASIA CCS 2025).

Those are taken whose loss moves the mel spectrum most, so that no model is asked. The paper first leaves out bins below
a power that it does not give; a weak bin moves the spectrum little, and is hardly ever chosen.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool
from torch import Tensor

from voxveil.audio.mel import mel_filterbank
from voxveil.audio.spectrum import Stft
from voxveil.roles import Speech

SAMPLE_RATE = 16_000
GRID = Stft(n_fft=640, hop_samples=160)
"""Bins of 25 Hz; the paper's are of 23.4 Hz."""

N_MELS = 80

Bins = Bool[Tensor, "batch freq"]


def heaviest_bins(speech: Speech, count: int) -> Bins:
    """The ``count`` bins without which the mel spectrum of magnitudes changes most, in every clip.

    Without bin i it changes by ‖w_i‖ · ‖X_i‖, w_i the bin's weights in all bands: no search is needed.

    >>> tone = torch.sin(2 * torch.pi * 500.0 / SAMPLE_RATE * torch.arange(8_000))[None]
    >>> heaviest_bins(tone, 3).nonzero()[:, 1].tolist()
    [19, 20, 21]
    """
    weights = mel_filterbank(SAMPLE_RATE, GRID.n_fft, N_MELS, 0.0, None).to(speech)
    change = weights.norm(dim=0) * GRID(speech).abs().norm(dim=-1)
    chosen = torch.zeros_like(change, dtype=torch.bool)
    return chosen.scatter(1, change.topk(count, dim=1).indices, True)


def without_bins(speech: Speech, bins: Bins) -> Speech:
    """``speech`` with ``bins`` of its spectrogram set to 0.

    >>> tone = torch.sin(2 * torch.pi * 500.0 / SAMPLE_RATE * torch.arange(8_000))[None]
    >>> float(without_bins(tone, heaviest_bins(tone, 3))[:, 1000:-1000].abs().max()) < 1e-3
    True
    """
    return GRID.inverse(GRID(speech) * ~bins[..., None], speech.shape[-1])
