"""Carriers: how numbers change speech.

A carrier is a map (amounts, clean) → adversarial in which zero changes nothing. Amounts are in the unit of the
carrier's budget (amplitude, |X|, dB). Carriers hold no state, so the amounts found on a mono mix apply to every channel
of the recording.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F

from voxveil.audio.bands import band_gain, equalised
from voxveil.audio.levels import k_weighting, with_loudness_of
from voxveil.audio.spectrum import Stft, power
from voxveil.perturb.budgets import BandWeighted, MaskingThreshold
from voxveil.roles import Budget, Carrier, Parameters, Speech


@dataclass(frozen=True)
class Additive:
    """x + δ: one number a sample.

    >>> from voxveil.perturb.budgets import Linf
    >>> Additive(Linf(0.1))((torch.tensor([[0.1, -0.1]]),), torch.zeros(1, 2)).tolist()[0][0].__round__(2)
    0.1
    """

    budget: Budget

    @property
    def budgets(self) -> tuple[Budget, ...]:
        """The budget of δ."""
        return (self.budget,)

    def shapes(self, clean: Speech) -> tuple[tuple[int, ...], ...]:
        """That of the speech."""
        return (tuple(clean.shape),)

    def __call__(self, amounts: Parameters, clean: Speech) -> Speech:
        """The sum."""
        return clean + amounts[0]


@dataclass(frozen=True)
class SpectralAdditive:
    """x + iSTFT(D): one complex number a time–frequency bin, bounded where the ear or the band allows it.

    >>> carrier = SpectralAdditive(MaskingThreshold(-10.0, sample_rate=16_000))
    >>> carrier.shapes(torch.zeros(1, 4000))
    ((1, 2, 257, 32),)
    """

    budget: MaskingThreshold | BandWeighted

    @property
    def budgets(self) -> tuple[Budget, ...]:
        """The budget of D."""
        return (self.budget,)

    def shapes(self, clean: Speech) -> tuple[tuple[int, ...], ...]:
        """[batch, 2 (real, imaginary), freq, frame]."""
        stft = self.budget.stft
        return ((clean.shape[0], 2, stft.n_fft // 2 + 1, stft.frames(clean.shape[-1])),)

    def __call__(self, amounts: Parameters, clean: Speech) -> Speech:
        """The sum."""
        spectrum = torch.complex(amounts[0][:, 0], amounts[0][:, 1])
        return clean + self.budget.stft.inverse(spectrum, clean.shape[-1])


@dataclass(frozen=True)
class Filter:
    """A static equaliser: ``bands`` gains in dB, equally spaced in Bark, without phase or delay.

    >>> from voxveil.perturb.budgets import GainRange
    >>> equaliser = Filter(GainRange(9.0), 16_000)
    >>> speech = torch.sin(torch.arange(16_000) * 0.4)[None]
    >>> louder = equaliser((torch.full((1, 24), 6.0206),), speech)
    >>> round(float(louder[0, 8000] / speech[0, 8000]), 3)
    2.0
    """

    budget: Budget
    sample_rate: int
    bands: int = 24

    @property
    def budgets(self) -> tuple[Budget, ...]:
        """The range of the gains."""
        return (self.budget,)

    def shapes(self, clean: Speech) -> tuple[tuple[int, ...], ...]:
        """[batch, band]."""
        return ((clean.shape[0], self.bands),)

    def __call__(self, amounts: Parameters, clean: Speech) -> Speech:
        """The filtered speech."""
        return equalised(clean, amounts[0], self.sample_rate)


@dataclass(frozen=True)
class GainMask:
    """A static equaliser times a mask over time and frequency, at the loudness of the clean speech.

    In dB, the gain of a band is ``static`` + ``moving`` (one value every ``frames_per_gain`` frames of ``stft``),
    glided linearly from step to step and from band to band; one number a clip then restores the loudness (ITU-R
    BS.1770). With ``GainRange(0.0)`` as one of the two budgets the other is left alone. Both in one carrier cost one
    transform.

    >>> from voxveil.perturb.budgets import GainRange
    >>> mask = GainMask(GainRange(12.0), GainRange(6.0), 16_000)
    >>> mask.shapes(torch.zeros(1, 4000))
    ((1, 24), (1, 24, 9))
    """

    static: Budget
    moving: Budget
    sample_rate: int
    bands: int = 24
    frames_per_gain: int = 4
    stft: Stft = field(default_factory=Stft)

    @property
    def budgets(self) -> tuple[Budget, ...]:
        """The ranges of the static and of the moving gains."""
        return (self.static, self.moving)

    def shapes(self, clean: Speech) -> tuple[tuple[int, ...], ...]:
        """[batch, band] and [batch, band, time step]."""
        steps = (self.stft.frames(clean.shape[-1]) - 1) // self.frames_per_gain + 2
        return ((clean.shape[0], self.bands), (clean.shape[0], self.bands, steps))

    def __call__(self, amounts: Parameters, clean: Speech) -> Speech:
        """The masked speech."""
        static, moving = amounts
        spectrum = self.stft(clean)
        bins, frames = spectrum.shape[-2:]
        steps = (moving.shape[-1] - 1) * self.frames_per_gain + 1
        glide = F.interpolate(moving, size=steps, mode="linear", align_corners=True)[..., :frames]
        gain = band_gain(static[..., None] + glide, bins, self.sample_rate)
        ear = k_weighting(bins, self.sample_rate, clean.device).to(clean.dtype)
        heard = power(spectrum) * ear[:, None]
        change = (heard * gain.square()).sum((1, 2)).clamp_min(1e-20) / heard.sum((1, 2)).clamp_min(1e-20)
        return self.stft.inverse(spectrum * (gain / change.sqrt()[:, None, None]), clean.shape[-1])


@dataclass(frozen=True)
class Chain:
    """One carrier after the other, each with its own amounts and budget.

    >>> from voxveil.perturb.budgets import GainRange, Linf
    >>> chain = Chain((Filter(GainRange(9.0), 16_000), Additive(Linf(0.01))))
    >>> chain.shapes(torch.zeros(1, 4000))
    ((1, 24), (1, 4000))
    """

    carriers: tuple[Carrier, ...]

    @property
    def budgets(self) -> tuple[Budget, ...]:
        """All budgets in order."""
        return tuple(budget for carrier in self.carriers for budget in carrier.budgets)

    def shapes(self, clean: Speech) -> tuple[tuple[int, ...], ...]:
        """All shapes in order."""
        return tuple(shape for carrier in self.carriers for shape in carrier.shapes(clean))

    def __call__(self, amounts: Parameters, clean: Speech) -> Speech:
        """The last carrier's output."""
        speech, start = clean, 0
        for carrier in self.carriers:
            count = len(carrier.budgets)
            speech = carrier(amounts[start : start + count], speech)
            start += count
        return speech


@dataclass(frozen=True)
class Levelled:
    """A carrier whose output is as loud as the clean speech (ITU-R BS.1770), so that loudness is never the attack.

    >>> from voxveil.perturb.budgets import GainRange
    >>> levelled = Levelled(Filter(GainRange(9.0), 16_000), 16_000)
    >>> speech = torch.sin(torch.arange(4000) * 0.4)[None]
    >>> louder = levelled((torch.full((1, 24), 6.0),), speech)
    >>> round(float(louder.square().mean() / speech.square().mean()), 4)
    1.0
    """

    carrier: Carrier
    sample_rate: int

    @property
    def budgets(self) -> tuple[Budget, ...]:
        """Those of the carrier."""
        return self.carrier.budgets

    def shapes(self, clean: Speech) -> tuple[tuple[int, ...], ...]:
        """Those of the carrier."""
        return self.carrier.shapes(clean)

    def __call__(self, amounts: Parameters, clean: Speech) -> Speech:
        """The carrier's output at the loudness of ``clean``."""
        return with_loudness_of(self.carrier(amounts, clean), clean, self.sample_rate)


@dataclass(frozen=True)
class Clipped:
    """A carrier whose output stays within full scale, whatever its budget allows.

    Speech that itself goes beyond, as files of floating point may, keeps its samples there. Where a sample is held, no
    gradient passes: what a step has pushed out stays at full scale.

    >>> from voxveil.perturb.budgets import Linf
    >>> Clipped(Additive(Linf(1.0)))((torch.tensor([[1.0, -0.5]]),), torch.full((1, 2), 0.25)).tolist()
    [[1.0, -0.25]]
    """

    carrier: Carrier

    @property
    def budgets(self) -> tuple[Budget, ...]:
        """Those of the carrier."""
        return self.carrier.budgets

    def shapes(self, clean: Speech) -> tuple[tuple[int, ...], ...]:
        """Those of the carrier."""
        return self.carrier.shapes(clean)

    def __call__(self, amounts: Parameters, clean: Speech) -> Speech:
        """The carrier's output, clipped to −1 … 1, or to where the clean sample is."""
        bound = clean.abs().clamp_min(1.0)
        return self.carrier(amounts, clean).clamp(-bound, bound)
