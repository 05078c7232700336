"""DiffVC's decoder: a U-Net that estimates the score of the diffused voice, given the average voice and the speaker.

V. Popov et al., ICLR 2022, after J. Ho et al., "Denoising Diffusion Probabilistic Models", NeurIPS 2020. What steers
it to the speaker is one vector a time: of the time, of the reference dissolved as far, and of a speaker embedding
(GE2E). Every call also returns what protections aim at on the way: nothing is computed twice for it, and all of it
has a gradient down to the reference. Names and shapes as in the published state dict.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from voxveil.models.conversion.diffvc_blocks import Block, GatedAttention, TimedBlock
from voxveil.models.conversion.diffvc_diffusion import Schedule, Utterance
from voxveil.models.conversion.diffvc_reference import ReferenceBlock

MULTIPLES = (1, 2, 4)
"""Widths of the three resolutions in units of the first."""

COARSEST = 4
"""Bands and frames are halved twice on the way down."""


@dataclass(frozen=True)
class Estimate:
    """The score, and what the network saw on the way to it.

    - ``score``: ∇ log p(X(t)) [batch, mel, frame], zero in frames of padding; VoiceCloak's L_score is its length.
    - ``condition``: the vector [batch, condition] through which the reference and the embedding act.
    - ``contexts``: of every linear attention on the way down, finest first (VoiceCloak's L_ctx).
    - ``up_features``: maps [batch, width, mel, frame] of every block on the way up, coarsest first, before they are
      made finer (VoiceCloak's L_sem). Bands and frames are halved once for every coarser resolution.

    Q. Hu et al., "VoiceCloak: A Multi-Dimensional Defense Framework against Unauthorized Diffusion-based Voice
    Cloning", 2025.
    """

    score: Float[Tensor, "batch mel frame"]
    condition: Float[Tensor, "batch condition"]
    contexts: tuple[Float[Tensor, "batch head key value"], ...]
    up_features: tuple[Float[Tensor, "batch _ _ _"], ...]


class Stage(nn.ModuleList):
    """One resolution: two blocks, attention, and what leads to the next resolution; numbered 0 to 3 as published.

    >>> stage = Stage(2, 8, time_width=16, leads_on=nn.MaxPool2d(2))
    >>> maps, context, onward = stage(torch.ones(1, 2, 4, 6), torch.ones(1, 1, 1, 6), torch.ones(1, 16))
    >>> maps.shape, context.shape, onward.shape
    (torch.Size([1, 8, 4, 6]), torch.Size([1, 4, 32, 32]), torch.Size([1, 8, 2, 3]))
    """

    def __init__(self, width_in: int, width: int, time_width: int, leads_on: nn.Module) -> None:
        first, second = TimedBlock(width_in, width, time_width), TimedBlock(width, width, time_width)
        super().__init__([first, second, GatedAttention(width), leads_on])

    def forward(
        self,
        maps: Float[Tensor, "batch _ mel frame"],
        mask: Float[Tensor, "batch 1 1 frame"],
        time: Float[Tensor, "batch time_width"],
    ) -> tuple[
        Float[Tensor, "batch width mel frame"],
        Float[Tensor, "batch head key value"],
        Float[Tensor, "batch width mel2 frame2"],
    ]:
        """The maps at this resolution, the context of their attention, and the maps at the next resolution."""
        first, second, attend, lead_on = self
        maps, context = attend(second(first(maps, mask, time), mask, time))
        return maps, context, lead_on(maps * mask)


class Resize(nn.Module):
    """A convolution that halves or doubles bands and frames, under the published name ``conv``.

    >>> Resize(nn.Conv2d(8, 8, 3, 2, 1))(torch.ones(1, 8, 4, 6)).shape
    torch.Size([1, 8, 2, 3])
    """

    def __init__(self, conv: nn.Module) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, maps: Float[Tensor, "batch width mel frame"]) -> Float[Tensor, "batch width mel2 frame2"]:
        """The resized maps."""
        return self.conv(maps)


class ScoreNetwork(nn.Module):
    """The U-Net. ``channels`` is a multiple of 8, ``condition_channels`` and the number of bands are multiples of 4.

    >>> network = ScoreNetwork(channels=8, condition_channels=4, embedding_dim=16)
    >>> mel, mask = torch.zeros(2, 8, 6), torch.ones(2, 1, 6)
    >>> estimate = network(mel, mel, mask, torch.tensor([0.5, 1.0]), mel, mask, torch.zeros(2, 16))
    >>> estimate.score.shape, len(estimate.contexts), [tuple(maps.shape) for maps in estimate.up_features]
    (torch.Size([2, 8, 6]), 3, [(2, 16, 2, 2), (2, 8, 4, 4)])
    """

    def __init__(self, channels: int, condition_channels: int, embedding_dim: int) -> None:
        super().__init__()
        self.channels = channels
        self.mlp = nn.Sequential(nn.Linear(channels, 4 * channels), nn.Mish(), nn.Linear(4 * channels, channels))
        self.ref_block = ReferenceBlock(condition_channels, channels)
        known = channels + condition_channels + embedding_dim
        self.cond_block = nn.Sequential(
            nn.Linear(known, 4 * condition_channels), nn.Mish(), nn.Linear(4 * condition_channels, condition_channels)
        )
        fine, middle, coarse = widths = [multiple * channels for multiple in MULTIPLES]
        halves = [Resize(nn.Conv2d(width, width, 3, 2, 1)) for width in (fine, middle)]
        leads = zip([2 + condition_channels, *widths], widths, [*halves, nn.Identity()], strict=False)
        self.downs = nn.ModuleList(Stage(before, width, channels, lead) for before, width, lead in leads)
        self.mid_block1 = TimedBlock(coarse, coarse, channels)
        self.mid_attn = GatedAttention(coarse)
        self.mid_block2 = TimedBlock(coarse, coarse, channels)
        self.ups = nn.ModuleList(
            Stage(2 * before, width, channels, Resize(nn.ConvTranspose2d(width, width, 4, 2, 1)))
            for before, width in ((coarse, middle), (middle, fine))
        )
        self.final_block = Block(fine, fine)
        self.final_conv = nn.Conv2d(fine, 1, 1)

    def forward(
        self,
        noisy: Float[Tensor, "batch mel frame"],
        average: Float[Tensor, "batch mel frame"],
        mask: Float[Tensor, "batch 1 frame"],
        time: Float[Tensor, " batch"],
        reference: Float[Tensor, "batch mel reference_frame"],
        reference_mask: Float[Tensor, "batch 1 reference_frame"],
        embedding: Float[Tensor, "batch embedding"],
    ) -> Estimate:
        """The score of ``noisy``; the ``reference`` is dissolved as far, its own average voice in it."""
        position = time_positions(time, self.channels)
        known_time = self.mlp(position)
        heard = self.ref_block(reference, reference_mask, known_time)
        condition = self.cond_block(torch.cat([position, heard, embedding], dim=1))

        frames = noisy.shape[2]
        noisy, average, mask = (F.pad(part, (0, -frames % COARSEST)) for part in (noisy, average, mask))
        steering = condition[:, :, None, None].expand(-1, -1, *noisy.shape[1:])
        maps = torch.cat([average[:, None], noisy[:, None], steering], dim=1)
        maps, contexts, up_features = self._u(maps, mask[:, None], known_time)
        maps = self.final_conv(self.final_block(maps, mask[:, None]) * mask[:, None])
        return Estimate((maps[:, 0] * mask)[..., :frames], condition, contexts, up_features)

    def _u(self, maps: Tensor, mask: Tensor, time: Tensor) -> tuple[Tensor, tuple[Tensor, ...], tuple[Tensor, ...]]:
        contexts: list[Tensor] = []
        up_features: list[Tensor] = []
        skipped: list[tuple[Tensor, Tensor]] = []
        for down in self.downs:
            skip, context, maps = down(maps, mask, time)
            contexts.append(context)
            skipped.append((skip, mask))
            mask = mask[..., ::2]
        mask = skipped[-1][1]
        maps = self.mid_block1(maps, mask, time)
        maps, _ = self.mid_attn(maps)
        maps = self.mid_block2(maps, mask, time)
        # As published, the finest skip is never used.
        for up, (skip, skip_mask) in zip(self.ups, skipped[:0:-1], strict=True):
            feature, _, maps = up(torch.cat([maps, skip], dim=1), skip_mask, time)
            up_features.append(feature)
        return maps, tuple(contexts), tuple(up_features)


def time_positions(time: Float[Tensor, " batch"], width: int) -> Float[Tensor, "batch width"]:
    """Sines, then cosines of 1000·t at ``width`` / 2 angular frequencies from 1 down to 1/10000.

    >>> time_positions(torch.tensor([0.0, 0.001]), 4).mul(10_000).round().tolist()
    [[0.0, 0.0, 10000.0, 10000.0], [8415.0, 1.0, 5403.0, 10000.0]]
    """
    half = width // 2
    index = torch.arange(half, dtype=time.dtype, device=time.device)
    angles = 1000.0 * time[:, None] * torch.exp(-math.log(10_000.0) / (half - 1) * index)
    return torch.cat([angles.sin(), angles.cos()], dim=1)


class Decoder(nn.Module):
    """The score network beside the diffusion that it inverts; sizes as for :class:`ScoreNetwork`.

    >>> decoder = Decoder(ScoreNetwork(channels=8, condition_channels=4, embedding_dim=16))
    >>> said = Utterance(torch.zeros(1, 8, 6), torch.zeros(1, 8, 6), torch.ones(1, 1, 6))
    >>> decoder(said.mel, torch.tensor([0.5]), said, said, torch.zeros(1, 16)).score.shape
    torch.Size([1, 8, 6])
    """

    def __init__(self, estimator: ScoreNetwork) -> None:
        super().__init__()
        self.estimator = estimator
        self.schedule = Schedule()

    def forward(
        self,
        noisy: Float[Tensor, "batch mel frame"],
        time: Float[Tensor, " batch"],
        source: Utterance,
        reference: Utterance,
        embedding: Float[Tensor, "batch embedding"],
    ) -> Estimate:
        """The score at ``time`` of ``noisy``, in which ``reference``'s speaker says what ``source`` says."""
        heard = self.schedule.mean(reference, time)
        return self.estimator(noisy, source.average, source.mask, time, heard, reference.mask, embedding)

    def loss(
        self,
        clean: Utterance,
        reference: Utterance,
        embedding: Float[Tensor, "batch embedding"],
        time: Float[Tensor, " batch"],
        noise: Float[Tensor, "batch mel frame"],
    ) -> Float[Tensor, ""]:
        """Score matching: the mean of (√(1 − γ²(0,t)) · score + noise)² over speech, for times 1e-5 … 1 − 1e-5.

        As published, the average voices come from an encoder that is already trained and gets no gradient (its dropout
        stays on), and ``reference`` is another excerpt of the same utterance.
        """
        noisy = self.schedule.noised(clean, time, noise)
        level = self.schedule.variance(torch.zeros_like(time), time).sqrt()[:, None, None]
        error = level * self(noisy, time, clean, reference, embedding).score + noise * clean.mask
        return error.square().sum() / (clean.mask.sum() * noise.shape[1])
