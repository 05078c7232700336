"""What a change costs the listener, as differentiable objectives.

Two terms, after the two measures that later judge the result:

- :class:`LoudnessDisturbance` follows the perceptual model of PESQ (ITU-T P.862, A. Rix et al. 2001): loudness per
  critical band and frame at a fixed listening level, static colouring and slow gain changes forgiven, differences below
  a quarter of the loudness unheard, additions weighted more than losses;
- :class:`EnvelopeDistortion` follows STOI (C. Taal et al. 2011): 1 − correlation of the envelopes of third-octave
  bands over 0.4 s, where somebody speaks.

Both look at the same power spectrum, which :class:`Listener` computes once. They guide the descent; the numbers in
reports come from the published implementations in ``metrics/``.
"""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from voxveil.audio.bands import hz_to_bark
from voxveil.audio.masking import threshold_in_quiet_db
from voxveil.audio.spectrum import Stft, power
from voxveil.perturb.objectives import Insistence
from voxveil.roles import Loss, Speech

_STFT = Stft(n_fft=512, hop_samples=256)
_BANDS = 42
_LISTENING_DB = 95.0
_LEVEL_BAND_HZ = (325.0, 3250.0)
_ACTIVE = 1e7
_ZWICKER_EXPONENT = 0.23
_LOUDNESS_SCALE = 0.1866
_DEADZONE = 0.25
_THIRD_OCTAVES = 15
_LOWEST_THIRD_OCTAVE_HZ = 150.0
_SPEECH_RANGE_DB = 40.0
_TINY = 1e-9
INSISTENCE = 3.0
"""How much dearer a disturbance gets in every call, for each unit that it is above what is allowed."""

Power = Float[Tensor, "batch freq frame"]
Bands = Float[Tensor, "batch band frame"]


@lru_cache(maxsize=8)
def _bark_bands(sample_rate: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Half-Bark bands: membership [band, freq], width in Bark [band, 1], threshold in quiet as power [band, 1]."""
    frequencies = _STFT.frequencies_hz(sample_rate)[1:]
    bark = hz_to_bark(frequencies)
    edges = torch.linspace(float(bark[0]), float(bark[-1]), _BANDS + 1)
    index = (torch.bucketize(bark, edges) - 1).clamp(0, _BANDS - 1)
    used, index = torch.unique(index, return_inverse=True)
    members = torch.zeros(len(used), len(bark) + 1)
    members[index, torch.arange(1, len(bark) + 1)] = 1.0
    centres = members[:, 1:] @ frequencies / members.sum(1)
    width = (edges[1:] - edges[:-1])[used]
    quiet = 10.0 ** (threshold_in_quiet_db(centres) / 10.0)
    return members.to(device), width[:, None].to(device), quiet[:, None].to(device)


@lru_cache(maxsize=8)
def _third_octaves(sample_rate: int, device: torch.device) -> Tensor:
    """STOI's bands: membership [band, freq] of those that have a bin and end below half the sample rate."""
    frequencies = _STFT.frequencies_hz(sample_rate)
    centres = _LOWEST_THIRD_OCTAVE_HZ * 2.0 ** (torch.arange(_THIRD_OCTAVES) / 3.0)
    low, high = centres[:, None] * 2.0 ** (-1.0 / 6.0), centres[:, None] * 2.0 ** (1.0 / 6.0)
    members = ((frequencies >= low) & (frequencies < high) & (high < sample_rate / 2)).float()
    return members[members.sum(1) > 0].to(device)


def listened_power(speech: Speech) -> Power:
    """What both terms look at: the power spectrum, frames of 512 samples every 256.

    >>> listened_power(torch.zeros(1, 1024)).shape
    torch.Size([1, 257, 5])
    """
    return power(_STFT(speech))


def bark_power(spectrum: Power, sample_rate: int) -> Bands:
    """The power in half-Bark bands, a partition of the bins above 0 Hz.

    >>> bark_power(torch.ones(1, 257, 5), 16_000).sum(1)[0, 0].item()
    256.0
    """
    members, _, _ = _bark_bands(sample_rate, spectrum.device)
    return members.to(spectrum.dtype) @ spectrum


class LoudnessDisturbance:
    """0.1 · symmetric + 0.0309 · asymmetric disturbance between ``clean`` and adversarial speech, [batch].

    0 means unheard; PESQ's raw score, 4.5 for unchanged speech, falls by a point for each unit. Both voices are set to
    the same level in the band of a telephone. What is left out of PESQ is its alignment in time.

    >>> clean = torch.randn(1, 16_000, generator=torch.Generator().manual_seed(0)) * 0.05
    >>> term = LoudnessDisturbance(clean, 16_000)
    >>> float(term(clean)) < 1e-3 < float(term(clean + 0.05 * torch.sin(torch.arange(16_000.0))))
    True
    """

    def __init__(self, clean: Speech, sample_rate: int) -> None:
        self.sample_rate = sample_rate
        with torch.no_grad():
            self.reference = self._listened(listened_power(clean))
            self.active = (self.reference.sum(1, keepdim=True) > _ACTIVE).to(clean)

    def __call__(self, adversarial: Speech) -> Loss:
        """The disturbance of every clip."""
        return self.of_power(listened_power(adversarial))

    def of_power(self, spectrum: Power) -> Loss:
        """The same from the adversarial speech's :func:`listened_power`."""
        degraded = self._listened(spectrum)
        reference = self._coloured_like(degraded)
        degraded = degraded * _slow_gain(reference, degraded)
        symmetric, asymmetric = self._disturbances(reference, degraded)
        # Loud frames hide what quiet ones show.
        emphasis = ((reference.sum(1) + 1e5) / 1e7) ** 0.04
        return 0.1 * _over_time(symmetric / emphasis) + 0.0309 * _over_time(asymmetric / emphasis)

    def _listened(self, spectrum: Power) -> Bands:
        """The power of the bands at the listening level."""
        frequencies = _STFT.frequencies_hz(self.sample_rate)
        low, high = _LEVEL_BAND_HZ
        spoken = spectrum[:, (frequencies >= low) & (frequencies <= high)].sum(1).mean(1)
        scale = 10.0 ** (_LISTENING_DB / 10.0) / spoken.clamp_min(1e-20)
        return bark_power(spectrum, self.sample_rate) * scale[:, None, None]

    def _coloured_like(self, degraded: Bands) -> Bands:
        """The reference with the long-term spectrum of the degraded speech, within ±20 dB: colouring is forgiven."""
        wanted = (degraded * self.active).mean(2, keepdim=True)
        present = (self.reference * self.active).mean(2, keepdim=True)
        return self.reference * ((wanted + 1e3) / (present + 1e3)).clamp(0.01, 100.0)

    def _disturbances(self, reference: Bands, degraded: Bands) -> tuple[Tensor, Tensor]:
        _, width, quiet = _bark_bands(self.sample_rate, degraded.device)
        loud_reference, loud_degraded = _loudness(reference, quiet), _loudness(degraded, quiet)
        difference = loud_degraded - loud_reference
        unheard = _DEADZONE * torch.minimum(loud_degraded, loud_reference)
        heard = (difference.abs() - unheard).clamp_min(0.0)
        symmetric = ((heard * width).square().sum(1) * width.sum() + _TINY).sqrt()
        added = ((degraded + 50.0) / (reference + 50.0)) ** 1.2
        added = torch.where(added < 3.0, torch.zeros_like(added), added.clamp_max(12.0))
        return symmetric, (heard * added * width).sum(1)


class EnvelopeDistortion:
    """1 − mean correlation of band envelopes in windows of 0.4 s, [batch]: 0 means as intelligible as the clean speech.

    >>> clean = torch.randn(1, 16_000, generator=torch.Generator().manual_seed(0)) * 0.05
    >>> abs(float(EnvelopeDistortion(clean, 16_000)(clean))) < 1e-3
    True
    """

    _window_frames = 24
    _step_frames = 6

    def __init__(self, clean: Speech, sample_rate: int) -> None:
        self.members = _third_octaves(sample_rate, clean.device).to(clean.dtype)
        with torch.no_grad():
            spectrum = listened_power(clean)
            self.reference = self._patterns(spectrum)
            level = self._windows(spectrum.sum(1)).mean(-1)
            spoken = (level > level.amax(1, keepdim=True) * 10.0 ** (-_SPEECH_RANGE_DB / 10.0)).to(clean)
            self.share = spoken / spoken.sum(1, keepdim=True).clamp_min(1.0)

    def __call__(self, adversarial: Speech) -> Loss:
        """The distortion of every clip."""
        return self.of_power(listened_power(adversarial))

    def of_power(self, spectrum: Power) -> Loss:
        """The same from the adversarial speech's :func:`listened_power`."""
        # Σ reference² is 1, and 0 where the clean speech is silent: nothing to understand, nothing to lose.
        lost = self.reference.square() - self.reference * self._patterns(spectrum)
        return (lost.sum(-1).mean(1) * self.share).sum(-1)

    def _windows(self, frames: Tensor) -> Tensor:
        if frames.shape[-1] < self._window_frames:
            frames = F.pad(frames, (0, self._window_frames - frames.shape[-1]))
        return frames.unfold(-1, self._window_frames, self._step_frames)

    def _patterns(self, spectrum: Power) -> Tensor:
        windows = self._windows((self.members @ spectrum + _TINY).sqrt())
        windows = windows - windows.mean(-1, keepdim=True)
        return windows / (windows.square().sum(-1, keepdim=True) + _TINY).sqrt()


class Listener:
    """``loudness_weight`` · loudness disturbance + ``envelope_weight`` · envelope distortion, [batch].

    A clip whose disturbance is more than ``allowed`` pays ever more for it in every call, so clips end equally good.

    >>> clean = torch.randn(1, 16_000, generator=torch.Generator().manual_seed(0)) * 0.05
    >>> cost = Listener(clean, 16_000, loudness_weight=1.0, envelope_weight=1.0, allowed=1.0)
    >>> float(cost(clean)) < 1e-2 < float(cost(clean.roll(100)))
    True
    """

    def __init__(
        self, clean: Speech, sample_rate: int, loudness_weight: float, envelope_weight: float, allowed: float
    ) -> None:
        disturbance = LoudnessDisturbance(clean, sample_rate).of_power
        self.loudness = Insistence(disturbance, allowed, weight=0.0, rate=INSISTENCE, beyond=loudness_weight)
        self.envelope = EnvelopeDistortion(clean, sample_rate)
        self.envelope_weight = envelope_weight

    def __call__(self, adversarial: Speech) -> Loss:
        """The cost of every clip."""
        spectrum = listened_power(adversarial)
        return self.loudness(spectrum) + self.envelope_weight * self.envelope.of_power(spectrum)


def _loudness(bands: Bands, quiet: Tensor) -> Bands:
    """Zwicker's law, N ∝ (P₀/0.5)^0.23 · [(0.5 + 0.5·P/P₀)^0.23 − 1], P₀ the threshold in quiet."""
    grown = (0.5 + 0.5 * bands / quiet) ** _ZWICKER_EXPONENT - 1.0
    return _LOUDNESS_SCALE * (quiet / 0.5) ** _ZWICKER_EXPONENT * grown.clamp_min(0.0)


def _slow_gain(reference: Bands, degraded: Bands) -> Tensor:
    """The gain per frame that brings the degraded speech to the reference's loudness, smoothed: fading is forgiven."""
    ratio = (reference.sum(1) + 5e3) / (degraded.sum(1) + 5e3)
    smooth = F.avg_pool1d(ratio[:, None], 3, stride=1, padding=1, count_include_pad=False)
    return smooth.clamp(3e-4, 5.0)


def _over_time(disturbance: Float[Tensor, "batch frame"]) -> Loss:
    """L6 over 0.3 s (one bad moment spoils a syllable), L2 over the clip."""
    disturbance = disturbance.clamp_max(45.0)
    if disturbance.shape[-1] < 20:
        disturbance = F.pad(disturbance, (0, 20 - disturbance.shape[-1]))
    syllables = ((disturbance.unfold(-1, 20, 10) ** 6).mean(-1) + _TINY) ** (1.0 / 6.0)
    return syllables.square().mean(-1).sqrt() - _TINY ** (1.0 / 6.0)
