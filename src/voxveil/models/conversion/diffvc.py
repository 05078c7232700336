"""DiffVC: one-shot voice conversion by diffusion, from mel spectra to mel spectra, differentiable from the reference.

V. Popov, I. Vovk, V. Gogoryan, T. Sadekova, M. Kudinov, J. Wei, "Diffusion-Based Voice Conversion with Fast Maximum
Likelihood Sampling Scheme", ICLR 2022. An encoder turns speech into an average voice; a diffusion leads from there,
in a few steps, to the voice of the reference. Names and shapes of the state dict are those of the published
``vc_libritts_wodyn.pt``, which loads with ``strict=True``.

As published, speech at 22.05 kHz is cut to whole hops of 256 samples and becomes HiFi-GAN's log mel spectrogram
(:class:`~voxveil.audio.log_mel.LogMel`, 80 bands up to 8 kHz), the embedding is GE2E's of the reference at 16 kHz, and
HiFi-GAN makes the sound.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from voxveil.errors import BadInputError
from voxveil.models.conversion.diffvc_decoder import Decoder, ScoreNetwork
from voxveil.models.conversion.diffvc_diffusion import Utterance
from voxveil.models.conversion.diffvc_encoder import MelEncoder
from voxveil.models.conversion.diffvc_postnet import AverageVoice, Postnet
from voxveil.models.conversion.diffvc_sampler import Method, believable, noise_like, sample


class DiffVC(nn.Module):
    """Log mel spectra in the voice of another; 126 million weights as published.

    ``encoder_channels`` is a multiple of ``heads``; ``postnet_channels`` and ``decoder_channels`` are multiples of 8,
    ``condition_channels`` and ``n_mels`` of 4.

    >>> small = dict(encoder_channels=16, filters=32, layers=1, postnet_channels=8)
    >>> model = DiffVC(**small, decoder_channels=8, condition_channels=8).eval()
    >>> said, heard = model.utterance(torch.randn(1, 80, 30)), model.utterance(torch.randn(2, 80, 50))
    >>> voices = torch.randn(2, 256)
    >>> model.convert(said, heard, voices, steps=2, generator=torch.Generator().manual_seed(0)).shape
    torch.Size([2, 80, 30])

    What a protection aims at, and its gradient:

    >>> estimate = model.decoder(said.expanded(2).mel, torch.full((2,), 0.5), said.expanded(2), heard, voices)
    >>> [tuple(context.shape) for context in estimate.contexts]
    [(2, 4, 32, 32), (2, 4, 32, 32), (2, 4, 32, 32)]
    """

    def __init__(
        self,
        n_mels: int = 80,
        encoder_channels: int = 192,
        filters: int = 768,
        heads: int = 2,
        layers: int = 6,
        dropout: float = 0.1,
        postnet_channels: int = 128,
        decoder_channels: int = 256,
        condition_channels: int = 128,
        embedding_dim: int = 256,
    ) -> None:
        super().__init__()
        self.n_mels = n_mels
        transformer = MelEncoder(n_mels, encoder_channels, filters, heads, layers, dropout)
        self.encoder = AverageVoice(transformer, Postnet(postnet_channels))
        self.decoder = Decoder(ScoreNetwork(decoder_channels, condition_channels, embedding_dim))

    def utterance(
        self, mel: Float[Tensor, "batch mel frame"], frames: Int[Tensor, " batch"] | None = None
    ) -> Utterance:
        """Speech beside its average voice, as source or as reference.

        ``frames`` says how many frames of every spectrogram are speech, where some are padded. As published, padding
        is counted in the normalisations, so a padded clip is not quite what it would be alone; the last frames of a
        source that does not divide by four are padded in any case.

        Raises :class:`~voxveil.errors.BadInputError` for spectra of another number of bands or without frames.
        """
        if mel.shape[1] != self.n_mels or mel.shape[2] == 0:
            raise BadInputError(
                f"A mel spectrogram of {mel.shape[1]} bands and {mel.shape[2]} frames cannot be converted; "
                f"DiffVC needs {self.n_mels} bands and at least one frame."
            )
        mask = torch.ones_like(mel[:, :1])
        if frames is not None:
            if bool((frames < 1).any()) or bool((frames > mel.shape[2]).any()):
                raise BadInputError(
                    f"The numbers of frames {frames.tolist()} do not fit spectra of {mel.shape[2]} frames; "
                    "give every clip at least one, and no more than there are."
                )
            index = torch.arange(mel.shape[2], device=mel.device)
            mask = (index < frames[:, None]).to(mel.dtype)[:, None]
        return Utterance(mel, self.encoder(mel, mask), mask)

    def convert(
        self,
        source: Utterance,
        reference: Utterance,
        embedding: Float[Tensor, "batch embedding"],
        *,
        steps: int = 30,
        method: Method = "ml",
        levels: tuple[float, float] | None = None,
        generator: torch.Generator,
    ) -> Float[Tensor, "batch mel frame"]:
        """What ``source`` says in the voice of every reference, zero in frames of padding.

        One source serves all references of the batch. The published demonstration takes 30 steps, and knows no lowest
        and highest of ``levels`` (:func:`~voxveil.models.conversion.diffvc_sampler.believable`). The same state of
        the ``generator`` gives the same voice. The gradient passes through all steps: switch it off where there is
        no need for it.

        Raises :class:`~voxveil.errors.BadInputError` for fewer than one step.
        """
        source = source.expanded(len(embedding))

        def score(noisy: Tensor, time: Tensor) -> Tensor:
            return self.decoder(noisy, time, source, reference, embedding).score

        schedule = self.decoder.schedule
        end = torch.ones_like(embedding[:, 0])
        # As published, the start has unit variance, a little more than the diffusion leads to.
        start = schedule.mean(source, end) + noise_like(source.mel, generator)
        led = score if levels is None else believable(score, source.average, schedule, *levels)
        voice = sample(led, start, source.average, schedule, steps, method, generator)
        return voice * source.mask
