"""Where somebody speaks: an energy detector with an adaptive noise floor and a hangover.

A frame is active when its level in the speech band (100 – 4,000 Hz) stands ``margin_db`` above the noise floor (the
10th percentile of the clip) and within ``range_db`` of the loudest frame; isolated gaps and bursts are smoothed
by dilation. Simple, deterministic, and enough to find silence and to place windows; it is no diariser,
and a clip of nothing but steady noise counts as speech.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from voxveil.audio.levels import SILENCE_DBFS
from voxveil.audio.spectrum import Stft, power

FRAME_S = 0.020
LEAST_SPEECH_S = 0.3
"""Less is a click or a breath: no voice to protect and none to judge."""


def voice_activity(
    speech: Float[Tensor, "batch time"],
    sample_rate: int,
    margin_db: float = 6.0,
    range_db: float = 40.0,
    hangover_s: float = 0.10,
) -> Bool[Tensor, "batch frame"]:
    """True for every 20 ms frame in which somebody speaks (frame n is centred on n · 20 ms).

    >>> tone = 0.1 * torch.sin(torch.arange(16_000) * 0.3)
    >>> clip = torch.cat([torch.zeros(16_000), tone, torch.zeros(16_000)])[None]
    >>> active = voice_activity(clip, 16_000)
    >>> bool(active[0, 75]), bool(active[0, 10]), bool(active[0, 140])
    (True, False, False)
    """
    hop = max(1, round(FRAME_S * sample_rate))
    stft = Stft(n_fft=2 * hop, hop_samples=hop)
    frequencies = stft.frequencies_hz(sample_rate)
    band = ((frequencies >= 100.0) & (frequencies <= 4000.0)).to(speech)
    energy = (power(stft(speech)) * band[:, None]).sum(1) * (4.0 / (stft.n_fft * stft.n_fft))
    level_db = 10.0 * torch.log10(energy.clamp_min(10.0 ** (SILENCE_DBFS / 10.0)))
    peak = level_db.amax(1, keepdim=True)
    # A clip of nothing but speech has no floor to find: never let the floor rise within 20 dB of the peak.
    floor = torch.minimum(level_db.quantile(0.1, dim=1, keepdim=True), peak - 20.0)
    active = (level_db > floor + margin_db) & (level_db > peak - range_db) & (level_db > SILENCE_DBFS + 20.0)
    reach = round(hangover_s / FRAME_S)
    widened = F.max_pool1d(active.float()[:, None], 2 * reach + 1, stride=1, padding=reach)[:, 0]
    return widened > 0.5


def speech_seconds(speech: Float[Tensor, "batch time"], sample_rate: int) -> Float[Tensor, " batch"]:
    """How long somebody speaks in each clip.

    >>> speech_seconds(torch.zeros(1, 16_000), 16_000).tolist()
    [0.0]
    """
    return voice_activity(speech, sample_rate).float().sum(1) * FRAME_S
