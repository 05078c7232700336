"""``voicecloak``: noise too faint to hear much of, against cloners that work by diffusion.

Q. Hu, J. Wu, W. Lu, X. Luo, "VoiceCloak: A Multi-Dimensional Defense Framework against Unauthorized Diffusion-based
Voice Cloning", AAAI 2026 (arXiv:2505.12332). For the speech x and its protected version x + δ

    maximise over |δ| ≤ ε    L_ID + 4.5 · L_ctx + 10 · L_score + 0.85 · L_sem
    L_ID = cos(E(x + δ), y) − cos(E(x + δ), E(x))

by projected gradient descent, here with a single backward pass a step for all four. The last three losses are those of
:mod:`voxveil.perturb.diffusion_objectives`, on DiffVC as published.

Three things differ from the paper. E are the order's speaker encoders (theirs is WavLM, which can be named as one). y
is their centroid of a speaker of the opposite sex, here the order's target; without a target L_ID is their untargeted
one. And where a step averages the gradient over five random times of the first six steps of a sampler, here it is that
of all six. Their sampler has 100 steps and the shipped converter's has 6, so that its first six lead all the way: there
the reference acts more (on a converter in training the gradients of L_score and L_sem were 4 and 70 times as large).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from voxveil.errors import BadInputError, VoxveilError
from voxveil.models.conversion.autovc import SpeakerEncoder
from voxveil.models.conversion.diffvc import DiffVC
from voxveil.models.conversion.standard_mel import StandardMel
from voxveil.perturb.budgets import Linf
from voxveil.perturb.carriers import Additive
from voxveil.perturb.diffusion_objectives import DiffusionDisruption, Hearing, early_times
from voxveil.perturb.objectives import EmbeddingDistance, Weighted
from voxveil.perturb.solvers import pgd
from voxveil.progress import part
from voxveil.protectors.channels import Channels, mono_mix, on_every_channel
from voxveil.protectors.floored import floored
from voxveil.protectors.order import Order
from voxveil.protectors.target_voice import check_target
from voxveil.roles import Objective, Progress, Protector, Speech
from voxveil.verify.verifier import Verifier

SAMPLER_STEPS = 6
"""Those that the shipped converter takes."""

LEAST_REFERENCE_S = 1.0
"""The shortest reference that a cloner takes."""

EPSILON = {"light": 0.001, "medium": 0.002, "strong": 0.004}
EFFORT_STEPS = {"fast": 10, "normal": 25, "thorough": 50}
"""The published number is 50; by the paper's own table 13, 25 protect as well, and 10 for nine tenths of it."""

MEMORY_BYTES = 4.0 * 2**30
"""For the maps of the U-Net; the paper needs 9 GiB in all."""


@dataclass(frozen=True)
class Weights:
    """What each loss counts, as published; one of 0 is not computed.

    >>> Weights().without(["identity", "score"])
    Weights(identity=0.0, context=4.5, score=0.0, semantics=0.85)
    """

    identity: float = 1.0
    context: float = 4.5
    score: float = 10.0
    semantics: float = 0.85

    def without(self, names: Sequence[str]) -> Weights:
        """The same with some losses switched off.

        >>> Weights().without(["quality"])
        Traceback (most recent call last):
        voxveil.errors.VoxveilError: VoiceCloak has no loss 'quality'; it has: identity, context, score, semantics.
        """
        for name in names:
            if name not in asdict(self):
                raise VoxveilError(f"VoiceCloak has no loss '{name}'; it has: {', '.join(asdict(self))}.")
        return replace(self, **dict.fromkeys(names, 0.0))

    @property
    def diffusion(self) -> tuple[float, float, float]:
        """Those of the losses inside the converter."""
        return self.context, self.score, self.semantics


@runtime_checkable
class DiffusionConverter(Protocol):
    """DiffVC beside the speaker encoder that it was trained with, on :class:`StandardMel`."""

    network: DiffVC
    speaker_encoder: SpeakerEncoder


@dataclass(frozen=True)
class VoiceCloak:
    """The protector.

    ``converter`` is what the attacker clones with (in evaluation mode), ``victims`` are the verifiers whose speaker
    encoders judge identity; both hear 16 kHz. No sample of any channel changes by more than ``epsilon`` of full scale.
    ``target`` (optional) is another speaker's speech [1, time] to steer to. The attacker's sampler takes
    ``sampler_steps``, of which the first six matter. What the U-Net keeps for the gradient takes ``memory_bytes`` at
    most, or as much as one clip at one time needs.

    >>> from voxveil.models.conversion.diffvc import DiffVC
    >>> class Small:
    ...     network = DiffVC(80, 8, 8, layers=1, postnet_channels=8, decoder_channels=8, condition_channels=8).eval()
    ...     speaker_encoder = SpeakerEncoder(80, width=4, dim=256)
    >>> speech = 0.1 * torch.randn(1, 2, 16_000)
    >>> protected = VoiceCloak(Small(), (), weights=Weights(identity=0.0), steps=1)(speech, seed=0)
    >>> protected.shape, 0.0 < float((protected - speech).abs().max()) < 0.00201
    (torch.Size([1, 2, 16000]), True)
    """

    converter: DiffusionConverter
    victims: tuple[Verifier, ...]
    weights: Weights = Weights()
    epsilon: float = EPSILON["medium"]
    steps: int = EFFORT_STEPS["thorough"]
    target: Speech | None = None
    sampler_steps: int = SAMPLER_STEPS
    memory_bytes: float = MEMORY_BYTES

    sample_rate = StandardMel.sample_rate

    def __post_init__(self) -> None:
        encoders = [victim.embedder for victim in self.victims]
        unfit = any(e.sample_rate != self.sample_rate or not e.differentiable for e in encoders)
        if self.weights.identity and (not encoders or unfit):
            raise ValueError("the identity needs at least one verifier, their embedders differentiable and at 16 kHz")
        if not any(asdict(self.weights).values()):
            raise VoxveilError("VoiceCloak without any of its losses does nothing; leave it one.")
        if self.sampler_steps < SAMPLER_STEPS:
            raise ValueError(
                f"of a sampler the first {SAMPLER_STEPS} steps count, and this one has {self.sampler_steps}"
            )

    def __call__(self, speech: Channels, seed: int, progress: Progress | None = None) -> Channels:
        """The protected speech: found on the mono mix of each clip, added to all of its channels.

        Raises :class:`~voxveil.errors.BadInputError` for speech that is too short to be a cloner's reference,
        and for a target that is taken for the speaker.
        """
        seconds = speech.shape[-1] / self.sample_rate
        if seconds < LEAST_REFERENCE_S:
            raise BadInputError(
                f"Speech of {seconds:.2f} s is too short for VoiceCloak: a cloner's reference lasts at least "
                f"{LEAST_REFERENCE_S:g} s."
            )
        if self.target is not None:
            check_target(self.victims, mono_mix(speech), self.target)
        # Together, the maps of several clips are large enough that a CPU spends more time on memory than it saves.
        batches = torch.split(speech, len(speech) if speech.is_cuda else 1)
        told = [part(progress, i / len(batches), (i + 1) / len(batches)) for i in range(len(batches))]
        return torch.cat([self._protected(some, seed, each) for some, each in zip(batches, told, strict=True)])

    def _protected(self, speech: Channels, seed: int, progress: Progress | None) -> Channels:
        clean, generator = mono_mix(speech), torch.Generator().manual_seed(seed)
        # With the published 50 steps each is a fiftieth of the budget, as published; fewer can spend it all as well.
        solver = pgd(self.steps, 1.0 / self.steps, start=1.0 / self.steps)
        objective = self.objective(clean, generator)
        carrier = Additive(Linf(self.epsilon))
        return on_every_channel(carrier, solver(objective, carrier, clean, generator, progress=progress), speech)

    def objective(self, clean: Speech, generator: torch.Generator) -> Objective:
        """What is minimised for this batch of clean speech; only losses that count are in it."""
        terms: list[tuple[float, Objective]] = []
        if self.weights.identity:
            share = self.weights.identity / len(self.victims)
            terms += [(share, self._identity(victim, clean)) for victim in self.victims]
        if any(self.weights.diffusion):
            network, hear = self.converter.network, self._hearing(StandardMel().to(clean))
            times = early_times(steps=self.sampler_steps)
            losses = self.weights.diffusion
            disrupt = DiffusionDisruption(network, hear, clean, losses, generator, times, self.memory_bytes)
            terms.append((1.0, disrupt))
        return Weighted(tuple(terms))

    def _identity(self, victim: Verifier, clean: Speech) -> Objective:
        with torch.no_grad():
            source = victim.embedder(clean)
            if self.target is None:
                return EmbeddingDistance(victim.embedder.coarse(), source)
            target = victim.embedder(self.target.to(clean)).expand_as(source)
        return EmbeddingDistance(victim.embedder.coarse(), source, target)

    def _hearing(self, mel: StandardMel) -> Hearing:
        def hear(speech: Speech) -> tuple[Tensor, Tensor]:
            levels = mel(speech)
            return levels, self.converter.speaker_encoder.speaker(levels)

        return hear


def voicecloak(order: Order, without: Sequence[str] = ()) -> Protector:
    """The protector of an ``order``, with the losses named ``without`` switched off.

    Of the losses ``identity``, ``context``, ``score`` and ``semantics`` at least one has to stay. Medium strength and
    thorough effort are the published numbers; light and strong halve and double ε.

    Raises :class:`~voxveil.errors.VoxveilError` for an unknown loss, and
    :class:`~voxveil.errors.ModelUnavailableError` where the converter cannot be had.

    >>> voicecloak(Order(victims=()))
    Traceback (most recent call last):
    voxveil.errors.ModelUnavailableError: This method attacks a voice converter, and the order names none.
    """
    weights = Weights().without(without)
    epsilon, steps = EPSILON[order.strength], EFFORT_STEPS[order.effort]
    return floored(VoiceCloak(order.attacked(), order.victims, weights, epsilon, steps, order.target), order)
