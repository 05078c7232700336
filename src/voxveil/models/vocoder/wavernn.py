"""WaveRNN as Real-Time-Voice-Cloning uses it: the synthesizer's mel spectra in, speech out, sample by sample.

N. Kalchbrenner et al., "Efficient Neural Audio Synthesis", ICML 2018, in the form of the alternative model of
https://github.com/fatchord/WaveRNN: mel frames are raised to the sample rate by smoothing, a residual network adds
features of their surroundings, and two recurrent layers draw each sample, knowing the one before. Names and shapes of
the state dict are those of the published ``vocoder.pt`` (under ``model_state``), which loads with ``strict=True``.

The published code differs after the network: it expands the μ-law after the cross-fade where this does before, its
cross-fade goes through silence, and it fades in the beginning. Between the overlaps both give the same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from scipy.signal import lfilter
from torch import Tensor, nn

from voxveil.errors import BadInputError
from voxveil.models.vocoder.folding import cross_faded, fold
from voxveil.models.vocoder.sampled_outputs import LogisticMixture, MuLaw, SampledOutput
from voxveil.roles import Speech

PRE_EMPHASIS = 0.97
MEL_RANGE = 4.0
FADE_FRAMES = 20
FOLD_SAMPLES = 8000
OVERLAP_SAMPLES = 800

State = tuple[Tensor, Tensor]


class Residual(nn.Module):
    """frames + two layers that look at one frame each.

    >>> Residual(8)(torch.zeros(1, 8, 5)).shape
    torch.Size([1, 8, 5])
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(width, width, 1, bias=False)
        self.batch_norm1 = nn.BatchNorm1d(width)
        self.conv2 = nn.Conv1d(width, width, 1, bias=False)
        self.batch_norm2 = nn.BatchNorm1d(width)

    def forward(self, frames: Float[Tensor, "batch width frame"]) -> Float[Tensor, "batch width frame"]:
        """The frames and what the layers add."""
        return frames + self.batch_norm2(self.conv2(torch.relu(self.batch_norm1(self.conv1(frames)))))


class Surroundings(nn.Module):
    """Mel frames → features of each with ``pad`` neighbours on either side, so ``pad`` fewer frames at either end.

    >>> Surroundings(n_mels=4, width=8, blocks=2, pad=2)(torch.zeros(1, 4, 9)).shape
    torch.Size([1, 8, 5])
    """

    def __init__(self, n_mels: int, width: int, blocks: int, pad: int) -> None:
        super().__init__()
        self.conv_in = nn.Conv1d(n_mels, width, 2 * pad + 1, bias=False)
        self.batch_norm = nn.BatchNorm1d(width)
        self.layers = nn.ModuleList(Residual(width) for _ in range(blocks))
        self.conv_out = nn.Conv1d(width, width, 1)

    def forward(self, mel: Float[Tensor, "batch mel padded"]) -> Float[Tensor, "batch width frame"]:
        """The features of every frame."""
        frames = torch.relu(self.batch_norm(self.conv_in(mel)))
        for layer in self.layers:
            frames = layer(frames)
        return self.conv_out(frames)


class Upsampling(nn.Module):
    """Mel frames → the same mel and their surroundings' features, at the sample rate.

    Each rate repeats the frames and smooths them over two of its hops; the smoothing starts as an average.

    >>> Upsampling(n_mels=4, width=8, blocks=1, rates=(2, 3), pad=1)(torch.zeros(1, 4, 7)).shape
    torch.Size([1, 30, 12])
    """

    def __init__(self, n_mels: int, width: int, blocks: int, rates: Sequence[int], pad: int) -> None:
        super().__init__()
        self.rates = tuple(rates)
        self.pad = pad
        self.resnet = Surroundings(n_mels, width, blocks, pad)
        # The published list has a layer without weights before each of these.
        smoothing = (_average(2 * rate + 1) for rate in self.rates)
        self.up_layers = nn.ModuleDict({str(2 * index + 1): layer for index, layer in enumerate(smoothing)})

    def forward(self, mel: Float[Tensor, "batch mel padded"]) -> Float[Tensor, "batch time feature"]:
        """Mel bands first, then the features; there are ``pad`` mel frames more at either end than come out."""
        hop = math.prod(self.rates)
        features = self.resnet(mel).repeat_interleave(hop, dim=2)
        smooth = mel[:, None]
        for rate, smoothing in zip(self.rates, self.up_layers.values(), strict=True):
            smooth = smoothing(smooth.repeat_interleave(rate, dim=3))
        smooth = smooth[:, 0, :, self.pad * hop : smooth.shape[3] - self.pad * hop]
        return torch.cat([smooth, features], dim=1).mT


class WaveRNN(nn.Module):
    """Mel [batch, mel, frame] in −4 … 4 → speech [batch, (frame − 1) · hop]; 4.5 million weights as published.

    ``mode`` is ``"raw"``, μ-law steps of ``bits`` (as published), or ``"mol"``, a mixture of logistics. ``width`` is
    that of the recurrent and dense layers, ``context_width``, a multiple of four, that of the surroundings' features.

    >>> vocoder = WaveRNN(width=16, context_width=8, blocks=1, rates=(2, 2), bits=4).eval()
    >>> vocoder.generate(torch.zeros(2, 80, 26)).shape
    torch.Size([2, 100])
    """

    def __init__(
        self,
        mode: Literal["raw", "mol"] = "raw",
        bits: int = 9,
        n_mels: int = 80,
        width: int = 512,
        context_width: int = 128,
        blocks: int = 10,
        rates: Sequence[int] = (5, 5, 8),
        pad: int = 2,
        sample_rate: int = 16_000,
    ) -> None:
        super().__init__()
        self.sample_rate = sample_rate
        self.hop_samples = math.prod(rates)
        self.pad = pad
        self.output: SampledOutput = MuLaw(bits) if mode == "raw" else LogisticMixture()
        part = context_width // 4
        self.parts = [n_mels, part, part, part, part]
        self.upsample = Upsampling(n_mels, context_width, blocks, rates, pad)
        self.I = nn.Linear(1 + n_mels + part, width)
        self.rnn1 = nn.GRU(width, width, batch_first=True)
        self.rnn2 = nn.GRU(width + part, width, batch_first=True)
        self.fc1 = nn.Linear(width + part, width)
        self.fc2 = nn.Linear(width + part, width)
        self.fc3 = nn.Linear(width, self.output.classes)
        self.register_buffer("step", torch.zeros(1, dtype=torch.long))

    def forward(
        self, before: Float[Tensor, "batch time"], mel: Float[Tensor, "batch mel padded"]
    ) -> Float[Tensor, "batch time logit"]:
        """The logits of every sample, given the samples one step ``before`` each: for training.

        ``mel`` has ``pad`` frames more at either end than ``before`` has hops.
        """
        return self._predicted(before, self.upsample(mel / MEL_RANGE), self._rest(len(before)))[0]

    @torch.no_grad()
    def generate(
        self,
        mel: Float[Tensor, "batch mel frame"],
        seed: int = 0,
        fold_samples: int = FOLD_SAMPLES,
        overlap_samples: int = OVERLAP_SAMPLES,
    ) -> Speech:
        """Speech, made in folds of ``fold_samples`` at once; same ``seed``, same samples. The network is in eval mode.

        Every clip of a batch is drawn with the same random numbers. The last 20 frames fade out.

        Raises :class:`~voxveil.errors.BadInputError` for fewer than two frames.
        """
        frames = mel.shape[2]
        if frames < 2:
            raise BadInputError("A mel spectrum of fewer than two frames makes no sound: give a longer one.")
        conditions = self.upsample(F.pad(mel / MEL_RANGE, (self.pad, self.pad)))
        folds = fold(conditions, fold_samples, overlap_samples)
        generator = torch.Generator().manual_seed(seed)
        chances = torch.rand(*folds.shape[1:3], self.output.draws, generator=generator, dtype=mel.dtype)
        samples = self._drawn(folds.flatten(0, 1), chances.to(mel.device).repeat(len(mel), 1, 1))
        sound = cross_faded(self.output.sound(samples).view(folds.shape[:3]), overlap_samples)
        return _finished(sound[:, : (frames - 1) * self.hop_samples], FADE_FRAMES * self.hop_samples)

    def _drawn(self, conditions: Tensor, chances: Tensor) -> Tensor:
        state = self._rest(len(conditions))
        sample = conditions.new_zeros(len(conditions), 1)
        samples: list[Tensor] = []
        for now in range(conditions.shape[1]):
            logits, state = self._predicted(sample, conditions[:, now : now + 1], state)
            sample = self.output.sample(logits[:, 0], chances[:, now])[:, None]
            samples.append(sample)
        return torch.cat(samples, dim=1)

    def _predicted(self, before: Tensor, conditions: Tensor, state: State) -> tuple[Tensor, State]:
        mel, *parts = torch.split(conditions, self.parts, dim=2)
        frames = self.I(torch.cat([before[:, :, None], mel, parts[0]], dim=2))
        moved, first = self.rnn1(frames, state[0])
        frames = frames + moved
        moved, second = self.rnn2(torch.cat([frames, parts[1]], dim=2), state[1])
        frames = frames + moved
        frames = torch.relu(self.fc1(torch.cat([frames, parts[2]], dim=2)))
        frames = torch.relu(self.fc2(torch.cat([frames, parts[3]], dim=2)))
        return self.fc3(frames), (first, second)

    def _rest(self, rows: int) -> State:
        zeros = self.I.weight.new_zeros(1, rows, self.rnn1.hidden_size)
        return zeros, zeros


def _average(kernel: int) -> nn.Conv2d:
    layer = nn.Conv2d(1, 1, (1, kernel), padding=(0, kernel // 2), bias=False)
    nn.init.constant_(layer.weight, 1.0 / kernel)
    return layer


def _finished(sound: Tensor, fade_samples: int) -> Tensor:
    # The network was trained on pre-emphasised speech.
    undone = lfilter([1.0], [1.0, -PRE_EMPHASIS], sound.double().cpu().numpy())
    speech = torch.as_tensor(undone, dtype=sound.dtype, device=sound.device)
    fading = min(fade_samples, speech.shape[1])
    fade = torch.linspace(1.0, 0.0, fading, dtype=sound.dtype, device=sound.device)
    return torch.cat([speech[:, : speech.shape[1] - fading], speech[:, speech.shape[1] - fading :] * fade], dim=1)
