"""The filter bank of SpeechBrain's recognisers: log power in symmetric triangles on HTK's mel scale.

M. Ravanelli et al., "SpeechBrain: A General-Purpose Speech Toolkit", arXiv:2106.04624. In dB, per band b and frame n:

    L[b, n] = 10·log₁₀ max(10⁻¹⁰, Σ_f W[b, f]·|X[f, n]|²), floored 80 dB below the clip's greatest,

with 25 ms Hamming windows every 10 ms whose edges are padded with zeros. A triangle of the usual kind reaches from
its left neighbour's centre to its right neighbour's; here it is as wide on the right as on the left, so neighbours do
not add up to a constant and networks trained on one kind do not take the other.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor, nn

from voxveil.audio.mel import hz_to_mel, mel_to_hz, power_to_db
from voxveil.audio.spectrum import power

SAMPLE_RATE = 16_000
WINDOW_SAMPLES = 400
HOP_SAMPLES = 160


@lru_cache(maxsize=8)
def symmetric_triangles(n_mels: int) -> Float[Tensor, "mel 201"]:
    """W: triangles of height 1 around centres equally far apart in mel, 0 … 8 kHz.

    >>> W = symmetric_triangles(24)
    >>> W.shape, float(W[:, 0].max())
    (torch.Size([24, 201]), 0.0)
    """
    top = float(hz_to_mel(torch.tensor(SAMPLE_RATE / 2, dtype=torch.float64), "htk"))
    edges = mel_to_hz(torch.linspace(0.0, top, n_mels + 2, dtype=torch.float64), "htk")
    centres, bands = edges[1:-1, None], (edges[1:-1] - edges[:-2])[:, None]
    bins = torch.linspace(0.0, SAMPLE_RATE / 2, WINDOW_SAMPLES // 2 + 1, dtype=torch.float64)
    return (1.0 - (bins - centres).abs() / bands).clamp_min(0.0).float()


class Fbank(nn.Module):
    """Speech [batch, time] at 16 kHz → L, [batch, mel, frame] in dB; frame n is centred on sample 160·n.

    >>> Fbank(80)(torch.randn(2, 1600)).shape
    torch.Size([2, 80, 11])
    """

    window: Tensor
    weights: Tensor

    def __init__(self, n_mels: int) -> None:
        super().__init__()
        self.register_buffer("window", torch.hamming_window(WINDOW_SAMPLES), persistent=False)
        self.register_buffer("weights", symmetric_triangles(n_mels).clone(), persistent=False)

    def forward(self, speech: Float[Tensor, "batch time"]) -> Float[Tensor, "batch mel frame"]:
        """The level of every band and frame."""
        spectrum = torch.stft(
            speech, WINDOW_SAMPLES, HOP_SAMPLES, window=self.window, pad_mode="constant", return_complex=True
        )
        return power_to_db(self.weights @ power(spectrum))


def without_mean(features: Float[Tensor, "batch mel frame"]) -> Float[Tensor, "batch mel frame"]:
    """``features`` less every band's mean over the clip: blind to loudness and to a fixed equaliser.

    >>> without_mean(torch.tensor([[[1.0, 3.0]]])).tolist()
    [[[-1.0, 1.0]]]
    """
    return features - features.mean(-1, keepdim=True)
