"""A converter made familiar with one voice: trained on for a while, for one reference and what is to be said.

An attacker has the time. The more the network has to guess of a voice from one vector, the more this helps: here,
networks that have heard an hour of speech gain most of what they can do (``docs/results/cloners.md``).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Generator, Tensor, nn

from voxveil.clone.consistency import speaker_consistency
from voxveil.models.conversion.standard_mel import StandardMel
from voxveil.roles import Clip, Embedder, Progress, Reference
from voxveil.train.conversion import ConverterTrainee, Lesson
from voxveil.train.speech_bank import SpeechBank

LEARNING_RATE = 5e-4
BATCH = 8
CONSISTENCY_BATCH = 4
CONSISTENCY_WEIGHT = 0.3

Network = TypeVar("Network", bound=nn.Module)


def adapted(
    converter: Network,
    mel: StandardMel,
    reference: Reference,
    contents: Sequence[Clip],
    listeners: Sequence[Embedder],
    steps: int,
    seed: int,
    progress: Progress | None = None,
) -> Network:
    """A copy of ``converter`` after ``steps`` (Adam, linearly slower) on ``reference`` and ``contents``, all 16 kHz.

    Its own loss rebuilds the reference; where there are ``listeners``, the contents in its voice are led to where those
    put the reference (:mod:`voxveil.clone.consistency`). Normalisations keep the statistics of the original: a few
    utterances have none of their own.

    >>> from voxveil.clone.adain import AdaInConverter
    >>> small = AdaInConverter(channels=8, bank_channels=4, dim=6)
    >>> voice, said = [0.1 * torch.randn(32_000)], [0.1 * torch.randn(8_000)]
    >>> other = adapted(small, StandardMel(), voice, said, [], steps=1, seed=0)
    >>> bool((other.network.decoder.out_conv_layer.bias != small.network.decoder.out_conv_layer.bias).any())
    True
    """
    network = copy.deepcopy(converter).eval().requires_grad_(True)
    voice, said = _bank(reference), _bank(contents)
    lesson = Lesson(voice, mel, BATCH, gain_db=0.0)
    trainee = ConverterTrainee(network, lesson, half=False)
    away = speaker_consistency(listeners, reference, mel) if listeners else None
    optimiser = torch.optim.AdamW(network.parameters(), LEARNING_RATE)
    generator = Generator().manual_seed(seed)
    samples = lesson.frames * mel.hop_samples

    def loss() -> Tensor:
        rebuilding = trainee.loss(1.0, generator)
        if away is None:
            return rebuilding
        (content, _), (heard, _) = (bank.crops(CONSISTENCY_BATCH, samples, generator) for bank in (said, voice))
        return rebuilding + CONSISTENCY_WEIGHT * away(network(mel(content), mel(heard), generator), content)

    for step in range(steps):
        optimiser.param_groups[0]["lr"] = LEARNING_RATE * (1.0 - step / steps)
        optimiser.zero_grad(set_to_none=True)
        with torch.enable_grad():
            loss().backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimiser.step()
        if progress is not None:
            progress((step + 1) / steps)
    return network.requires_grad_(False)


def _bank(clips: Sequence[Clip]) -> SpeechBank:
    names = [str(index) for index in range(len(clips))]
    return SpeechBank((clip.cpu().numpy() for clip in clips), names, device=clips[0].device)
