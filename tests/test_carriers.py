"""Zero changes nothing, filters do what their gains say, and every carrier has the gradient it claims."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import scipy.signal
import torch
from torch import Tensor

from conftest import tone
from voxveil.audio.bands import band_interpolation, band_pass
from voxveil.audio.levels import k_weighting, rms
from voxveil.audio.spectrum import Stft
from voxveil.perturb.budgets import BandWeighted, GainRange, Linf, MaskingThreshold
from voxveil.perturb.carriers import Additive, Chain, Clipped, Filter, GainMask, Levelled, SpectralAdditive
from voxveil.roles import Carrier

WIDE = GainRange(9.0)

CARRIERS: dict[str, Callable[[], Carrier]] = {
    "additive": lambda: Additive(Linf(0.01)),
    "masked": lambda: SpectralAdditive(MaskingThreshold(0.0, 16_000)),
    "weighted": lambda: SpectralAdditive(BandWeighted(0.01, {8000: 1.0}, 16_000)),
    "filter": lambda: Filter(WIDE, 16_000),
    "mask": lambda: GainMask(WIDE, WIDE, 16_000),
    "fine mask": lambda: GainMask(WIDE, WIDE, 16_000, bands=12, frames_per_gain=2, stft=Stft(512, 256)),
    "clipped": lambda: Clipped(Additive(Linf(1.0))),
    "levelled": lambda: Levelled(Filter(WIDE, 16_000), 16_000),
    "chain": lambda: Levelled(
        Chain((Filter(WIDE, 16_000), GainMask(WIDE, WIDE, 16_000), Additive(Linf(0.01)))), 16_000
    ),
}


@pytest.fixture(params=CARRIERS)
def carrier(request: pytest.FixtureRequest) -> Carrier:
    return CARRIERS[request.param]()


def amounts(carrier: Carrier, clean: Tensor, scale: float = 0.5) -> tuple[Tensor, ...]:
    return tuple(
        budget.radius(clean) * scale * torch.randn(shape, dtype=clean.dtype).clamp(-1, 1)
        for shape, budget in zip(carrier.shapes(clean), carrier.budgets, strict=True)
    )


def test_zero_changes_nothing(carrier: Carrier, speech: Tensor) -> None:
    for length in (48_000, 47_999, 5000, 513, 100):
        clean = speech[:, 4000 : 4000 + length] if length < 40_000 else speech[:, :length]
        zero = tuple(torch.zeros(shape) for shape in carrier.shapes(clean))
        out = carrier(zero, clean)
        assert out.shape == clean.shape
        assert torch.allclose(out, clean, atol=1e-6)


def test_samples_beyond_full_scale_stay_and_others_stop_there() -> None:
    clean = torch.tensor([[3.0, -1.5, 0.9, -0.9]])
    carrier = Clipped(Additive(Linf(1.0)))
    assert torch.equal(carrier((torch.zeros(1, 4),), clean), clean)
    assert carrier((torch.tensor([[0.5, 0.5, 0.5, -0.5]]),), clean).tolist() == [[3.0, -1.0, 1.0, -1.0]]


def test_amounts_change_something(carrier: Carrier, speech: Tensor) -> None:
    assert (carrier(amounts(carrier, speech), speech) - speech).abs().max() > 1e-3


def test_a_batch_is_its_clips_one_by_one(carrier: Carrier, speech: Tensor) -> None:
    drawn = amounts(carrier, speech)
    together = carrier(drawn, speech)
    for index in range(2):
        alone = carrier(tuple(a[index : index + 1] for a in drawn), speech[index : index + 1])
        assert torch.allclose(together[index : index + 1], alone, atol=1e-6)


def test_shapes_fit_every_length(carrier: Carrier) -> None:
    for length in (513, 1024, 1279, 1280, 1281):
        clean = 0.1 * torch.randn(3, length)
        assert carrier(amounts(carrier, clean), clean).shape == clean.shape
        assert len(carrier.shapes(clean)) == len(carrier.budgets)


SMALL = Stft(16, 4)
SMALL_CARRIERS: dict[str, Carrier] = {
    "additive": Additive(Linf(0.01)),
    "spectral": SpectralAdditive(BandWeighted(0.1, {8000: 1.0}, 16_000, SMALL)),
    "filter": Filter(WIDE, 800, bands=4),
    "mask": GainMask(WIDE, WIDE, 800, bands=4, stft=SMALL),
    "chain": Levelled(Chain((Filter(WIDE, 800, bands=4), Additive(Linf(0.1)))), 800),
}


@pytest.mark.parametrize("name", SMALL_CARRIERS)
def test_gradients_agree_with_finite_differences(name: str) -> None:
    carrier, clean = SMALL_CARRIERS[name], torch.randn(2, 40, dtype=torch.float64)
    for scale in (0.0, 0.5):
        drawn = [a.requires_grad_() for a in amounts(carrier, clean, scale)]
        assert torch.autograd.gradcheck(lambda *a: carrier(a, clean), drawn)


def place_gains(frequencies_hz: Tensor, gains_db: Tensor) -> Tensor:
    return band_interpolation(frequencies_hz, gains_db.shape[-1]) @ gains_db


@pytest.mark.parametrize("frequency_hz", [150.0, 400.0, 1000.0, 2500.0, 5000.0, 7500.0])
def test_filter_gives_a_tone_the_gain_of_its_place(frequency_hz: float) -> None:
    gains_db = 6.0 * torch.sin(torch.arange(24.0)).double()
    probe = tone(frequency_hz, 2.0)
    out = Filter(WIDE, 16_000)((gains_db[None],), probe)
    middle = slice(8000, 24_000)
    # band_interpolation puts its last centre on the highest frequency it is given.
    wanted_db = place_gains(torch.tensor([frequency_hz, 8000.0], dtype=torch.float64), gains_db)[0].item()
    measured_db = 20.0 * torch.log10(rms(out[:, middle]) / rms(probe[:, middle])).item()
    assert measured_db == pytest.approx(wanted_db, abs=0.05)
    factor = 10.0 ** (measured_db / 20.0)
    assert torch.allclose(out[:, middle], factor * probe[:, middle], atol=0.01), "without delay or phase"


def test_filter_is_scipys_fir_with_the_same_response() -> None:
    gains_db = 6.0 * torch.cos(0.7 * torch.arange(24.0)).double()
    frequencies = torch.linspace(0.0, 8000.0, 4097, dtype=torch.float64)
    response = 10.0 ** (place_gains(frequencies, gains_db).numpy() / 20.0)
    taps = scipy.signal.firwin2(8191, frequencies.numpy(), response, fs=16_000, window="boxcar")
    sound = np.random.default_rng(0).standard_normal(32_000)
    wanted = scipy.signal.oaconvolve(sound, taps, mode="same")
    got = Filter(WIDE, 16_000)((gains_db[None],), torch.as_tensor(sound)[None])[0].numpy()
    assert np.abs(got - wanted)[6000:-6000].max() < 2e-3 * np.abs(wanted).max()


def test_filter_does_not_wrap_around() -> None:
    """A click at the very end leaves the beginning as silent as the same click further away does."""
    gains_db = 9.0 * (-1.0) ** torch.arange(24.0).double()
    click = torch.zeros(1, 16_000, dtype=torch.float64)
    click[0, -1] = 1.0
    assert Filter(WIDE, 16_000)((gains_db[None],), click)[0, :8000].abs().max() < 1e-3


def test_static_mask_is_the_levelled_filter(speech: Tensor) -> None:
    """Smooth gains: a window of 512 samples cannot follow a filter whose response is longer than it."""
    gains_db = torch.linspace(-4.0, 4.0, 24).expand(2, -1)
    clean = speech[:, 2000:16_000]
    mask = GainMask(WIDE, WIDE, 16_000)
    masked = mask((gains_db, torch.zeros(mask.shapes(clean)[1])), clean)
    filtered = Levelled(Filter(WIDE, 16_000), 16_000)((gains_db,), clean)
    middle = slice(1000, -1000)
    error = rms((masked - filtered)[:, middle]) / rms(filtered[:, middle])
    assert error.max() < 0.02


def test_a_moving_mask_that_stands_still_is_the_static_one(speech: Tensor) -> None:
    mask = GainMask(WIDE, WIDE, 16_000)
    gains_db = 6.0 * torch.randn(2, 24)
    static, moving = (torch.zeros(shape) for shape in mask.shapes(speech))
    one = mask((gains_db, moving), speech)
    other = mask((static, gains_db[..., None].expand_as(moving).contiguous()), speech)
    both = mask((0.25 * gains_db, 0.75 * gains_db[..., None].expand_as(moving).contiguous()), speech)
    assert torch.allclose(one, other, atol=1e-5)
    assert torch.allclose(one, both, atol=1e-5)


def test_mask_glides_in_decibels_from_step_to_step() -> None:
    """A ramp of 12 dB over the clip turns a steady tone into one that rises by as much."""
    mask = GainMask(WIDE, GainRange(12.0), 16_000)
    probe = tone(1000.0, 1.024)
    static, moving = mask.shapes(probe)
    ramp_db = 0.2 * torch.arange(moving[-1], dtype=torch.float64)
    out = mask((torch.zeros(static, dtype=torch.float64), ramp_db.expand(moving).contiguous()), probe)

    def gain_db(step: int) -> float:
        around = slice(step * 512 - 160, step * 512 + 160)
        return 20.0 * torch.log10(rms(out[:, around]) / rms(probe[:, around])).item()

    for step in (10, 15, 25):
        assert gain_db(step) - gain_db(5) == pytest.approx(0.2 * (step - 5), abs=0.02)


def loudness(sound: Tensor) -> Tensor:
    """K-weighted energy of each clip, through the spectrum of the whole."""
    weights = k_weighting(sound.shape[-1] // 2 + 1, 16_000, torch.device("cpu")).double()
    return torch.fft.rfft(sound.double()).abs().square() @ weights


def test_mask_keeps_the_loudness(speech: Tensor) -> None:
    """Within a tenth of a dB for a static mask; moving gains smear a little between overlapping frames."""
    mask = GainMask(WIDE, WIDE, 16_000)
    static, moving = amounts(mask, speech, 1.0)
    for drawn, within_db in (((static + 5.0, 0.0 * moving), 0.1), ((static, moving - 5.0), 0.5)):
        change_db = 10.0 * torch.log10(loudness(mask(drawn, speech)) / loudness(speech))
        assert change_db.abs().max() < within_db


def test_chain_applies_its_links_in_order(speech: Tensor) -> None:
    doubling, adding = Filter(WIDE, 16_000), Additive(Linf(0.1))
    gains_db, delta = torch.full((2, 24), 6.0), 0.05 * torch.randn(2, 48_000)
    chained = Chain((doubling, adding))((gains_db, delta), speech)
    assert torch.equal(chained, doubling((gains_db,), speech) + delta)
    swapped = Chain((adding, doubling))((delta, gains_db), speech)
    assert torch.equal(swapped, doubling((gains_db,), speech + delta))
    nested = Chain((Chain((doubling, adding)), Additive(Linf(0.1))))
    assert nested.shapes(speech) == ((2, 24), (2, 48_000), (2, 48_000))
    assert torch.equal(nested((gains_db, delta, -delta), speech), chained - delta)


def test_levelled_keeps_the_loudness(speech: Tensor) -> None:
    inner = Filter(WIDE, 16_000)
    (gains_db,) = amounts(inner, speech, 1.0)
    out = Levelled(inner, 16_000)((gains_db + 4.0,), speech)
    assert torch.allclose(loudness(out), loudness(speech), rtol=1e-4)
    plain = inner((gains_db + 4.0,), speech)
    factor = (out * plain).sum(1, keepdim=True) / plain.square().sum(1, keepdim=True)
    assert torch.allclose(out, factor * plain, atol=1e-6), "and changes nothing but the level"


def test_levelled_is_blind_to_an_overall_gain(speech: Tensor) -> None:
    """But for what lies below 100 Hz, where the equaliser fades out and no gain reaches."""
    clean = band_pass(speech, 16_000, 200.0, None)
    levelled = Levelled(Filter(WIDE, 16_000), 16_000)
    (gains_db,) = amounts(levelled, clean)
    one, other = (levelled((gains_db + shift,), clean) for shift in (0.0, 5.0))
    assert rms(one - other).max() < 1e-3 * rms(one).min()


def test_amounts_found_on_a_mix_fit_every_channel(speech: Tensor) -> None:
    carrier = CARRIERS["mask"]()
    mono = amounts(carrier, speech.mean(0, keepdim=True))
    both = carrier(tuple(a.repeat_interleave(2, 0) for a in mono), speech)
    assert torch.allclose(both[:1], carrier(mono, speech[:1]), atol=1e-6)
