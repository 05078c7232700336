"""AutoVC as a converter that can be trained on an hour of speech, its speaker encoder with it."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Generator, Tensor, nn

from voxveil.models.conversion.autovc import AutoVC, SpeakerEncoder
from voxveil.models.conversion.standard_mel import N_MELS


class AutoVCConverter(nn.Module):
    """K. Qian et al. 2019 (:mod:`voxveil.models.conversion.autovc`) on 80 bands at 16 kHz.

    The publishers trained the speaker encoder before, on other data; here both learn together.

    >>> import torch
    >>> converter = AutoVCConverter(width=8, lstm_width=10, code_dim=3, frames_per_code=8, speaker_width=9, dim=6)
    >>> content, reference = torch.randn(2, 80, 41), torch.randn(2, 80, 60)
    >>> converter.eval()(content, reference, Generator()).shape
    torch.Size([2, 80, 41])
    """

    def __init__(
        self,
        width: int = 512,
        lstm_width: int = 1024,
        code_dim: int = 32,
        frames_per_code: int = 32,
        speaker_width: int = 768,
        dim: int = 256,
    ) -> None:
        super().__init__()
        self.generator = AutoVC(N_MELS, dim, width, lstm_width, code_dim, frames_per_code)
        self.speaker_encoder = SpeakerEncoder(N_MELS, speaker_width, dim)

    def forward(
        self,
        content: Float[Tensor, "batch mel frame"],
        reference: Float[Tensor, "batch mel frame2"],
        generator: Generator,
    ) -> Float[Tensor, "batch mel frame"]:
        """The content in the reference's voice; nothing is random."""
        said_by = self.speaker_encoder.speaker(content)
        return self.generator(content, said_by, self.speaker_encoder.speaker(reference))

    def loss(
        self,
        disguised: Float[Tensor, "batch mel frame"],
        reference: Float[Tensor, "batch mel frame2"],
        target: Float[Tensor, "batch mel frame"],
        done: float,
        generator: Generator,
    ) -> Float[Tensor, ""]:
        """|before − target| + |after − target| + |codes of the rebuilt − codes| (the paper's equation 7)."""
        voice = self.speaker_encoder(reference)
        said_by = self.speaker_encoder(disguised)
        codes, before, after = self.generator.stages(disguised, said_by, voice)
        again = self.generator.encoder(F.pad(after, (0, -after.shape[2] % self.generator.encoder.down_sampling)), voice)
        rebuilding = F.l1_loss(before.float(), target) + F.l1_loss(after.float(), target)
        return rebuilding + F.l1_loss(again.float(), codes.float())
