"""Every channel does what it says of itself, and what its physics says."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from conftest import tone
from voxveil.audio.levels import k_weighting, rms
from voxveil.perturb.gradients import StraightThrough
from voxveil.roles import Transform
from voxveil.transforms.crop import RandomStart
from voxveil.transforms.filters import BandPass
from voxveil.transforms.noise import WhiteNoise
from voxveil.transforms.quantise import Quantise
from voxveil.transforms.resample import BandLimit
from voxveil.transforms.room import Room
from voxveil.transforms.speed import RandomSpeed


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


TRANSFORMS: dict[str, Callable[[int], Transform]] = {
    "crop": lambda seed: RandomStart(4000, seeded(seed)),
    "speed": lambda seed: RandomSpeed(0.2, seeded(seed)),
    "telephone": lambda _: BandPass(300.0, 3400.0, 16_000),
    "noise": lambda seed: WhiteNoise(20.0, seeded(seed)),
    "noise, straight through": lambda seed: StraightThrough(WhiteNoise(20.0, seeded(seed))),
    "8 bits": lambda _: Quantise(8),
    "8 kHz": lambda _: BandLimit(8000, 16_000),
    "room": lambda seed: Room(0.3, 6.0, 16_000, seeded(seed)),
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_flags_are_true(name: str, speech: Tensor) -> None:
    transform = TRANSFORMS[name](0)
    first, second = transform(speech), transform(speech)
    same = first.shape == second.shape and torch.equal(first, second)
    assert same != transform.random
    lengths = {first.shape[-1], second.shape[-1]}
    assert (lengths == {speech.shape[-1]}) == transform.keeps_length
    assert first.dtype == speech.dtype
    assert torch.isfinite(first).all()
    leaf = speech.clone().requires_grad_()
    out = transform(leaf)
    assert out.requires_grad == transform.differentiable
    (slope,) = torch.autograd.grad((out * torch.randn_like(out)).sum(), leaf)
    assert torch.isfinite(slope).all()
    assert (slope.abs().amax(1) > 0.0).all()


@pytest.mark.parametrize("name", TRANSFORMS)
def test_the_same_seed_gives_the_same_bytes(name: str, speech: Tensor) -> None:
    assert torch.equal(TRANSFORMS[name](5)(speech), TRANSFORMS[name](5)(speech))
    one, other = TRANSFORMS[name](5)(speech), TRANSFORMS[name](6)(speech)
    same = one.shape == other.shape and torch.equal(one, other)
    assert same != TRANSFORMS[name](5).random


@pytest.mark.parametrize("name", TRANSFORMS)
def test_silence_stays_silent(name: str) -> None:
    out = TRANSFORMS[name](0)(torch.zeros(2, 16_000))
    assert out.abs().max() < 1e-6


@pytest.mark.parametrize("name", ["telephone", "noise", "8 kHz", "room"])
def test_gradients_agree_with_finite_differences(name: str) -> None:
    """The random ones are rebuilt for every call, so that they draw the same."""
    sound = torch.randn(1, 30, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: TRANSFORMS[name](3).__call__(x), sound)


def test_crop_keeps_the_end_and_never_more_than_a_third_goes(speech: Tensor) -> None:
    starts = set()
    crop = RandomStart(4000, seeded(0))
    for _ in range(200):
        out = crop(speech)
        assert torch.equal(out, speech[:, -out.shape[-1] :])
        starts.add(speech.shape[-1] - out.shape[-1])
    assert min(starts) >= 0
    assert max(starts) <= 4000
    assert max(starts) - min(starts) > 3500, "and the whole range is drawn from"
    short = RandomStart(4000, seeded(0))
    assert min(short(speech[:, :300]).shape[-1] for _ in range(100)) >= 200


def test_speed_moves_pitch_and_length_together_and_uses_its_whole_range() -> None:
    """A tone of f Hz, played faster by s, is one of s · f Hz and lasts 1 / s as long."""
    whistle, varied = tone(500.0).float(), RandomSpeed(0.2, seeded(0))
    speeds = []
    for _ in range(100):
        out = varied(whistle)
        speeds.append(whistle.shape[-1] / out.shape[-1])
        crossings = int((out[0, 1:].sign() != out[0, :-1].sign()).sum())
        assert crossings * 8000.0 / out.shape[-1] == pytest.approx(500.0 * speeds[-1], rel=0.02)
    assert 0.8 <= min(speeds) < 0.83 and 1.17 < max(speeds) <= 1.2


@given(snr_db=st.floats(-10.0, 50.0), seed=st.integers(0, 1000))
def test_noise_lies_at_its_ratio_and_is_white(snr_db: float, seed: int) -> None:
    clean = tone(300.0).expand(2, -1) * torch.tensor([[0.5], [0.01]], dtype=torch.float64)
    noise = WhiteNoise(snr_db, seeded(seed))(clean) - clean
    measured_db = 10.0 * torch.log10(clean.square().sum(1) / noise.square().sum(1))
    assert torch.allclose(measured_db, torch.full((2,), snr_db, dtype=torch.float64), atol=1e-6)
    energy = torch.fft.rfft(noise).abs().square()
    low, high = energy[:, :4000].mean(1), energy[:, 4000:].mean(1)
    assert torch.allclose(low / high, torch.ones(2, dtype=torch.float64), atol=0.15)


@given(bits=st.integers(1, 16), values=st.lists(st.floats(-1.5, 1.5, width=32), min_size=1, max_size=50))
def test_quantised_values_lie_on_the_grid(bits: int, values: list[float]) -> None:
    speech = torch.tensor([values])
    out = Quantise(bits)(speech)
    steps = out * 2.0 ** (bits - 1)
    assert torch.equal(steps, steps.round()), "to the bit"
    assert out.min() >= -1.0
    assert out.max() <= 1.0 - 2.0 ** (1 - bits)
    inside = (speech >= -1.0) & (speech <= 1.0 - 2.0 ** (1 - bits))
    assert ((out - speech).abs()[inside] <= 2.0**-bits + 1e-7).all()
    assert torch.equal(Quantise(bits)(out), out)


def test_sixteen_bits_are_pcm(speech: Tensor) -> None:
    """What NumPy writes into a 16-bit file and reads again."""
    pcm = np.clip(np.round(speech.numpy() * 32768.0), -32768, 32767).astype(np.int16)
    assert np.array_equal(Quantise(16)(speech).numpy(), pcm.astype(np.float32) / 32768.0)


def test_the_gradient_ignores_the_rounding(speech: Tensor) -> None:
    leaf = speech.clone().requires_grad_()
    weights = torch.randn_like(speech)
    (slope,) = torch.autograd.grad((Quantise(4)(leaf) * weights).sum(), leaf)
    assert torch.equal(slope, weights)


@pytest.mark.parametrize("rate_hz", [4000, 8000, 11_025])
def test_band_limit_keeps_below_and_kills_above_half_its_rate(rate_hz: int) -> None:
    limit = BandLimit(rate_hz, 16_000)
    for share, wanted in ((0.1, 1.0), (0.42, 1.0), (0.53, 0.0), (0.68, 0.0)):
        probe = tone(share * rate_hz)
        gain = rms(limit(probe)[:, 2000:-2000]) / rms(probe[:, 2000:-2000])
        assert gain.item() == pytest.approx(wanted, abs=1e-3)


def test_band_limit_is_a_resampler_there_and_back(speech: Tensor) -> None:
    """Against SciPy's, up to the width of the filters' slopes: the speech has little there."""
    from scipy.signal import resample_poly

    wanted = resample_poly(resample_poly(speech.double().numpy(), 1, 2, axis=1), 2, 1, axis=1)
    error = torch.as_tensor(wanted) - BandLimit(8000, 16_000)(speech).double()
    assert (rms(error[:, 1000:-1000]) < 0.02 * rms(speech.double())).all()


def test_telephone() -> None:
    line = BandPass(300.0, 3400.0, 16_000)
    for frequency_hz, wanted in ((150.0, 0.0), (500.0, 1.0), (3000.0, 1.0), (4000.0, 0.0)):
        probe = tone(frequency_hz)
        gain = rms(line(probe)[:, 2000:-2000]) / rms(probe[:, 2000:-2000])
        assert gain.item() == pytest.approx(wanted, abs=1e-3)


@pytest.mark.parametrize("rt60_s", [0.2, 0.4, 0.8])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_room_dies_away_as_fast_as_it_says(rt60_s: float, seed: int) -> None:
    """M. Schroeder's backward integral of the tail, −5 … −25 dB, drawn out to 60."""
    tail = Room(rt60_s, 6.0, 16_000, seeded(seed)).response()[1:].double()
    left_db = 10.0 * torch.log10(tail.square().flip(0).cumsum(0).flip(0) / tail.square().sum())
    between = ((left_db < -5.0) & (left_db > -25.0)).nonzero()[:, 0].numpy()
    slope_db_per_s = np.polyfit(between / 16_000, left_db[between].numpy(), 1)[0]
    assert -60.0 / slope_db_per_s == pytest.approx(rt60_s, rel=0.15)


@given(ratio_db=st.floats(-10.0, 30.0), seed=st.integers(0, 1000))
def test_the_room_keeps_its_direct_to_reverberant_ratio(ratio_db: float, seed: int) -> None:
    response = Room(0.3, ratio_db, 16_000, seeded(seed)).response()
    assert response[0] == 1.0
    assert -10.0 * math.log10(response[1:].square().sum()) == pytest.approx(ratio_db, abs=1e-3)


def test_the_room_is_heard_as_a_convolution_at_the_same_loudness(speech: Tensor) -> None:
    from scipy.signal import oaconvolve

    wet = Room(0.3, 0.0, 16_000, seeded(2))(speech).double().numpy()
    response = Room(0.3, 0.0, 16_000, seeded(2)).response().double().numpy()
    wanted = oaconvolve(speech.double().numpy(), response[None], axes=1)[:, : speech.shape[1]]
    factor = (wet * wanted).sum(1, keepdims=True) / np.square(wanted).sum(1, keepdims=True)
    assert np.allclose(wet, factor * wanted, atol=1e-5)
    weights = k_weighting(24_001, 16_000, torch.device("cpu")).double()
    before, after = (torch.fft.rfft(torch.as_tensor(s).double()).abs().square() @ weights for s in (speech, wet))
    assert torch.allclose(before, after, rtol=1e-3)
