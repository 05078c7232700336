"""What a recording meets on its way, drawn anew for every clip: a room, a microphone, a narrow band, noise, voices.

D. Snyder et al., "X-Vectors: Robust DNN Embeddings for Speaker Recognition", ICASSP 2018 (rooms, noise, babble), here
without recordings of either: rooms are noise that dies away (J.-D. Polack 1988), noise has a random slope, babble is
the other voices of the batch. D. S. Park et al., "SpecAugment", Interspeech 2019, for the masks over features.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from scipy.fft import next_fast_len
from torch import Generator, Tensor

from voxveil.audio.bands import band_interpolation
from voxveil.audio.levels import rms
from voxveil.roles import Speech


@dataclass(frozen=True)
class Surroundings:
    """Speech [batch, time] → the same speech as recorded elsewhere, every clip elsewhere.

    Each part has its share of clips: ``room`` (a decay by 60 dB in 0.1 … 0.7 s, −2 … 15 dB below the direct sound),
    ``microphone`` (an equaliser of up to ±``microphone_db`` in eight bands), ``narrow`` (nothing above 3 … 7.5 kHz),
    ``noise`` (power ~ 1/fᵃ, a = 0 … 2, SNR 3 … 30 dB), ``babble`` (three other clips, SNR 6 … 20 dB: a batch has at
    least four).

    What is random is drawn on the CPU and moved to where the speech is: a seed means the same surroundings everywhere.

    >>> speech = torch.randn(4, 16_000, generator=Generator().manual_seed(0))
    >>> Surroundings()(speech, Generator().manual_seed(1)).shape
    torch.Size([4, 16000])
    """

    room: float = 0.5
    microphone: float = 0.8
    microphone_db: float = 9.0
    narrow: float = 0.25
    noise: float = 0.6
    babble: float = 0.3
    sample_rate: int = 16_000

    def __call__(self, speech: Speech, generator: Generator) -> Speech:
        """The speech at the level it had, peaks within full scale."""
        batch, length = speech.shape
        size = next_fast_len(length + self.sample_rate // 2, real=True)
        spectrum = torch.fft.rfft(speech, size)
        spectrum = spectrum * self._rooms(batch, size, generator).to(speech.device)
        spectrum = spectrum * self._microphones(batch, size, generator).to(speech.device)
        heard = torch.fft.irfft(spectrum, size)[:, :length]
        heard = heard * (rms(speech) / rms(heard))
        heard = heard + self._noise(heard, generator)
        return heard / heard.abs().amax(1, keepdim=True).clamp_min(1.0)

    def _rooms(self, batch: int, size: int, generator: Generator) -> Tensor:
        """Responses [batch, freq]: 1, then for the chosen clips a tail of noise."""
        length = round(0.5 * self.sample_rate)
        rt60_s = _uniform(batch, 0.1, 0.7, generator)
        decay = torch.exp(-3.0 * math.log(10.0) * torch.arange(length) / self.sample_rate / rt60_s[:, None])
        tail = torch.randn(batch, length, generator=generator) * decay
        below_db = _uniform(batch, -2.0, 15.0, generator)
        energy = 10.0 ** (-below_db / 10.0) * _chosen(batch, self.room, generator)
        tail = tail * (energy / tail.square().sum(1)).sqrt()[:, None]
        tail[:, 0] = 1.0
        return torch.fft.rfft(tail, size)

    def _microphones(self, batch: int, size: int, generator: Generator) -> Tensor:
        """Gains [batch, freq] of equaliser and band limit."""
        frequencies = torch.linspace(0.0, self.sample_rate / 2, size // 2 + 1)
        gains_db = (2.0 * torch.rand(batch, 8, generator=generator) - 1.0) * self.microphone_db
        gains_db = gains_db * _chosen(batch, self.microphone, generator)[:, None]
        curve = 10.0 ** (gains_db @ band_interpolation(frequencies, 8).T / 20.0)
        top_hz = _uniform(batch, 3000.0, 7500.0, generator)[:, None]
        # Twelfth order: steep as the anti-aliasing of a codec, without its ringing.
        limit = 1.0 / (1.0 + (frequencies / top_hz) ** 24).sqrt()
        return curve * torch.where(_chosen(batch, self.narrow, generator)[:, None] > 0, limit, 1.0)

    def _noise(self, speech: Tensor, generator: Generator) -> Tensor:
        batch, length = speech.shape
        white = torch.fft.rfft(torch.randn(batch, length, generator=generator).to(speech.device))
        slope = _uniform(batch, 0.0, 2.0, generator).to(speech.device)[:, None]
        frequency = torch.arange(1, white.shape[1] + 1, device=speech.device)
        coloured = torch.fft.irfft(white * frequency ** (-0.5 * slope), length)
        others = torch.stack([speech.roll(shift, 0) for shift in (1, 2, 3)]).sum(0)
        total = torch.zeros_like(speech)
        for sound, share, low_db, high_db in ((coloured, self.noise, 3.0, 30.0), (others, self.babble, 6.0, 20.0)):
            snr_db = _uniform(batch, low_db, high_db, generator)
            gain = (10.0 ** (-snr_db / 20.0) * _chosen(batch, share, generator)).to(speech.device)[:, None]
            total = total + sound * gain * rms(speech) / rms(sound)
        return total


RARELY_CLEAN = Surroundings()
OFTEN_CLEAN = Surroundings(room=0.3, microphone=0.5, narrow=0.15, noise=0.4, babble=0.15)
"""Every seventh crop stays as it was recorded: x-vector and ResNet learn several times faster so."""


def masked(features: Float[Tensor, "batch band frame"], generator: Generator) -> Float[Tensor, "batch band frame"]:
    """SpecAugment: in every clip one run of up to a fifth of the frames and one of the bands set to the clip's mean.

    >>> features = torch.arange(200.0).view(1, 10, 20)
    >>> out = masked(features, Generator().manual_seed(3))
    >>> bool(((out == features) | (out == features.mean())).all())
    True
    """
    batch, bands, frames = features.shape
    hidden = _run(batch, frames, generator)[:, None] | _run(batch, bands, generator)[:, :, None]
    return torch.where(hidden.to(features.device), features.mean((1, 2), keepdim=True), features)


def _run(batch: int, length: int, generator: Generator) -> Tensor:
    width = _uniform(batch, 0.0, 0.2 * length, generator)
    first = torch.rand(batch, generator=generator) * (length - width)
    place = torch.arange(length)
    return (place >= first[:, None]) & (place < (first + width)[:, None] - 0.5)


def _uniform(count: int, low: float, high: float, generator: Generator) -> Tensor:
    return low + (high - low) * torch.rand(count, generator=generator)


def _chosen(count: int, share: float, generator: Generator) -> Tensor:
    return (torch.rand(count, generator=generator) < share).float()
