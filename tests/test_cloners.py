"""Cloners: what they make is as long as the content, like the reference, and the same for the same seed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Generator, Tensor, nn

from voxveil import loading
from voxveil.clone.adain import AdaInConverter
from voxveil.clone.adaptation import adapted
from voxveil.clone.autovc import AutoVCConverter
from voxveil.clone.consistency import speaker_consistency, spoken_like
from voxveil.clone.conversion import ConversionCloner
from voxveil.clone.diffvc import DiffVCConverter
from voxveil.clone.global_variance import with_statistics_of
from voxveil.clone.knn import KnnCloner
from voxveil.clone.spoken import joined, spoken
from voxveil.errors import BadInputError
from voxveil.models.conversion.content_encoder import ContentEncoder
from voxveil.models.conversion.standard_mel import StandardMel
from voxveil.models.vocoder.mel_griffin_lim import MelGriffinLim

RATE = 16_000
CONVERTERS = {
    "adain-vc": lambda: AdaInConverter(channels=8, bank_channels=4, dim=6),
    "autovc": lambda: AutoVCConverter(8, 10, 3, 8, speaker_width=9, dim=6),
    "diffvc": lambda: DiffVCConverter(16, 16, 1, 8, channels=8, condition_channels=8, speaker_width=6, dim=4),
}
CLONERS = {
    "knn-vc": lambda: KnnCloner(content_encoder(), iterations=2),
    "adain-vc": lambda: ConversionCloner(CONVERTERS["adain-vc"](), adaptation_steps=1),
    "autovc": lambda: ConversionCloner(CONVERTERS["autovc"](), adaptation_steps=1),
    "diffvc": lambda: ConversionCloner(CONVERTERS["diffvc"](), adaptation_steps=1),
}


def content_encoder() -> ContentEncoder:
    torch.manual_seed(0)
    return ContentEncoder(channels=24, blocks=2, dim=16).eval()


@pytest.mark.parametrize("name", CLONERS)
def test_every_content_gets_a_clone_as_long_as_it_is(name: str, speech: Tensor) -> None:
    told: list[float] = []
    cloner = CLONERS[name]()
    assert (cloner.sample_rate, cloner.takes) == (RATE, "speech")
    contents = [speech[0, :20_001], speech[0, :9_000]]
    clones = cloner([speech[1, :20_000], speech[1, 20_000:40_000]], contents, seed=3, progress=told.append)
    assert [len(clone) for clone in clones] == [20_001, 9_000]
    assert all(torch.isfinite(clone).all() and clone.abs().max() > 1e-4 for clone in clones)
    assert told[-1] == 1.0


@pytest.mark.parametrize("name", CLONERS)
def test_the_same_seed_gives_the_same_clone_and_inputs_stay_as_they_were(name: str, speech: Tensor) -> None:
    cloner, reference, content = CLONERS[name](), speech[1, :24_000].clone(), speech[0, :9_000].clone()
    first, again = (cloner([reference], [content], seed=5)[0] for _ in range(2))
    assert torch.equal(first, again)
    assert torch.equal(reference, speech[1, :24_000])
    assert torch.equal(content, speech[0, :9_000])


@pytest.mark.parametrize("name", CLONERS)
@pytest.mark.parametrize(
    ("reference", "content", "sentence"),
    [
        ([], torch.ones(8_000), "The reference has no utterance"),
        ([torch.ones(8_000)], torch.ones(8_000), r"The reference lasts 0\.50 s"),
        ([torch.zeros(20_000)], torch.ones(8_000), "The reference is silent"),
        ([torch.full((20_000,), torch.nan)], torch.ones(8_000), "The reference has samples that are not numbers"),
        ([torch.randn(20_000)], torch.ones(100), r"The content lasts 0\.01 s"),
        ([torch.randn(20_000)], torch.zeros(8_000), "The content is silent"),
        ([torch.randn(20_000)], "words", "The content has to be speech"),
    ],
)
def test_what_cannot_be_cloned_is_named(name: str, reference: list[Tensor], content: Tensor, sentence: str) -> None:
    with pytest.raises(BadInputError, match=sentence):
        CLONERS[name]()(reference, [content])


def test_knn_clones_a_speaker_who_says_the_same_exactly_in_spectrum(speech: Tensor) -> None:
    """Content and reference alike: every frame is among its own neighbours, and the spectrum stays near."""
    clip = speech[0, :32_000]
    (clone,) = KnnCloner(content_encoder(), iterations=60)([clip], [clip])
    mel = StandardMel()
    difference = (mel(clone[None]) - mel(clip[None]))[0, :, 4:-4]
    assert difference.abs().mean() < 0.35  # of a deviation of the levels
    (stranger,) = KnnCloner(content_encoder(), iterations=60)([speech[1, :32_000]], [clip])
    assert (mel(stranger[None]) - mel(clip[None]))[0, :, 4:-4].abs().mean() > 1.5 * difference.abs().mean()


def test_a_clone_has_the_band_levels_of_the_reference(speech: Tensor) -> None:
    mel = StandardMel()
    (clone,) = KnnCloner(content_encoder())([speech[1]], [speech[0]])
    spoken_level = [mel(clip[None])[0] for clip in (clone, speech[1], speech[0])]
    means = [level[:, level.mean(0) > level.mean()].mean(1) for level in spoken_level]
    assert (means[0] - means[1]).abs().mean() < (means[2] - means[1]).abs().mean()


def test_statistics_are_those_of_the_reference_in_loud_frames() -> None:
    levels, reference = torch.randn(5, 400) - 2.0, 2.0 + 3.0 * torch.randn(5, 300)
    out = with_statistics_of(levels, reference).numpy()
    loud = (levels.mean(0) >= levels.mean()).numpy()
    heard = reference.numpy()[:, reference.mean(0).numpy() >= reference.mean().item()]
    assert np.allclose(out[:, loud].mean(1), heard.mean(1), atol=1e-4)
    assert np.allclose(out[:, loud].std(1), heard.std(1), rtol=1e-4)
    assert torch.allclose(with_statistics_of(reference, reference), reference, atol=1e-4)


@pytest.mark.parametrize("name", CONVERTERS)
def test_adaptation_lowers_the_loss_on_the_reference_and_leaves_the_original(
    name: str, speech: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    from voxveil.train.conversion import Lesson
    from voxveil.train.speech_bank import SpeechBank

    monkeypatch.setattr("voxveil.clone.adaptation.BATCH", 2)
    converter, mel = CONVERTERS[name]().eval(), StandardMel()
    kept = {key: tensor.clone() for key, tensor in converter.state_dict().items()}
    familiar = adapted(converter, mel, [speech[1]], [speech[0]], [], steps=6, seed=0)
    assert all(torch.equal(tensor, kept[key]) for key, tensor in converter.state_dict().items())
    assert not any(parameter.requires_grad for parameter in familiar.parameters())
    batch = Lesson(SpeechBank([speech[1].numpy()], ["a"]), mel, batch=8).draw(Generator().manual_seed(9))
    with torch.no_grad():
        before, after = (float(network.loss(*batch, 1.0, Generator())) for network in (converter, familiar))
    assert after < before


def test_levels_of_a_clip_in_its_own_phase_are_the_clip(speech: Tensor) -> None:
    mel, clips = StandardMel(), speech[:, :25_600]
    own = spoken_like(mel(clips), clips, mel)
    levels, again = mel(clips), mel(own)
    assert own.shape == clips.shape
    loud = levels > levels.amax((1, 2), keepdim=True) - 3.0
    assert (again - levels)[loud].abs().mean() < 0.2
    other = spoken_like(mel(clips), clips.flip(0), mel)
    assert (mel(other) - levels)[loud].abs().mean() > (again - levels)[loud].abs().mean()


def test_consistency_is_small_for_the_speaker_and_adaptation_makes_it_smaller(
    speech: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("voxveil.clone.adaptation.BATCH", 2)
    monkeypatch.setattr("voxveil.clone.adaptation.CONSISTENCY_BATCH", 1)
    monkeypatch.setattr("voxveil.clone.adaptation.CONSISTENCY_WEIGHT", 3.0)
    mel, listeners = StandardMel(), [loading.embedder("xvector")]
    away = speaker_consistency(listeners, [speech[1]], mel)
    own, other = (float(away(mel(clip), clip)) for clip in (speech[1:], speech[:1]))
    assert 0.0 <= own < 0.5 * other < 1.0
    converter = CONVERTERS["adain-vc"]().eval()
    found = []
    for led_by in ([], listeners):
        familiar = adapted(converter, mel, [speech[1]], [speech[0]], led_by, steps=6, seed=0)
        found.append(float(away(familiar(mel(speech[:1]), mel(speech[1:]), Generator()), speech[:1])))
    assert found[1] < found[0] - 0.05


@pytest.mark.parametrize("name", CONVERTERS)
def test_a_gradient_reaches_the_reference(name: str, speech: Tensor) -> None:
    """Protections need it."""
    mel, converter = StandardMel(), CONVERTERS[name]().eval()
    reference = speech[1:, :20_000].clone().requires_grad_()
    converter(mel(speech[:1, :20_000]), mel(reference), Generator()).square().sum().backward()
    assert reference.grad is not None and torch.isfinite(reference.grad).all() and reference.grad.abs().max() > 0


def test_griffin_lim_gives_the_levels_back(speech: Tensor) -> None:
    mel = StandardMel()
    levels = mel(speech[:, :25_600])
    again = mel(MelGriffinLim(mel)(levels))
    loud = levels > levels.amax((1, 2), keepdim=True) - 3.0
    assert (again - levels)[loud].abs().mean() < 0.2


def test_standard_levels_are_log_mel_amplitudes_around_zero(speech: Tensor) -> None:
    """librosa's mel filters over numpy's spectrum, frame by frame."""
    import librosa

    mel = StandardMel()
    clip = speech[0, :8_000].double().numpy()
    padded = np.pad(clip, (1024 - 256) // 2, mode="reflect")
    frames = np.stack([padded[n : n + 1024] for n in range(0, len(padded) - 1023, 256)])
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(1024) / 1024)
    amplitude = np.abs(np.fft.rfft(frames * window))
    bands = librosa.filters.mel(sr=RATE, n_fft=1024, n_mels=80, fmin=0.0, fmax=8000.0) @ amplitude.T
    wanted = (np.log(np.maximum(bands, 1e-5)) + 5.5) / 2.1
    assert np.allclose(mel(speech[:1, :8_000])[0].numpy(), wanted, atol=2e-2)
    assert mel.centres_hz().shape == (80,) and bool((mel.centres_hz().diff() > 0).all())


def test_joined_and_spoken_give_back_what_can_be_used() -> None:
    clip = torch.randn(9_000)
    assert torch.equal(joined([clip, clip]), torch.cat([clip, clip]))
    assert spoken(clip, "content") is clip


class _Silent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, content: Tensor, reference: Tensor, generator: Generator) -> Tensor:
        return torch.full_like(content, -3.0)


def test_a_converter_that_says_nothing_breaks_nothing(speech: Tensor) -> None:
    (clone,) = ConversionCloner(_Silent(), adaptation_steps=0)([speech[1]], [speech[0, :9_000]])
    assert torch.isfinite(clone).all()
