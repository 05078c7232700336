"""From mel bands back to a linear spectrum, which bands do not determine: one that is never negative and fits them.

With the triangles W [mel, freq] and the bands m, the spectrum x ≥ 0 is sought that minimises the divergence

    D(m ‖ W·x) = Σ_b m_b·ln(m_b / (W·x)_b) − m_b + (W·x)_b

by the multiplicative updates of D. D. Lee and H. S. Seung, "Algorithms for Non-negative Matrix Factorization", NIPS
2000, which never raise it:

    x_f ← x_f · Σ_b W[b, f]·m_b / (W·x)_b / Σ_b W[b, f]

Unlike least squares, the divergence treats loud and weak bands alike, and nothing has to be cut off at zero.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

_TINY = 1e-20


def spectrum_from_mel(
    mel: Float[Tensor, "*batch mel frame"], weights: Float[Tensor, "mel freq"], iterations: int = 50
) -> Float[Tensor, "*batch freq frame"]:
    """The linear spectrum behind ``mel`` ≥ 0: powers from powers, magnitudes from magnitudes; differentiable.

    ``weights`` are those of :func:`~voxveil.audio.mel.mel_filterbank`. Frequencies in no band are 0.

    >>> import torch
    >>> from voxveil.audio.mel import mel_filterbank
    >>> weights = mel_filterbank(16_000, 512, n_mels=40)
    >>> mel = weights @ torch.rand(257, 5)
    >>> spectrum = spectrum_from_mel(mel, weights)
    >>> spectrum.shape, bool(torch.allclose(weights @ spectrum, mel, rtol=0.01))
    (torch.Size([257, 5]), True)
    """
    share = weights / weights.sum(0).clamp_min(_TINY)
    # Each band's mean level, at every frequency the levels of the bands that it lies in.
    spectrum = share.T @ (mel / weights.sum(1, keepdim=True).clamp_min(_TINY))
    for _ in range(iterations):
        spectrum = spectrum * (share.T @ (mel / (weights @ spectrum).clamp_min(_TINY)))
    return spectrum
