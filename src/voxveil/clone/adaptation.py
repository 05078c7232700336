"""A converter made familiar with one voice: trained on for a while, on the reference alone.

An attacker has the time. The more the network has to guess of a voice from one vector, the more this helps: here,
networks that have heard an hour of speech gain most of what they can do (``docs/results/cloners.md``).
"""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import Generator, nn

from voxveil.models.conversion.standard_mel import StandardMel
from voxveil.roles import Progress, Reference
from voxveil.train.conversion import ConverterTrainee, Lesson
from voxveil.train.speech_bank import SpeechBank

LEARNING_RATE = 5e-4
BATCH = 8

Network = TypeVar("Network", bound=nn.Module)


def adapted(
    converter: Network, mel: StandardMel, reference: Reference, steps: int, seed: int, progress: Progress | None = None
) -> Network:
    """A copy of ``converter`` after ``steps`` of its own training (Adam, linearly slower) on ``reference``, 16 kHz.

    Normalisations keep the statistics of the original: a few utterances have none of their own.

    >>> from voxveil.clone.adain import AdaInConverter
    >>> small = AdaInConverter(channels=8, bank_channels=4, dim=6)
    >>> voice = [0.1 * torch.randn(32_000)]
    >>> other = adapted(small, StandardMel(), voice, steps=1, seed=0)
    >>> bool((other.network.decoder.out_conv_layer.bias != small.network.decoder.out_conv_layer.bias).any())
    True
    """
    network = copy.deepcopy(converter).eval().requires_grad_(True)
    bank = SpeechBank((clip.cpu().numpy() for clip in reference), [str(index) for index in range(len(reference))])
    trainee = ConverterTrainee(network, Lesson(bank, mel, BATCH, gain_db=0.0), half=False)
    optimiser = torch.optim.AdamW(network.parameters(), LEARNING_RATE)
    generator = Generator().manual_seed(seed)
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = LEARNING_RATE * (1.0 - step / steps)
        optimiser.zero_grad(set_to_none=True)
        with torch.enable_grad():
            trainee.loss(1.0, generator).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimiser.step()
        if progress is not None:
            progress((step + 1) / steps)
    return network.requires_grad_(False)
