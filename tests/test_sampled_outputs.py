"""Samples are drawn with the probabilities that the logits say."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.special
import scipy.stats
import torch

from voxveil.models.vocoder.sampled_outputs import LogisticMixture, MuLaw

EVENLY = (torch.arange(5000, dtype=torch.float64) + 0.5) / 5000


def test_steps_are_drawn_with_their_probability() -> None:
    output = MuLaw(bits=4)
    logits = 2.0 * torch.randn(16, dtype=torch.float64)
    samples = output.sample(logits.expand(5000, 16), EVENLY[:, None]).numpy()
    steps, counts = np.unique(np.round((samples + 1.0) * 15 / 2), return_counts=True)
    shares = np.zeros(16)
    shares[steps.astype(int)] = counts / 5000
    np.testing.assert_allclose(shares, scipy.special.softmax(logits.numpy()), atol=1 / 5000)
    assert np.abs(samples).max() <= 1.0


@pytest.mark.parametrize("chance", [0.0, 1.0 - 2.0**-24])
def test_the_ends_of_chance_draw_a_step(chance: float) -> None:
    samples = MuLaw().sample(10.0 * torch.randn(50, 512), torch.full((50, 1), chance))
    assert bool((samples.abs() <= 1.0).all())


@pytest.mark.parametrize("bits", [8, 9, 10])
def test_the_law_is_undone(bits: int) -> None:
    mu = 2**bits - 1
    sound = np.linspace(-1.0, 1.0, 101)
    compressed = np.sign(sound) * np.log1p(mu * np.abs(sound)) / np.log1p(mu)
    np.testing.assert_allclose(MuLaw(bits).sound(torch.as_tensor(compressed)).numpy(), sound, atol=1e-12)


def test_a_mixture_is_drawn_from_its_distribution() -> None:
    output = LogisticMixture(components=3)
    weights, means, log_scales = [0.5, -0.5, 1.0], [-0.3, 0.0, 0.4], [-3.0, -4.0, -2.5]
    logits = torch.tensor([weights + means + log_scales], dtype=torch.float64)
    chances = torch.as_tensor(scipy.stats.qmc.Sobol(2, seed=0).random(4096))
    samples = output.sample(logits.expand(4096, -1), chances).numpy()

    def distribution(x: np.ndarray) -> np.ndarray:
        parts = [scipy.stats.logistic.cdf(x, m, np.exp(s)) for m, s in zip(means, log_scales, strict=True)]
        return scipy.special.softmax(weights) @ np.stack(parts)

    inside = samples[np.abs(samples) < 1.0]
    assert len(inside) > 4000
    assert scipy.stats.kstest(inside, distribution).statistic < 0.01
    assert np.array_equal(output.sound(torch.as_tensor(samples)).numpy(), samples)


def test_a_mixture_is_cut_off_at_full_scale() -> None:
    logits = torch.tensor([[0.0, 0.9, 0.0], [0.0, -0.9, 0.0]])
    samples = LogisticMixture(components=1).sample(logits, torch.tensor([[0.5, 1.0], [0.5, 0.0]]))
    assert samples.tolist() == [1.0, -1.0]
