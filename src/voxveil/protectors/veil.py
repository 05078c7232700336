"""``veil``, the default protection: an equaliser and a time–frequency mask that lead a voice away from its speaker.

For speaker encoders E_k with thresholds t_k, speech x, carrier c and parameters p:

    minimise  Σ_k λ_k · max(cos(E_k(c(p, x)), E_k(x)) − cos(acos t_k + margin), 0)    the voice is not recognised …
              + b · Σ_k cos(E_k(c(p, x)), E_k(x))                                      … by anybody …
              + q · loudness disturbance + i · envelope distortion                     … and sounds the same

over random framings and speeds of the speech, by Adam with a change of variables, two encoders a step. λ_k rises for as
long as a clip has not left encoder k by the margin. The margin makes up for how far a single clip lies from its
speaker's place, and as an angle it means the same for every encoder, whatever its threshold. Beyond it, b spends what
the listener is to bear, which is what encoders feel that nobody attacked. The carrier is a static 40-band equaliser
times a mask over time and frequency, both within a range in dB, at the loudness of the original. With a target y,
cos(E(x′), E(y)) is pulled up at the same time.

In every other step an attacker equalises back first (:class:`~voxveil.transforms.equalise_back.EqualiseBack`), in every
fourth there is noise, and each encoder has to be left then, too, with a λ of its own: what a static equaliser does
alone, encoders that take the mean of every band away do not see, and any attacker undoes; and what is done to quiet
moments, noise undoes. A clip that an encoder still accepts at the end is searched again, with more disturbance allowed.

Filters are the carrier because hearing forgives colouring, codecs and resamplers pass it on, and encoders that were not
attacked feel it too; additive perturbations under the masking threshold cost more PESQ for the same score
(``docs/results/frontier.md``).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool
from torch import Tensor

from voxveil.audio.spectrum import Stft
from voxveil.perturb.budgets import GainRange
from voxveil.perturb.carriers import GainMask
from voxveil.perturb.expectation import Dealt, Expectation, InTurn
from voxveil.perturb.objectives import EmbeddingDistance, Insistence, Weighted
from voxveil.perturb.perceptual import Listener
from voxveil.perturb.solvers import adam
from voxveil.progress import part
from voxveil.protectors.channels import Channels, mono_mix, on_every_channel, worst_quality
from voxveil.protectors.order import Order
from voxveil.protectors.search import Search
from voxveil.protectors.target_voice import check_target
from voxveil.protectors.victims import SAMPLE_RATE, all_refuse, check_victims
from voxveil.roles import Carrier, Loss, Objective, Parameters, Progress, Speech, Transform
from voxveil.transforms.crop import RandomStart
from voxveil.transforms.equalise_back import EqualiseBack
from voxveil.transforms.noise import WhiteNoise
from voxveil.transforms.speed import RandomSpeed
from voxveil.verify.verifier import Verifier

IDENTITY_WEIGHT, INSISTENCE = 2.0, 0.6
"""λ of every encoder at first, and how much it rises in a step for a cosine that is too large by 1."""

QUALITY_WEIGHT, ENVELOPE_WEIGHT = 2.0, 40.0
RANDOM_START_S, SPEED_SPREAD, NOISE_SNR_DB = 0.8, 0.2, 25.0
ENCODERS_A_STEP = 2
BANDS = 40
STEP_SIZE = 0.25
GRID = Stft(n_fft=512, hop_samples=192)
MORE_DISTURBANCES, LESS_DISTURBANCES = (1.6, 2.5), (0.5, 0.2)
"""Shares of the strength's disturbance, tried one after the other: more where an encoder that was to be left still
takes a clip for the speaker, less where the quality falls below a floor."""


@dataclass(frozen=True)
class Strength:
    """How far the voice is led away, and what that may cost.

    ``margin_degrees`` is the angle beyond each verifier's threshold at which it is enough, and ``beyond_weight`` how
    much it matters to go on; the ranges bound the carriers, and ``disturbance`` is what the listener is to bear, in
    points of PESQ's raw score (:class:`~voxveil.perturb.perceptual.LoudnessDisturbance`).

    >>> round(STRENGTHS["medium"].enough(threshold=0.5), 3)  # cos(60° + 20°)
    0.174
    """

    margin_degrees: float
    filter_range_db: float
    mask_range_db: float
    beyond_weight: float
    disturbance: float

    def enough(self, threshold: float) -> float:
        """The cosine to the speaker at which it is enough for a verifier that accepts from ``threshold`` on."""
        angle = math.acos(min(1.0, max(-1.0, threshold))) + math.radians(self.margin_degrees)
        return math.cos(min(math.pi, angle))


STRENGTHS = {
    "light": Strength(12.0, filter_range_db=9.0, mask_range_db=12.0, beyond_weight=0.3, disturbance=0.3),
    "medium": Strength(20.0, filter_range_db=12.0, mask_range_db=14.0, beyond_weight=0.7, disturbance=0.5),
    "strong": Strength(20.0, filter_range_db=12.0, mask_range_db=18.0, beyond_weight=6.0, disturbance=0.85),
}

EFFORT_STEPS = {"fast": 50, "normal": 160, "thorough": 400}


@dataclass(frozen=True)
class Veil:
    """The protector.

    ``victims`` are the verifiers whose speaker encoders to lead astray, all at 16 kHz; ``target`` (optional) is
    another speaker's speech [1, time] at 16 kHz to steer to. ``quality`` judges (clean, protected) [batch, time] →
    [batch] and ``quality_floor`` is what it must not fall below: where it would, the search is made again with
    less disturbance allowed, and what still falls below is scaled down until it holds.

    >>> from voxveil.verify.scorers import cosine
    >>> class Tilt:
    ...     sample_rate, differentiable = 16_000, True
    ...     def __call__(self, speech):
    ...         bands = torch.fft.rfft(speech, 64).abs()
    ...         return bands / bands.norm(dim=-1, keepdim=True)
    ...     def coarse(self):
    ...         return self
    >>> speech = torch.randn(1, 1, 16_000, generator=torch.Generator().manual_seed(0)) * 0.1
    >>> victim = Verifier("tilt", Tilt(), cosine, threshold=0.9)
    >>> Veil((victim,), steps=2)(speech, seed=0).shape
    torch.Size([1, 1, 16000])
    """

    victims: tuple[Verifier, ...]
    strength: Strength = STRENGTHS["medium"]
    steps: int = EFFORT_STEPS["normal"]
    target: Speech | None = None
    quality_floor: float | None = None
    quality: Callable[[Speech, Speech], Loss] | None = None

    sample_rate = SAMPLE_RATE

    def __post_init__(self) -> None:
        check_victims("veil", self.victims)
        if self.quality_floor is not None and self.quality is None:
            raise ValueError("a quality floor needs a quality measure")

    def __call__(self, speech: Channels, seed: int, progress: Progress | None = None) -> Channels:
        """The protected speech: found on the mono mix of each clip, applied to all of its channels.

        Raises :class:`~voxveil.errors.BadInputError` for a target that is taken for the speaker.
        """
        clean = mono_mix(speech)
        if self.target is not None:
            check_target(self.victims, clean, self.target)
        search = self._search(clean, seed)
        amounts = search.first(part(progress, 0.0, 0.6))

        def refused(found: Parameters) -> Bool[Tensor, " batch"]:
            return all_refuse(self.victims, clean, search.speech(found))

        amounts = search.again(amounts, MORE_DISTURBANCES, refused, part(progress, 0.6, 0.8))
        amounts = self._within_floor(search, amounts, speech, part(progress, 0.8, 1.0))
        return on_every_channel(search.carrier, amounts, speech)

    def _search(self, clean: Speech, seed: int) -> Search:
        def objective(some: Speech, share: float, generator: torch.Generator) -> Objective:
            allowed = replace(self.strength, disturbance=share * self.strength.disturbance)
            return replace(self, strength=allowed).objective(some, generator)

        return Search(adam(self.steps, STEP_SIZE), self.carrier(), clean, objective, seed)

    def _within_floor(
        self, search: Search, amounts: Parameters, speech: Channels, progress: Progress | None
    ) -> Parameters:
        """The strongest of a few solutions that keeps the floor, for every clip, its channels and their mix.

        Allowing less disturbance costs less strength than scaling down, so that comes first; scaling is what makes the
        floor certain.
        """
        floor, judge = self.quality_floor, self.quality
        if floor is None or judge is None:
            return amounts

        def quality(found: Parameters) -> Loss:
            return worst_quality(judge, speech, on_every_channel(search.carrier, found, speech))

        amounts = search.again(amounts, LESS_DISTURBANCES, lambda found: quality(found) >= floor, progress)
        return search.above(floor, amounts, quality)

    def carrier(self) -> Carrier:
        """How the speech is changed, within the ranges of the strength."""
        ranges = (GainRange(self.strength.filter_range_db), GainRange(self.strength.mask_range_db))
        return GainMask(*ranges, SAMPLE_RATE, bands=BANDS, frames_per_gain=3, stft=GRID)

    def objective(self, clean: Speech, generator: torch.Generator) -> Objective:
        """What is minimised for this batch of clean speech."""
        framing = RandomStart(round(RANDOM_START_S * SAMPLE_RATE), generator)
        varied: list[Transform] = [framing, RandomSpeed(SPEED_SPREAD, generator)]
        with torch.no_grad():
            sources = [victim.embedder(clean) for victim in self.victims]

        def after(*channel: Transform) -> Objective:
            return Expectation(self._attacks(sources, clean, generator), [*channel, *varied])

        heard, noisy, washed = after(), after(WhiteNoise(NOISE_SNR_DB, generator)), after(EqualiseBack(SAMPLE_RATE))
        allowed = self.strength.disturbance
        listener = Listener(clean, SAMPLE_RATE, QUALITY_WEIGHT, ENVELOPE_WEIGHT, allowed)
        return Weighted(((1.0, InTurn((heard, washed, noisy, washed))), (1.0, listener)))

    def _attacks(self, sources: list[Tensor], clean: Speech, generator: torch.Generator) -> Objective:
        attacks = [self._attack(victim, source, clean) for victim, source in zip(self.victims, sources, strict=True)]
        return Dealt(attacks, min(ENCODERS_A_STEP, len(attacks)), generator)

    def _attack(self, victim: Verifier, source: Tensor, clean: Speech) -> Objective:
        embedder = victim.embedder
        enough = self.strength.enough(victim.threshold)
        distance = EmbeddingDistance(embedder.coarse(), source)
        away = Insistence(distance, enough - 1.0, IDENTITY_WEIGHT, INSISTENCE, self.strength.beyond_weight)
        if self.target is None:
            return away
        with torch.no_grad():
            target = embedder(self.target.to(clean)).expand_as(source)
        towards = EmbeddingDistance(embedder.coarse(), source, target, weight_lambda=0.0)
        return Weighted(((1.0, away), (0.5, towards)))


def veil(order: Order) -> Veil:
    """The protector of an ``order``: :data:`STRENGTHS` and :data:`EFFORT_STEPS` say what its words mean.

    >>> veil(Order(victims=()))
    Traceback (most recent call last):
    ValueError: veil needs at least one verifier, their embedders differentiable and at 16 kHz
    """
    strength, steps = STRENGTHS[order.strength], EFFORT_STEPS[order.effort]
    return Veil(order.victims, strength, steps, order.target, order.quality_floor, order.quality)
