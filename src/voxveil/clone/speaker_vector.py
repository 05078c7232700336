"""The speaker vector that SV2TTS and DiffVC are told: GE2E's of a reference without its pauses, as published.

Quiet speech is raised to −30 dBFS, long pauses are cut out, and what is left is embedded in windows of 1.6 s. The
publishers find pauses with WebRTC's detector where it is installed; here it is :mod:`voxveil.audio.voice_activity`.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from voxveil.audio.levels import rms
from voxveil.audio.resample import resample
from voxveil.audio.voice_activity import FRAME_S, voice_activity
from voxveil.clone.spoken import joined
from voxveil.errors import BadInputError
from voxveil.models.speaker.ge2e import MIN_DBFS
from voxveil.roles import Embedder, Reference


def speaker_vector(encoder: Embedder, reference: Reference, sample_rate: int) -> Float[Tensor, "1 dim"]:
    """The vector of the voice in ``reference``, whose utterances at ``sample_rate`` Hz count by their length.

    Raises :class:`~voxveil.errors.BadInputError` for a reference that is empty, too short, silent or not finite, or in
    which nobody speaks.

    >>> from voxveil.models.speaker.ge2e import GE2E
    >>> speaker_vector(GE2E(), [0.1 * torch.randn(22_050)], 22_050).shape
    torch.Size([1, 256])
    """
    heard = joined(reference, sample_rate)
    rate = encoder.sample_rate
    at_rate = resample(heard[None].double().cpu().numpy(), sample_rate, rate)
    speech = torch.as_tensor(at_rate, dtype=heard.dtype, device=heard.device)
    speech = speech * (10.0 ** (MIN_DBFS / 20.0) / rms(speech)).clamp_min(1.0)
    active = voice_activity(speech, rate)[0].repeat_interleave(round(FRAME_S * rate))[: speech.shape[1]]
    if not bool(active.any()):
        raise BadInputError("In the reference nobody speaks: give it speech.")
    with torch.no_grad():
        return encoder(speech[:, active])
