"""DiffVC as a converter that can be trained on an hour of speech, its speaker encoder with it."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from voxveil.models.conversion.autovc import SpeakerEncoder
from voxveil.models.conversion.diffvc import DiffVC
from voxveil.models.conversion.diffvc_diffusion import Utterance
from voxveil.models.conversion.standard_mel import N_MELS
from voxveil.train.conversion import in_disguise

SAMPLER_STEPS = 6
"""Of the published numbers, the fast one."""

LEVELS = -3.0, 4.0
"""Beyond silence and beyond a full-scale sine: what StandardMel gives lies between."""

AVERAGE_UNTIL = 0.2
"""The share of the training in which only the average voice is learned; it is final for the rest."""

LEAST_TIME = 0.05
"""A sampler of up to twenty equal steps asks for no earlier score; most of the loss would be spent there."""


class DiffVCConverter(nn.Module):
    """V. Popov et al. 2022 (:mod:`voxveil.models.conversion.diffvc`) on 80 bands at 16 kHz.

    Two things differ from the paper. Its average voice is the mean of every phoneme over many speakers, which takes
    alignments; here the encoder hears one disguise of an utterance and predicts another, and what is nearest to all of
    them is their mean, over vocal tracts and microphones. And its speaker embedding comes from GE2E; here AutoVC's
    speaker encoder learns with the decoder, from the mel spectra that a converter has.

    >>> converter = DiffVCConverter(16, 16, 1, 8, channels=8, condition_channels=8, speaker_width=6, dim=4).eval()
    >>> content, reference = torch.randn(2, 80, 41), torch.randn(2, 80, 60)
    >>> converter(content, reference, Generator()).shape
    torch.Size([2, 80, 41])
    """

    def __init__(
        self,
        encoder_channels: int = 192,
        filters: int = 768,
        layers: int = 6,
        postnet_channels: int = 128,
        channels: int = 256,
        condition_channels: int = 128,
        speaker_width: int = 256,
        dim: int = 256,
    ) -> None:
        super().__init__()
        self.network = DiffVC(
            N_MELS,
            encoder_channels,
            filters,
            layers=layers,
            dropout=0.0,  # it would not be drawn by the generator
            postnet_channels=postnet_channels,
            decoder_channels=channels,
            condition_channels=condition_channels,
            embedding_dim=dim,
        )
        self.speaker_encoder = SpeakerEncoder(N_MELS, speaker_width, dim)

    def forward(
        self,
        content: Float[Tensor, "batch mel frame"],
        reference: Float[Tensor, "batch mel frame2"],
        generator: Generator,
    ) -> Float[Tensor, "batch mel frame"]:
        """The content in the reference's voice, by six steps of the maximum-likelihood sampler."""
        said, heard = self.network.utterance(content), self.network.utterance(reference)
        embedding = self.speaker_encoder.speaker(reference)
        return self.network.convert(said, heard, embedding, steps=SAMPLER_STEPS, levels=LEVELS, generator=generator)

    def loss(
        self,
        disguised: Float[Tensor, "batch mel frame"],
        reference: Float[Tensor, "batch mel frame2"],
        target: Float[Tensor, "batch mel frame"],
        done: float,
        generator: Generator,
    ) -> Float[Tensor, ""]:
        """First the average voice's error, then score matching with average voices that get no gradient."""
        speech = torch.ones_like(target[:, :1])
        if done < AVERAGE_UNTIL:
            return self.network.encoder.loss(disguised, in_disguise(target, generator), speech)
        with torch.no_grad():
            said = Utterance(target, self.network.encoder(disguised, speech), speech)
            heard = self.network.utterance(reference)
        time = spread_times(len(target), generator).to(target)
        noise = torch.randn(target.shape, generator=generator).to(target)
        return self.network.decoder.loss(said, heard, self.speaker_encoder(reference), time, noise)


def spread_times(batch: int, generator: Generator) -> Float[Tensor, " batch"]:
    """One random time in each of ``batch`` equal parts of 0.05 … 1: the loss varies less than with free ones.

    >>> bool((spread_times(100, Generator()).diff() > 0).all())
    True
    """
    shares = (torch.arange(batch) + torch.rand(batch, generator=generator)) / batch
    return LEAST_TIME + (1.0 - LEAST_TIME) * shares
