"""AttackVC in the time domain: a small noise that moves a voice's embedding to another speaker's.

C. Huang, Y. Lin, H. Lee, L. Lee, "Defending Your Voice: Adversarial Attack on Voice Conversion", SLT 2021, its
embedding attack as W. Fan et al., "De-AntiFake", ICML 2025, carried it over to waveforms. For speech x, another
speaker's y and speaker encoders E_k:

    minimise over p  Σ_k L(E_k(x′), E_k(y)) − λ · L(E_k(x′), E_k(x)),    x′ = x + ε · tanh(p)

with L the squared distance (theirs is its mean over the dimensions, which with several encoders would weigh those of
few dimensions more), λ = 0.1, p ~ N(0, 1) at first, Adam with step size 0.1 for 150 steps, and ε = 0.01.
They attack one encoder at a time and tune ε for each; here all that are ordered are attacked at once. Their target is
any speaker of the other sex; here it is who is farthest (:mod:`~voxveil.protectors.target_voice`) unless somebody is
named. The original, which perturbs mel spectra, is :mod:`~voxveil.protectors.attackvc_mel`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from voxveil.perturb.budgets import Linf
from voxveil.perturb.carriers import Additive
from voxveil.perturb.solvers import Descent
from voxveil.protectors.channels import Channels, mono_mix, on_every_channel
from voxveil.protectors.floored import floored
from voxveil.protectors.order import Order
from voxveil.protectors.target_voice import target_voice
from voxveil.protectors.victims import SAMPLE_RATE, check_victims, steering
from voxveil.roles import Progress, Protector, Speech
from voxveil.verify.verifier import Verifier

WEIGHT_LAMBDA = 0.1
STEP_SIZE = 0.1
EPSILON = {"light": 0.005, "medium": 0.01, "strong": 0.02}
EFFORT_STEPS = {"fast": 20, "normal": 60, "thorough": 150}


@dataclass(frozen=True)
class AttackVC:
    """The protector: no sample changes by more than ``epsilon`` of full scale.

    >>> from voxveil.models.speaker.xvector import XVector
    >>> from voxveil.verify.scorers import cosine
    >>> victim = Verifier("tiny", XVector(16, 24, dim=8).eval(), cosine, threshold=0.5)
    >>> speech = 0.1 * torch.randn(1, 2, 8000)
    >>> bool((AttackVC((victim,), steps=2)(speech, seed=0) - speech).abs().max() <= 0.01 + 1e-6)
    True
    """

    victims: tuple[Verifier, ...]
    epsilon: float = EPSILON["medium"]
    steps: int = EFFORT_STEPS["thorough"]
    target: Speech | None = None

    sample_rate = SAMPLE_RATE

    def __post_init__(self) -> None:
        check_victims("attackvc", self.victims)

    def __call__(self, speech: Channels, seed: int, progress: Progress | None = None) -> Channels:
        """The protected speech: found on the mono mix of each clip, added to all of its channels.

        Raises :class:`~voxveil.errors.BadInputError` for a target that is taken for the speaker.
        """
        clean = mono_mix(speech)
        voice = target_voice(self.victims, clean, self.target)
        objective = steering(self.victims, clean, voice, "mse", WEIGHT_LAMBDA)
        carrier = Additive(Linf(self.epsilon))
        generator = torch.Generator().manual_seed(seed)
        amounts = self.solver()(objective, carrier, clean, generator, progress=progress)
        return on_every_channel(carrier, amounts, speech)

    def solver(self) -> Descent:
        """Adam through the hyperbolic tangent, from a normal start."""
        return Descent(self.steps, STEP_SIZE, rule="adam", bound="squash", momentum=0.9, start=1.0)


def attackvc(order: Order) -> Protector:
    """The protector of an ``order``: :data:`EPSILON` and :data:`EFFORT_STEPS` say what its words mean.

    Medium and thorough are as published; light is half, strong twice the ε.

    >>> attackvc(Order(victims=()))
    Traceback (most recent call last):
    ValueError: attackvc needs at least one verifier, their embedders differentiable and at 16 kHz
    """
    made = AttackVC(order.victims, EPSILON[order.strength], EFFORT_STEPS[order.effort], order.target)
    return floored(made, order)
