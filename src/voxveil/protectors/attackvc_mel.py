"""AttackVC as published: the mel spectrum is perturbed against a converter, and made sound again.

C. Huang, Y. Lin, H. Lee, L. Lee, "Defending Your Voice: Adversarial Attack on Voice Conversion", SLT 2021. For the
levels X of the speech, Y of the target and C of a content, with the converter F(content, reference) and its speaker
encoder E:

    minimise over p  L(a(X′), t) − λ · L(a(X′), a(X)),    X′ = X + ε · tanh(p)

| attack | a(X) | t |
|---|---|---|
| ``embedding`` | E(X) | E(Y) |
| ``end-to-end`` | F(C, X) | F(C, Y) |
| ``feedback`` | E(F(C, X)) | E(Y) |

L is the mean squared difference, λ = 0.1, ε = 0.1, p ~ N(0, 1) at first, Adam with step size 0.001 for 1500 steps. With
fewer steps each is larger by as much, so that p comes equally far. The converter is AdaIN-VC; theirs has 512 bands at
24 kHz, each in deviations of its own, ours 80 at 16 kHz in one deviation of all. C is what the target says; they take
any utterance. The sound is found by Griffin-Lim, so it is that of a vocoder even where nothing was perturbed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from voxveil.errors import BadInputError, VoxveilError
from voxveil.models.conversion.adain_vc import AdaInVC
from voxveil.models.conversion.standard_mel import StandardMel
from voxveil.models.vocoder.mel_griffin_lim import MelGriffinLim
from voxveil.perturb.budgets import Linf
from voxveil.perturb.objectives import embedding_distance
from voxveil.perturb.solvers import Descent
from voxveil.protectors.channels import Channels, mono_mix, on_every_channel
from voxveil.protectors.floored import floored
from voxveil.protectors.order import Order
from voxveil.protectors.target_voice import target_voice
from voxveil.protectors.victims import check_victims
from voxveil.roles import Budget, Loss, Objective, Parameters, Progress, Protector, Speech
from voxveil.verify.verifier import Verifier

Levels = Float[Tensor, "batch mel frame"]

ATTACKS = ("embedding", "end-to-end", "feedback")
WEIGHT_LAMBDA = 0.1
PUBLISHED_STEPS, PUBLISHED_STEP_SIZE = 1500, 0.001
EPSILON = {"light": 0.05, "medium": 0.1, "strong": 0.2}
EFFORT_STEPS = {"fast": 60, "normal": 300, "thorough": PUBLISHED_STEPS}


@dataclass(frozen=True)
class LevelsAdditive:
    """X + δ for the levels X of a batch of speech, found once: a carrier whose output are levels.

    >>> carrier = LevelsAdditive(0.1, torch.zeros(1, 80, 62))
    >>> carrier((torch.full((1, 80, 62), 0.1),), torch.zeros(1, 16_000)).shape
    torch.Size([1, 80, 62])
    """

    epsilon: float
    levels: Levels

    @property
    def budgets(self) -> tuple[Budget, ...]:
        """No level changes by more than ε."""
        return (Linf(self.epsilon),)

    def shapes(self, clean: Speech) -> tuple[tuple[int, ...], ...]:
        """[batch, mel, frame]."""
        return (tuple(self.levels.shape),)

    def __call__(self, amounts: Parameters, clean: Speech) -> Levels:
        """The sum; ``clean`` is the speech whose levels are known."""
        return self.levels + amounts[0]


def sounding(mel: StandardMel, amounts: Parameters, speech: Speech) -> Speech:
    """Speech with the levels that ``speech`` has in ``mel``, ``amounts`` added; as long as it was.

    >>> sounding(StandardMel(), (torch.zeros(1, 80, 62),), 0.1 * torch.randn(1, 16_000)).shape
    torch.Size([1, 16000])
    """
    made = MelGriffinLim(mel)(mel(speech) + amounts[0])
    return F.pad(made, (0, speech.shape[1] - made.shape[1]))


@dataclass(frozen=True)
class AttackVCMel:
    """The protector; ``network`` is the converter, ``victims`` choose the target or say that it is another speaker.

    >>> from voxveil.models.speaker.xvector import XVector
    >>> from voxveil.verify.scorers import cosine
    >>> victim = Verifier("tiny", XVector(16, 24, dim=8).eval(), cosine, threshold=0.5)
    >>> small = AdaInVC(80, channels=8, bank_channels=4, bank_size=3, strides=(1, 2), dim=6).eval()
    >>> AttackVCMel(small, (victim,), steps=2)(0.1 * torch.randn(1, 1, 8000), seed=0).shape
    torch.Size([1, 1, 8000])
    """

    network: AdaInVC
    victims: tuple[Verifier, ...]
    attack: str = "embedding"
    epsilon: float = EPSILON["medium"]
    steps: int = PUBLISHED_STEPS
    target: Speech | None = None

    sample_rate = StandardMel.sample_rate

    def __post_init__(self) -> None:
        check_victims("attackvc-mel", self.victims)
        if self.attack not in ATTACKS:
            raise VoxveilError(f"There is no attack '{self.attack}'; there is: {', '.join(ATTACKS)}.")

    def __call__(self, speech: Channels, seed: int, progress: Progress | None = None) -> Channels:
        """The protected speech: found on the mono mix of each clip, added to the levels of all of its channels.

        Raises :class:`~voxveil.errors.BadInputError` for speech that is too short for the converter, and for a target
        that is taken for the speaker.
        """
        clean = mono_mix(speech)
        voice = target_voice(self.victims, clean, self.target)
        mel = StandardMel().to(clean.device)
        with torch.no_grad():
            carrier = LevelsAdditive(self.epsilon, mel(clean))
            objective = self.objective(carrier.levels, mel(voice))
        size = PUBLISHED_STEP_SIZE * PUBLISHED_STEPS / self.steps
        solver = Descent(self.steps, size, rule="adam", bound="squash", momentum=0.9, start=1.0)
        amounts = solver(objective, carrier, clean, torch.Generator().manual_seed(seed), progress=progress)
        return on_every_channel(partial(sounding, mel), amounts, speech)

    def objective(self, source: Levels, target: Float[Tensor, "batch mel frame2"]) -> Objective:
        """What is minimised over the levels of the protected speech."""
        network = self.network
        for levels in (source, target):
            if levels.shape[2] < network.min_frames:
                raise BadInputError(f"AdaIN-VC needs {network.min_frames} frames of speech: give it more.")

        def converted(levels: Tensor) -> Tensor:
            return network(target, levels)

        encoder = network.speaker_encoder
        outcomes: dict[str, Callable[[Tensor], Tensor]] = {
            "embedding": encoder,
            "end-to-end": converted,
            "feedback": lambda levels: encoder(converted(levels)),
        }
        outcome = outcomes[self.attack]
        wanted = converted(target) if self.attack == "end-to-end" else encoder(target)
        left = outcome(source)

        def loss(adversarial: Tensor) -> Loss:
            came, to, away = (value.flatten(1) for value in (outcome(adversarial), wanted, left))
            return embedding_distance(came, to, "mse") - WEIGHT_LAMBDA * embedding_distance(came, away, "mse")

        return loss


def attackvc_mel(order: Order, attack: str = "embedding") -> Protector:
    """The protector of an ``order``: :data:`EPSILON`, :data:`EFFORT_STEPS` say what its words mean.

    Medium and thorough are as published; light is half, strong twice the ε. ``attack`` is one of :data:`ATTACKS`.

    Raises :class:`~voxveil.errors.VoxveilError` for another one, and
    :class:`~voxveil.errors.ModelUnavailableError` where the converter cannot be had.

    >>> attackvc_mel(Order(victims=()))
    Traceback (most recent call last):
    voxveil.errors.ModelUnavailableError: This method attacks a voice converter, and the order names none.
    """
    strength, steps = EPSILON[order.strength], EFFORT_STEPS[order.effort]
    return floored(AttackVCMel(order.attacked().network, order.victims, attack, strength, steps, order.target), order)
