"""ClearMask: what it removes, how it colours and reverberates, and what it may not do."""

from __future__ import annotations

import math
from dataclasses import replace

import librosa
import numpy as np
import pytest
import torch
from torch import Generator, Tensor

from voxveil import catalog
from voxveil.audio.levels import with_loudness_of
from voxveil.perturb.missing_bins import GRID, SAMPLE_RATE, heaviest_bins, without_bins
from voxveil.perturb.reverberation import DecayingTail, Reverberation, reverberated
from voxveil.perturb.solvers import pgd
from voxveil.protectors.clearmask import (
    EFFORTS,
    STRENGTHS,
    TAIL_SAMPLES,
    ClearMask,
    Effort,
    clearmask,
)
from voxveil.protectors.floored import Floored
from voxveil.protectors.order import Order
from voxveil.verify.scorers import cosine
from voxveil.verify.verifier import Verifier


class Colour:
    """A toy speaker encoder: the clip's long-term log spectrum in 32 bands."""

    sample_rate = SAMPLE_RATE
    differentiable = True

    def __call__(self, speech: Tensor) -> Tensor:
        frames = speech.unfold(-1, 256, 128) * torch.hann_window(256, dtype=speech.dtype)
        levels = (torch.fft.rfft(frames).abs().square().mean(1) + 1e-6).log()[:, :32]
        return torch.nn.functional.normalize(levels - levels.mean(-1, keepdim=True), dim=-1)

    def coarse(self) -> Colour:
        return self


VICTIM = Verifier("colour", Colour(), cosine, threshold=0.999)
QUICK = ClearMask((VICTIM,), effort=Effort(bands=6, steps=4))


@pytest.fixture
def clips(speech: Tensor) -> Tensor:
    return speech[:, :16_000]


def alike(one: Tensor, other: Tensor) -> Tensor:
    return torch.cosine_similarity(Colour()(one), Colour()(other))


# Masking.


def test_the_bins_are_those_of_the_greedy_search(clips: Tensor) -> None:
    """The published search: every bin is set to 0 in turn, and the mel spectrum compared."""
    clips = clips[1:, :6_000]
    chosen = heaviest_bins(clips, 12)
    weights = librosa.filters.mel(sr=SAMPLE_RATE, n_fft=640, n_mels=80)
    for clip, bins in zip(clips.numpy(), chosen.numpy(), strict=True):
        spectrum = np.abs(librosa.stft(clip, n_fft=640, hop_length=160))
        change = []
        for index in range(len(spectrum)):
            without = spectrum.copy()
            without[index] = 0.0
            change.append(np.linalg.norm(weights @ (spectrum - without)))
        assert set(np.flatnonzero(bins)) == set(np.argsort(change)[-12:])


def test_masked_frequencies_are_gone_and_others_stay(clips: Tensor) -> None:
    bins = torch.zeros(1, 321, dtype=torch.bool)
    bins[:, 38:43] = True  # 950 … 1050 Hz
    time_s = torch.arange(16_000) / SAMPLE_RATE
    inside, outside = (torch.sin(2 * math.pi * hz * time_s)[None] for hz in (1000.0, 2000.0))
    assert without_bins(inside, bins)[:, 1000:-1000].abs().max() < 1e-3
    assert torch.allclose(without_bins(outside, bins)[:, 1000:-1000], outside[:, 1000:-1000], atol=1e-3)
    nothing = torch.zeros(2, 321, dtype=torch.bool)
    assert torch.allclose(without_bins(clips, nothing), clips, atol=1e-5)


# Style.


def test_the_style_leads_away_within_its_distortion(clips: Tensor) -> None:
    with torch.no_grad():
        gains = QUICK.style(clips, clips, QUICK.voices(clips))
        coloured = QUICK._equaliser((gains,), clips)
        distortion = (GRID(coloured).abs() - GRID(clips).abs()).flatten(1).norm(dim=1)
    assert set(gains.abs().flatten().tolist()) == {0.0, 6.0}
    assert bool((distortion < 0.5 * GRID(clips).flatten(1).norm(dim=1)).all())
    assert bool((alike(coloured, clips) < 0.96).all())


@torch.no_grad()
def test_more_distortion_lets_more_bands_move_and_none_leaves_them(clips: Tensor) -> None:
    def moved(distortion: float) -> int:
        strength = replace(QUICK.strength, distortion=distortion)
        return int((replace(QUICK, strength=strength).style(clips, clips, QUICK.voices(clips)) != 0.0).sum())

    assert moved(0.0) == 0 < moved(0.4) < moved(10.0)


# Reverberation.


def test_a_room_is_a_convolution(clips: Tensor, generator: Generator) -> None:
    tail = 0.1 * torch.randn(2, 50, generator=generator)
    made = reverberated(clips, tail).numpy()
    for clip, reflections, sound in zip(clips.numpy(), tail.numpy(), made, strict=True):
        assert np.allclose(sound, np.convolve(clip, [1.0, *reflections])[:16_000], atol=1e-5)


def test_zero_changes_nothing_and_the_budget_decays(clips: Tensor, generator: Generator) -> None:
    budget = DecayingTail(0.1, rt60_s=0.06, taps=TAIL_SAMPLES, sample_rate=SAMPLE_RATE)
    carrier = Reverberation(budget)
    assert torch.allclose(carrier((torch.zeros(2, TAIL_SAMPLES),), clips), clips, atol=1e-5)
    (amounts,) = pgd(5, 0.5)(lambda x: -x.square().sum(-1), carrier, clips, generator)
    bound = 0.1 * 10 ** (-3 * np.arange(1, 481) / SAMPLE_RATE / 0.06)
    assert np.all(np.abs(amounts.numpy()) <= bound * (1 + 1e-5))
    assert np.abs(amounts.numpy() / bound).max() > 0.99
    room = 0.1 * torch.randn(2, TAIL_SAMPLES, generator=generator)
    there = Reverberation(budget, room)((amounts,), clips)
    assert torch.allclose(there, reverberated(clips, room + amounts), atol=1e-6)


def test_the_gradient_of_a_room_is_that_of_finite_differences(clips: Tensor) -> None:
    tail = (0.05 * torch.randn(2, 6, dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(lambda t: reverberated(clips[:, :40].double(), t), (tail,))


def test_the_descent_leads_further_than_the_best_room_within_30_ms(clips: Tensor) -> None:
    longer = replace(QUICK, effort=Effort(6, 20))
    with torch.no_grad():
        room = longer._room(clips, longer.voices(clips), Generator().manual_seed(0))
    tail = longer.tail(clips, longer.voices(clips), Generator().manual_seed(0), None)
    assert tail.shape == (2, 480)
    best, found = (alike(with_loudness_of(reverberated(clips, t), clips, SAMPLE_RATE), clips) for t in (room, tail))
    assert bool((found < best - 0.01).all()) and bool((best < 1.0).all())
    bound = 0.05 * 10 ** (-3 * torch.arange(1, 481) / SAMPLE_RATE / 0.06)
    assert bool(((tail - room).abs() <= bound + 1e-6).all())


# All together.


def test_the_voice_is_left_further_with_more_strength(clips: Tensor) -> None:
    def score(name: str) -> float:
        made = replace(QUICK, strength=STRENGTHS[name])(clips[:, None], seed=0)[:, 0]
        return float(alike(made, clips).mean())

    assert 0.98 > score("light") > score("medium") > score("strong")


def test_a_target_is_approached(clips: Tensor) -> None:
    goal, longer = clips[1:], replace(QUICK, effort=Effort(6, 20))
    aimed = replace(longer, target=goal)(clips[:1, None], seed=0)[:, 0]
    astray = longer(clips[:1, None], seed=0)[:, 0]
    assert float(alike(aimed, goal)) > float(alike(astray, goal))


def test_nothing_is_added_where_nothing_sounds(clips: Tensor) -> None:
    quiet = clips.clone()
    quiet[:, 8_000:] = 0.0
    made = QUICK(quiet[:, None], seed=0)[:, 0]
    # One window of the transform and 30 ms of reverberation, then the equaliser's short response.
    assert made[:, 8_000 + 640 + 480 + 1_000 :].abs().max() < 1e-3 * made.abs().max()


def test_both_channels_are_treated_alike_and_keep_their_loudness(clips: Tensor) -> None:
    stereo = torch.stack([clips[0], -0.5 * clips[0]])[None]
    made = QUICK(stereo, seed=0)
    assert torch.allclose(made[0, 1], -0.5 * made[0, 0], atol=1e-5)
    assert torch.allclose(with_loudness_of(made[0], stereo[0], SAMPLE_RATE), made[0], rtol=1e-3, atol=1e-6)
    silent = torch.stack([clips[0], torch.zeros_like(clips[0])])[None]
    assert QUICK(silent, seed=0)[0, 1].abs().max() == 0.0


def test_a_seed_is_a_result_and_progress_rises_to_one(clips: Tensor) -> None:
    seen: list[float] = []
    first = QUICK(clips[:, None], seed=1, progress=seen.append)
    again, other = (QUICK(clips[:, None], seed=seed) for seed in (1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert seen == sorted(seen) and seen[-1] == 1.0


# What is asked of it.


def test_an_order_is_put_into_numbers(clips: Tensor) -> None:
    made = clearmask(Order((VICTIM,), "strong", "thorough", target=clips[:1]))
    assert made == ClearMask((VICTIM,), STRENGTHS["strong"], EFFORTS["thorough"], made.target)
    assert made.target is not None and STRENGTHS["medium"].masked_bins == 12
    assert catalog.part("method", "clearmask") is clearmask
    held = clearmask(Order((VICTIM,), quality_floor=4.0, quality=lambda clean, made: torch.zeros(len(clean))))
    assert isinstance(held, Floored) and held.protector == ClearMask((VICTIM,))


def test_what_cannot_be_done_is_said() -> None:
    with pytest.raises(ValueError, match="at least one verifier"):
        ClearMask(())
