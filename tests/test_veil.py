"""The default protection on speech: recognised no more, hardly changed to a listener, and never outside its bounds."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyloudnorm
import pytest
import soundfile as sf
import torch
from scipy.signal import resample_poly, stft
from torch import Tensor

from voxveil import api, loading
from voxveil.audio.files import read
from voxveil.metrics.noise_control import noise_of_equal_quality
from voxveil.metrics.quality import pesq
from voxveil.models.speaker.ge2e import GE2E
from voxveil.perturb.perceptual import LoudnessDisturbance
from voxveil.protectors import veil as veil_module
from voxveil.protectors.channels import mono_mix
from voxveil.protectors.veil import STRENGTHS, Veil
from voxveil.transforms.equalise_back import EqualiseBack
from voxveil.verify.scorers import cosine
from voxveil.verify.verifier import Verifier

pytestmark = pytest.mark.weights
DATA = Path(__file__).parent / "data"
RATE = 16_000


def said(name: str, seconds: float | None = None) -> np.ndarray:
    sound = sf.read(DATA / f"{name}.flac")[0]
    return sound if seconds is None else sound[2000 : 2000 + round(seconds * RATE)]


def batch(*channels: np.ndarray) -> Tensor:
    return torch.as_tensor(np.stack(channels), dtype=torch.float32)[None]


def embedding(encoder: GE2E, sound: np.ndarray) -> Tensor:
    with torch.no_grad():
        return encoder(torch.as_tensor(sound, dtype=torch.float32)[None])[0]


@pytest.fixture(scope="module")
def victim(ge2e: GE2E) -> Verifier:
    """The published encoder as a verifier."""
    return loading.verifier("ge2e")


@pytest.fixture(scope="module")
def quick(victim: Verifier) -> Veil:
    """The default with few steps, for whatever does not ask how well it works."""
    return Veil((victim,), steps=4)


@pytest.fixture(scope="module")
def pair(victim: Verifier) -> tuple[np.ndarray, np.ndarray]:
    """A clip and what the defaults make of it."""
    clean = said("slt-1")
    return clean, Veil((victim,))(batch(clean), seed=0)[0, 0].double().numpy()


# How well it works.


def test_the_voice_is_refused_where_noise_of_equal_quality_is_accepted(ge2e, pair):
    clean, protected = pair
    threshold = loading.verifier("ge2e").threshold
    enrolled = embedding(ge2e, said("slt-2"))
    score = float(enrolled @ embedding(ge2e, protected))
    noisy = noise_of_equal_quality([clean], lambda c, n: pesq(c, n, RATE), pesq(clean, protected, RATE), seed=0)[0][0]
    assert score < threshold - 0.1
    assert float(enrolled @ embedding(ge2e, clean)) > threshold + 0.1
    assert float(enrolled @ embedding(ge2e, noisy)) > threshold > score


def test_equalising_back_does_not_bring_the_voice_back(ge2e, pair):
    clean, protected = (EqualiseBack(RATE)(batch(sound)[0])[0].numpy() for sound in pair)
    threshold = loading.verifier("ge2e").threshold
    enrolled = embedding(ge2e, said("slt-2"))
    assert float(enrolled @ embedding(ge2e, clean)) > threshold
    assert float(enrolled @ embedding(ge2e, protected)) < threshold - 0.05


def test_a_clip_costs_the_listener_what_is_allowed_and_little_more(victim):
    clean = batch(said("rms-1", 2.5))
    cost = LoudnessDisturbance(clean[0], RATE)

    def costs(disturbance: float) -> float:
        strength = replace(STRENGTHS["strong"], beyond_weight=20.0, disturbance=disturbance)
        return float(cost(Veil((victim,), strength, steps=40)(clean, seed=0)[0]))

    little, much = costs(0.2), costs(1.0)
    assert little < 0.3 and 0.6 < much < 1.2


def test_a_clip_that_is_still_accepted_is_searched_again_with_more_allowed_and_no_other_is(ge2e, monkeypatch):
    """One encoder takes everything for the speaker, one nothing."""
    clean = batch(said("rms-1", 2.0))

    cost = LoudnessDisturbance(clean[0], RATE)

    def made(threshold: float, shares: tuple[float, ...]) -> tuple[Tensor, list[float]]:
        monkeypatch.setattr(veil_module, "MORE_DISTURBANCES", shares)
        victim, told = Verifier("ge2e", ge2e, cosine, threshold), []
        strength = replace(STRENGTHS["medium"], beyond_weight=20.0, disturbance=0.1)
        return Veil((victim,), strength, steps=20)(clean, seed=0, progress=told.append), told

    (once, _), (again, told) = made(-1.0, ()), made(-1.0, (2.0, 5.0))
    (left, _), (asked, quick) = made(1.0, ()), made(1.0, (2.0, 5.0))
    assert torch.equal(left, asked) and max(quick) == pytest.approx(0.6)
    assert float(cost(again[0])) > 2.0 * float(cost(once[0])), "the search makes use of it"
    assert told == sorted(told) and max(told) == pytest.approx(0.8)


def test_the_listener_keeps_quality_and_loudness(pair):
    clean, protected = pair
    meter = pyloudnorm.Meter(RATE)
    assert pesq(clean, protected, RATE) >= 3.6
    assert meter.integrated_loudness(protected) == pytest.approx(meter.integrated_loudness(clean), abs=0.5)


def test_more_steps_and_more_strength_lead_further_away(ge2e, victim):
    clean = said("rms-1", 2.5)
    own = embedding(ge2e, clean)

    def alike(strength: str, steps: int) -> float:
        made = Veil((victim,), STRENGTHS[strength], steps)(batch(clean), seed=0)
        return float(own @ embedding(ge2e, made[0, 0].numpy()))

    assert alike("medium", 1) > alike("medium", 20) > alike("medium", 60)
    assert alike("light", 20) > alike("strong", 20)


def test_a_target_is_approached(ge2e, victim):
    clean, other = said("slt-1", 2.0), said("kal16-1")
    wanted = embedding(ge2e, other)
    speech = torch.as_tensor(other, dtype=torch.float32)[None]
    aimed = Veil((victim,), steps=12, target=speech)(batch(clean), seed=0)[0, 0].numpy()
    astray = Veil((victim,), steps=12)(batch(clean), seed=0)[0, 0].numpy()
    before = float(wanted @ embedding(ge2e, clean))
    assert float(wanted @ embedding(ge2e, aimed)) > before + 0.05
    assert float(wanted @ embedding(ge2e, aimed)) > float(wanted @ embedding(ge2e, astray))
    assert float(embedding(ge2e, clean) @ embedding(ge2e, aimed)) < 0.9, "and the speaker is left"


@pytest.mark.parametrize("floor", [4.5, 4.6])
def test_the_quality_floor_holds(ge2e, floor):
    clean = said("rms-1", 2.0)
    made = api.make_protector("veil", "strong", floor, "fast", "auto", ("ge2e",), "cpu")
    free = api.make_protector("veil", "strong", None, "fast", "auto", ("ge2e",), "cpu")
    held, loose = (protector(batch(clean), seed=0)[0, 0].double().numpy() for protector in (made, free))
    assert pesq(clean, held, RATE) >= floor > pesq(clean, loose, RATE), "the floor is what made the difference"
    assert not np.allclose(held, clean, atol=1e-3), "and something is left of the protection"


def test_the_quality_floor_holds_for_every_channel_and_their_mix(ge2e):
    clean = np.stack([said("slt-1", 2.0), 0.15 * said("rms-1", 2.0)])
    floor = 4.3
    made = api.make_protector("veil", "strong", floor, "fast", "auto", ("ge2e",), "cpu")
    held = made(batch(*clean), seed=0)[0].double().numpy()
    for before, after in [*zip(clean, held, strict=True), (clean.mean(0), held.mean(0))]:
        assert pesq(before, after, RATE) >= floor
    assert not np.allclose(held, clean, atol=1e-3)


# What it may do.


def gains_db(clean: np.ndarray, protected: np.ndarray) -> np.ndarray:
    """Levels of the change where there is something to change: windows of 64 ms, a sixth of a band apart."""
    before, after = (np.abs(stft(s, nperseg=1024, noverlap=768)[2]) ** 2 for s in (clean, protected))
    smooth = np.ones((9, 3)) / 27

    def local(powers: np.ndarray) -> np.ndarray:
        padded = np.lib.stride_tricks.sliding_window_view(powers, smooth.shape)
        return (padded * smooth).sum((-1, -2))

    before, after = local(before), local(after)
    loud = before > 1e-4 * before.max()
    return 10 * np.log10(after[loud] / before[loud])


@pytest.mark.parametrize(("static", "moving"), [(2.0, 1.0), (4.0, 0.0)])
def test_the_ranges_of_the_carrier_hold_on_the_sound(victim, static, moving):
    """All gains lie within ± the range around one shift of level, which keeps the loudness."""
    clean = said("slt-1", 2.0)
    narrow = replace(STRENGTHS["strong"], filter_range_db=static, mask_range_db=moving)
    gains = gains_db(clean, Veil((victim,), narrow, steps=15)(batch(clean), seed=0)[0, 0].double().numpy())
    spread = gains.max() - gains.min()
    assert 0.5 * 2 * static < spread <= 2 * (static + moving) + 0.7
    wide = gains_db(clean, Veil((victim,), steps=15)(batch(clean), seed=0)[0, 0].double().numpy())
    assert wide.max() - wide.min() > 2 * spread, "the measure sees more where more is allowed"


@pytest.mark.parametrize("strength", STRENGTHS)
def test_every_strength_keeps_the_loudness(victim, strength):
    meter, clean = pyloudnorm.Meter(RATE), said("awb-1", 2.0)
    made = Veil((victim,), STRENGTHS[strength], steps=6)(batch(clean), seed=0)[0, 0].double().numpy()
    assert meter.integrated_loudness(made) == pytest.approx(meter.integrated_loudness(clean), abs=0.5)
    assert not np.allclose(made, clean, atol=1e-3)


def test_silence_within_a_window_stays_silence(quick):
    clean = np.concatenate([said("slt-1", 1.0), np.zeros(RATE), said("slt-1", 2.0)[RATE:]])
    made = quick(batch(clean), seed=0)[0, 0].numpy()
    assert np.abs(made[RATE + 600 : 2 * RATE - 600]).max() < 1e-6, "but for one frame of the transform at its edges"
    assert np.abs(made - clean)[:RATE].max() > 0.01


# Channels.


def test_both_channels_of_stereo_are_changed_alike(quick):
    left, right = said("slt-1", 2.0), 0.3 * np.roll(said("slt-1", 2.0), 40)
    made = quick(batch(left, right), seed=0)[0].numpy()
    for clean, protected in zip((left, right), made, strict=True):
        assert np.abs(protected - clean).max() > 0.05 * np.abs(clean).max()
    gains = [np.abs(np.fft.rfft(p)) ** 2 for p in (*made, left, right)]
    bands = [np.add.reduceat(g, np.arange(0, len(g) - 400, 400)) for g in gains]
    change = [10 * np.log10(bands[0] / bands[2]), 10 * np.log10(bands[1] / bands[3])]
    assert np.corrcoef(*change)[0, 1] > 0.95, "one protection for both"


def test_channels_that_cancel_are_protected(ge2e, quick):
    sound = said("slt-1", 2.0)
    made = quick(batch(sound, -sound), seed=0)[0].numpy()
    assert np.allclose(made[0], -made[1], atol=1e-6)
    assert float(embedding(ge2e, sound) @ embedding(ge2e, made[0])) < 0.97
    alone = quick(batch(sound), seed=0)[0, 0].numpy()
    assert np.allclose(made[0], alone, atol=1e-4), "as if one channel were all there is"


def test_the_mix_is_the_mean_unless_it_cancels(generator):
    speech = torch.randn(2, 2, 100, generator=generator)
    assert torch.allclose(mono_mix(speech), speech.mean(1))
    inverted = torch.stack([speech[:, 0], -0.95 * speech[:, 0]], dim=1)
    assert torch.equal(mono_mix(inverted), speech[:, 0])


def test_a_silent_channel_stays_silent(quick):
    made = quick(batch(said("slt-1", 1.5), np.zeros(round(1.5 * RATE))), seed=0)[0]
    assert bool((made[1] == 0.0).all()) and bool((made[0] != 0.0).any())


# Files.


def protected_file(veil: Veil, tmp_path: Path, sound: np.ndarray, rate: int, seed: int = 0, name: str = "out") -> Path:
    source, out = tmp_path / "in.wav", tmp_path / f"{name}.wav"
    sf.write(source, sound, rate, "PCM_24")
    api.protect_file(source, out, veil, seed)
    return out


def test_a_seed_is_a_file(quick, tmp_path):
    def digest(seed: int, name: str) -> str:
        out = protected_file(quick, tmp_path, said("slt-1", 1.5), RATE, seed, name)
        return hashlib.sha256(out.read_bytes()).hexdigest()

    assert digest(7, "a") == digest(7, "b") != digest(8, "c")


@pytest.mark.parametrize("rate", [8_000, 44_100])
def test_other_rates_are_kept_and_protected(ge2e, victim, tmp_path, rate):
    sound = resample_poly(said("slt-1", 2.0), rate, RATE)
    path = protected_file(Veil((victim,), steps=15), tmp_path, sound, rate)
    made, rate_out = read(path)
    assert rate_out == rate and made.shape == (1, len(sound))
    clean, protected = (resample_poly(s, RATE, rate) for s in (sound, made[0]))
    assert float(embedding(ge2e, clean) @ embedding(ge2e, protected)) < 0.9


def test_what_lies_above_the_band_is_left_alone(quick, tmp_path):
    rate = 44_100
    hiss = 0.02 * np.random.default_rng(0).standard_normal(2 * rate)
    # Quiet enough that nothing has to be clipped.
    sound = 0.5 * (resample_poly(said("slt-1", 2.0), rate, RATE) + hiss)
    made = read(protected_file(quick, tmp_path, sound, rate))[0][0]

    def level_db(signal: np.ndarray, low_hz: float, high_hz: float) -> float:
        spectrum = np.abs(np.fft.rfft(signal * np.hanning(len(signal)))) ** 2
        frequencies = np.fft.rfftfreq(len(signal), 1 / rate)
        return 10 * np.log10(spectrum[(frequencies >= low_hz) & (frequencies < high_hz)].sum())

    change = made - sound
    assert level_db(change, 8_200, 22_050) < level_db(sound, 8_200, 22_050) - 50
    assert level_db(change, 100, 7_000) > level_db(sound, 100, 7_000) - 20


def test_no_rate_but_its_own_and_no_floor_without_a_judge(victim):
    with pytest.raises(ValueError, match="embedder"):
        Veil(())
    with pytest.raises(ValueError, match="quality measure"):
        Veil((victim,), quality_floor=4.0)
