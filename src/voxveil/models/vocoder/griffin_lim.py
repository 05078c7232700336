"""Speech from magnitudes alone: the phase is found that a spectrum of these magnitudes can have.

D. W. Griffin and J. S. Lim, "Signal Estimation from Modified Short-Time Fourier Transform", IEEE TASSP 32(2), 1984:
alternate between the nearest spectrum c that sound can have (transform back and forth) and the wanted magnitudes.
N. Perraudin, P. Balazs and P. L. Søndergaard, "A Fast Griffin–Lim Algorithm", WASPAA 2013: go further along the way
that the last round went,

    t_n = STFT(ISTFT(c_n)),    c_{n+1} = magnitude · phase of (t_n + α·(t_n − t_{n−1})),

which is Griffin and Lim's for α = 0. ``magnitude`` may come from mel bands by
:func:`voxveil.audio.mel_inverse.spectrum_from_mel`.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from voxveil.audio.spectrum import Stft
from voxveil.errors import BadInputError


def griffin_lim(
    magnitude: Float[Tensor, "*batch freq frame"],
    stft: Stft,
    length_samples: int,
    iterations: int = 32,
    momentum: float = 0.99,
    seed: int = 0,
) -> Float[Tensor, "*batch time"]:
    """Sound of ``length_samples`` whose spectrum in the grid ``stft`` has nearly this ``magnitude``.

    It starts at a random phase that depends on ``seed`` alone, the same for every clip of a batch. ``momentum`` is α,
    0 … 1. Two sounds of one magnitude may differ in sign, so compare spectra, not samples.

    Raises :class:`~voxveil.errors.BadInputError` where so many samples have another number of frames.

    >>> stft = Stft(512, 128)
    >>> magnitude = stft(torch.sin(0.1 * torch.arange(4000.0))[None]).abs()
    >>> sound = griffin_lim(magnitude, stft, 4000)
    >>> error = torch.linalg.norm(stft(sound).abs() - magnitude) / torch.linalg.norm(magnitude)
    >>> sound.shape, bool(error < 0.1)
    (torch.Size([1, 4000]), True)
    """
    frames = magnitude.shape[-1]
    if stft.frames(length_samples) != frames:
        raise BadInputError(
            f"A spectrum of {frames} frames is not that of {length_samples} samples: "
            f"ask for {(frames - 1) * stft.hop_samples} to {frames * stft.hop_samples - 1} samples."
        )
    generator = torch.Generator().manual_seed(seed)
    turns = torch.rand(magnitude.shape[-2:], generator=generator, dtype=magnitude.dtype).to(magnitude.device)
    spectrum = torch.polar(magnitude, (2.0 * torch.pi * turns).expand_as(magnitude))
    before: Tensor | None = None
    for _ in range(iterations):
        possible = stft(stft.inverse(spectrum, length_samples))
        ahead = possible if before is None else possible + momentum * (possible - before)
        # In silence there is no phase, and none is needed.
        spectrum = magnitude * ahead / ahead.abs().clamp_min(torch.finfo(magnitude.dtype).tiny)
        before = possible
    return stft.inverse(spectrum, length_samples)
