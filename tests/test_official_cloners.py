"""Cloners with the publishers' front ends: they give back what a converter leaves alone, and hear what they should."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from voxveil.audio.resample import resample
from voxveil.clone import diffvc_official
from voxveil.clone.adain_official import AdaInOfficialCloner, unfitted_mel
from voxveil.clone.autovc_official import AutoVCOfficialCloner
from voxveil.clone.diffvc_official import DiffVCOfficialCloner
from voxveil.clone.spectral_subtraction import without_noise
from voxveil.errors import BadInputError
from voxveil.models.conversion.adain_mel import trimmed
from voxveil.models.conversion.adain_vc import AdaInVC
from voxveil.models.conversion.autovc import AutoVC, SpeakerEncoder
from voxveil.models.conversion.autovc_mel import AutoVCMel
from voxveil.models.conversion.diffvc import DiffVC
from voxveil.models.speaker.ge2e import GE2E
from voxveil.models.vocoder.hifigan import HifiGan

ADAIN = {"n_mels": 80, "channels": 8, "bank_channels": 4, "dim": 6}
AUTOVC = {"width": 8, "lstm_width": 10}
DIFFVC = {
    "encoder_channels": 16,
    "filters": 32,
    "layers": 1,
    "postnet_channels": 8,
    "decoder_channels": 8,
    "condition_channels": 8,
}
CLONERS = {
    "adain-vc-official": lambda: AdaInOfficialCloner(AdaInVC(**ADAIN).eval(), unfitted_mel(80), iterations=2),
    "autovc-official": lambda: AutoVCOfficialCloner(
        AutoVC(**AUTOVC).eval(), SpeakerEncoder(width=8).eval(), iterations=2
    ),
    "diffvc-official": lambda: DiffVCOfficialCloner(DiffVC(**DIFFVC).eval(), GE2E(), HifiGan(width=16), steps=2),
}
RATES = {"adain-vc-official": 24_000, "autovc-official": 16_000, "diffvc-official": 22_050}


def at(rate: int, clip: Tensor) -> Tensor:
    return torch.as_tensor(resample(clip[None].double().numpy(), 16_000, rate)[0], dtype=torch.float32)


@pytest.mark.parametrize("name", CLONERS)
def test_contents_are_cloned_and_the_same_seed_gives_the_same(name, speech) -> None:
    torch.manual_seed(0)
    cloner, rate, told = CLONERS[name](), RATES[name], []
    assert (cloner.sample_rate, cloner.takes) == (rate, "speech")
    reference, contents = [at(rate, speech[1, :20_000])], [at(rate, speech[0, :9_001]), at(rate, speech[0, :6_000])]
    kept = [clip.clone() for clip in (*reference, *contents)]
    first, again = (cloner(reference, contents, seed=4, progress=told.append) for _ in range(2))
    other = cloner(reference, contents[:1], seed=5)
    assert all(torch.equal(one, two) for one, two in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])
    assert all(torch.equal(one, two) for one, two in zip(kept, (*reference, *contents), strict=True))
    assert told == [0.5, 1.0, 0.5, 1.0]
    for clone, content in zip(first, contents, strict=True):
        assert bool(clone.isfinite().all()) and 1e-5 < clone.abs().max() <= 1.0
        assert len(clone) <= len(content) if name == "adain-vc-official" else len(clone) == len(content)


@pytest.mark.parametrize("name", CLONERS)
@pytest.mark.parametrize(
    ("reference", "content", "sentence"),
    [
        ([], torch.randn(12_000), "The reference has no utterance"),
        ([torch.randn(12_000)], torch.randn(12_000), r"The reference lasts 0\.\d\d s"),
        ([torch.zeros(30_000)], torch.randn(12_000), "The reference is silent"),
        ([torch.full((30_000,), torch.nan)], torch.randn(12_000), "samples that are not numbers"),
        ([torch.randn(30_000)], torch.randn(100), r"The content lasts 0\.\d\d s"),
        ([torch.randn(30_000)], torch.zeros(12_000), "The content is silent"),
        ([torch.randn(30_000)], "words", "The content has to be speech"),
    ],
)
def test_what_cannot_be_cloned_is_named(name, reference, content, sentence) -> None:
    with pytest.raises(BadInputError, match=sentence):
        CLONERS[name]()(reference, [content])


# What a converter leaves alone comes back.


class SameAdaIn(AdaInVC):
    def forward(self, content: Tensor, reference: Tensor) -> Tensor:
        self.heard = (content, reference)
        return content


def test_adain_gives_back_the_levels_of_what_it_does_not_convert(speech) -> None:
    clip = at(24_000, speech[0])
    mel = unfitted_mel(512)
    mel.mean += 0.3
    mel.deviation *= 0.2
    converter = SameAdaIn(**ADAIN)
    (clone,) = AdaInOfficialCloner(converter, mel)([at(24_000, speech[1]), clip], [clip])
    said = trimmed(clip)
    assert torch.equal(converter.heard[0], mel(said[None]))
    assert torch.equal(converter.heard[1], mel(torch.cat([trimmed(at(24_000, speech[1])), said])[None]))
    frames = min(len(clone), len(said)) // 300
    given, wanted = mel(clone[None])[0, :, :frames], mel(said[None])[0, :, :frames]
    loud = wanted > wanted.max() - 1.5  # of a level's deviation: 30 dB
    assert (given - wanted)[loud].abs().mean() < 0.2  # 4 dB
    assert 0.5 < clone.abs().max() / said.abs().max() < 2.0  # de-emphasised, or it would be a tenth


class SameAutoVC(AutoVC):
    def forward(self, content: Tensor, speaker: Tensor, reference: Tensor) -> Tensor:
        self.heard = (content, speaker, reference)
        return content


def test_autovc_gives_back_what_it_does_not_convert_and_tells_both_voices(speech) -> None:
    converter, encoder, mel = SameAutoVC(**AUTOVC), SpeakerEncoder(width=8).eval(), AutoVCMel()
    (clone,) = AutoVCOfficialCloner(converter, encoder)([speech[1], speech[1, :9_000]], [speech[0]])
    said, said_by, voice = converter.heard
    assert torch.equal(said, mel(speech[:1]))
    assert torch.allclose(said_by, encoder.speaker(mel(speech[:1])), atol=1e-6)
    heard = torch.cat([speech[1], speech[1, :9_000]])[None]
    assert torch.allclose(voice, encoder.speaker(mel(heard)), atol=1e-6)
    assert (said_by - voice).abs().max() > 1e-5
    given, wanted = mel(clone[None])[0, :, 2:-2], said[0, :, 2:-2]
    loud = wanted > wanted.max() - 0.3  # 30 dB
    assert (given - wanted)[loud].abs().mean() < 0.03  # 3 dB
    assert (given - wanted)[loud].mean().abs() < 0.015


class SameDiffVC(DiffVC):
    def convert(self, source, reference, embedding, **settings):
        self.heard = (source.mel, reference.mel, embedding)
        return source.mel


class Echo(HifiGan):
    def forward(self, mel: Tensor) -> Tensor:
        self.heard = mel
        return torch.zeros(len(mel), 256 * mel.shape[2])

    def __deepcopy__(self, memo: dict[int, object]) -> Echo:
        return self


def test_diffvc_hears_whole_hops_and_a_part_of_a_long_reference(speech, monkeypatch) -> None:
    monkeypatch.setattr(diffvc_official, "HEARD_S", 1.0)
    converter, vocoder, encoder = SameDiffVC(**DIFFVC), Echo(width=16), GE2E()
    reference, content = at(22_050, speech[1]), at(22_050, speech[0])[:20_000]
    (clone,) = DiffVCOfficialCloner(converter, encoder, vocoder)([reference], [content])
    said, heard, voice = converter.heard
    assert torch.equal(said, vocoder.mel(content[None, : 78 * 256]))
    assert torch.equal(heard, vocoder.mel(reference[None, : 86 * 256]))
    assert voice.shape == (1, 256) and voice.norm() == pytest.approx(1.0, abs=1e-5)
    assert torch.equal(vocoder.heard[0], without_noise(said[0]))
    assert len(clone) == 20_000


# Spectral subtraction.


def subtracted(log_mel: np.ndarray) -> np.ndarray:
    """Written again with loops, frame by frame and band by band."""
    bands, frames = log_mel.shape
    energy = np.exp(2.0 * log_mel)
    sums = [sum(energy[:, start + step].sum() for step in range(5)) for start in range(frames - 5)]
    start = sums.index(min(sums))
    lowest = [min(energy[band, start : start + 5]) for band in range(bands)]
    noise = []
    for band in range(bands):
        below, above = lowest[max(band - 1, 0)], lowest[min(band + 1, bands - 1)]
        noise.append(min(above, sorted([below, lowest[band], above])[1]))
    out = np.empty_like(log_mel)
    for band in range(bands):
        for frame in range(frames):
            out[band, frame] = np.log(np.sqrt(max(energy[band, frame] - noise[band], 0.02 * noise[band])))
    return out


@pytest.mark.parametrize("frames", [6, 7, 40])
def test_spectral_subtraction_is_that_of_a_second_implementation(frames) -> None:
    log_mel = 2.0 * torch.randn(9, frames, dtype=torch.float64) - 3.0
    log_mel[:, -5:] -= 9.0  # the quietest frames are the last five, which are not looked at as one window
    assert np.allclose(without_noise(log_mel).numpy(), subtracted(log_mel.numpy()), atol=1e-12)
    assert torch.equal(without_noise(log_mel[:, :5]), log_mel[:, :5])
    assert bool(without_noise(500.0 + log_mel.float()).isfinite().all())
