"""Evaluation: every recording is heard once, and every trial is scored as the verifier would."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch
from torch import Tensor

from voxveil.audio.corpus import Utterance, read_corpus, read_mono
from voxveil.errors import BadInputError
from voxveil.metrics import rates
from voxveil.verify import evaluate as module
from voxveil.verify.evaluate import embed_all, evaluate
from voxveil.verify.plda import Plda
from voxveil.verify.scorers import cosine, euclidean
from voxveil.verify.trials import Trial, all_pairs, of_both_kinds, recordings
from voxveil.verify.verifier import Verifier

DATA = Path(__file__).parent / "data"


@dataclass
class Colour:
    """The shape of the mean spectrum, which tells four synthetic voices apart; remembers what it heard."""

    sample_rate: int = 16_000
    differentiable: bool = True
    heard: list[Tensor] = field(default_factory=list)

    def __call__(self, speech: Tensor) -> Tensor:
        self.heard.append(speech)
        bands = torch.fft.rfft(speech.unfold(-1, 512, 256)).abs().mean(1)[:, 1:]
        level = bands.clamp_min(1e-9).log()
        return torch.nn.functional.normalize(level - level.mean(1, keepdim=True), dim=-1)

    def coarse(self) -> Colour:
        return self


@pytest.fixture(scope="module")
def trials(tmp_path_factory) -> list[Trial]:
    folder = tmp_path_factory.mktemp("corpus")
    for clip in DATA.glob("*.flac"):
        speaker, _, take = clip.stem.partition("-")
        (folder / speaker).mkdir(exist_ok=True)
        (folder / speaker / f"{take}.flac").symlink_to(clip)
    return of_both_kinds(all_pairs(read_corpus(folder)), folder)


@pytest.fixture(scope="module")
def embeddings(trials) -> dict[Path, Tensor]:
    return embed_all(Colour(), recordings(trials))


def test_every_recording_is_heard_once_and_whole(trials):
    listener, shares = Colour(), []
    paths = recordings(trials)
    found = embed_all(listener, paths + paths[::-1], progress=shares.append)
    assert list(found) == paths
    assert [speech.shape for speech in listener.heard] == [(1, sf.info(path).frames) for path in paths]
    assert shares == pytest.approx(np.arange(1, 9) / 8)
    for path, speech in zip(paths, listener.heard, strict=True):
        assert torch.equal(found[path], Colour()(speech)[0]) and not found[path].requires_grad


def test_the_embedder_is_given_the_rate_that_it_wants(trials):
    listener = Colour(sample_rate=8_000)
    path = recordings(trials)[0]
    embed_all(listener, [path])
    assert listener.heard[0].shape[1] == pytest.approx(sf.info(path).frames / 2, abs=1)


def test_speech_may_come_through_a_channel(trials):
    listener = Colour()
    path = recordings(trials)[0]
    embed_all(listener, [path], read=lambda path, rate: 0.5 * read_mono(path, rate))
    assert torch.equal(listener.heard[0][0], 0.5 * torch.as_tensor(read_mono(path, 16_000)))


@pytest.mark.parametrize("scorer", [cosine, euclidean, Plda(256, 3)])
def test_trials_are_scored_as_the_verifier_scores_them(trials, embeddings, scorer, monkeypatch):
    verifier = Verifier("colour", Colour(), scorer, 0.0)
    wanted = {True: [], False: []}
    for trial in trials:
        enrolled, probe = (torch.as_tensor(read_mono(one.path, 16_000))[None] for one in (trial.enrol, trial.probe))
        wanted[trial.same].append(float(verifier.score(verifier.enrol([enrolled]), probe)))
    whole = evaluate(scorer, embeddings, trials)
    monkeypatch.setattr(module, "TRIALS_A_BLOCK", 5)
    in_blocks = evaluate(scorer, embeddings, trials)
    for found in (whole, in_blocks):
        assert np.allclose(found.genuine, wanted[True], atol=1e-5)
        assert np.allclose(found.impostor, wanted[False], atol=1e-5)
    assert whole.trials == 28 and len(whole.genuine) == 4


def test_the_numbers_are_those_of_the_scores(trials, embeddings):
    found = evaluate(cosine, embeddings, trials)
    both = found.genuine, found.impostor
    assert (found.eer, found.thresholds["eer"]) == rates.equal_error_rate(*both)
    assert found.thresholds["frr1"] == rates.threshold_at_false_rejection(*both, 0.01)
    assert found.thresholds["far1"] == rates.threshold_at_false_acceptance(*both, 0.01)
    assert found.min_dcf == rates.min_dcf(*both)
    assert found.rates_at(0.9) == ((found.genuine < 0.9).mean(), (found.impostor >= 0.9).mean())
    assert found.rates_at(found.thresholds["frr1"])[0] <= 0.01 >= found.rates_at(found.thresholds["far1"])[1]
    assert found.eer == 0.0, "voices of four synthesisers"


def test_a_verifier_that_hears_nothing_is_at_chance_and_one_that_lies_is_worse():
    random = np.random.default_rng(0)
    said = [Utterance(f"{n % 12}", Path(f"{n}.wav")) for n in range(48)]
    pairs = all_pairs(said)
    noise = {one.path: torch.as_tensor(random.standard_normal(64)) for one in said}
    deaf = evaluate(cosine, noise, pairs)
    assert deaf.eer_low < 0.5 < deaf.eer_high and deaf.eer == pytest.approx(0.5, abs=0.1)
    assert deaf.min_dcf == pytest.approx(1.0, abs=0.02)
    voices = torch.as_tensor(random.standard_normal((12, 64)))
    knows = {one.path: voices[int(one.speaker)] + noise[one.path] for one in said}
    good, liar = evaluate(cosine, knows, pairs), evaluate(lambda x, y: -cosine(x, y), knows, pairs)
    assert good.eer_low <= good.eer <= good.eer_high < 0.2
    assert liar.eer == pytest.approx(1.0 - good.eer, abs=0.02)


def test_the_interval_belongs_to_the_speakers(trials):
    """Two of three speakers who are always taken for each other: without one of them there is no error."""
    said = [Utterance(name, Path(f"{name}{take}.wav")) for name in "abc" for take in (1, 2)]
    heard = {one.path: torch.tensor([1.0, 0.0]) if one.speaker == "c" else torch.tensor([0.0, 1.0]) for one in said}
    found = evaluate(cosine, heard, all_pairs(said))
    assert found.eer_low == 0.0 and found.eer_high > found.eer > 0.0
    assert evaluate(cosine, heard, all_pairs(said)).eer_high == found.eer_high


def test_json_holds_what_is_promised(trials, embeddings):
    found = evaluate(cosine, embeddings, trials)
    plain = json.loads(json.dumps(found.as_json()))
    assert list(plain) == ["eer", "eer_low", "eer_high", "min_dcf", "thresholds", "trials"]
    assert list(plain["thresholds"]) == ["eer", "frr1", "far1"]
    assert all(0.0 <= plain[key] <= 1.0 for key in ("eer", "eer_low", "eer_high", "min_dcf"))
    assert plain["trials"] == 28


@pytest.mark.parametrize("samples", [10, 400, 32_000])
@pytest.mark.parametrize("kind", ["silence", "click"])
def test_where_nobody_speaks_the_recording_is_named(tmp_path, samples, kind):
    sound = np.zeros(samples)
    sound[samples // 2] = 0.5 if kind == "click" else 0.0
    sf.write(tmp_path / "quiet.wav", sound, 16_000)
    with pytest.raises(BadInputError, match=r"quiet\.wav is silent: nobody speaks in it\.$"):
        embed_all(Colour(), [DATA / "slt-1.flac", tmp_path / "quiet.wav"])


def test_a_bad_recording_is_named(tmp_path):
    (tmp_path / "text.wav").write_text("no sound")
    with pytest.raises(BadInputError, match=r"text\.wav"):
        embed_all(Colour(), [tmp_path / "text.wav"])
