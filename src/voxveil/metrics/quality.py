"""How much a listener loses: PESQ, STOI, SNR, SI-SDR, log-spectral distance and loudness.

Arrays are float [time] in [−1, 1], clean and degraded equally long and aligned. PESQ and STOI come from the packages
``pesq`` and ``pystoi``, loudness from ``pyloudnorm`` (the extra ``eval``).
"""

from __future__ import annotations

import warnings
from typing import Literal

import numpy as np
import soxr
from numpy.typing import NDArray

from voxveil.errors import BadInputError, MissingExtraError

Sound = NDArray[np.float64]

PESQ_BEST = 4.644
"""The score of a recording against itself in wide band."""


def pesq(clean: Sound, degraded: Sound, sample_rate: int, band: Literal["wb", "nb"] = "wb") -> float:
    """Perceptual evaluation of speech quality as MOS-LQO, about 1 (bad) … 4.64 (ITU-T P.862.2; ``nb``: P.862.1).

    Raises :class:`~voxveil.errors.MissingExtraError` without the extra ``eval`` and
    :class:`~voxveil.errors.BadInputError` where no speech is found or the clip is shorter than 0.25 s.

    >>> pesq(np.zeros(100), np.zeros(100), 16_000)
    Traceback (most recent call last):
    voxveil.errors.BadInputError: PESQ finds no speech to judge in this clip.
    """
    try:
        from pesq import PesqError
        from pesq import pesq as published
    except ImportError as error:
        raise MissingExtraError.naming("eval", "PESQ") from error
    rate = 16_000 if band == "wb" else 8_000
    reference, judged = (_at_rate(sound, sample_rate, rate) for sound in (clean, degraded))
    # The package normalises both by their common peak: silence would divide by zero.
    if len(reference) < rate // 4 or not (reference.any() and judged.any()):
        raise BadInputError("PESQ finds no speech to judge in this clip.")
    try:
        return float(published(rate, reference, judged, band))
    except PesqError as error:
        raise BadInputError("PESQ finds no speech to judge in this clip.") from error


def stoi(clean: Sound, degraded: Sound, sample_rate: int) -> float:
    """Short-time objective intelligibility, 0 … 1 (C. Taal et al. 2011); 1 is as intelligible as the clean speech.

    Raises as :func:`pesq`; it needs 0.4 s of speech.

    >>> tone = np.sin(np.arange(16_000) * 0.2) * np.hanning(16_000)
    >>> round(stoi(tone, tone, 16_000), 3)
    1.0
    """
    try:
        from pystoi import stoi as published
    except ImportError as error:
        raise MissingExtraError.naming("eval", "STOI") from error
    problem = "STOI finds less than 0.4 s of speech in this clip."
    if len(clean) < 0.4 * sample_rate:
        raise BadInputError(problem)
    with warnings.catch_warnings():
        # pystoi warns, and returns 1e-5, where too little speech is left to compare.
        warnings.simplefilter("error", RuntimeWarning)
        try:
            return float(published(clean, degraded, sample_rate))
        except RuntimeWarning as warning:
            raise BadInputError(problem) from warning


def snr_db(clean: Sound, degraded: Sound) -> float:
    """Signal-to-noise ratio in dB, the noise being the difference.

    >>> round(snr_db(np.ones(8), np.ones(8) * 1.1), 1)
    20.0
    """
    return _ratio_db(clean, degraded - clean)


def si_sdr_db(clean: Sound, degraded: Sound) -> float:
    """Scale-invariant signal-to-distortion ratio in dB (J. Le Roux et al. 2019).

    >>> si_sdr_db(np.array([1.0, 0.0]), np.array([3.0, 3.0]))
    0.0
    """
    scale = float(clean @ degraded) / max(float(clean @ clean), 1e-20)
    return _ratio_db(scale * clean, degraded - scale * clean)


def log_spectral_distance_db(clean: Sound, degraded: Sound, n_fft: int = 512) -> float:
    """Root mean square difference of log power spectra in dB, over bins, averaged over frames.

    Both spectra are floored 60 dB below the clean clip's peak, lest silence decide.

    >>> noise = np.random.default_rng(0).normal(size=8000)
    >>> round(log_spectral_distance_db(noise, 2 * noise), 1)
    6.0
    """
    one, other = _power_frames(clean, n_fft), _power_frames(degraded, n_fft)
    floor = max(float(one.max()) * 1e-6, 1e-20)
    difference = 10.0 * np.log10(np.maximum(one, floor) / np.maximum(other, floor))
    return float(np.sqrt((difference**2).mean(1)).mean())


def loudness_lufs(sound: Sound, sample_rate: int) -> float:
    """Integrated loudness in LUFS (ITU-R BS.1770-4); −inf in silence.

    Raises :class:`~voxveil.errors.BadInputError` for less than 0.4 s.

    >>> tone = np.sin(2 * np.pi * 997 * np.arange(48_000) / 48_000)
    >>> abs(loudness_lufs(tone, 48_000) + 3.01) < 0.1
    True
    """
    try:
        import pyloudnorm
    except ImportError as error:
        raise MissingExtraError.naming("eval", "Loudness") from error
    if len(sound) < 0.4 * sample_rate:
        raise BadInputError("A loudness needs 0.4 s of sound.")
    with np.errstate(divide="ignore"):
        return float(pyloudnorm.Meter(sample_rate).integrated_loudness(sound))


def _at_rate(sound: Sound, rate_in: int, rate_out: int) -> NDArray[np.float32]:
    resampled = sound if rate_in == rate_out else soxr.resample(sound, rate_in, rate_out)
    return np.ascontiguousarray(resampled, dtype=np.float32)


def _ratio_db(signal: Sound, noise: Sound) -> float:
    energy = max(float(signal @ signal), 1e-20)
    return float(10.0 * np.log10(energy / max(float(noise @ noise), 1e-20)))


def _power_frames(sound: Sound, n_fft: int) -> NDArray[np.float64]:
    whole = np.pad(sound, (0, max(0, n_fft - len(sound))))
    frames = np.lib.stride_tricks.sliding_window_view(whole, n_fft)[:: n_fft // 2]
    return np.asarray(np.abs(np.fft.rfft(frames * np.hanning(n_fft), axis=1)) ** 2)
