"""Surroundings measured as acousticians do: noise by its level, rooms by their decay, microphones by their curve."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.stats import kstest, uniform

from conftest import tone
from voxveil.audio.levels import rms_dbfs
from voxveil.train.augment import Surroundings, masked

RATE = 16_000
NOTHING = {"room": 0.0, "microphone": 0.0, "narrow": 0.0, "noise": 0.0, "babble": 0.0}


def only(**shares: float) -> Surroundings:
    return Surroundings(**NOTHING | shares)


def drawn_evenly(values: torch.Tensor, low: float, high: float, slack: float) -> bool:
    """Whether these may be draws from low … high, each measured to within ``slack``."""
    found = values.double().numpy()
    inside = (found > low - slack).all() and (found < high + slack).all()
    return bool(inside) and kstest(found, uniform(low, high - low).cdf).pvalue > 0.01


def clicks(count: int, seconds: float = 1.0, at: int = 0) -> torch.Tensor:
    speech = torch.zeros(count, round(seconds * RATE))
    speech[:, at] = 0.5
    return speech


def test_nothing_changes_nothing(speech, generator):
    torch.testing.assert_close(only()(speech, generator), speech, atol=1e-6, rtol=0)


@pytest.mark.parametrize(("kind", "low_db", "high_db"), [("noise", 3.0, 30.0), ("babble", 6.0, 20.0)])
def test_what_is_added_lies_as_far_below_the_speech_as_promised(kind, low_db, high_db, generator):
    speech = 0.02 * torch.randn(300, 8000, generator=generator)
    added = only(**{kind: 1.0})(speech, generator) - speech
    assert drawn_evenly(rms_dbfs(speech) - rms_dbfs(added), low_db, high_db, 0.01)


def test_noise_falls_by_0_to_6_db_an_octave(generator):
    noise = only(noise=1.0)(1e-9 + torch.zeros(150, 2 * RATE), generator)
    power = torch.fft.rfft(noise.double()).abs().square()
    edges = 50 * 2 ** np.arange(8)
    octaves = torch.stack([power[:, 2 * low : 2 * high].mean(1) for low, high in pairwise(edges)])
    slopes = np.polyfit(np.arange(7), 10.0 * octaves.log10().numpy(), 1)[0] / -10.0 / np.log10(2.0)
    assert drawn_evenly(torch.as_tensor(slopes), 0.0, 2.0, 0.15)


def test_babble_is_three_other_clips(generator):
    hums = 0.05 * torch.cat([tone(500.0 + 100.0 * n) for n in range(6)]).float()
    heard = only(babble=1.0)(hums, generator)
    levels = torch.fft.rfft(heard - hums).abs()[:, 500:1001:100]
    for clip, level in enumerate(levels / levels.amax(1, keepdim=True)):
        others = [(clip - shift) % 6 for shift in (1, 2, 3)]
        assert torch.allclose(level[others], torch.ones(3), atol=1e-3)
        assert level.sum() < 3.01


@pytest.mark.parametrize("part", ["room", "microphone", "narrow"])
def test_the_level_is_kept(part, generator):
    speech = 0.05 * torch.randn(40, 8000, generator=generator)
    heard = only(**{part: 1.0})(speech, generator)
    torch.testing.assert_close(rms_dbfs(heard), rms_dbfs(speech), atol=1e-3, rtol=0)
    assert ((heard - speech).abs().amax(1) > 1e-3).all()


@pytest.mark.parametrize("part", NOTHING)
def test_each_part_has_its_share_of_clips(part, generator):
    speech = 0.05 * torch.randn(400, 1000, generator=generator)
    changed = (only(**{part: 0.3})(speech, generator) - speech).abs().amax(1) > 1e-5
    assert changed.float().mean().item() == pytest.approx(0.3, abs=0.07)


def test_rooms_decay_as_fast_and_are_as_loud_as_promised(generator):
    """Backward integration (M. R. Schroeder, JASA 37, 1965) of what a click leaves behind."""
    heard = only(room=1.0)(clicks(300), generator).double()
    direct, tail = heard[:, 0].square(), heard[:, 1:].square()
    assert drawn_evenly(10.0 * (direct / tail.sum(1)).log10(), -2.0, 15.0, 0.2)
    remaining_db = 10.0 * (tail.flip(1).cumsum(1).flip(1) / tail.sum(1, keepdim=True)).clamp_min(1e-12).log10()
    rt60_s = []
    for curve in remaining_db.numpy():
        falling = np.flatnonzero((curve < -1.0) & (curve > -15.0))
        rt60_s.append(-60.0 / np.polyfit(falling / RATE, curve[falling], 1)[0])
    assert drawn_evenly(torch.as_tensor(rt60_s), 0.1, 0.7, 0.06)


def test_a_room_does_not_sound_before_the_speech(generator):
    heard = only(room=1.0)(clicks(20, at=6000), generator)
    assert heard[:, :6000].abs().max() < 1e-6


@pytest.mark.parametrize("limit_db", [3.0, 9.0])
def test_a_microphone_stays_within_its_decibels(limit_db, generator):
    heard = only(microphone=1.0, microphone_db=limit_db)(clicks(60, at=8000), generator)
    gain_db = 20.0 * torch.fft.rfft(heard.double()).abs().log10()
    # Below 50 Hz every microphone is flat: what is left there is the level that was kept.
    curve_db = gain_db - gain_db[:, 5:30].mean(1, keepdim=True)
    assert curve_db.abs().max() < limit_db + 0.2
    assert curve_db[:, 100:].abs().max() > 0.9 * limit_db
    assert (curve_db[:, 100:].amax(1) - curve_db[:, 100:].amin(1) > 0.3 * limit_db).all()


def test_a_narrow_band_ends_between_3_and_7_and_a_half_khz(generator):
    heard = only(narrow=1.0)(clicks(200, at=8000), generator)
    gain_db = 20.0 * torch.fft.rfft(heard.double()).abs().log10()
    gain_db = gain_db - gain_db[:, 100:2000].mean(1, keepdim=True)
    edges_hz = (gain_db > -3.0).sum(1)
    assert drawn_evenly(edges_hz, 3000.0, 7500.0, 10.0)
    for curve, edge_hz in zip(gain_db, edges_hz.tolist(), strict=True):
        assert curve[100 : round(0.8 * edge_hz)].abs().max() < 0.1
        beyond = curve[round(1.15 * edge_hz) :]
        assert not len(beyond) or beyond.max() < -14.0


def test_peaks_stay_within_full_scale(generator):
    loud = torch.rand(20, 8000, generator=generator).round() * 2.0 - 1.0
    assert Surroundings()(loud, generator).abs().max() <= 1.0


def test_silence_stays_silent(generator):
    heard = Surroundings()(torch.zeros(8, 4000), generator)
    assert heard.isfinite().all() and heard.abs().max() < 1e-8


def test_the_same_generator_gives_the_same_surroundings(speech):
    clips = speech.repeat(2, 1)
    one, two = (Surroundings()(clips, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(one, two)
    assert not torch.equal(one[0], one[2]), "every clip is elsewhere"


def test_masks_hide_one_run_of_frames_and_one_of_bands(generator):
    features = torch.rand(300, 20, 50, generator=generator)
    out = masked(features, generator)
    means = features.mean((1, 2))
    widths = []
    for before, after, mean in zip(features, out, means, strict=True):
        hidden = after != before
        torch.testing.assert_close(after[hidden], mean.expand(int(hidden.sum())), atol=1e-6, rtol=1e-6)
        bands, frames = hidden.all(1), hidden.all(0)
        assert torch.equal(hidden, bands[:, None] | frames[None])
        assert is_run(bands) and is_run(frames)
        widths.append((int(bands.sum()), int(frames.sum())))
    assert {width for width, _ in widths} == set(range(5))
    assert {width for _, width in widths} == set(range(11))


def is_run(hidden: torch.Tensor) -> bool:
    return int((hidden.int().diff(prepend=torch.zeros(1, dtype=torch.int)) == 1).sum()) <= 1
