"""Speaker consistency: a clone is led to where speaker encoders put the reference.

An attacker can ask a speaker encoder how near a clone is, and follow its gradient. Verifiers that judge clones must not
be among those that are asked, or they would find what they were told to find.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from voxveil.audio.spectrum import Stft, power
from voxveil.models.conversion.standard_mel import StandardMel
from voxveil.roles import Embedder, Reference, Speech

Consistency = Callable[[Float[Tensor, "batch mel frame"], Speech], Tensor]
"""(levels, the content that they were made from) → how far the voice is from the reference's, 0 … 2."""

SILENCE = 1e-12
"""Powers below this have no phase worth keeping."""


def speaker_consistency(listeners: Sequence[Embedder], reference: Reference, mel: StandardMel) -> Consistency:
    """(levels, content) → 1 − cos between clones and ``reference`` (16 kHz), the mean over clips and ``listeners``.

    >>> from voxveil.models.speaker.ge2e import GE2E
    >>> clip, mel = 0.1 * torch.randn(1, 32_000), StandardMel()
    >>> away = speaker_consistency([GE2E().eval()], list(clip), mel)
    >>> bool(away(mel(clip), clip) >= 0)
    True
    """
    with torch.no_grad():
        heard = [torch.cat([listen(clip[None]) for clip in reference]) for listen in listeners]
    voices = [F.normalize(vectors.mean(0), dim=0) for vectors in heard]

    def away(levels: Float[Tensor, "batch mel frame"], content: Speech) -> Float[Tensor, ""]:
        clones = spoken_like(levels, content, mel)
        return torch.stack(
            [1.0 - (listen(clones) @ v).mean() for listen, v in zip(listeners, voices, strict=True)]
        ).mean()

    return away


def spoken_like(levels: Float[Tensor, "batch mel frame"], content: Speech, mel: StandardMel) -> Speech:
    """Speech with these levels in the phase of ``content``, which has as many frames: no vocoder, one round of it.

    A phase that fits is near enough for a speaker encoder, which hears magnitudes, and every round of Griffin-Lim
    would have to be remembered for the gradient.

    >>> clip, mel = 0.1 * torch.randn(1, 12_800), StandardMel()
    >>> sound = spoken_like(mel(clip), clip, mel)
    >>> sound.shape, bool((mel(sound) - mel(clip))[..., 2:-2].abs().mean() < 0.2)
    (torch.Size([1, 12800]), True)
    """
    stft, half = Stft(mel.n_fft, mel.hop_samples, "reflect"), mel.hop_samples // 2
    whole = levels.shape[2] * mel.hop_samples
    # Frame n of the levels is centred on the middle of hop n.
    spectrum = stft(content[:, half:whole])
    phase = spectrum / (power(spectrum) + SILENCE).sqrt()
    sound = stft.inverse(mel.magnitudes(levels) * phase, whole - half)
    return F.pad(sound, (half, content.shape[1] - whole))
