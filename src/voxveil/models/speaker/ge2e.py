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

from voxveil import hub
from voxveil.audio.levels import rms
from voxveil.audio.mel import MelSpectrogram
from voxveil.audio.spectrum import Stft
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
        speech = speech * (10.0 ** (MIN_DBFS / 20.0) / rms(speech)).clamp_min(1.0)
        starts = window_starts(speech.shape[-1], self.step_frames)
        needed = (starts[-1] + WINDOW_FRAMES) * HOP_SAMPLES
        speech = F.pad(speech, (0, max(0, needed - speech.shape[-1])))
        frames = self.mel(speech).transpose(1, 2)
        windows = torch.stack([frames[:, start : start + WINDOW_FRAMES] for start in starts], dim=1)
        embedded = self.embed_windows(windows.flatten(0, 1))
        mean = embedded.view(speech.shape[0], len(starts), -1).mean(1)
        return F.normalize(mean, dim=-1)

    def embed_windows(self, mels: Float[Tensor, "window 160 40"]) -> Float[Tensor, "window 256"]:
        """The network itself: mel windows → unit vectors."""
        _, (hidden, _) = self.lstm(mels)
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


def load() -> GE2E:
    """The published encoder, its weights verified and proved to be loaded.

    Raises :class:`~voxveil.errors.ModelUnavailableError` where they cannot be had.

    >>> load().sample_rate  # doctest: +SKIP
    16000
    """
    encoder = GE2E()
    hub.load_into(encoder, hub.card("ge2e"), self_test=known_answer)
    return encoder


def known_answer(encoder: nn.Module) -> Float[Tensor, " value"]:
    """Sixteen entries of the embedding of a fixed buzz: a fingerprint of weights and front end together.

    >>> known_answer(GE2E()).shape
    torch.Size([16])
    """
    time_s = torch.arange(48_000, dtype=torch.float64) / 16_000
    pitch_hz = 120.0 + 30.0 * torch.sin(2.0 * math.pi * 0.7 * time_s)
    phase = 2.0 * math.pi * torch.cumsum(pitch_hz / 16_000, 0)
    buzz = sum(torch.sin(k * phase) / k for k in range(1, 25))
    syllables = 0.55 + 0.45 * torch.sin(2.0 * math.pi * 3.0 * time_s)
    speech = (0.05 * torch.as_tensor(buzz) * syllables).float()[None]
    with torch.no_grad():
        embedding: Tensor = encoder(speech)
    return embedding[0, ::16]
