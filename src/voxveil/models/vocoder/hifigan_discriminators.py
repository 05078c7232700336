"""The discriminators that HiFi-GAN is trained against: is this speech recorded or generated?

J. Kong, J. Kim and J. Bae, NeurIPS 2020. One set looks at every p-th sample, for five periods p without a common
factor; the other at the speech itself and at two averages over time (K. Kumar et al., "MelGAN", NeurIPS 2019). State
dicts as in the published ``do_…`` files, under ``mpd`` and ``msd`` there; they load with ``strict=True``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils import spectral_norm

from voxveil.models.vocoder.hifigan import SLOPE
from voxveil.models.vocoder.weight_norm import WeightNorm
from voxveil.roles import Speech

PERIODS = (2, 3, 5, 7, 11)
KERNELS = (15, 41, 41, 41, 41, 41, 5)
STRIDES = (1, 2, 2, 4, 4, 1, 1)
GROUPS = (1, 4, 16, 16, 16, 16, 1)


class Verdict(NamedTuple):
    """What one discriminator says: scores near 1 for recorded speech, near 0 for generated.

    ``features`` are the outputs of all its layers, the scores among them, for the feature-matching loss.
    """

    score: Float[Tensor, "batch position"]
    features: list[Tensor]


class PeriodDiscriminator(nn.Module):
    """Speech [batch, time] as an image of ``period`` columns; every column by itself goes through the layers.

    >>> import torch
    >>> PeriodDiscriminator(3, widths=(4, 4, 4, 4, 4))(torch.zeros(2, 500)).score.shape
    torch.Size([2, 9])
    """

    def __init__(self, period: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.period = period
        before, strides = (1, *widths[:-1]), (3, 3, 3, 3, 1)
        self.convs = nn.ModuleList(
            WeightNorm(nn.Conv2d(wide, width, (5, 1), (stride, 1), padding=(2, 0)))
            for wide, width, stride in zip(before, widths, strides, strict=True)
        )
        self.conv_post = WeightNorm(nn.Conv2d(widths[-1], 1, (3, 1), padding=(1, 0)))

    def forward(self, speech: Speech) -> Verdict:
        """The scores of all columns; the speech is longer than a period, and its last row is filled by reflection."""
        whole = F.pad(speech, (0, -speech.shape[1] % self.period), mode="reflect")
        return _verdict(self.convs, self.conv_post, whole.view(len(speech), 1, -1, self.period))


class ScaleDiscriminator(nn.Module):
    """Speech [batch, time] through long grouped convolutions; ``widths`` are multiples of 16.

    ``spectral`` bounds every layer's slope (T. Miyato et al., ICLR 2018) instead of weight normalisation; in training
    mode each call is then one step of a power iteration.

    >>> import torch
    >>> ScaleDiscriminator(widths=(16,) * 7, spectral=False)(torch.zeros(2, 640)).score.shape
    torch.Size([2, 10])
    """

    def __init__(self, widths: Sequence[int], spectral: bool) -> None:
        super().__init__()
        normed = spectral_norm if spectral else WeightNorm
        before = (1, *widths[:-1])
        self.convs = nn.ModuleList(
            normed(nn.Conv1d(wide, width, kernel, stride, padding=kernel // 2, groups=groups))
            for wide, width, kernel, stride, groups in zip(before, widths, KERNELS, STRIDES, GROUPS, strict=True)
        )
        self.conv_post = normed(nn.Conv1d(widths[-1], 1, 3, padding=1))

    def forward(self, speech: Speech) -> Verdict:
        """The scores of all stretches of 64 samples."""
        return _verdict(self.convs, self.conv_post, speech[:, None])


class MultiPeriodDiscriminator(nn.Module):
    """Speech [batch, time] → a verdict for every period; 41.1 million weights as published.

    >>> import torch
    >>> judges = MultiPeriodDiscriminator(widths=(4, 4, 4, 4, 4))
    >>> len(judges(torch.zeros(2, 500)))
    5
    """

    def __init__(self, widths: Sequence[int] = (32, 128, 512, 1024, 1024)) -> None:
        super().__init__()
        self.discriminators = nn.ModuleList(PeriodDiscriminator(period, widths) for period in PERIODS)

    def forward(self, speech: Speech) -> list[Verdict]:
        """What each of them says."""
        return [judge(speech) for judge in self.discriminators]


class MultiScaleDiscriminator(nn.Module):
    """Speech [batch, time] → a verdict on it, on its averages and on theirs; 29.6 million weights as published.

    >>> import torch
    >>> judges = MultiScaleDiscriminator(widths=(16,) * 7)
    >>> [verdict.score.shape[1] for verdict in judges(torch.zeros(2, 640))]
    [10, 6, 3]
    """

    def __init__(self, widths: Sequence[int] = (128, 128, 256, 512, 1024, 1024, 1024)) -> None:
        super().__init__()
        self.discriminators = nn.ModuleList(ScaleDiscriminator(widths, spectral) for spectral in (True, False, False))

    def forward(self, speech: Speech) -> list[Verdict]:
        """What each of them says; from one to the next, four samples are averaged every two."""
        verdicts: list[Verdict] = []
        for judge in self.discriminators:
            verdicts.append(judge(speech))
            speech = F.avg_pool1d(speech[:, None], kernel_size=4, stride=2, padding=2)[:, 0]
        return verdicts


def _verdict(layers: nn.ModuleList, last: nn.Module, maps: Tensor) -> Verdict:
    features: list[Tensor] = []
    for layer in layers:
        maps = F.leaky_relu(layer(maps), SLOPE)
        features.append(maps)
    features.append(last(maps))
    return Verdict(features[-1].flatten(1), features)
