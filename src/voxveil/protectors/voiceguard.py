"""Voice Guard: AttackVC's noise in the time domain, then hidden below what the speech masks as far as it goes.

J. Li, D. Ye, L. Tang, C. Chen, S. Hu, "Voice Guard: Protecting Voice Privacy with Strong and Imperceptible Adversarial
Perturbation in the Time Domain", IJCAI 2023. For speech x, the target's y and speaker encoders E_k, with
x′ = x + δ and δ = ε · tanh(w):

    1. minimise over w  L_vc = Σ_k L(E_k(x′), E_k(y)) − λ · L(E_k(x′), E_k(x)),    w ~ N(0, 1) at first
    2. from there minimise  L_vc + α · mean_{f,t} max(P_δ − θ_x, 0),    P_δ and the masking threshold θ_x in dB

Stage 2 is repeated from the end of stage 1 for a search of the largest α that still protects: 1 at first, doubled as
long as it does, afterwards halfway between the largest that did and the least that did not. A clip that no α protects
keeps stage 1. As published, L is the mean squared difference, λ = 0.1 (their program; the paper names no number), and
Adam takes 3000 and 1500 steps of 0.001; with fewer steps each is larger by as much. Their program tries up to eight α.

What differs here: several encoders are attacked, where they have the converter's; the protection holds when every
victim refuses the clip at its threshold, where they ask which of 20 speakers is nearest; L is the squared distance of
unit vectors, so α is on another scale than theirs; the masking threshold is this package's
(:mod:`voxveil.audio.masking`, spread over partitions), where they add up single maskers (Y. Qin et al. 2019), whose
tables we did not rebuild. They give no ε and plot results over a range; ours is AttackVC's.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from voxveil.perturb.budgets import Linf
from voxveil.perturb.carriers import Additive
from voxveil.perturb.penalties import MaskedExcess
from voxveil.perturb.solvers import Descent, radii
from voxveil.progress import part
from voxveil.protectors.channels import Channels, mono_mix, on_every_channel
from voxveil.protectors.floored import floored
from voxveil.protectors.order import Order
from voxveil.protectors.target_voice import target_voice
from voxveil.protectors.victims import SAMPLE_RATE, all_refuse, check_victims, steering
from voxveil.roles import Loss, Objective, Parameters, Progress, Protector, Speech
from voxveil.verify.verifier import Verifier

WEIGHT_LAMBDA = 0.1
FIRST_ALPHA = 1.0
WAY = 0.001 * 3000
"""How far Adam's steps of stage 1 go in all; those of stage 2 are as large, and half as many."""

EPSILON = {"light": 0.005, "medium": 0.01, "strong": 0.02}


@dataclass(frozen=True)
class Effort:
    """Steps of stage 1, and how many values of α are tried."""

    steps: int
    rounds: int


EFFORTS = {"fast": Effort(30, 3), "normal": Effort(100, 5), "thorough": Effort(3000, 8)}


@dataclass(frozen=True)
class VoiceGuard:
    """The protector: no sample changes by more than ``epsilon`` of full scale.

    >>> from voxveil.models.speaker.xvector import XVector
    >>> from voxveil.verify.scorers import cosine
    >>> victim = Verifier("tiny", XVector(16, 24, dim=8).eval(), cosine, threshold=0.5)
    >>> VoiceGuard((victim,), effort=Effort(2, 1))(0.1 * torch.randn(1, 1, 8000), seed=0).shape
    torch.Size([1, 1, 8000])
    """

    victims: tuple[Verifier, ...]
    epsilon: float = EPSILON["medium"]
    effort: Effort = EFFORTS["thorough"]
    target: Speech | None = None

    sample_rate = SAMPLE_RATE

    def __post_init__(self) -> None:
        check_victims("voiceguard", self.victims)

    def __call__(self, speech: Channels, seed: int, progress: Progress | None = None) -> Channels:
        """The protected speech: found on the mono mix of each clip, added to all of its channels.

        Raises :class:`~voxveil.errors.BadInputError` for a target that is taken for the speaker.
        """
        clean = mono_mix(speech)
        voice = target_voice(self.victims, clean, self.target)
        attack = steering(self.victims, clean, voice, "mse", WEIGHT_LAMBDA)
        carrier = Additive(Linf(self.epsilon))
        first, _ = self.solvers()
        stages = 1.0 + self.effort.rounds / 2
        begin = first.start_at(carrier, clean, torch.Generator().manual_seed(seed))
        strong = first.free(attack, carrier, clean, begin, progress=part(progress, 0.0, 1.0 / stages))
        amounts = self._hidden(attack, carrier, clean, strong, part(progress, 1.0 / stages, 1.0))
        return on_every_channel(carrier, amounts, speech)

    def solvers(self) -> tuple[Descent, Descent]:
        """Those of the two stages."""
        size = WAY / self.effort.steps
        first = Descent(self.effort.steps, size, rule="adam", bound="squash", momentum=0.9, start=1.0)
        second = Descent(max(1, self.effort.steps // 2), size, rule="adam", bound="squash", momentum=0.9)
        return first, second

    def _hidden(
        self, attack: Objective, carrier: Additive, clean: Speech, strong: Parameters, progress: Progress | None
    ) -> Parameters:
        _, second = self.solvers()
        limits = radii(carrier, clean)
        heard = MaskedExcess(clean, SAMPLE_RATE)
        search = AlphaSearch(torch.full_like(clean[:, 0], FIRST_ALPHA))
        (kept,) = second.held(strong, carrier, limits)
        for index in range(self.effort.rounds):
            told = part(progress, index / self.effort.rounds, (index + 1) / self.effort.rounds)
            both = _Audible(attack, heard, search.alpha)
            tried = second.free(both, carrier, clean, strong, limits=limits, progress=told)
            (amount,) = second.held(tried, carrier, limits)
            protects = all_refuse(self.victims, clean, carrier((amount,), clean))
            kept = torch.where(protects[:, None], amount, kept)
            search.update(protects)
        return (kept,)


class AlphaSearch:
    """For every clip the next α to try, from whether the last one still protects.

    >>> search = AlphaSearch(torch.ones(2))
    >>> search.update(torch.tensor([True, False])), search.alpha.tolist()
    (None, [2.0, 0.5])
    >>> search.update(torch.tensor([False, True])), search.alpha.tolist()
    (None, [1.5, 0.75])
    """

    def __init__(self, first: Tensor) -> None:
        self.alpha = first
        self.protects = torch.zeros_like(first)
        self.fails = torch.full_like(first, torch.inf)

    def update(self, protects: Tensor) -> None:
        """Takes note of the outcome with ``alpha`` and moves on."""
        self.protects = torch.where(protects, self.alpha, self.protects)
        self.fails = torch.where(protects, self.fails, self.alpha)
        between = (self.protects + self.fails) / 2.0
        self.alpha = torch.where(self.fails.isinf(), 2.0 * self.alpha, between)


@dataclass(frozen=True)
class _Audible:
    """attack + α · what is heard of it, with an α for every clip."""

    attack: Objective
    heard: Objective
    alpha: Tensor

    def __call__(self, adversarial: Speech) -> Loss:
        return self.attack(adversarial) + self.alpha * self.heard(adversarial)


def voiceguard(order: Order) -> Protector:
    """The protector of an ``order``: :data:`EPSILON` and :data:`EFFORTS` say what its words mean.

    Thorough has the published number of steps; the ε are ours.

    >>> voiceguard(Order(victims=()))
    Traceback (most recent call last):
    ValueError: voiceguard needs at least one verifier, their embedders differentiable and at 16 kHz
    """
    made = VoiceGuard(order.victims, EPSILON[order.strength], EFFORTS[order.effort], order.target)
    return floored(made, order)
