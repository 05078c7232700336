"""Mel-cepstral distortion: how far the smoothed spectra of two utterances of the same words lie apart.

R. Kubichek: Mel-Cepstral Distance Measure for Objective Speech Quality Assessment, IEEE Pacific Rim Conference on
Communications, Computers and Signal Processing, 1993:

    MCD = 10/ln 10 · √(2 · Σ_{d=1…13} (c_d − c'_d)²)

with cepstra ln|H(θ)| = Σ_d c_d·cos(dθ). It is the root mean square over the mel axis of the difference in dB of two
spectra that 13 cosines smooth; the level, c_0, is left out. So with an orthonormal DCT of B mel bands in dB (the
coefficients of :class:`voxveil.audio.mel.Mfcc`) it is √(Σ_d (m_d − m'_d)² / B).
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float64

from voxveil.audio.mel import MelSpectrogram, Mfcc
from voxveil.audio.spectrum import Stft
from voxveil.errors import BadInputError
from voxveil.metrics.quality import Sound
from voxveil.metrics.time_warping import warping_path

COEFFICIENTS = 13
BANDS = 40
WINDOW_S, HOP_S = 0.025, 0.010

Cepstra = Float64[np.ndarray, "_frame 13"]
"""In dB, scaled so that their Euclidean distance is the distortion of two frames."""


def mel_cepstral_distortion_db(clean: Sound, degraded: Sound, sample_rate: int) -> float:
    """The mean distortion in dB of frames that dynamic time warping puts side by side; 0 for the same spectra.

    The two need not be equally long, and a gain changes nothing. Spectra count down to 80 dB below a clip's loudest
    band.

    Raises :class:`~voxveil.errors.BadInputError` for a clip that is shorter than a window of 25 ms.

    >>> noise = np.random.default_rng(0).normal(size=4000)
    >>> round(mel_cepstral_distortion_db(noise, 0.5 * noise, 16_000), 3)
    0.0
    """
    one, other = cepstra(clean, sample_rate), cepstra(degraded, sample_rate)
    squares = (one**2).sum(1)[:, None] + (other**2).sum(1) - 2.0 * one @ other.T
    distances = np.sqrt(np.maximum(squares, 0.0))
    return float(np.mean([distances[pair] for pair in warping_path(distances)]))


def cepstra(sound: Sound, sample_rate: int) -> Cepstra:
    """The mel cepstrum of every 10 ms, without its level.

    Raises as :func:`mel_cepstral_distortion_db`.

    >>> cepstra(np.ones(1600), 16_000).shape
    (11, 13)
    """
    window = round(WINDOW_S * sample_rate)
    if len(sound) < window:
        raise BadInputError("A mel-cepstral distortion needs clips of 25 ms or more.")
    mel = MelSpectrogram(sample_rate, Stft(window, round(HOP_S * sample_rate)), n_mels=BANDS)
    found = Mfcc(mel, n_mfcc=COEFFICIENTS + 1)(torch.as_tensor(sound, dtype=torch.float32)[None])[0, 1:]
    return np.asarray(found.T.double().numpy() / np.sqrt(BANDS))
