"""The control beside every protection: white noise that costs the listener just as much.

Noise, too, lowers a verifier's score. A protection is worth something only as far as it does better than noise of
*equal quality*; noise of equal SNR would be unfair to filters, whose difference is large and hardly heard.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from voxveil.metrics.quality import Sound

_QUIETEST_SNR_DB, _LOUDEST_SNR_DB = 70.0, -10.0


def noise_of_equal_quality(
    clips: Sequence[Sound],
    quality: Callable[[Sound, Sound], float],
    target: float,
    seed: int,
    rounds: int = 8,
) -> tuple[list[Sound], float]:
    """``clips`` plus white noise whose mean ``quality`` (clean, noisy) is ``target``, and the noise's SNR in dB.

    One SNR serves all clips. Quality falls as noise grows, so eight halvings of 80 dB find the SNR to 0.2 dB.

    >>> clip = np.sin(np.arange(1000.0))
    >>> noisy, snr_db = noise_of_equal_quality([clip], lambda x, y: -np.std(y - x), target=-0.1, seed=0)
    >>> round(float(np.std(noisy[0] - clip)), 2)
    0.1
    """
    generator = np.random.default_rng(seed)
    noises = []
    for clip in clips:
        noise = generator.standard_normal(len(clip))
        noises.append(noise * np.sqrt(np.mean(clip**2) / np.mean(noise**2)))

    def noisy(snr_db: float) -> list[Sound]:
        gain = 10.0 ** (-snr_db / 20.0)
        return [clip + gain * noise for clip, noise in zip(clips, noises, strict=True)]

    low, high = _LOUDEST_SNR_DB, _QUIETEST_SNR_DB
    for _ in range(rounds):
        middle = (low + high) / 2.0
        mean = np.mean([quality(x, y) for x, y in zip(clips, noisy(middle), strict=True)])
        low, high = (low, middle) if mean >= target else (middle, high)
    snr_db = (low + high) / 2.0
    return noisy(snr_db), snr_db
