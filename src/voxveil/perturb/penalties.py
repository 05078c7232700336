"""What a perturbation costs by itself, beside the clean speech: objectives that ask no victim.

With δ = x′ − x, D its short-time spectrum, and hearing as threshold in quiet L(f) or masking threshold θ.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from voxveil.audio.masking import masking_threshold, threshold_in_quiet_db
from voxveil.audio.spectrum import Stft, power
from voxveil.roles import Loss, Speech

_TINY = 1e-8


class NoiseToSignal:
    """−SNR in dB, −10·log10(mean x′² / (mean δ² + 1e-8)): the more noise, the higher, [batch].

    The signal is the adversarial speech itself, as in AntiFake (Z. Yu et al., CCS 2023).

    >>> NoiseToSignal(torch.full((1, 4), 0.9))(torch.full((1, 4), 1.0)).round().tolist()
    [-20.0]
    """

    def __init__(self, clean: Speech) -> None:
        self.clean = clean

    def __call__(self, adversarial: Speech) -> Loss:
        """Minus the signal-to-noise ratio of every clip."""
        noise = (adversarial - self.clean).square().mean(-1) + _TINY
        return 10.0 * torch.log10(noise / adversarial.square().mean(-1).clamp_min(_TINY))


class Energy:
    """‖δ‖₂ over all samples of a clip, [batch].

    >>> Energy(torch.zeros(1, 2))(torch.tensor([[3.0, 4.0]])).tolist()
    [5.0]
    """

    def __init__(self, clean: Speech) -> None:
        self.clean = clean

    def __call__(self, adversarial: Speech) -> Loss:
        """The norm of every clip's perturbation; its gradient at 0 is 0."""
        return torch.linalg.vector_norm(adversarial - self.clean, dim=-1)


class HeardSpectrum:
    """F(δ) = Σ_{f,t} w(f) · |D(f, t)|² / bins with w(f) = 1 − (L(f) + 20) / 100, [batch].

    The better a frequency is heard, the more it counts; where L is above 80 dB it counts for nothing. From AntiFake (Z.
    Yu et al., CCS 2023), whose authors read L from a drawn curve; here it is Terhardt's.

    >>> cost, time = HeardSpectrum(torch.zeros(1, 16_000), 16_000), torch.arange(16_000) / 16_000
    >>> low, high = (float(cost(torch.sin(2 * torch.pi * hz * time)[None])) for hz in (60.0, 3300.0))
    >>> low < high
    True
    """

    def __init__(self, clean: Speech, sample_rate: int, stft: Stft | None = None) -> None:
        self.clean = clean
        self.stft = stft or Stft(n_fft=400, hop_samples=200, pad_mode="reflect")
        self.weights = self.weights_of(self.stft.frequencies_hz(sample_rate)).to(clean)

    @staticmethod
    def weights_of(frequencies_hz: Float[Tensor, " freq"]) -> Float[Tensor, " freq"]:
        """w(f), 0 … 1.05 (where hearing is best)."""
        return (1.0 - (threshold_in_quiet_db(frequencies_hz) + 20.0) / 100.0).clamp_min(0.0)

    def __call__(self, adversarial: Speech) -> Loss:
        """The weighted power of every clip's perturbation; it grows with the clip's length."""
        spectrum = power(self.stft(adversarial - self.clean))
        return (self.weights @ spectrum).sum(-1) / len(self.weights)


class MaskedExcess:
    """mean_{f,t} max(P_δ − θ, 0): by how many dB the perturbation stands above what the speech masks, [batch].

    P_δ and θ are in dB such that the loudest bin of the clean speech counts as 96 dB (Y. Qin et al. 2019; J. Li et al.
    2023), so a clip's level does not matter. θ is :func:`~voxveil.audio.masking.masking_threshold`.

    >>> clean = 0.1 * torch.randn(1, 8000, generator=torch.Generator().manual_seed(0))
    >>> excess = MaskedExcess(clean, 16_000)
    >>> float(excess(clean)), bool(excess(1.001 * clean) == 0.0), bool(excess(3.0 * clean) > 3.0)
    (0.0, True, True)
    """

    def __init__(self, clean: Speech, sample_rate: int, stft: Stft | None = None) -> None:
        self.clean = clean
        self.stft = stft or Stft(n_fft=2048, hop_samples=512)
        loudest = power(self.stft(clean)).amax((1, 2)).clamp_min(1e-20).sqrt()
        # A full-scale sine under a Hann window peaks at |X| = n_fft / 4, and counts as 96 dB.
        gain = (self.stft.n_fft / 4 / loudest)[:, None]
        threshold = masking_threshold(gain * clean, sample_rate, self.stft)
        self.threshold_db = 10.0 * torch.log10(threshold)
        self.gain = gain

    def __call__(self, adversarial: Speech) -> Loss:
        """The mean excess of every clip in dB."""
        heard = power(self.stft(self.gain * (adversarial - self.clean)))
        # What is not above the threshold has no gradient, so no bound may come near it.
        level_db = 10.0 * torch.log10(heard.clamp_min(1e-10))
        return (level_db - self.threshold_db).clamp_min(0.0).mean((1, 2))
