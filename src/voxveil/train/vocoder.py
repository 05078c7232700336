"""How a HiFi-GAN is trained on a CPU: first to match spectra, then against discriminators as well.

J. Kong, J. Kim and J. Bae, "HiFi-GAN", NeurIPS 2020, equations 1–7: the generator's loss is L_adv + 2·L_FM + 45·L_mel,
the discriminators' is L_adv(D). Otherwise than there,

- the multi-resolution distance of spectra (Parallel WaveGAN, :mod:`voxveil.train.multi_resolution`) is added, and until
  a share of the training is past it and L_mel are all there is: most of the steps that a CPU affords go into what needs
  no discriminator;
- generator and discriminators take their steps at once, by one optimiser on the sum of both losses, each with gradients
  of its own loss only, instead of by turns;
- only the multi-period discriminators judge, and narrow ones: on a CPU the grouped convolutions of the multi-scale ones
  cost as much as all the rest;
- optimiser and schedule are the loop's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn
from torch.func import functional_call

from voxveil.models.vocoder.hifigan import HifiGan
from voxveil.models.vocoder.hifigan_discriminators import MultiPeriodDiscriminator, Verdict
from voxveil.roles import Speech
from voxveil.train.adversarial import deception_loss, discriminator_loss, feature_distance
from voxveil.train.conversion import GAIN_DB
from voxveil.train.disguise import NEPER_DB
from voxveil.train.multi_resolution import spectral_distance
from voxveil.train.speech_bank import SpeechBank

FEATURES = 2.0
MEL = 45.0
SPECTRA = 10.0
"""Weights of the generator's terms beside the adversarial one; the first two are the paper's."""


@dataclass(frozen=True)
class Recital:
    """Crops of ``bank`` as a vocoder learns from them: ``batch`` of ``samples`` samples a step, up to 6 dB off.

    >>> import numpy as np
    >>> bank = SpeechBank([np.random.default_rng(0).normal(0, 0.1, 9000).astype(np.float32)], ["ann"])
    >>> Recital(bank, batch=2, samples=4096).draw(Generator().manual_seed(0)).shape
    torch.Size([2, 4096])
    """

    bank: SpeechBank
    batch: int
    samples: int

    def draw(self, generator: Generator) -> Speech:
        """A batch, each crop with a gain of its own."""
        speech, _ = self.bank.crops(self.batch, self.samples, generator)
        gain_db = GAIN_DB * (2.0 * torch.rand(self.batch, 1, generator=generator) - 1.0)
        return speech * (10.0 ** (gain_db / 20.0)).to(speech.device)


class VocoderTrainee:
    """A generator and its discriminators as :func:`voxveil.train.loop.train` trains them, in one network.

    The discriminators come in when the share ``alone_until`` of the training is past. ``half`` lets the layers run in
    bfloat16; spectra are always float32.

    >>> import numpy as np
    >>> bank = SpeechBank([np.random.default_rng(0).normal(0, 0.1, 9000).astype(np.float32)], ["ann"])
    >>> vocoder = HifiGan(width=8, rates=(16, 16), rate_kernels=(32, 32), sample_rate=16_000)
    >>> judges = MultiPeriodDiscriminator(widths=(2, 2, 2, 2, 2))
    >>> trainee = VocoderTrainee(vocoder, judges, Recital(bank, 2, 4096), alone_until=0.5, half=False)
    >>> bool(trainee.loss(0.6, Generator().manual_seed(0)) > 0.0)
    True
    """

    def __init__(
        self,
        vocoder: HifiGan,
        discriminators: MultiPeriodDiscriminator,
        recital: Recital,
        alone_until: float,
        half: bool,
        device: torch.device | None = None,
        judge: Callable[[HifiGan], Mapping[str, float]] | None = None,
    ) -> None:
        self.device = device or torch.device("cpu")
        self.vocoder, self.discriminators = vocoder.to(self.device), discriminators.to(self.device)
        self.network = nn.ModuleDict({"generator": self.vocoder, "mpd": self.discriminators})
        self.recital, self.alone_until, self.half, self.judge = recital, alone_until, half, judge

    @property
    def recipe(self) -> Mapping[str, Any]:
        """What makes this training beside the network and the plan."""
        return {
            "batch": self.recital.batch,
            "samples": self.recital.samples,
            "alone_until": self.alone_until,
            "half": self.half,
            "speech": self.recital.bank.fingerprint(),
        }

    def loss(self, done: float, generator: Generator) -> Tensor:
        """Both players' losses for a batch that ``generator`` draws, over 45.

        AdamW does not mind the factor; the bound on the loop's gradients is meant for losses of about 1.
        """
        with torch.no_grad():
            recorded = self.recital.draw(generator)
            mel = self.vocoder.mel(recorded)
        with self._precision():
            made = self.vocoder(mel)
        made = made.float()
        loss = MEL * (self.vocoder.mel(made) - mel).abs().mean() + SPECTRA * spectral_distance(made, recorded)
        if done >= self.alone_until:
            loss = loss + self._game(made, recorded)
        return loss / MEL

    def measure(self) -> Mapping[str, float]:
        """What the judge says of the vocoder as it is now."""
        return {} if self.judge is None else self.judge(self.vocoder)

    def trained(self) -> HifiGan:
        """The generator alone, in eval mode."""
        return self.vocoder.eval()

    def _game(self, made: Speech, recorded: Speech) -> Float[Tensor, ""]:
        with self._precision():
            of_recorded = self.discriminators(recorded)
            of_made = self.discriminators(made.detach())
            deceived = self._fixed(made)
        deception = deception_loss(deceived) + FEATURES * feature_distance(of_recorded, deceived)
        return discriminator_loss(of_recorded, of_made) + deception

    def _fixed(self, made: Speech) -> list[Verdict]:
        # The same verdicts with the discriminators as constants: what the generator does for them teaches only it.
        constants = {name: weight.detach() for name, weight in self.discriminators.named_parameters()}
        verdicts: list[Verdict] = functional_call(self.discriminators, constants, (made,))
        return verdicts

    def _precision(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.half)


def copying_error(recital: Recital) -> Callable[[HifiGan], Mapping[str, float]]:
    """A judge of vocoders: how far the log mels of copies are from those of ``recital``, drawn once, in dB.

    >>> import numpy as np
    >>> bank = SpeechBank([np.random.default_rng(0).normal(0, 0.1, 9000).astype(np.float32)], ["ann"])
    >>> judge = copying_error(Recital(bank, batch=2, samples=4096))
    >>> judge(HifiGan(width=8, rates=(16, 16), rate_kernels=(32, 32), sample_rate=16_000))["copying_error_db"] > 1.0
    True
    """
    recorded = recital.draw(Generator().manual_seed(0))

    def judge(vocoder: HifiGan) -> Mapping[str, float]:
        with torch.no_grad():
            mel = vocoder.mel(recorded)
            error = (vocoder.mel(vocoder(mel)) - mel).abs().mean()
        return {"copying_error_db": NEPER_DB * float(error)}

    return judge
