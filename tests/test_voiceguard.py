"""Voice Guard: stage 1 is AttackVC's, stage 2 hides it while it still protects, and α is searched for every clip."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import tiny_network
from torch import Tensor

from voxveil.audio.masking import masking_threshold
from voxveil.audio.spectrum import Stft
from voxveil.perturb.penalties import MaskedExcess
from voxveil.protectors.attackvc import AttackVC
from voxveil.protectors.order import Order
from voxveil.protectors.victims import all_refuse
from voxveil.protectors.voiceguard import EFFORTS, AlphaSearch, Effort, VoiceGuard, voiceguard
from voxveil.verify.scorers import cosine
from voxveil.verify.verifier import Verifier

ALWAYS, NEVER = 1.1, -1.1


def victim(threshold: float) -> Verifier:
    return Verifier("tiny", tiny_network(), cosine, threshold)


@pytest.fixture
def clip(speech: Tensor) -> Tensor:
    """Two clips of one channel, [2, 1, 12000]."""
    return speech[:, None, :12_000]


def test_stage_one_is_attackvc(clip):
    """With as many steps as make its step size AttackVC's."""
    first = VoiceGuard((victim(0.5),), effort=Effort(30, 0))(clip, seed=1)
    assert torch.equal(first, AttackVC((victim(0.5),), steps=30)(clip, seed=1))


def test_the_published_numbers():
    made = VoiceGuard((victim(0.5),))
    first, second = made.solvers()
    assert (first.steps, second.steps, made.effort.rounds) == (3000, 1500, 8)
    assert first.step_size == pytest.approx(0.001) and second.step_size == first.step_size
    assert (first.start, first.rule, first.bound, first.last_step_size) == (1.0, "adam", "squash", 1.0)
    assert voiceguard(Order(made.victims, effort="thorough")) == made
    assert voiceguard(Order(made.victims, "light", "fast")) == VoiceGuard(made.victims, 0.005, EFFORTS["fast"])
    assert voiceguard(Order(made.victims, "strong")).epsilon == 0.02


@pytest.mark.parametrize("epsilon", [0.003, 0.02])
def test_the_budget_holds(clip, epsilon):
    change = VoiceGuard((victim(ALWAYS),), epsilon, Effort(6, 2))(clip, seed=0) - clip
    assert 0.3 * epsilon < float(change.abs().max()) <= epsilon + 1e-7


def test_what_still_protects_is_hidden(clip):
    easy, clean = victim(0.95), clip[:, 0]
    heard = MaskedExcess(clean, 16_000)
    loud, hidden = (VoiceGuard((easy,), effort=Effort(30, rounds))(clip, seed=0)[:, 0] for rounds in (0, 3))
    assert all_refuse([easy], clean, loud).all() and all_refuse([easy], clean, hidden).all()
    assert bool((heard(hidden) < 0.8 * heard(loud)).all())
    noise = (hidden - clean).square().mean(1)
    assert bool((noise < (loud - clean).square().mean(1)).all())


def test_the_larger_alpha_is_kept_and_a_clip_that_no_alpha_protects_keeps_stage_one(clip):
    one, four = (VoiceGuard((victim(ALWAYS),), effort=Effort(20, rounds))(clip, seed=0) for rounds in (1, 3))
    away = [cosine(tiny_network()(clip[:, 0]), tiny_network()(s[:, 0])) for s in (one, four)]
    assert bool((away[1] > away[0]).all()), "refused anyhow: α goes from 1 to 4, at the cost of the attack"
    first, kept = (VoiceGuard((victim(NEVER),), effort=Effort(10, rounds))(clip, seed=0) for rounds in (0, 2))
    assert torch.equal(first, kept)


def test_every_victim_has_to_refuse(clip):
    """With one victim that never refuses, the other's refusal is not enough to hide anything."""
    pair = (victim(ALWAYS), victim(NEVER))
    first, kept = (VoiceGuard(pair, effort=Effort(6, rounds))(clip, seed=0) for rounds in (0, 1))
    assert torch.equal(first, kept)


@given(st.lists(st.floats(0.01, 200.0), min_size=1, max_size=4))
def test_the_search_closes_in_on_the_largest_alpha(limits):
    """Against a protection that holds up to a known α: the bracket always holds it, and ends narrow."""
    largest = torch.tensor(limits, dtype=torch.float64)
    search = AlphaSearch(torch.ones_like(largest))
    for _ in range(40):
        tried = search.alpha
        search.update(tried <= largest)
        assert bool((search.protects <= largest).all() and (search.fails > largest).all())
        assert bool((search.alpha > search.protects).all() or (search.alpha == search.protects).any())
    assert torch.allclose(search.protects, largest, rtol=1e-6)


def test_the_published_order_of_alpha():
    search, tried = AlphaSearch(torch.ones(1)), []
    for protects in (True, True, False, True, False):
        tried.append(float(search.alpha))
        search.update(torch.tensor([protects]))
    assert tried == [1.0, 2.0, 4.0, 3.0, 3.5]


def test_the_excess_against_numpy(clip, generator):
    """P_δ and θ in dB, the clean clip's loudest bin at 96 dB, as the paper's equations 4 to 7 have it."""
    clean = clip[:, 0].double()
    noise = 0.002 * torch.randn(clean.shape, generator=generator, dtype=torch.float64)
    stft = Stft(2048, 512)
    for level in (1.0, 0.05):
        found = MaskedExcess(level * clean, 16_000)(level * (clean + noise))
        for index in range(2):
            x, d = (np.abs(stft(s[index]).numpy()) ** 2 for s in (clean, noise))
            shift = 96.0 - 10 * np.log10(x.max())
            normalised = clean[index : index + 1] * (512.0 / np.sqrt(x.max()))
            theta_db = 10 * np.log10(masking_threshold(normalised, 16_000, stft)[0].numpy() / 512.0**2) + 96.0
            wanted = np.maximum(10 * np.log10(d) + shift - theta_db, 0.0).mean()
            assert float(found[index]) == pytest.approx(wanted, rel=1e-3) and wanted > 1.0, "whatever the level"


def test_a_seed_is_a_result_and_channels_get_the_same_noise(clip):
    stereo = torch.cat([clip, 0.3 * clip.roll(40, -1)], dim=1)
    made = VoiceGuard((victim(0.9),), effort=Effort(4, 1))
    one, again, other = (made(stereo, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(one, again) and not torch.equal(one, other)
    change = one - stereo
    assert torch.allclose(change[:, 0], change[:, 1], atol=1e-7)


def test_progress_rises_to_the_end(clip):
    told: list[float] = []
    VoiceGuard((victim(0.9),), effort=Effort(4, 2))(clip, seed=0, progress=told.append)
    assert told == sorted(told) and len(told) == 4 + 2 * 2 and told[-1] == pytest.approx(1.0)
    assert np.allclose(np.diff(told), 1 / 8), "every step is as long as any other"
