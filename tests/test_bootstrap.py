"""The interval of an error rate: weights are repetitions, and its width is what new speakers would do."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_curve

from voxveil.metrics.bootstrap import bootstrap_equal_error_rate, trial_weights, weighted_equal_error_rate
from voxveil.metrics.rates import equal_error_rate

COUNTED = st.lists(st.tuples(st.integers(-8, 8).map(float), st.integers(1, 4)), min_size=1, max_size=12)


@given(genuine=COUNTED, impostor=COUNTED)
def test_a_weight_is_a_repetition(genuine, impostor):
    (same, same_times), (other, other_times) = (map(np.array, zip(*side, strict=True)) for side in (genuine, impostor))
    rate = weighted_equal_error_rate(same, other)
    ones = np.ones(len(same), dtype=int), np.ones(len(other), dtype=int)
    assert rate(*ones) == pytest.approx(equal_error_rate(same, other)[0], abs=1e-12)
    repeated = equal_error_rate(np.repeat(same, same_times), np.repeat(other, other_times))[0]
    assert rate(same_times, other_times) == pytest.approx(repeated, abs=1e-12)
    assert rate(3 * same_times, 5 * other_times) == pytest.approx(repeated, abs=1e-12)


def test_weights_are_scikit_learns(seed=1):
    """Weights of zero, too; without ties the nearest point of the curve is one point."""
    random = np.random.default_rng(seed)
    same, other = random.normal(1.5, 1.0, 300), random.normal(0.0, 1.0, 900)
    weights = random.poisson(1.0, 300), random.poisson(1.0, 900)
    truth = np.concatenate([np.ones(300), np.zeros(900)])
    scores = np.concatenate([same, other])
    accepted, right, _ = roc_curve(truth, scores, sample_weight=np.concatenate(weights), drop_intermediate=False)
    nearest = np.argmin(np.abs(accepted - (1 - right)))
    wanted = (accepted + 1 - right)[nearest] / 2
    assert weighted_equal_error_rate(same, other)(*weights) == pytest.approx(wanted, abs=1e-9)


@given(times=st.lists(st.integers(0, 3), min_size=4, max_size=4))
def test_a_trial_counts_as_often_as_its_speakers_were_drawn(times):
    """Written out: of the copies of both speakers every pair is a trial, of one speaker every copy's own."""
    drawn = [speaker for speaker, often in enumerate(times) for _ in range(often)]
    trials = [(a, b) for a in range(4) for b in range(4)]
    wanted = [drawn.count(a) if a == b else sum(x == a and y == b for x in drawn for y in drawn) for a, b in trials]
    assert trial_weights(np.array(times), np.array(trials)).tolist() == wanted


def corpus(seed: int, count: int = 30, takes: int = 4) -> tuple[np.ndarray, ...]:
    """Scores in which speakers differ: some are hard to recognise, some are easily taken for others."""
    random = np.random.default_rng(seed)
    faint, common = random.normal(0.0, 0.7, count), random.normal(0.0, 0.5, count)
    said = [(speaker, take) for speaker in range(count) for take in range(takes)]
    genuine, impostor, same, other = [], [], [], []
    for (one, _), (two, _) in combinations(said, 2):
        noise = 0.6 * random.standard_normal()
        if one == two:
            genuine.append(2.2 - faint[one] + noise)
            same.append((one, one))
        else:
            impostor.append(common[one] + common[two] + noise)
            other.append((one, two))
    return np.array(genuine), np.array(impostor), np.array(same), np.array(other)


def test_the_interval_is_as_wide_as_new_speakers_make_it():
    rates = [equal_error_rate(*corpus(seed)[:2])[0] for seed in range(100)]
    intervals = np.array([bootstrap_equal_error_rate(*corpus(seed), resamples=200) for seed in range(8)])
    spread = np.mean(intervals[:, 1] - intervals[:, 0]) / (2 * 1.96)
    assert 0.75 < spread / np.std(rates) < 1.5
    inside = [low <= np.mean(rates) <= high for low, high in intervals]
    assert np.mean(inside) >= 0.75


def test_resampling_trials_would_be_far_too_sure():
    genuine, impostor, *speakers = corpus(0)
    low, high = bootstrap_equal_error_rate(genuine, impostor, *speakers, resamples=200)
    rate = equal_error_rate(genuine, impostor)[0]
    assert low < rate < high
    of_trials = 2 * 1.96 * np.sqrt(rate * (1 - rate) / len(genuine)) / 2
    assert high - low > 1.5 * of_trials


def test_the_seed_decides_and_the_order_of_trials_and_sides_does_not():
    genuine, impostor, same, other = corpus(3, count=8)
    first = bootstrap_equal_error_rate(genuine, impostor, same, other, resamples=50)
    random = np.random.default_rng(0)
    shuffled = random.permutation(len(impostor))
    turned = other[shuffled][:, ::-1]
    assert bootstrap_equal_error_rate(genuine, impostor[shuffled], same, turned, resamples=50) == first
    assert bootstrap_equal_error_rate(genuine, impostor, same, other, resamples=50, seed=1) != first


def test_draws_without_an_error_rate_are_drawn_again():
    """Half of the draws of two speakers are one speaker twice, who is no impostor."""
    same, other = np.array([[0, 0]]), np.array([[0, 1]])
    drawn = bootstrap_equal_error_rate(np.array([1.0]), np.array([0.0]), same, other, resamples=30)
    assert drawn == (0.0, 0.0)


def test_without_errors_there_is_no_interval():
    genuine, impostor, *speakers = corpus(0, count=6)
    assert bootstrap_equal_error_rate(genuine + 100.0, impostor, *speakers, resamples=30) == (0.0, 0.0)
