"""AntiFake: its objective against NumPy, its steps, and that nothing leaves full scale."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.signal import get_window
from tiny import tiny_network
from torch import Tensor

from voxveil.audio.masking import threshold_in_quiet_db
from voxveil.perturb.penalties import Energy, HeardSpectrum, MaskedExcess, NoiseToSignal
from voxveil.protectors.antifake import AntiFake, antifake
from voxveil.protectors.order import Order
from voxveil.protectors.target_voice import farthest
from voxveil.verify.scorers import cosine
from voxveil.verify.verifier import Verifier

VICTIMS = (Verifier("tiny", tiny_network(0), cosine, 0.9), Verifier("other", tiny_network(1), cosine, 0.9))


@pytest.fixture
def clip(speech: Tensor) -> Tensor:
    """Two clips of one channel, [2, 1, 12000]."""
    return speech[:, None, :12_000]


def numpy_heard_spectrum(delta: np.ndarray) -> float:
    padded = np.pad(delta, 200, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, 400)[::200] * get_window("hann", 400)
    hz = np.arange(201) * 40.0
    quiet = (
        3.64 * (np.maximum(hz, 20) / 1e3) ** -0.8 - 6.5 * np.exp(-0.6 * (hz / 1e3 - 3.3) ** 2) + 1e-3 * (hz / 1e3) ** 4
    )
    weight = np.maximum(1.0 - (quiet + 20.0) / 100.0, 0.0)
    return float((np.abs(np.fft.rfft(frames)) ** 2 @ weight).sum() / 201)


def test_the_objective_is_what_the_docstring_says(clip, generator):
    clean = clip[:, 0]
    adversarial = clean + 0.02 * torch.randn(clean.shape, generator=generator)
    found = AntiFake(VICTIMS).objective(clean)(adversarial).numpy()
    targets = farthest([v.embedder for v in VICTIMS], clean)
    for index in range(2):
        x, y = (s[index].numpy().astype(float) for s in (clean, adversarial))
        delta = y - x
        apart = 0.0
        for v in VICTIMS:
            here, there = (v.embedder(s[index : index + 1])[0].numpy() for s in (adversarial, targets))
            apart += float(np.linalg.norm(here - there))
        snr_db = 10 * np.log10(np.mean(y**2) / (np.mean(delta**2) + 1e-8))
        windows = 12_000 / 16_000 / 0.8
        gain = -max(1.0, windows) * apart + 0.005 * snr_db - 0.05 * np.linalg.norm(delta)
        assert found[index] == pytest.approx(-(gain - 0.3 * numpy_heard_spectrum(delta)), rel=1e-4)


def test_the_encoders_weight_grows_with_the_clip_as_the_spectrums_does(speech):
    """Of one clip said twice, both terms are about twice as large."""
    once = speech[:1]
    twice = torch.cat([once, once], dim=1)
    noise = 0.02 * torch.randn_like(once)

    def costs(clean: Tensor, delta: Tensor) -> tuple[float, float]:
        windows, attack = AntiFake(VICTIMS).objective(clean).terms[0]
        return windows * float(attack(clean + delta)), float(HeardSpectrum(clean, 16_000)(clean + delta))

    short, long = costs(once, noise), costs(twice, torch.cat([noise, noise], dim=1))
    assert long[0] / short[0] == pytest.approx(2.0, rel=0.2) and long[1] / short[1] == pytest.approx(2.0, rel=0.02)


def test_the_published_numbers():
    made = AntiFake(VICTIMS)
    assert (made.step_size, made.steps) == (0.02, 1000)
    solver = made.solver()
    sizes = [solver.step_size_at(index) for index in range(1000)]
    assert sizes == pytest.approx([0.02 * 0.9 ** (index // 100) for index in range(1000)])
    assert (solver.rule, solver.bound, solver.momentum, solver.start) == ("sign", "project", 0.0, 0.0)
    assert antifake(Order(VICTIMS, effort="thorough")) == made
    light, strong = (antifake(Order(VICTIMS, strength=s)).step_size for s in ("light", "strong"))
    assert (light, strong) == (0.01, 0.04)


def test_a_first_step_is_the_whole_step_for_every_sample(clip):
    change = (AntiFake(VICTIMS, steps=1)(clip, seed=0) - clip).abs()
    assert float((change - 0.02).abs().quantile(0.99)) < 1e-6


def test_nothing_leaves_full_scale(clip):
    loud = (clip / clip.abs().amax()).repeat(1, 2, 1) * torch.tensor([1.0, 0.5])[None, :, None]
    made = AntiFake(VICTIMS, step_size=0.2, steps=3)(loud, seed=0)
    assert float(made.abs().max()) == 1.0
    soft = AntiFake(VICTIMS, steps=4)(0.5 * clip, seed=0) - 0.5 * clip
    assert float(soft.abs().max()) <= 0.02 * 4 + 1e-6, "and no sample goes further than all steps"


def test_the_voice_moves_to_the_target(clip):
    encoder, clean = VICTIMS[0].embedder, clip[:, 0]
    wanted = encoder(farthest([encoder], clean))
    made = AntiFake(VICTIMS[:1], steps=10)(clip, seed=0)[:, 0]
    noise = clean + (made - clean).flip(-1)
    assert bool((cosine(wanted, encoder(made)) > cosine(wanted, encoder(noise)) + 0.2).all())


def test_a_target_that_is_named_is_the_one(clip):
    encoder = VICTIMS[0].embedder
    victim = Verifier("tiny", encoder, cosine, 1.1)
    named = clip[:1, 0].flip(-1) + 0.05 * torch.randn(1, 12_000)
    wanted = encoder(named)
    made, auto = (AntiFake((victim,), steps=6, target=t)(clip[1:], seed=0)[:, 0] for t in (named, None))
    assert float(cosine(wanted, encoder(made))) > float(cosine(wanted, encoder(auto))) + 0.1


def test_nothing_is_random_and_channels_are_changed_alike(clip):
    stereo = torch.cat([clip, 0.3 * clip.roll(40, -1)], dim=1)
    one, other = (AntiFake(VICTIMS, steps=2)(stereo, seed=seed) for seed in (1, 2))
    assert torch.equal(one, other)
    change = one - stereo
    assert torch.allclose(change[:, 0], change[:, 1], atol=1e-6) and float(change.abs().max()) > 0.01


# The penalties by themselves.


@pytest.mark.parametrize("scale", [1.0, 0.01])
def test_penalties_against_numpy(scale, generator):
    clean = scale * torch.randn(2, 3000, generator=generator, dtype=torch.float64)
    adversarial = clean + 0.1 * scale * torch.randn(2, 3000, generator=generator, dtype=torch.float64)
    delta = (adversarial - clean).numpy()
    ratio = (np.square(delta).mean(1) + 1e-8) / np.square(adversarial.numpy()).mean(1)
    assert NoiseToSignal(clean)(adversarial).numpy() == pytest.approx(10 * np.log10(ratio))
    assert Energy(clean)(adversarial).numpy() == pytest.approx(np.linalg.norm(delta, axis=1))
    wanted = [numpy_heard_spectrum(d) for d in delta]
    assert HeardSpectrum(clean, 16_000)(adversarial).numpy() == pytest.approx(wanted, rel=1e-5)


def test_what_is_heard_best_costs_most():
    hz = torch.linspace(0.0, 8000.0, 201)
    weights = HeardSpectrum.weights_of(hz)
    assert bool((weights >= 0.0).all()) and float(weights[0]) == 0.0
    assert int(weights.argmax()) == int(threshold_in_quiet_db(hz).argmin())


@pytest.mark.parametrize("make", [NoiseToSignal, Energy, HeardSpectrum, MaskedExcess])
def test_gradients_are_finite_without_any_noise_and_right_with_it(make, generator):
    clean = 0.1 * torch.randn(1, 4096, generator=generator, dtype=torch.float64)
    cost = make(clean) if make in (NoiseToSignal, Energy) else make(clean, 16_000)

    def slope(at: Tensor) -> Tensor:
        leaf = at.clone().requires_grad_()
        return torch.autograd.grad(cost(leaf).sum(), leaf)[0]

    assert bool(torch.isfinite(slope(clean)).all())
    there = clean + 0.3 * torch.randn(1, 4096, generator=generator, dtype=torch.float64)
    way = torch.randn(1, 4096, generator=generator, dtype=torch.float64)
    step = 1e-6
    numeric = float(cost(there + step * way) - cost(there - step * way)) / (2 * step)
    assert float((slope(there) * way).sum()) == pytest.approx(numeric, rel=1e-3) and abs(numeric) > 1e-6
