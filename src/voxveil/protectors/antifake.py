"""AntiFake: an ensemble of speaker encoders is led to the farthest speaker, by sign steps that only quality holds.

Z. Yu, S. Zhai, N. Zhang, "AntiFake: Using Adversarial Audio to Prevent Unauthorized Speech Synthesis", CCS 2023. For
speech x, the target's y and speaker encoders E_k, with δ = x′ − x:

    maximise  J = −Σ_k ‖E_k(x′) − E_k(y)‖ + 0.005 · SNR_dB − 0.05 · ‖δ‖ − 0.3 · F(δ)
    x′ ← clip(x′ + η · sign ∂J/∂x′, −1, 1),    η = 0.02, times 0.9 after each 100 of 1000 steps

F weights δ's power spectrum by how well each frequency is heard (:mod:`voxveil.perturb.penalties`). No ε bounds δ: the
objective does, and a step is large, so this is heard.

The numbers are those of the authors' program; where it departs from its paper, we do not follow. It builds some
encoders without loading their weights (AdaIN-VC and Tortoise), so those terms lead nowhere; here all encoders have
theirs. It weighs encoders by hand (1, 0.85, 0.18, 0.02, 0.014), since their embeddings are of different lengths; here
all are unit vectors and weigh the same. Of GE2E it adds up the windows, one for 0.8 s, so that the weight grows with
the clip as F's does; here that goes for every encoder. It trims the clip, changes its loudness, and writes the last
state but one; here the clip stays as it is and the last state counts. Its other mode, away from the speaker without a
target, is left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from voxveil.perturb.budgets import Linf
from voxveil.perturb.carriers import Additive, Clipped
from voxveil.perturb.objectives import Weighted
from voxveil.perturb.penalties import Energy, HeardSpectrum, NoiseToSignal
from voxveil.perturb.solvers import Descent
from voxveil.protectors.channels import Channels, mono_mix, on_every_channel
from voxveil.protectors.floored import floored
from voxveil.protectors.order import Order
from voxveil.protectors.target_voice import target_voice
from voxveil.protectors.victims import SAMPLE_RATE, check_victims, steering
from voxveil.roles import Objective, Progress, Protector, Speech
from voxveil.verify.verifier import Verifier

SNR_WEIGHT, NORM_WEIGHT, SPECTRUM_WEIGHT = 0.005, 0.05, 0.3
STAGES, LAST_STEP_SIZE = 10, 0.9**9
WINDOW_S = 0.8
STEP_SIZE = {"light": 0.01, "medium": 0.02, "strong": 0.04}
EFFORT_STEPS = {"fast": 30, "normal": 100, "thorough": 1000}


@dataclass(frozen=True)
class AntiFake:
    """The protector; ``step_size`` is η as amplitude.

    >>> from voxveil.models.speaker.xvector import XVector
    >>> from voxveil.verify.scorers import cosine
    >>> victim = Verifier("tiny", XVector(16, 24, dim=8).eval(), cosine, threshold=0.5)
    >>> AntiFake((victim,), steps=2)(0.1 * torch.randn(1, 1, 8000), seed=0).shape
    torch.Size([1, 1, 8000])
    """

    victims: tuple[Verifier, ...]
    step_size: float = STEP_SIZE["medium"]
    steps: int = EFFORT_STEPS["thorough"]
    target: Speech | None = None

    sample_rate = SAMPLE_RATE

    def __post_init__(self) -> None:
        check_victims("antifake", self.victims)

    def __call__(self, speech: Channels, seed: int, progress: Progress | None = None) -> Channels:
        """The protected speech: found on the mono mix of each clip, added to all of its channels; nothing is random.

        Raises :class:`~voxveil.errors.BadInputError` for a target that is taken for the speaker.
        """
        clean = mono_mix(speech)
        carrier = Clipped(Additive(Linf(1.0)))
        generator = torch.Generator().manual_seed(seed)
        amounts = self.solver()(self.objective(clean), carrier, clean, generator, progress=progress)
        return on_every_channel(carrier, amounts, speech)

    def solver(self) -> Descent:
        """Sign steps in ten stages; with fewer steps in all, every stage has fewer."""
        return Descent(self.steps, self.step_size, last_step_size=LAST_STEP_SIZE, stages=STAGES)

    def objective(self, clean: Speech) -> Objective:
        """−J."""
        voice = target_voice(self.victims, clean, self.target)
        windows = max(1.0, clean.shape[1] / (WINDOW_S * SAMPLE_RATE))
        return Weighted(
            (
                (windows, steering(self.victims, clean, voice, "euclidean")),
                (SNR_WEIGHT, NoiseToSignal(clean)),
                (NORM_WEIGHT, Energy(clean)),
                (SPECTRUM_WEIGHT, HeardSpectrum(clean, SAMPLE_RATE)),
            )
        )


def antifake(order: Order) -> Protector:
    """The protector of an ``order``: :data:`STEP_SIZE` and :data:`EFFORT_STEPS` say what its words mean.

    Medium and thorough are as published; light is half, strong twice the step.

    >>> antifake(Order(victims=()))
    Traceback (most recent call last):
    ValueError: antifake needs at least one verifier, their embedders differentiable and at 16 kHz
    """
    made = AntiFake(order.victims, STEP_SIZE[order.strength], EFFORT_STEPS[order.effort], order.target)
    return floored(made, order)
