"""Silence is silence, pauses are found, and neither level nor rumble changes the answer."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from conftest import tone
from voxveil.audio.levels import add_at_snr
from voxveil.audio.voice_activity import speech_seconds, voice_activity

# When the fixture's speaker draws breath: 3 · 0.35 s + 2 · 0.06 s of speech, then half a second of silence.
PAUSE_S = (1.17, 1.67)


def mask(start_s: float, end_s: float, inset_s: float = 0.0) -> slice:
    return slice(round((start_s + inset_s) / 0.02), round((end_s - inset_s) / 0.02))


def test_silence_holds_no_speech() -> None:
    assert not voice_activity(torch.zeros(2, 16_000), 16_000).any()
    assert not voice_activity(1e-5 * torch.randn(1, 16_000), 16_000).any()
    assert speech_seconds(torch.zeros(2, 16_000), 16_000).tolist() == [0.0, 0.0]


def test_pauses_are_found(speech: Tensor) -> None:
    active = voice_activity(speech, 16_000)
    assert active.shape == (2, 151)
    # The window sees 20 ms either way and the hangover keeps 100 ms.
    assert not active[:, mask(*PAUSE_S, inset_s=0.14)].any()
    assert active[:, mask(0.05, PAUSE_S[0])].all()
    assert active[:, mask(PAUSE_S[1] + 0.05, 2.7)].all()


def test_hangover_bridges_what_is_shorter_and_nothing_else(speech: Tensor) -> None:
    strict = voice_activity(speech, 16_000, hangover_s=0.0)
    held = voice_activity(speech, 16_000, hangover_s=0.10)
    assert (held | ~strict).all(), "a hangover never takes away"
    near = torch.nn.functional.max_pool1d(strict.float()[:, None], 11, 1, 5)[:, 0] > 0
    assert torch.equal(held, near), "five frames of 20 ms on either side"
    assert not strict[:, mask(*PAUSE_S, inset_s=0.04)].any()


@pytest.mark.parametrize("level", [0.1, 0.5, 3.0])
def test_level_does_not_matter(speech: Tensor, level: float) -> None:
    assert torch.equal(voice_activity(level * speech, 16_000), voice_activity(speech, 16_000))


@pytest.mark.parametrize("snr_db", [15.0, 30.0])
def test_pauses_are_found_in_noise(speech: Tensor, snr_db: float) -> None:
    active = voice_activity(add_at_snr(speech, torch.randn_like(speech), snr_db), 16_000)
    assert not active[:, mask(*PAUSE_S, inset_s=0.14)].any()
    assert active[:, mask(0.05, PAUSE_S[0])].float().mean() > 0.95


def test_rumble_is_no_speech(speech: Tensor) -> None:
    """A hum at 50 Hz as loud as the speech lies outside the band and changes nothing inside the recording."""
    hum = tone(50.0, 3.0, amplitude=0.1).float().expand_as(speech)
    inside = slice(2, -2)
    assert torch.equal(
        voice_activity(speech + hum, 16_000, hangover_s=0.0)[:, inside],
        voice_activity(speech, 16_000, hangover_s=0.0)[:, inside],
    )


def test_steady_noise_is_of_one_piece() -> None:
    """A detector of energy cannot tell it from speech and, as documented, takes it for that; it must not flicker."""
    active = voice_activity(0.05 * torch.randn(4, 48_000), 16_000)
    assert active.all()


def test_a_batch_is_judged_clip_by_clip(speech: Tensor) -> None:
    batch = torch.stack([speech[0], 0.01 * speech[1], torch.zeros(48_000)])
    together = voice_activity(batch, 16_000)
    for index in range(3):
        assert torch.equal(together[index : index + 1], voice_activity(batch[index : index + 1], 16_000))


@pytest.mark.parametrize("rate", [8000, 16_000, 44_100, 48_000])
def test_frames_are_twenty_milliseconds_at_every_rate(rate: int) -> None:
    clip = torch.zeros(1, 2 * rate)
    clip[:, rate // 2 : rate] = tone(440.0, 0.5, rate, amplitude=0.3).float()
    active = voice_activity(clip, rate, hangover_s=0.0)[0]
    assert torch.equal(active[26:50], torch.ones(24, dtype=torch.bool))
    assert not active[:24].any()
    assert not active[52:].any()
    assert speech_seconds(clip, rate).item() == pytest.approx(0.5 + 2 * 0.1, abs=0.05)
