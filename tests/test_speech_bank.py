"""The speech bank: whose crop it is, from where, and how fast it is played."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.signal import resample
from scipy.stats import chisquare

from conftest import tone
from voxveil.train.speech_bank import SAMPLE_RATE, SpeechBank, stretched

SPEEDS = (1.0, 0.9, 1.1, 0.82, 1.2)
LENGTHS = (100, 37, 1000, 5, 300, 64)
SPEAKERS = ("bob", "ann", "bob", "cat", "ann", "bob")
NUMBERS = (1, 0, 1, 2, 0, 1)


def ramps(lengths=LENGTHS, speakers=SPEAKERS, **settings) -> SpeechBank:
    """Sample t of utterance u is the number 1000 u + t: every sample says where it comes from."""
    clips = ((1000.0 * u + np.arange(length)) / 32_767.0 for u, length in enumerate(lengths))
    return SpeechBank((clip.astype(np.float32) for clip in clips), speakers, **settings)


def told(crops: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Utterance and time of every sample."""
    samples = np.rint(crops.double().numpy() * 32_767.0).astype(int)
    return samples // 1000, samples % 1000


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("samples", [1, 5, 50, 400, 1000])
def test_a_crop_is_one_stretch_of_one_utterance_of_its_speaker(samples, generator):
    crops, classes = ramps().crops(500, samples, generator)
    utterances, times = told(crops)
    assert (utterances == utterances[:, :1]).all()
    assert [NUMBERS[u] for u in utterances[:, 0]] == classes.tolist()
    lengths = np.array(LENGTHS)[utterances]
    wanted = (times[:, :1] + np.arange(samples)) % lengths
    assert (times == wanted).all(), "what is too short is repeated from its beginning on"
    whole = lengths[:, 0] >= samples
    assert (np.diff(times[whole], axis=1) == 1).all(), "what is long enough is not"


def test_every_place_of_a_recording_can_be_heard(generator):
    crops, _ = ramps((40, 40), ("ann", "bob")).crops(2000, 10, generator)
    assert set(told(crops)[1][:, 0]) == set(range(31))


def test_speakers_speeds_and_their_utterances_are_equally_probable(generator):
    """However many recordings there are of a speaker."""
    bank = ramps([200] * 32, ["ann"] * 25 + ["bob"] * 2 + ["cat"] * 5, speeds=SPEEDS)
    crops, classes = bank.crops(20_000, 20, generator)
    assert bank.classes == 15
    assert chisquare(np.bincount(classes, minlength=15)).pvalue > 0.01
    at_speed_one = classes < 3
    utterances = told(crops[at_speed_one])[0][:, 0]
    for speaker, own in enumerate((slice(25), slice(25, 27), slice(27, 32))):
        counts = np.bincount(utterances[classes[at_speed_one] == speaker], minlength=32)
        assert counts.sum() == counts[own].sum()
        assert chisquare(counts[own]).pvalue > 0.01


def test_a_class_is_a_speaker_at_a_speed(generator):
    """Two speakers hum at 500 and 700 Hz: the pitch says which class it is."""
    hums = [tone(hz, 2.0)[0].float().numpy() * 0.5 for hz in (500.0, 700.0)]
    crops, classes = SpeechBank(hums, ["a", "b"], SPEEDS).crops(40, SAMPLE_RATE, generator)
    assert set(classes.tolist()) == set(range(10))
    for crop, number in zip(crops, classes.tolist(), strict=True):
        wanted_hz = (500.0, 700.0)[number % 2] * SPEEDS[number // 2]
        assert pitch_hz(crop) == pytest.approx(wanted_hz, rel=1e-5)


def pitch_hz(hum: torch.Tensor) -> float:
    """The slope of the phase in the middle of the clip, where the edges are far."""
    spectrum = np.fft.fft(hum.double().numpy())
    spectrum[len(hum) // 2 :] = 0.0
    phase = np.unwrap(np.angle(np.fft.ifft(spectrum)))[4000:-4000]
    return np.polyfit(np.arange(len(phase)) / SAMPLE_RATE, phase, 1)[0] / (2.0 * np.pi)


@pytest.mark.parametrize(("length", "samples"), [(901, 1001), (1001, 901), (1000, 1000), (2001, 601)])
def test_playing_faster_is_scipys_fourier_resampling(length, samples):
    sound = torch.randn(3, length, dtype=torch.float64)
    torch.testing.assert_close(stretched(sound, samples), torch.as_tensor(resample(sound.numpy(), samples, axis=1)))


def test_the_same_generator_gives_the_same_crops():
    (one, classes), (two, same) = (ramps(speeds=SPEEDS).crops(20, 60, seeded(1)) for _ in range(2))
    assert torch.equal(one, two) and torch.equal(classes, same)
    assert not torch.equal(one, ramps(speeds=SPEEDS).crops(20, 60, seeded(2))[0])


@pytest.mark.parametrize("count", [1, 4, 5, 6])
def test_a_batch_may_have_fewer_crops_than_there_are_speeds(count, generator):
    crops, classes = ramps(speeds=SPEEDS).crops(count, 50, generator)
    assert crops.shape == (count, 50) and crops.isfinite().all()
    assert len(classes) == count
    alone = [int(ramps(speeds=SPEEDS).crops(1, 50, generator)[1]) // 3 for _ in range(60)]
    assert set(alone) == set(range(5)), "and none of the speeds is left out"


def test_samples_are_kept_to_half_a_step_of_16_bit(generator):
    clip = np.random.default_rng(0).uniform(-1.0, 1.0, 3000).astype(np.float32)
    clip[:2] = 1.0, -1.0
    bank = SpeechBank([clip], ["ann"])
    crop = bank.crops(1, 3000, generator)[0][0].numpy()
    assert np.abs(crop - clip).max() <= 0.5 / 32_767.0 + 1e-7
    assert bank.seconds == 3000 / SAMPLE_RATE


def test_utterances_are_read_one_by_one_and_have_a_speaker_each():
    alive = []

    def clips(count):
        for number in range(count):
            alive.append(number)
            yield np.ones(10, np.float32)

    assert SpeechBank(clips(3), ["b", "a", "b"]).speakers == 2
    assert alive == [0, 1, 2]
    for count in (2, 4):
        with pytest.raises(ValueError, match="zip"):
            SpeechBank(clips(count), ["b", "a", "b"])


def test_the_fingerprint_is_that_of_the_speech():
    prints = [
        ramps(),
        ramps(speeds=SPEEDS),
        ramps(speakers=("cat", *SPEAKERS[1:])),
        ramps(lengths=(*LENGTHS[:-1], 63)),
        ramps(lengths=(*LENGTHS[:-2], 299, 65)),
    ]
    found = [bank.fingerprint() for bank in prints]
    assert len(set(found)) == len(found)
    assert found[0] == ramps().fingerprint()
    assert all(len(one) == 64 for one in found) and all(one != other for one, other in pairwise(found))
