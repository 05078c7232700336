"""The front end of AdaIN-VC, differentiable, and its way back to a magnitude spectrum.

24 kHz; quiet ends cut off; pre-emphasis y[t] = x[t] − 0.97·x[t−1]; magnitudes of 1200-sample Hann windows
every 300 in a transform of 2048; Slaney mel bands over all frequencies; level_db = 20·log10(max(1e-5, ·)), of which
−80 … 20 dB becomes 0 … 1; then every band less its mean and through its deviation in the training set. Those two
vectors come with the weights (the publishers' ``attr.pkl``); here they are arguments, since a pickle can run code.

Edges are reflected, as librosa did before version 0.9, when the weights were published.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from scipy.signal import lfilter
from torch import Tensor, nn

from voxveil.audio.mel import mel_filterbank
from voxveil.audio.spectrum import Stft, power
from voxveil.errors import BadInputError
from voxveil.roles import Speech

SAMPLE_RATE = 24_000
N_FFT = 2048
STFT = Stft(N_FFT, hop_samples=300, pad_mode="reflect", window_samples=1200)
EMPHASIS = 0.97
FLOOR = 1e-5
TOP_DB = 20.0
RANGE_DB = 100.0
TRIM_WINDOW_SAMPLES = 2048
TRIM_HOP_SAMPLES = 512


class AdaInMel(nn.Module):
    """Speech [batch, time] at 24 kHz → normalised levels [batch, mel, frame], one mel band for each entry of ``mean``.

    ``mean`` and ``deviation`` are those of every band's level (0 … 1) in the training set. The publishers' speech was
    :func:`trimmed`.

    Raises :class:`~voxveil.errors.BadInputError` for speech of fewer than 1,025 samples: its edges are reflected.

    >>> mel = AdaInMel(mean=torch.full((512,), 0.2), deviation=torch.full((512,), 0.1))
    >>> levels = mel(torch.randn(2, 24_000))
    >>> levels.shape, mel.magnitudes(levels).shape
    (torch.Size([2, 512, 81]), torch.Size([2, 1025, 81]))
    """

    mean: Tensor
    deviation: Tensor
    weights: Tensor
    sample_rate = SAMPLE_RATE

    def __init__(self, mean: Float[Tensor, " mel"], deviation: Float[Tensor, " mel"]) -> None:
        super().__init__()
        self.register_buffer("mean", mean.clone())
        self.register_buffer("deviation", deviation.clone())
        triangles = mel_filterbank(SAMPLE_RATE, N_FFT, len(mean))
        self.register_buffer("weights", triangles.clone(), persistent=False)

    def forward(self, speech: Speech) -> Float[Tensor, "batch mel frame"]:
        """The level of every band and frame, around 0 by about 1."""
        _check_length(speech.shape[1])
        emphasised = torch.cat([speech[:, :1], speech[:, 1:] - EMPHASIS * speech[:, :-1]], dim=1)
        # Below 1e-20 no power reaches the floor, and the root's gradient grows without bound.
        amplitude = self.weights @ power(STFT(emphasised)).clamp_min(1e-20).sqrt()
        level_db = 20.0 * torch.log10(amplitude.clamp_min(FLOOR))
        level = ((level_db - TOP_DB + RANGE_DB) / RANGE_DB).clamp(1e-8, 1.0)
        return (level - self.mean[:, None]) / self.deviation[:, None]

    def magnitudes(self, levels: Float[Tensor, "batch mel frame"]) -> Float[Tensor, "batch freq frame"]:
        """An amplitude spectrum with about these levels, of speech that is still pre-emphasised.

        As published: Wᵀ·D, where D divides by the column sums of W·Wᵀ. A phase is found by Griffin-Lim in 100 rounds.
        """
        level = levels * self.deviation[:, None] + self.mean[:, None]
        level_db = level.clamp(0.0, 1.0) * RANGE_DB - RANGE_DB + TOP_DB
        overlap = (self.weights @ self.weights.T).sum(0)[:, None]
        # A band so narrow that no bin lies in it overlaps nothing, and says nothing.
        return self.weights.T @ (10.0 ** (level_db / 20.0) / overlap.clamp_min(1e-8))


def trimmed(clip: Float[Tensor, " time"], range_db: float = 15.0) -> Float[Tensor, " kept"]:
    """``clip`` from its first to its last window that lies within ``range_db`` of the loudest (``librosa.effects``).

    The publishers trim with 15 dB before the features and with 60 dB after synthesis. A gradient passes.

    Raises :class:`~voxveil.errors.BadInputError` for fewer than 1,025 samples.

    >>> clip = torch.cat([torch.zeros(6000), torch.ones(6000), torch.zeros(6000)])
    >>> trimmed(clip).shape
    torch.Size([8192])
    """
    _check_length(len(clip))
    reach = TRIM_WINDOW_SAMPLES // 2
    padded = F.pad(clip.detach()[None], (reach, reach), mode="reflect")[0]
    energy = padded.unfold(0, TRIM_WINDOW_SAMPLES, TRIM_HOP_SAMPLES).square().mean(1)
    level_db = 10.0 * torch.log10(energy.clamp_min(1e-10))
    (loud,) = torch.nonzero(level_db > level_db.max() - range_db, as_tuple=True)
    return clip[int(loud[0]) * TRIM_HOP_SAMPLES : (int(loud[-1]) + 1) * TRIM_HOP_SAMPLES]


def de_emphasised(speech: Speech) -> Speech:
    """The inverse of the pre-emphasis, y[t] = x[t] + 0.97·y[t−1]; no gradient passes.

    >>> de_emphasised(torch.tensor([[100.0, 3.0, 0.0]])).round().tolist()
    [[100.0, 100.0, 97.0]]
    """
    return torch.as_tensor(lfilter([1.0], [1.0, -EMPHASIS], speech.detach().cpu().numpy())).to(speech)


def _check_length(samples: int) -> None:
    if samples <= N_FFT // 2:
        raise BadInputError(f"AdaIN-VC needs {N_FFT // 2 + 1} samples of speech and got {samples}: give it more.")
