"""SV2TTS as a cloner: what is read, in which voice, how lines are put together, and that it always ends."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from voxveil.audio.levels import rms_dbfs
from voxveil.clone.speaker_vector import speaker_vector
from voxveil.clone.sv2tts import FRAMES_A_SYMBOL, LONGEST_LINE, PEAK, SV2TTSCloner
from voxveil.errors import BadInputError
from voxveil.models.speaker.ge2e import GE2E
from voxveil.models.synthesis.english_text import SYMBOLS
from voxveil.models.synthesis.tacotron import MOST_FRAMES, Reading, Tacotron
from voxveil.models.vocoder.wavernn import WaveRNN

SMALL = {"embedding_width": 8, "encoder_width": 8, "decoder_width": 4, "lstm_width": 8, "postnet_width": 8}
HOP = 200
PAUSE = 2400


class Reader(Tacotron):
    """Says five frames for every text, of a level that grows from text to text, and keeps what it was told."""

    def __init__(self, frames: int = 5) -> None:
        super().__init__(**SMALL, kernels=1, highways=1)
        self.frames = frames
        self.read: list[str] = []
        self.told: list[tuple[Tensor, int, int]] = []

    def generate(self, text: Tensor, speaker: Tensor, seed: int = 0, most_frames: int = MOST_FRAMES) -> list[Reading]:
        self.read.append("".join(SYMBOLS[index] for index in text[0].tolist()))
        self.told.append((speaker, seed, most_frames))
        mel = torch.full((80, self.frames), float(len(self.read)))
        return [Reading(mel, mel, torch.zeros(1, text.shape[1]), torch.ones(1))]


class Hummer(WaveRNN):
    """A hop of every frame, as loud as its first band; the last frame has none."""

    def __init__(self) -> None:
        super().__init__(width=8, context_width=8, blocks=1)

    def generate(self, mel: Tensor, seed: int = 0, fold_samples: int = 0, overlap_samples: int = 0) -> Tensor:
        self.seed = seed
        return mel[:, 0].repeat_interleave(HOP, dim=1)[:, :-HOP]


class Listener(nn.Module):
    """An encoder that keeps what it hears."""

    sample_rate = 16_000
    differentiable = True

    def forward(self, speech: Tensor) -> Tensor:
        self.heard = speech
        return torch.ones(len(speech), 256) / 16.0

    def coarse(self) -> Listener:
        return self


@pytest.fixture
def reader() -> Reader:
    return Reader()


@pytest.fixture
def cloner(reader: Reader) -> SV2TTSCloner:
    return SV2TTSCloner(Listener(), reader, Hummer())


def test_every_line_is_read_by_itself_in_the_voice_of_the_reference(cloner, reader, speech) -> None:
    told: list[float] = []
    clones = cloner([speech[0]], ["Dr. Who paid £5.\n\n...\nWhy?", "Yes."], seed=7, progress=told.append)
    assert reader.read == ["doctor who paid five pounds.~", "why?~", "yes.~"]
    for text, (voice, seed, most_frames) in zip(reader.read, reader.told, strict=True):
        assert torch.equal(voice, torch.full((1, 256), 1 / 16.0))
        assert (seed, most_frames) == (7, FRAMES_A_SYMBOL * len(text))
    assert (cloner.takes, cloner.sample_rate, told) == ("text", 16_000, [0.5, 1.0])
    assert [len(clone) for clone in clones] == [9 * HOP + PAUSE, 4 * HOP]


def test_lines_are_cut_apart_with_a_pause_between_at_one_peak(cloner, speech) -> None:
    (clone,) = cloner([speech[0]], ["One.\nTwo.\nThree."])
    first, second, third = 5 * HOP, 5 * HOP, 4 * HOP
    pause, quiet, louder = torch.zeros(PAUSE), torch.full((first,), 1 / 3), torch.full((second,), 2 / 3)
    assert torch.allclose(clone, PEAK * torch.cat([quiet, pause, louder, pause, torch.ones(third)]))


def test_what_is_too_long_for_one_breath_is_taken_sentence_by_sentence(cloner, reader, speech) -> None:
    sentence = "Mr. Smith walked to the old mill by the river, and nobody saw him there."
    cloner([speech[0]], [" ".join([sentence] * 5)])
    assert len(reader.read) == 3
    assert all(len(text) <= LONGEST_LINE + 3 and text.endswith("there.~") for text in reader.read)
    assert " ".join(text[:-1] for text in reader.read) == " ".join([sentence.lower().replace("mr.", "mister")] * 5)


def test_a_word_without_end_has_a_limit(cloner, reader, speech) -> None:
    cloner([speech[0]], ["a" * 1000])
    assert "".join(reader.read).replace("~", "") == "a" * 1000
    assert all(most_frames <= MOST_FRAMES for _, _, most_frames in reader.told)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "empty content"),
        ("  \n ", "empty content"),
        ("...", "nothing to speak"),
        ("Скажи это.", r"no symbol for 'с' \(CYRILLIC"),
        ("Say 你好.", r"no symbol for '你' \(CJK"),
        ("50 %", r"no symbol for '%'"),
        ("half \ud800", "not valid Unicode"),
        (torch.randn(16_000), "SV2TTS takes text"),
    ],
)
def test_what_cannot_be_read_is_named_before_anything_is_done(cloner, reader, speech, text, sentence) -> None:
    with pytest.raises(BadInputError, match=sentence):
        cloner([speech[0]], ["Good.", text])
    assert not reader.read and not hasattr(cloner.encoder, "heard")


@pytest.mark.parametrize(
    ("reference", "sentence"),
    [
        ([], "no utterance"),
        ([torch.randn(8_000)], r"lasts 0\.50 s"),
        ([torch.zeros(20_000)], "silent"),
        ([torch.full((20_000,), torch.nan)], "not numbers"),
    ],
)
def test_what_is_no_reference_is_named(cloner, reference, sentence) -> None:
    with pytest.raises(BadInputError, match=sentence):
        cloner(reference, ["Good."])


def test_a_synthesizer_that_says_nothing_is_named(speech) -> None:
    with pytest.raises(BadInputError, match="nothing but silence"):
        SV2TTSCloner(Listener(), Reader(frames=0), Hummer())([speech[0]], ["Good."])


def test_a_synthesizer_that_never_ends_is_stopped(speech) -> None:
    network = Tacotron(**SMALL, kernels=1, highways=1).eval().requires_grad_(False)
    network.decoder.stop_proj.bias.fill_(-100.0)
    (clone,) = SV2TTSCloner(GE2E(), network, Hummer())([speech[0]], ["Go."])
    assert len(clone) == (FRAMES_A_SYMBOL * len("go.~") - 1) * HOP


def test_the_same_seed_gives_the_same_clone_and_the_reference_stays_as_it_was(speech) -> None:
    torch.manual_seed(3)
    network = Tacotron(**SMALL, kernels=1, highways=1).eval().requires_grad_(False)
    network.post_proj.weight.mul_(30.0)
    cloner, reference = SV2TTSCloner(GE2E(), network, Hummer()), speech[0, :20_000].clone()
    state = torch.get_rng_state()
    first, again, other = (cloner([reference], ["Go."], seed=seed)[0] for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.equal(reference, speech[0, :20_000]) and torch.equal(torch.get_rng_state(), state)
    assert bool(first.isfinite().all()) and first.abs().max() == pytest.approx(PEAK)
    assert cloner.vocoder.seed == 2


# The speaker's vector.


def test_pauses_are_cut_out_and_quiet_speech_is_raised(speech) -> None:
    pause = 1e-5 * torch.randn(48_000)
    listener = Listener()
    speaker_vector(listener, [0.001 * speech[0], 0.001 * pause, 0.001 * speech[1]], 16_000)
    assert listener.heard.shape[1] < 96_000
    assert float(rms_dbfs(listener.heard)) >= -30.0
    loud = Listener()
    speaker_vector(loud, [speech[0]], 16_000)
    assert torch.equal(loud.heard.amax(), speech[0].max())  # never lowered


def test_a_reference_at_another_rate_is_heard_at_the_encoders(speech) -> None:
    at_16, at_32 = Listener(), Listener()
    speaker_vector(at_16, [speech[0]], 16_000)
    speaker_vector(at_32, [speech[0].repeat_interleave(2)], 32_000)
    assert at_16.heard.shape[1] == pytest.approx(at_32.heard.shape[1], abs=320)
    length = min(at_16.heard.shape[1], at_32.heard.shape[1])
    same = torch.corrcoef(torch.stack([at_16.heard[0, :length], at_32.heard[0, :length]]))
    assert same[0, 1] > 0.9


def test_a_single_utterance_without_pauses_is_embedded_as_published(speech) -> None:
    encoder = GE2E()
    clip = speech[0, :5_000].repeat(8)
    assert torch.allclose(speaker_vector(encoder, [clip], 16_000), encoder(clip[None]), atol=1e-6)


def test_sound_that_nobody_speaks_is_named() -> None:
    time_s = torch.arange(32_000, dtype=torch.float64) / 16_000
    whistle = (torch.hann_window(32_000) * torch.sin(2 * torch.pi * 7_000 * time_s)).float()
    with pytest.raises(BadInputError, match="nobody speaks"):
        speaker_vector(Listener(), [whistle], 16_000)
