"""What speech hides: a masking threshold in the tradition of MPEG-1 (ISO/IEC 11172-3, Annex D, model 2).

Per frame, in partitions a third of a critical band wide:

1. energy e_b and unpredictability c_b: a bin is tonal when magnitude and phase go on as in the two frames before;
2. both are spread over neighbouring partitions by the ear's spreading function;
3. tonality t_b = −0.299 − 0.43·ln(c_b), held within 0 … 1;
4. what is masked lies SNR_b = t_b·TMN + (1 − t_b)·NMT dB below the spread energy: a tone hides noise only when that
   is TMN = 18 dB weaker, noise hides a tone already at NMT = 6 dB;
5. nothing below the threshold in quiet (E. Terhardt 1979) is heard either. A full-scale sine counts as 96 dB SPL.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

from voxveil.audio.bands import hz_to_bark
from voxveil.audio.spectrum import Stft, power

FULL_SCALE_SPL_DB = 96.0
TONE_MASKS_NOISE_DB = 18.0
NOISE_MASKS_TONE_DB = 6.0
_PARTITIONS_PER_BARK = 3


def threshold_in_quiet_db(frequency_hz: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """The quietest audible tone in dB SPL (Terhardt 1979); best hearing lies near 3.3 kHz.

    >>> threshold_in_quiet_db(torch.tensor([100.0, 1000.0, 3300.0])).round().tolist()
    [23.0, 3.0, -5.0]
    """
    khz = frequency_hz.clamp_min(20.0) / 1000.0
    return 3.64 * khz**-0.8 - 6.5 * torch.exp(-0.6 * (khz - 3.3) ** 2) + 1e-3 * khz**4


def spreading_db(masker_bark: Tensor, maskee_bark: Tensor) -> Tensor:
    """How far a masker's excitation has fallen at the maskee's place, in dB ≤ 0 (M. R. Schroeder et al. 1979).

    It falls by 25 dB a Bark towards low and by 10 dB a Bark towards high frequencies: masking spreads upwards.

    >>> spread = spreading_db(torch.tensor(8.0), torch.tensor([6.0, 8.0, 10.0]))
    >>> bool(spread[0] < spread[2] < spread[1])
    True
    """
    distance = maskee_bark - masker_bark + 0.474
    return 15.81 + 7.5 * distance - 17.5 * torch.sqrt(1.0 + distance.square())


@dataclass(frozen=True)
class _Partitions:
    """The frequency axis cut into thirds of a Bark: constant for a grid and a rate."""

    gather: Tensor  # [partition, freq]: 1 where a bin belongs to a partition
    spread: Tensor  # [partition, partition]: energy arriving from each other partition, rows sum to 1
    quiet: Tensor  # [freq]: threshold in quiet as |X|²


@lru_cache(maxsize=16)
def _partitions(stft: Stft, sample_rate: int) -> _Partitions:
    frequencies = stft.frequencies_hz(sample_rate)
    bark = hz_to_bark(frequencies)
    index = (bark * _PARTITIONS_PER_BARK).long()
    used, index = torch.unique(index, return_inverse=True)
    gather = torch.zeros(len(used), len(bark))
    gather[index, torch.arange(len(bark))] = 1.0
    centre = gather @ bark / gather.sum(1)
    spread = 10.0 ** (spreading_db(centre[None, :], centre[:, None]) / 10.0)
    spread = spread / spread.sum(1, keepdim=True)
    # A full-scale sine under a Hann window peaks at |X| = n_fft / 4.
    full_scale = (stft.n_fft / 4) ** 2
    quiet = full_scale * 10.0 ** ((threshold_in_quiet_db(frequencies) - FULL_SCALE_SPL_DB) / 10.0)
    return _Partitions(gather, spread, quiet)


def unpredictability(spectrum: Tensor) -> Float[Tensor, "*batch freq frame"]:
    """0 where a bin goes on as in the two frames before (a tone), towards 1 where it does not (noise).

    c = |X − X̂| / (|X| + |X̂|) with X̂ of magnitude 2|X₋₁| − |X₋₂| and phase 2φ₋₁ − φ₋₂; the first two frames count
    as noise.

    >>> tone = torch.sin(torch.arange(16_000, dtype=torch.float64) * 0.4)[None]
    >>> bool(unpredictability(Stft()(tone))[0, 33, 10:-10].max() < 0.05)
    True
    """
    magnitude = spectrum.abs()
    phase = spectrum / magnitude.clamp_min(1e-20)
    predicted_magnitude = 2.0 * magnitude[..., 1:-1] - magnitude[..., :-2]
    predicted = predicted_magnitude * phase[..., 1:-1].square() * phase[..., :-2].conj()
    error = (spectrum[..., 2:] - predicted).abs()
    measure = error / (magnitude[..., 2:] + predicted_magnitude.abs()).clamp_min(1e-20)
    first = torch.ones_like(magnitude[..., :2])
    return torch.cat([first[..., : magnitude.shape[-1]], measure.clamp(0.0, 1.0)], dim=-1)


def masking_threshold(
    speech: Float[Tensor, "*batch time"], sample_rate: int, stft: Stft
) -> Float[Tensor, "*batch freq frame"]:
    """The power |X|² that may be added in every bin of ``stft`` and frame without being heard beside ``speech``.

    Computed without gradient: it bounds a perturbation and is no part of it. ``speech`` is in [−1, 1].

    >>> threshold = masking_threshold(torch.zeros(1, 4000), 16_000, Stft())
    >>> threshold.shape
    torch.Size([1, 257, 32])
    """
    with torch.no_grad():
        spectrum = stft(speech)
        parts = _partitions(stft, sample_rate)
        gather, spread = parts.gather.to(speech), parts.spread.to(speech)
        energy = power(spectrum)
        spread_energy = spread @ (gather @ energy)
        spread_noise = spread @ (gather @ (energy * unpredictability(spectrum)))
        chaos = (spread_noise / spread_energy.clamp_min(1e-30)).clamp(1e-6, 1.0)
        tonality = (-0.299 - 0.43 * torch.log(chaos)).clamp(0.0, 1.0)
        below_db = tonality * TONE_MASKS_NOISE_DB + (1.0 - tonality) * NOISE_MASKS_TONE_DB
        # A partition's masked energy is shared out evenly among its bins.
        masked = spread_energy * 10.0 ** (-below_db / 10.0) / gather.sum(1)[:, None]
        return torch.maximum(gather.T @ masked, parts.quiet.to(speech)[:, None])
