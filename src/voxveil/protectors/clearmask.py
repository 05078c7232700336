"""``clearmask``: a few frequencies removed, another colour, a short reverberation; no noise is added.

Y. Wang, B. Chen, H. Guo, G. Wang, W. Ding, Q. Yan, "ClearMask: Noise-Free and Naturalness-Preserving Protection Against
Voice Deepfake Attacks", ASIA CCS 2025 (arXiv:2508.17660). For speech x, its spectrogram X and speaker encoders E:

1. Masking (algorithm 1): the bins whose loss moves the mel spectrum most are set to 0, for all of the clip.
2. Style (algorithm 2): one component of a style after the other is changed, those first that gain most of
   L = Σ ‖E(x′) − E(x)‖ for their distortion ‖|X′| − |X|‖ (equation 5), until the distortion is spent.
3. Reverberation (equations 6 and 7): the best of a few rooms of at most 30 ms, shorter ones preferred, and then a
   change δ of its reflections, |δ| ≤ ε, by projected gradient descent on L(x′, y) − L(x′, x) with a target's speech y.

What differs: all at 16 kHz, with bins as wide as those of the paper at 48 kHz. Their style is the vector of a network
for audio effects (DeepAFx-ST) whose components change sign; here a component is a band of an equaliser, raised or
lowered. Their rooms were recorded, these are noise that decays (:mod:`voxveil.transforms.room`), and so does the bound
of δ. They choose y among many speakers; here it is the order's target, and without one only −L(x′, x) is minimised. L
is measured by the cosine, which falls as the distance of unit vectors grows. Every encoder stays in the descent to its
end, where they stop at one that has not improved for some steps. Of the numbers below only the 12 bins and the 30 ms
are published; the other choices are ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from voxveil.audio.levels import with_loudness_of
from voxveil.perturb.budgets import GainRange
from voxveil.perturb.carriers import Filter, Levelled
from voxveil.perturb.expectation import Expectation
from voxveil.perturb.missing_bins import GRID, SAMPLE_RATE, heaviest_bins, without_bins
from voxveil.perturb.objectives import EmbeddingDistance, Weighted
from voxveil.perturb.reverberation import DecayingTail, Reverberation, Tail, reverberated
from voxveil.perturb.solvers import pgd
from voxveil.progress import part
from voxveil.protectors.channels import Channels, mono_mix
from voxveil.protectors.floored import floored
from voxveil.protectors.order import Order
from voxveil.protectors.target_voice import check_target
from voxveil.protectors.veil import RANDOM_START_S
from voxveil.protectors.victims import check_victims
from voxveil.roles import Loss, Objective, Progress, Protector, Speech
from voxveil.transforms.crop import RandomStart
from voxveil.transforms.room import Room
from voxveil.verify.verifier import Verifier

TAIL_SAMPLES = 480
"""30 ms: what comes later is heard as an echo."""

ROOM_LENGTHS_S, ROOMS_EACH = (0.01, 0.02, 0.03), 4
LENGTH_PENALTY = 0.5
"""λ_l: how much more of the cosine a room has to gain for every second that it is longer."""

RT60_S = 0.06
STYLE_SHARE = 0.5
"""Of the progress."""

Gains = Float[Tensor, "batch band"]
Voices = Sequence[Float[Tensor, "batch _"]]


@dataclass(frozen=True)
class Strength:
    """How much each of the three steps may do.

    ``masked_bins`` are removed, a band moves by ``style_db`` either way until the spectrogram has changed by
    ``distortion`` of its norm, the room lies ``direct_to_reverberant_db`` below the direct sound, and its reflections
    move by ``tail_peak`` of it.
    """

    masked_bins: int
    style_db: float
    distortion: float
    direct_to_reverberant_db: float
    tail_peak: float


STRENGTHS = {
    "light": Strength(6, 3.0, 0.25, 16.0, 0.025),
    "medium": Strength(12, 6.0, 0.5, 10.0, 0.05),
    "strong": Strength(24, 12.0, 1.0, 4.0, 0.1),
}


@dataclass(frozen=True)
class Effort:
    """How many ``bands`` the style has, each of which costs two looks of the encoders, and the steps of the descent."""

    bands: int
    steps: int


EFFORTS = {"fast": Effort(6, 10), "normal": Effort(12, 40), "thorough": Effort(24, 100)}


@dataclass(frozen=True)
class ClearMask:
    """The protector.

    ``victims`` are the verifiers whose speaker encoders to lead astray, all at 16 kHz; ``target`` (optional) is another
    speaker's speech [1, time] to steer to.

    >>> from voxveil.verify.scorers import cosine
    >>> class Tilt:
    ...     sample_rate, differentiable = 16_000, True
    ...     def __call__(self, speech):
    ...         bands = torch.fft.rfft(speech, 64).abs()
    ...         return bands / bands.norm(dim=-1, keepdim=True)
    ...     def coarse(self):
    ...         return self
    >>> speech = torch.randn(1, 1, 16_000, generator=torch.Generator().manual_seed(0)) * 0.1
    >>> ClearMask((Verifier("tilt", Tilt(), cosine, threshold=0.9),), effort=Effort(2, 1))(speech, seed=0).shape
    torch.Size([1, 1, 16000])
    """

    victims: tuple[Verifier, ...]
    strength: Strength = STRENGTHS["medium"]
    effort: Effort = EFFORTS["normal"]
    target: Speech | None = None

    sample_rate = SAMPLE_RATE

    def __post_init__(self) -> None:
        check_victims("clearmask", self.victims)

    def __call__(self, speech: Channels, seed: int, progress: Progress | None = None) -> Channels:
        """The protected speech, as loud as it was: found on the mono mix of each clip, applied to all its channels.

        Raises :class:`~voxveil.errors.BadInputError` for a target that is taken for the speaker.
        """
        clean = mono_mix(speech)
        if self.target is not None:
            check_target(self.victims, clean, self.target)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            bins = heaviest_bins(clean, self.strength.masked_bins)
            masked = without_bins(clean, bins)
            voices = self.voices(clean)
            gains = self.style(masked, clean, voices, progress)
            coloured = self._equaliser((gains,), masked)
        tail = self.tail(coloured, voices, generator, progress)
        with torch.no_grad():
            flat = speech.flatten(0, 1)
            every = [found.repeat_interleave(speech.shape[1], 0) for found in (bins, gains, tail)]
            coloured = self._equaliser((every[1],), without_bins(flat, every[0]))
            return with_loudness_of(reverberated(coloured, every[2]), flat, SAMPLE_RATE).view_as(speech)

    def voices(self, speech: Speech) -> Voices:
        """What each of the encoders hears."""
        return [victim.embedder(speech) for victim in self.victims]

    def style(self, masked: Speech, clean: Speech, voices: Voices, progress: Progress | None = None) -> Gains:
        """Gains in dB of the bands that gain most of L for their distortion, as many as the strength allows.

        ``voices`` are those of ``clean``.
        """
        loss, spectrum = self._leaving(voices), GRID(clean).abs()
        size = spectrum.flatten(1).norm(dim=1)

        def distortion(coloured: Speech) -> Loss:
            change = GRID(coloured).abs() - spectrum
            return change.flatten(1).norm(dim=1) / size.clamp_min(1e-10)

        before = loss(masked)
        found = []
        for index in range(2 * self.effort.bands):
            coloured = self._equaliser((self._move(masked, index),), masked)
            found.append((before - loss(coloured)) / distortion(coloured).clamp_min(1e-10))
            if progress is not None:
                progress(STYLE_SHARE * (index + 1) / (2 * self.effort.bands))
        sensitivity, order = torch.stack(found, dim=1).sort(dim=1, descending=True)
        gains = torch.zeros(len(clean), self.effort.bands).to(clean)
        going_on = torch.ones_like(before, dtype=torch.bool)
        every = torch.cat([self._move(masked[:1], index) for index in range(2 * self.effort.bands)])
        for rank in range(2 * self.effort.bands):
            moves = every[order[:, rank]]
            tried = torch.where((moves != 0.0) & (gains == 0.0), moves, gains)
            spent = distortion(self._equaliser((tried,), masked))
            going_on = going_on & (sensitivity[:, rank] > 0.0) & (spent < self.strength.distortion)
            gains = torch.where(going_on[:, None], tried, gains)
        return gains

    def tail(self, coloured: Speech, voices: Voices, generator: torch.Generator, progress: Progress | None) -> Tail:
        """The reflections of the room that leads away from the clean speech's ``voices``, chosen and then changed."""
        with torch.no_grad():
            room = self._room(coloured, voices, generator)
            objective = self._leaving(voices, self.target)
        carrier = Reverberation(DecayingTail(self.strength.tail_peak, RT60_S, TAIL_SAMPLES, SAMPLE_RATE), room)
        framings = RandomStart(round(RANDOM_START_S * SAMPLE_RATE), generator)

        heard = Levelled(carrier, SAMPLE_RATE)
        told = part(progress, STYLE_SHARE, 1.0)
        (change,) = pgd(self.effort.steps)(
            Expectation(objective, [framings]), heard, coloured, generator, progress=told
        )
        return room + change

    def _room(self, coloured: Speech, voices: Voices, generator: torch.Generator) -> Tail:
        loss = self._leaving(voices)
        room = Room(RT60_S, self.strength.direct_to_reverberant_db, SAMPLE_RATE, generator)
        tails, losses = [], []
        for length_s in ROOM_LENGTHS_S:
            for _ in range(ROOMS_EACH):
                tail = room.response().to(coloured)[1 : TAIL_SAMPLES + 1].expand(len(coloured), -1).clone()
                tail[:, round(length_s * SAMPLE_RATE) :] = 0.0
                tails.append(tail)
                losses.append(loss(reverberated(coloured, tail)) + LENGTH_PENALTY * length_s)
        best = torch.stack(losses).argmin(0)
        return torch.stack(tails)[best, torch.arange(len(coloured), device=best.device)]

    def _move(self, speech: Speech, index: int) -> Gains:
        """The index-th change of style: a band raised if it is even, lowered if it is odd."""
        gains = torch.zeros(len(speech), self.effort.bands).to(speech)
        gains[:, index // 2] = self.strength.style_db * (-1.0) ** index
        return gains

    @property
    def _equaliser(self) -> Levelled:
        return Levelled(Filter(GainRange(self.strength.style_db), SAMPLE_RATE, self.effort.bands), SAMPLE_RATE)

    def _leaving(self, voices: Voices, target: Speech | None = None) -> Objective:
        """−L of every clip beside the clean speech's ``voices``; with a ``target``, L beside the target as well."""
        attacks: list[tuple[float, Objective]] = []
        for victim, source in zip(self.victims, voices, strict=True):
            wanted = None if target is None else victim.embedder(target.to(source)).expand_as(source)
            attacks.append((1.0 / len(self.victims), EmbeddingDistance(victim.embedder.coarse(), source, wanted)))
        return Weighted(tuple(attacks))


def clearmask(order: Order) -> Protector:
    """The protector of an ``order``: :data:`STRENGTHS` and :data:`EFFORTS` say what its words mean.

    >>> clearmask(Order(victims=()))
    Traceback (most recent call last):
    ValueError: clearmask needs at least one verifier, their embedders differentiable and at 16 kHz
    """
    return floored(ClearMask(order.victims, STRENGTHS[order.strength], EFFORTS[order.effort], order.target), order)
