"""AdaIN-VC, differentiable from both mel spectrograms.

J.-C. Chou, C.-C. Yeh, H.-Y. Lee, "One-shot Voice Conversion by Separating Speaker and Content Representations with
Instance Normalization", Interspeech 2019. Names and shapes of the state dict are those of the published
``vctk_model.ckpt``, which loads with ``strict=True``.

A speaker is what stays the same through a clip. The content encoder takes each channel's mean and deviation out of
every layer; the decoder puts others in, which it computes from the speaker's vector (X. Huang, S. Belongie, "Arbitrary
Style Transfer in Real-time with Adaptive Instance Normalization", ICCV 2017); the speaker encoder keeps them, and
averages over time. The front end is :mod:`voxveil.models.conversion.adain_mel`.

Training maximises a variational bound: the codes are mean + exp(log variance / 2) · noise. Conversion takes the mean.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from voxveil.errors import BadInputError

KERNEL = 5


class SpeakerEncoder(nn.Module):
    """Mel spectrum → one vector of any length for the voice.

    Blocks of convolutions, the mean over time, and as many dense blocks.

    >>> SpeakerEncoder(n_mels=20, channels=8, bank_channels=4, bank_size=3, strides=(1, 2), dim=6)(
    ...     torch.randn(2, 20, 30)
    ... ).shape
    torch.Size([2, 6])
    """

    def __init__(
        self, n_mels: int, channels: int, bank_channels: int, bank_size: int, strides: Sequence[int], dim: int
    ) -> None:
        super().__init__()
        self.conv_bank = _bank(n_mels, bank_channels, bank_size)
        self.in_conv_layer = nn.Conv1d(bank_channels * bank_size + n_mels, channels, 1)
        self.first_conv_layers = nn.ModuleList(nn.Conv1d(channels, channels, KERNEL) for _ in strides)
        self.second_conv_layers = nn.ModuleList(nn.Conv1d(channels, channels, KERNEL, stride) for stride in strides)
        self.first_dense_layers = nn.ModuleList(nn.Linear(channels, channels) for _ in strides)
        self.second_dense_layers = nn.ModuleList(nn.Linear(channels, channels) for _ in strides)
        self.output_layer = nn.Linear(channels, dim)

    def forward(self, mel: Float[Tensor, "batch mel frame"]) -> Float[Tensor, "batch dim"]:
        """The voice of every clip."""
        frames = torch.relu(self.in_conv_layer(_banked(mel, self.conv_bank)))
        for first, second in zip(self.first_conv_layers, self.second_conv_layers, strict=True):
            inner = torch.relu(_convolved(torch.relu(_convolved(frames, first)), second))
            frames = inner + _pooled(frames, second)
        voice = frames.mean(2)
        for first, second in zip(self.first_dense_layers, self.second_dense_layers, strict=True):
            voice = voice + torch.relu(second(torch.relu(first(voice))))
        return self.output_layer(voice)


class ContentEncoder(nn.Module):
    """Mel spectrum → mean and log variance of the codes, one for as many frames as the strides multiply to.

    >>> encoder = ContentEncoder(n_mels=20, channels=8, bank_channels=4, bank_size=3, strides=(1, 2), dim=6)
    >>> mean, log_variance = encoder(torch.randn(2, 20, 30))
    >>> mean.shape, log_variance.shape
    (torch.Size([2, 6, 15]), torch.Size([2, 6, 15]))
    """

    def __init__(
        self, n_mels: int, channels: int, bank_channels: int, bank_size: int, strides: Sequence[int], dim: int
    ) -> None:
        super().__init__()
        self.conv_bank = _bank(n_mels, bank_channels, bank_size)
        self.in_conv_layer = nn.Conv1d(bank_channels * bank_size + n_mels, channels, 1)
        self.first_conv_layers = nn.ModuleList(nn.Conv1d(channels, channels, KERNEL) for _ in strides)
        self.second_conv_layers = nn.ModuleList(nn.Conv1d(channels, channels, KERNEL, stride) for stride in strides)
        self.mean_layer = nn.Conv1d(channels, dim, 1)
        self.std_layer = nn.Conv1d(channels, dim, 1)

    def forward(
        self, mel: Float[Tensor, "batch mel frame"]
    ) -> tuple[Float[Tensor, "batch dim code"], Float[Tensor, "batch dim code"]]:
        """What is said: means and log variances of the codes."""
        frames = torch.relu(F.instance_norm(self.in_conv_layer(_banked(mel, self.conv_bank))))
        for first, second in zip(self.first_conv_layers, self.second_conv_layers, strict=True):
            inner = torch.relu(F.instance_norm(_convolved(frames, first)))
            inner = torch.relu(F.instance_norm(_convolved(inner, second)))
            frames = inner + _pooled(frames, second)
        return self.mean_layer(frames), self.std_layer(frames)


class Decoder(nn.Module):
    """Codes and a voice → mel spectrum, as many times longer as the factors multiply to.

    >>> decoder = Decoder(code_dim=6, speaker_dim=5, channels=8, factors=(2, 1), n_mels=20)
    >>> decoder(torch.randn(2, 6, 15), torch.randn(2, 5)).shape
    torch.Size([2, 20, 30])
    """

    def __init__(self, code_dim: int, speaker_dim: int, channels: int, factors: Sequence[int], n_mels: int) -> None:
        super().__init__()
        self.in_conv_layer = nn.Conv1d(code_dim, channels, 1)
        self.first_conv_layers = nn.ModuleList(nn.Conv1d(channels, channels, KERNEL) for _ in factors)
        self.second_conv_layers = nn.ModuleList(nn.Conv1d(channels, channels * factor, KERNEL) for factor in factors)
        self.conv_affine_layers = nn.ModuleList(nn.Linear(speaker_dim, 2 * channels) for _ in range(2 * len(factors)))
        self.out_conv_layer = nn.Conv1d(channels, n_mels, 1)

    def forward(
        self, codes: Float[Tensor, "batch dim code"], voice: Float[Tensor, "batch dim2"]
    ) -> Float[Tensor, "batch mel frame"]:
        """The codes, spoken by the voice."""
        frames = torch.relu(F.instance_norm(self.in_conv_layer(codes)))
        styles = [affine(voice)[:, :, None] for affine in self.conv_affine_layers]
        layers = zip(self.first_conv_layers, self.second_conv_layers, styles[::2], styles[1::2], strict=True)
        for first, second, first_style, second_style in layers:
            inner = torch.relu(_styled(_convolved(frames, first), first_style))
            inner = _interleaved(_convolved(inner, second), frames.shape[1])
            inner = torch.relu(_styled(inner, second_style))
            frames = inner + frames.repeat_interleave(inner.shape[2] // frames.shape[2], dim=2)
        return self.out_conv_layer(frames)


class AdaInVC(nn.Module):
    """(content, reference) mel spectra → the content's mel spectrum in the reference's voice; 9.0 million weights.

    Mel spectra are those of ``AdaInMel``. ``strides`` down-sample the content; the decoder takes them back in reverse.
    ``min_frames`` is the shortest clip: shorter ones have no edges to reflect.

    Raises :class:`~voxveil.errors.BadInputError` for a content or a reference shorter than that.

    >>> network = AdaInVC(n_mels=20, channels=8, bank_channels=4, bank_size=3, strides=(1, 2), dim=6)
    >>> network(torch.randn(2, 20, 31), torch.randn(2, 20, 50)).shape, network.min_frames
    (torch.Size([2, 20, 31]), 5)
    """

    def __init__(
        self,
        n_mels: int = 512,
        channels: int = 128,
        bank_channels: int = 128,
        bank_size: int = 8,
        strides: Sequence[int] = (1, 2, 1, 2, 1, 2),
        dim: int = 128,
    ) -> None:
        super().__init__()
        self.speaker_encoder = SpeakerEncoder(n_mels, channels, bank_channels, bank_size, strides, dim)
        self.content_encoder = ContentEncoder(n_mels, channels, bank_channels, bank_size, strides, dim)
        self.decoder = Decoder(dim, dim, channels, tuple(reversed(strides)), n_mels)
        self.min_frames = max(math.prod(strides) * (KERNEL // 2), bank_size // 2) + 1

    def forward(
        self, content: Float[Tensor, "batch mel frame"], reference: Float[Tensor, "batch mel frame2"]
    ) -> Float[Tensor, "batch mel frame"]:
        """The converted mel spectra; the frames that fill the content's last code are cut off."""
        for name, mel in (("content", content), ("reference", reference)):
            if mel.shape[2] < self.min_frames:
                raise BadInputError(
                    f"The {name} has {mel.shape[2]} frames and AdaIN-VC needs {self.min_frames}: give it more speech."
                )
        codes, _ = self.content_encoder(content)
        converted: Tensor = self.decoder(codes, self.speaker_encoder(reference))
        return converted[:, :, : content.shape[2]]


def _bank(width_in: int, width: int, size: int) -> nn.ModuleList:
    return nn.ModuleList(nn.Conv1d(width_in, width, kernel) for kernel in range(1, size + 1))


def _banked(frames: Tensor, bank: nn.ModuleList) -> Tensor:
    return torch.cat([*(torch.relu(_convolved(frames, layer)) for layer in bank), frames], dim=1)


def _convolved(frames: Tensor, layer: nn.Module) -> Tensor:
    assert isinstance(layer, nn.Conv1d)
    # Reflected edges keep the number of frames; an even kernel sees one frame more of the past.
    (kernel,) = layer.kernel_size
    return layer(F.pad(frames, (kernel // 2, (kernel - 1) // 2), mode="reflect"))


def _pooled(frames: Tensor, layer: nn.Module) -> Tensor:
    assert isinstance(layer, nn.Conv1d)
    return F.avg_pool1d(frames, layer.stride[0], ceil_mode=True)


def _styled(frames: Tensor, style: Tensor) -> Tensor:
    """AdaIN: each channel with the mean and the deviation that the voice gives it, in this order in ``style``."""
    mean, deviation = style.chunk(2, dim=1)
    return F.instance_norm(frames) * deviation + mean


def _interleaved(frames: Tensor, width: int) -> Tensor:
    """Neighbouring channels become neighbouring frames, until ``width`` channels are left (a pixel shuffle)."""
    batch, _, count = frames.shape
    return frames.reshape(batch, width, -1, count).transpose(2, 3).flatten(2)
