"""The report tells what happened, good or bad: claims that ought to fail do."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from voxveil import api
from voxveil.errors import BadInputError, VoxveilError
from voxveil.report import Quality, Report, VerifierResult, measure
from voxveil.verify.scorers import cosine
from voxveil.verify.verifier import Verifier

DATA = Path(__file__).parent / "data"
RATE = 16_000


@dataclass
class Colour:
    """The shape of the mean spectrum: no voiceprint, but enough to see noise and filters; remembers what it heard."""

    sample_rate: int = RATE
    differentiable: bool = True
    heard: list[Tensor] = field(default_factory=list)

    def __call__(self, speech: Tensor) -> Tensor:
        self.heard.append(speech)
        frames = speech.unfold(-1, 512, 256) if speech.shape[-1] >= 512 else speech[:, None]
        bands = torch.fft.rfft(frames, 512).abs().mean(1)[:, 1:]
        return torch.nn.functional.normalize(bands.clamp_min(1e-9).log(), dim=-1)

    def coarse(self) -> Colour:
        return self


def judge(threshold: float = 0.99) -> Verifier:
    return Verifier("colour", Colour(), cosine, threshold)


def said(name: str) -> np.ndarray:
    return sf.read(DATA / f"{name}.flac")[0]


def stored(path: Path, sound: np.ndarray, rate: int = RATE) -> Path:
    sf.write(path, sound, rate, "FLOAT")
    return path


def with_noise(sound: np.ndarray, snr_db: float, seed: int = 5) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal(sound.shape)
    return sound + noise * np.sqrt(np.mean(sound**2) / np.mean(noise**2)) * 10 ** (-snr_db / 20)


# Claims that ought to fail.


def test_a_protection_that_does_nothing_is_reported_as_recognised(tmp_path):
    clean, copy = (stored(tmp_path / name, said("slt-1")) for name in ("clean.wav", "copy.wav"))
    report = measure(clean, copy, [judge()])
    result = report.verifiers["colour"]
    assert result.accepted and result.protected_score == result.clean_score == pytest.approx(1.0, abs=1e-5)
    assert report.verdict().startswith("Still recognised by colour")
    assert report.quality.pesq_wb == pytest.approx(4.644, abs=0.01)
    assert report.quality.stoi == pytest.approx(1.0, abs=1e-6)
    assert report.quality.snr_db > 100 and report.quality.log_spectral_distance_db == 0.0
    assert report.quality.loudness_change_lu == 0.0


def test_a_protection_that_only_adds_noise_is_no_better_than_noise(tmp_path):
    sound = said("slt-1")
    clean = stored(tmp_path / "clean.wav", sound)
    report = measure(clean, stored(tmp_path / "noisy.wav", with_noise(sound, 15.0)), [judge()])
    result = report.verifiers["colour"]
    assert result.clean_score - result.protected_score > 0.01, "noise is seen at all"
    assert result.protected_score == pytest.approx(result.noise_score, abs=0.1 * (1.0 - result.protected_score))
    assert report.noise_snr_db == pytest.approx(15.0, abs=0.5)
    assert report.quality.snr_db == pytest.approx(15.0, abs=1e-3)


@pytest.mark.weights
def test_the_published_verifier_is_not_fooled_by_noise_either(ge2e, tmp_path):
    sound = said("slt-1")
    noisy = stored(tmp_path / "noisy.wav", with_noise(sound, 25.0))
    report = api.measure(DATA / "slt-1.flac", noisy, enrol=[DATA / "slt-2.flac"], against=("ge2e",))
    result = report.verifiers["ge2e"]
    assert result.accepted and result.clean_score > 0.9
    assert result.protected_score == pytest.approx(result.noise_score, abs=0.03)
    assert report.enrolment == "other recordings"


@pytest.mark.weights
def test_another_speaker_is_refused_and_a_wrong_enrolment_proves_nothing(ge2e, tmp_path):
    length = len(said("slt-1"))
    other = stored(tmp_path / "other.wav", said("rms-2")[:length])
    refused = api.measure(DATA / "slt-1.flac", other, enrol=[DATA / "slt-2.flac"], against=("ge2e",))
    assert not refused.verifiers["ge2e"].accepted
    assert refused.verdict().startswith("Not recognised")
    blind = api.measure(DATA / "slt-1.flac", DATA / "slt-1.flac", enrol=[DATA / "kal16-1.flac"], against=("ge2e",))
    assert not blind.verifiers["ge2e"].accepted
    assert blind.verdict().startswith("The clean recording is not recognised by ge2e either")


SCORE = st.floats(-1, 1)
RESULT = st.builds(VerifierResult, SCORE, SCORE, st.none() | SCORE, SCORE, st.booleans())
NO_QUALITY = Quality(None, None, None, 0.0, 0.0, 0.0, None)


@given(verifiers=st.dictionaries(st.sampled_from(["a", "b", "c"]), RESULT))
def test_no_verdict_is_a_promise(verifiers):
    verdict = Report("a", "b", "c", NO_QUALITY, verifiers, None).verdict()
    assert not any(word in verdict.lower() for word in ("safe", "secure", "guarantee", "impossible", "100"))
    accepted = [name for name, result in verifiers.items() if result.accepted]
    assert verdict.startswith("Still recognised by " + ", ".join(accepted) + " (") == bool(accepted)
    assert verdict.endswith(".") and verdict.count("\n") == 0
    assert verdict.startswith("Not recognised") <= bool(verifiers)


# What is measured.


@pytest.mark.parametrize(("protected", "accepted"), [(0.7399, False), (0.7401, True)])
def test_the_decision_falls_at_the_threshold(tmp_path, protected, accepted):
    clean = stored(tmp_path / "clean.wav", said("slt-1"))
    scores = iter([protected, 1.0, 0.9])
    fixed = Verifier("fixed", Colour(), lambda voice, probe: torch.tensor([next(scores)]), 0.74)
    result = measure(clean, clean, [fixed]).verifiers["fixed"]
    assert (result.accepted, result.threshold) == (accepted, 0.74)
    assert result.protected_score == pytest.approx(protected)


def test_the_json_has_the_documented_keys(tmp_path):
    clean = stored(tmp_path / "clean.wav", said("slt-1"))
    content = json.loads(json.dumps(measure(clean, clean, [judge()]).took(3.0, 6.0).as_json(), allow_nan=False))
    assert set(content) == {
        *("clean", "protected", "enrolment", "quality", "verifiers"),
        *("noise_snr_db", "seconds", "real_time_factor", "quality_floor"),
    }
    assert set(content["quality"]) == {
        *("pesq_wb", "pesq_nb", "stoi", "snr_db", "si_sdr_db"),
        *("log_spectral_distance_db", "loudness_change_lu"),
    }
    assert set(content["verifiers"]) == {"colour"}
    assert set(content["verifiers"]["colour"]) == {
        *("clean_score", "protected_score", "noise_score", "threshold", "accepted"),
    }
    assert (content["seconds"], content["real_time_factor"]) == (3.0, 0.5)


def test_who_is_still_recognised_is_told_what_stands_in_the_way(tmp_path):
    clean = stored(tmp_path / "clean.wav", said("slt-1"))
    free = measure(clean, clean, [judge()])
    assert "higher --strength" in free.verdict()
    held = replace(free, quality_floor=4.5).verdict()
    assert "lower --quality" in held and "--strength" not in held


def test_louder_is_told_in_loudness_and_not_in_si_sdr(tmp_path):
    clean = stored(tmp_path / "clean.wav", said("kal16-1"))
    louder = stored(tmp_path / "louder.wav", 2.0 * said("kal16-1"))
    cost = measure(clean, louder, [judge()]).quality
    assert cost.loudness_change_lu == pytest.approx(6.02, abs=0.01)
    assert cost.si_sdr_db > 100 and cost.snr_db == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("seconds", [17.0, 40.0])
def test_long_recordings_are_judged_by_four_excerpts_of_both(tmp_path, seconds):
    sound = np.tile(said("slt-1"), 9)[: round(seconds * RATE)]
    level = np.linspace(0.05, 0.5, len(sound))
    clean = stored(tmp_path / "clean.wav", level * sound)
    other = stored(tmp_path / "other.wav", -level * sound)
    verifier = judge()
    report = measure(clean, other, [verifier])
    heard = verifier.embedder.heard
    assert {clip.shape for clip in heard} == {(1, 8 * RATE)}
    assert len(heard) == 4 * 4, "enrolled, protected, clean, noisy"
    starts = np.linspace(0, len(sound) - 8 * RATE, 4).round().astype(int)
    for group, sign in ((heard[:4], 1.0), (heard[4:8], -1.0), (heard[8:12], 1.0)):
        for start, clip in zip(starts, group, strict=True):
            assert np.allclose(sign * clip[0].numpy(), (level * sound)[start : start + 8 * RATE], atol=1e-6)
    assert report.quality.snr_db == pytest.approx(-6.02, abs=0.01)


def test_excerpts_without_speech_are_left_out(tmp_path):
    sound = np.concatenate([np.zeros(20 * RATE), np.tile(said("slt-1"), 4)])
    clean = stored(tmp_path / "clean.wav", sound)
    verifier = judge()
    report = measure(clean, clean, [verifier])
    assert report.quality.pesq_wb is not None and report.noise_snr_db is not None
    assert all(float(clip.square().mean()) > 1e-4 for clip in verifier.embedder.heard)


def test_where_nobody_speaks_no_verifier_is_asked(tmp_path):
    silent = stored(tmp_path / "silent.wav", np.zeros(3 * RATE))
    report = measure(silent, silent, [judge()])
    assert report.verifiers == {}
    assert "no verifier" in report.verdict()


@pytest.mark.parametrize("rate", [8_000, 44_100])
def test_channels_that_cancel_are_judged_by_one_of_them(tmp_path, rate):
    sound = np.interp(np.arange(3 * rate) / rate, np.arange(len(said("slt-1"))) / RATE, said("slt-1"))
    inverted = np.stack([sound, -sound], axis=1)
    mono, clean = stored(tmp_path / "mono.wav", sound, rate), stored(tmp_path / "clean.wav", inverted, rate)
    noisy = with_noise(sound, 10.0)
    for name, channels in (("one", np.stack([noisy, -noisy], axis=1)), ("two", np.stack([1.01 * noisy, -noisy], 1))):
        report = measure(clean, stored(tmp_path / f"{name}.wav", channels, rate), [judge()])
        alone = measure(mono, stored(tmp_path / f"{name}-mono.wav", channels[:, 0], rate), [judge()])
        assert report.quality.snr_db == pytest.approx(alone.quality.snr_db, abs=0.01)
        assert report.verifiers == alone.verifiers


def test_short_recordings_have_what_can_be_had(tmp_path):
    """Enough to hear somebody, too little for a loudness or an intelligibility."""
    clip = stored(tmp_path / "short.wav", said("slt-1")[8000:13_600])
    report = measure(clip, clip, [judge()])
    assert report.quality.loudness_change_lu is None and report.quality.stoi is None
    assert report.verifiers["colour"].accepted


def test_progress_ends_at_one(tmp_path):
    clean = stored(tmp_path / "clean.wav", said("slt-1"))
    seen: list[float] = []
    measure(clean, clean, [judge()], progress=seen.append)
    assert seen == sorted(seen) and seen[-1] == 1.0


# What does not belong together.


@pytest.mark.parametrize("name", ["rate", "length", "another recording"])
def test_a_pair_that_is_none_is_refused(tmp_path, name):
    sound = said("slt-1")
    other = {
        "rate": lambda path: stored(path, sound, 8_000),
        "length": lambda path: stored(path, sound[: -round(0.11 * RATE)]),
        "another recording": lambda path: stored(path, said("rms-1")),
    }[name](tmp_path / "other.wav")
    for pair in ((DATA / "slt-1.flac", other), (other, DATA / "slt-1.flac")):
        with pytest.raises(BadInputError, match="give a recording and its protected version") as caught:
            measure(*pair, [judge()])
        assert all(str(path) in str(caught.value) for path in pair)


def test_an_encoder_adds_a_few_samples_and_that_is_allowed(tmp_path):
    sound = said("slt-1")
    longer = stored(tmp_path / "longer.wav", np.concatenate([sound, np.zeros(1500)]))
    report = measure(DATA / "slt-1.flac", longer, [judge()])
    assert report.quality.snr_db > 90


def test_a_speaker_is_not_enrolled_from_silence(tmp_path):
    silent = stored(tmp_path / "silent.wav", np.zeros(3 * RATE))
    with pytest.raises(BadInputError, match="nobody speaks") as caught:
        measure(DATA / "slt-1.flac", DATA / "slt-1.flac", [judge()], enrol=[DATA / "slt-2.flac", silent])
    assert str(silent) in str(caught.value)


@pytest.mark.weights
@pytest.mark.usefixtures("ge2e")
def test_programs_are_told_too_that_nobody_speaks(tmp_path):
    for samples in (1, 3 * RATE):
        silent = stored(tmp_path / "silent.wav", np.zeros(samples))
        with pytest.raises(BadInputError, match="nobody speaks"):
            api.measure(silent, silent, against=("ge2e",))


def test_somebody_has_to_judge():
    with pytest.raises(VoxveilError, match="at least one speaker encoder"):
        api.measure(DATA / "slt-1.flac", DATA / "slt-1.flac", against=())
