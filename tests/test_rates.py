"""Error rates against loops over all trials, exact fractions, and scikit-learn."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_curve

from voxveil.metrics.rates import (
    det_points,
    equal_error_rate,
    false_acceptance_rate,
    false_rejection_rate,
    min_dcf,
    threshold_at_false_acceptance,
    threshold_at_false_rejection,
    thresholds,
)

# Few different values: most examples have ties, within and between the two kinds.
SCORES = st.lists(st.integers(-8, 8).map(float), min_size=1, max_size=15).map(np.array)
RATE = st.sampled_from([Fraction(0), Fraction(1, 100), Fraction(1, 10), Fraction(1, 4), Fraction(1, 3), Fraction(1)])


def published_curve(genuine: np.ndarray, impostor: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(false acceptance, false rejection) from the lowest threshold to the highest."""
    truth = np.concatenate([np.ones(len(genuine)), np.zeros(len(impostor))])
    accepted, right, _ = roc_curve(truth, np.concatenate([genuine, impostor]), drop_intermediate=False)
    return accepted[::-1], 1 - right[::-1]


@given(genuine=SCORES, impostor=SCORES, threshold=st.integers(-17, 17).map(lambda n: n / 2))
def test_rates_count_trials(genuine, impostor, threshold):
    refused = sum(1 for score in genuine if not score >= threshold)
    accepted = sum(1 for score in impostor if score >= threshold)
    assert false_rejection_rate(genuine, threshold) == pytest.approx(refused / len(genuine))
    assert false_acceptance_rate(impostor, threshold) == pytest.approx(accepted / len(impostor))


@given(genuine=SCORES, impostor=SCORES)
def test_the_curve_is_scikit_learns(genuine, impostor):
    accepted, refused = det_points(genuine, impostor)
    theirs = published_curve(genuine, impostor)
    assert np.allclose(accepted, theirs[0]) and np.allclose(refused, theirs[1])
    for n, threshold in enumerate(thresholds(genuine, impostor)):
        assert accepted[n] == pytest.approx(false_acceptance_rate(impostor, threshold))
        assert refused[n] == pytest.approx(false_rejection_rate(genuine, threshold))


def test_the_equal_error_rate_is_that_of_scikit_learns_curve():
    random = np.random.default_rng(0)
    genuine, impostor = random.normal(2.0, 1.0, 700), random.normal(0.0, 1.3, 2100)
    accepted, refused = published_curve(genuine, impostor)
    nearest = np.argmin(np.abs(accepted - refused))
    rate, threshold = equal_error_rate(genuine, impostor)
    assert rate == pytest.approx((accepted + refused)[nearest] / 2, abs=1e-9)
    assert false_rejection_rate(genuine, threshold) == pytest.approx(rate, abs=1 / 700)
    assert false_acceptance_rate(impostor, threshold) == pytest.approx(rate, abs=1 / 700)


@given(genuine=SCORES, impostor=SCORES, rate=RATE)
def test_at_a_false_rejection_the_threshold_is_as_high_as_it_can_be(genuine, impostor, rate):
    threshold = threshold_at_false_rejection(genuine, impostor, float(rate))
    assert false_rejection_rate(genuine, threshold) <= rate
    may_refuse = rate.numerator * len(genuine) // rate.denominator
    everything = np.concatenate([genuine, impostor])
    if may_refuse == len(genuine):
        assert threshold > everything.max()
        return
    lowest_accepted = np.sort(genuine)[may_refuse]
    assert Fraction(int(np.sum(genuine <= lowest_accepted)), len(genuine)) > rate, "any higher one refuses too many"
    lower = everything[everything < lowest_accepted]
    next_lower = lower.max() if len(lower) else lowest_accepted - 2e-6
    assert threshold == pytest.approx((next_lower + lowest_accepted) / 2, abs=1e-9)
    assert false_acceptance_rate(impostor, threshold) == false_acceptance_rate(impostor, lowest_accepted)


@given(genuine=SCORES, impostor=SCORES, rate=RATE)
def test_a_false_acceptance_is_a_false_rejection_in_the_mirror(genuine, impostor, rate):
    """With the signs and the roles changed, what was accepted from below is refused from above."""
    threshold = threshold_at_false_acceptance(genuine, impostor, float(rate))
    mirrored = threshold_at_false_rejection(-impostor, -genuine, float(rate))
    assert threshold == pytest.approx(-mirrored, abs=1e-9)
    assert false_acceptance_rate(impostor, threshold) <= rate


@pytest.mark.parametrize("trials", [100, 300, 700, 1900, 12_300])
def test_one_percent_of_many_is_one_percent(trials):
    """Rounding must not refuse a rate that is met exactly."""
    scores = np.arange(trials, dtype=float)
    assert threshold_at_false_rejection(scores, scores, 0.01) == trials // 100 - 0.5
    assert threshold_at_false_acceptance(scores, scores, 0.01) == trials - trials // 100 - 0.5


@given(
    genuine=SCORES,
    impostor=SCORES,
    p_target=st.sampled_from([0.001, 0.01, 0.5, 0.9]),
    costs=st.tuples(st.floats(0.1, 20.0), st.floats(0.1, 20.0)),
)
def test_the_least_cost_is_the_least_of_all(genuine, impostor, p_target, costs):
    def cost(threshold: float) -> float:
        missed = sum(score < threshold for score in genuine) / len(genuine)
        let_in = sum(score >= threshold for score in impostor) / len(impostor)
        return costs[0] * missed * p_target + costs[1] * let_in * (1 - p_target)

    deaf = min(cost(-100.0), cost(100.0))
    least = min(cost(half / 2) for half in range(-18, 19))
    found = min_dcf(genuine, impostor, p_target, *costs)
    assert found == pytest.approx(least / deaf)
    assert 0.0 <= found <= 1.0 + 1e-9


@given(genuine=SCORES, impostor=SCORES)
def test_an_equal_error_bounds_the_cost(genuine, impostor):
    """At P = ½ and equal costs the least cost is at most the sum of the rates where they are equal."""
    rate, _ = equal_error_rate(genuine, impostor)
    assert min_dcf(genuine, impostor, p_target=0.5) <= 2 * rate + 1e-9
