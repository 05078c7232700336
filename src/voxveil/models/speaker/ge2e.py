"""The GE2E speaker encoder of SV2TTS and Resemblyzer, differentiable from the waveform.

L. Wan, Q. Wang, A. Papir, I. Lopez Moreno, "Generalized End-to-End Loss for Speaker Verification", ICASSP 2018. State
dict as published: ``lstm``, ``linear`` and the training loss's two similarity scalars, so that the official
checkpoint loads with ``strict=True``.

Front end: 16 kHz; quiet clips raised to −30 dBFS; power mel spectrum (400-sample Hann window every 160, 40 Slaney
mels, no logarithm). Windows of 160 frames every 77 frames, each through a three-layer LSTM, a linear layer, ReLU and
length normalisation; the embedding is the normalised mean of the windows'.

The official package also cuts out silence with a compiled detector before it embeds; that is left to the caller.
"""

from __future__ import annotations

import copy
import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from voxveil.audio.levels import rms
from voxveil.audio.mel import MelSpectrogram
from voxveil.audio.spectrum import Stft
from voxveil.models.recurrent import through
from voxveil.roles import Speech

WINDOW_FRAMES = 160
STEP_FRAMES = 77
HOP_SAMPLES = 160
MIN_COVERAGE = 0.75
MIN_DBFS = -30.0


class GE2E(nn.Module):
    """Speech [batch, time] at 16 kHz → unit vectors [batch, 256], all entries ≥ 0.

    >>> GE2E()(torch.randn(2, 16_000) * 0.05).shape
    torch.Size([2, 256])
    """

    sample_rate = 16_000
    differentiable = True

    def __init__(self) -> None:
        super().__init__()
        self.mel = MelSpectrogram(self.sample_rate, Stft(400, HOP_SAMPLES), n_mels=40)
        self.lstm = nn.LSTM(40, 256, num_layers=3, batch_first=True)
        self.linear = nn.Linear(256, 256)
        self.similarity_weight = nn.Parameter(torch.tensor([10.0]))
        self.similarity_bias = nn.Parameter(torch.tensor([-5.0]))
        self.step_frames = STEP_FRAMES

    def forward(self, speech: Speech) -> Float[Tensor, "batch 256"]:
        """The embedding of every clip; clips of a batch are equally long."""
        return F.normalize(self.embed(self.features(speech)), dim=-1)

    def features(self, speech: Speech) -> Float[Tensor, "batch 40 frame"]:
        """Mel power of the clip, padded with silence to the end of its last window."""
        speech = speech * (10.0 ** (MIN_DBFS / 20.0) / rms(speech)).clamp_min(1.0)
        starts = window_starts(speech.shape[-1], self.step_frames)
        needed = (starts[-1] + WINDOW_FRAMES) * HOP_SAMPLES
        mel: Tensor = self.mel(F.pad(speech, (0, max(0, needed - speech.shape[-1]))))
        return mel[:, :, : starts[-1] + WINDOW_FRAMES]

    def embed(self, features: Float[Tensor, "batch 40 frame"]) -> Float[Tensor, "batch 256"]:
        """The mean of the windows' embeddings."""
        windows = features.unfold(2, WINDOW_FRAMES, self.step_frames).permute(0, 2, 3, 1)
        embedded = self.embed_windows(windows.flatten(0, 1))
        return embedded.view(features.shape[0], windows.shape[1], -1).mean(1)

    def embed_windows(self, mels: Float[Tensor, "window 160 40"]) -> Float[Tensor, "window 256"]:
        """The network itself: mel windows → unit vectors."""
        _, hidden = through(self.lstm, mels)
        return F.normalize(torch.relu(self.linear(hidden[-1])), dim=-1)

    def coarse(self) -> GE2E:
        """The same network on windows that do not overlap: half the work of the published framing."""
        twin = copy.copy(self)
        twin.step_frames = WINDOW_FRAMES
        return twin


def window_starts(length_samples: int, step_frames: int) -> list[int]:
    """First frames of the windows over a clip; a last window of which less than 3/4 is speech is dropped.

    >>> window_starts(96_000, 77)
    [0, 77, 154, 231, 308, 385, 462]
    >>> window_starts(8_000, 77)
    [0]
    """
    frames = math.ceil((length_samples + 1) / HOP_SAMPLES)
    starts = list(range(0, max(1, frames - WINDOW_FRAMES + step_frames + 1), step_frames))
    covered = (length_samples - starts[-1] * HOP_SAMPLES) / (WINDOW_FRAMES * HOP_SAMPLES)
    return starts[:-1] if covered < MIN_COVERAGE and len(starts) > 1 else starts
