"""Two sounds compared through short and long windows at once, which pitch, noise and attacks each need.

R. Yamamoto, E. Song and J.-M. Kim, "Parallel WaveGAN: A Fast Waveform Generation Model Based on Generative Adversarial
Networks with Multi-Resolution Spectrogram", ICASSP 2020, equations 3–6. For every window length

    ‖|X| − |Y|‖ / ‖|X|‖ + mean |ln |X| − ln |Y||

with Frobenius norms over the batch; the loss is the mean over the window lengths.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from voxveil.audio.log_mel import ROUNDING
from voxveil.audio.spectrum import Stft, power
from voxveil.roles import Speech

WINDOWS = (512, 1024, 2048)
OVERLAP = 4


def spectral_distance(made: Speech, recorded: Speech) -> Float[Tensor, ""]:
    """How far the magnitudes of ``made`` are from those of ``recorded``; 0 for the same magnitudes, whatever the phase.

    >>> tone = torch.sin(torch.arange(4096) / 5.0)[None]
    >>> bool(spectral_distance(-tone, tone) < 1e-6), bool(spectral_distance(0.5 * tone, tone) > 0.5)
    (True, True)
    """
    return torch.stack([_distance(Stft(n, n // OVERLAP), made, recorded) for n in WINDOWS]).mean()


def _distance(stft: Stft, made: Speech, recorded: Speech) -> Tensor:
    mine, wanted = ((power(stft(speech)) + ROUNDING).sqrt() for speech in (made, recorded))
    convergence = torch.linalg.vector_norm(wanted - mine) / torch.linalg.vector_norm(wanted)
    return convergence + (wanted.log() - mine.log()).abs().mean()
