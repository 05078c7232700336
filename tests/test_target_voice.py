"""Whom a protection steers to: never the speaker, and by default who is farthest for all encoders together."""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import pytest
import torch
from tiny import tiny_network
from torch import Tensor

from voxveil import loading
from voxveil.audio.levels import rms_dbfs
from voxveil.audio.voice_activity import speech_seconds
from voxveil.errors import BadInputError
from voxveil.protectors.target_voice import candidates, check_target, farthest, target_voice
from voxveil.protectors.veil import Veil
from voxveil.verify.scorers import cosine
from voxveil.verify.verifier import Verifier


def opinion(accepts: bool) -> Verifier:
    """A verifier who accepts everybody, or nobody."""
    return Verifier("stubborn", tiny_network(), cosine, -1.1 if accepts else 1.1)


def test_twelve_others_speak_for_three_seconds_each():
    voices = candidates()
    assert voices.shape == (12, 48_000) and bool(torch.isfinite(voices).all()) and float(voices.abs().max()) <= 1.0
    assert rms_dbfs(voices).tolist() == pytest.approx([-26.0] * 12, abs=0.2)
    assert bool((speech_seconds(voices, 16_000) > 2.5).all())
    assert len((files("voxveil.protectors") / "other-speakers.ogg").read_bytes()) < 400_000


def test_they_are_twelve_voices_for_a_shipped_encoder():
    verifier = loading.verifier("resnetse34l")
    with torch.no_grad():
        embedding = verifier.embedder(candidates())
    accepted = embedding @ embedding.T >= verifier.threshold
    assert int(accepted.sum()) - 12 <= 2 * 6, "of 66 pairs hardly any is taken for one speaker"


def test_the_farthest_against_numpy(speech):
    encoders = [tiny_network(0), tiny_network(1)]
    total = np.zeros((2, 12))
    for encoder in encoders:
        own, others = encoder(speech).numpy(), encoder(candidates()).numpy()
        distance = np.abs(own[:, None] - others[None]).sum(-1)
        total += distance / distance.mean(1, keepdims=True)
    chosen = farthest(encoders, speech)
    assert torch.equal(chosen, candidates()[total.argmax(1)])


def test_each_encoder_counts_the_same_however_long_its_vectors(speech):
    class Longer:
        sample_rate, differentiable = 16_000, True

        def __call__(self, clips: Tensor) -> Tensor:
            return 1000.0 * tiny_network(1)(clips)

        def coarse(self) -> Longer:
            return self

    plain = farthest([tiny_network(0), tiny_network(1)], speech)
    assert torch.equal(farthest([tiny_network(0), Longer()], speech), plain)


def test_nobody_is_farthest_from_himself_and_no_clip_asks_another(speech):
    encoder = tiny_network()
    voices = candidates()
    chosen = farthest([encoder], voices)
    assert not any(torch.equal(mine, voice) for mine, voice in zip(chosen, voices, strict=True))
    assert torch.equal(farthest([encoder], voices[3:4])[0], chosen[3])
    assert len({float(clip.sum()) for clip in chosen}) > 1, "different speakers are led to different voices"


@pytest.mark.parametrize(("accepting", "refused"), [(0, False), (1, False), (2, True), (3, True)])
def test_a_target_is_refused_by_most_of_three(speech, accepting, refused):
    victims = [opinion(index < accepting) for index in range(3)]
    if not refused:
        assert torch.equal(target_voice(victims, speech, speech[:1, :9000]), speech[:1, :9000].expand(2, -1))
        return
    with pytest.raises(BadInputError, match="taken for the speaker who is to be protected: give another"):
        check_target(victims, speech, speech[:1])


def test_one_clip_of_the_speaker_is_enough_to_refuse(speech):
    victim = Verifier("tiny", tiny_network(), cosine, 0.999)
    check_target([victim], speech[:1], speech[1:])
    with pytest.raises(BadInputError):
        check_target([victim], speech, speech[1:])


def test_veil_refuses_the_speaker_too(speech):
    victim = Verifier("tiny", tiny_network(), cosine, 0.9)
    with pytest.raises(BadInputError, match="taken for the speaker"):
        Veil((victim,), steps=1, target=speech[:1])(speech[:1, None], seed=0)
    Veil((victim,), steps=1, target=candidates()[:1])(speech[:1, None, :8000], seed=0)
