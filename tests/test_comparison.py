"""Several systems on one list of trials: an encoder hears a recording once, and a cohort is the unit of scores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from running import DATA
from torch import Tensor

from voxveil.audio.corpus import Utterance
from voxveil.errors import BadInputError
from voxveil.metrics.rates import equal_error_rate
from voxveil.verify.comparison import compare, speaker_means
from voxveil.verify.evaluate import embed_all
from voxveil.verify.scorers import cosine, euclidean
from voxveil.verify.trials import all_pairs

JUDGED = [Utterance(name, DATA / f"{name}-{take}.flac") for name in ("slt", "rms") for take in (1, 2)]
COHORT = [Utterance(name, DATA / f"{name}-{take}.flac") for name in ("awb", "kal16") for take in (1, 2)]
PAIRS = all_pairs(JUDGED)


class Bands:
    """The shape of the long-term spectrum in ``count`` bands: crude, and different for different speakers."""

    sample_rate, differentiable = 16_000, True

    def __init__(self, count: int = 12) -> None:
        self.count, self.heard = count, 0

    def __call__(self, speech: Tensor) -> Tensor:
        self.heard += len(speech)
        energy = torch.fft.rfft(speech).abs().square()[:, 1:]
        bands = torch.stack([band.mean(1) for band in energy.tensor_split(self.count, dim=1)], dim=1).log()
        return torch.nn.functional.normalize(bands - bands.mean(1, keepdim=True), dim=1)

    def coarse(self) -> Bands:
        return self


def test_systems_that_share_an_encoder_embed_once() -> None:
    one, other = Bands(), Bands(20)
    found = compare({"a": (one, cosine), "b": (other, cosine), "c": (one, euclidean)}, PAIRS)
    assert list(found) == ["a", "b", "c"]
    assert one.heard == other.heard == len(JUDGED)
    # For unit vectors −‖x − y‖ = −√(2 − 2·cos): the same order, so the same errors.
    assert found["c"].genuine == pytest.approx(-np.sqrt(2.0 - 2.0 * found["a"].genuine), abs=1e-5)
    assert found["c"].eer == found["a"].eer


def test_a_cohort_changes_the_scores_and_not_the_trials() -> None:
    plain = compare({"a": (Bands(), cosine)}, PAIRS)["a"]
    normal = compare({"a": (Bands(), cosine)}, PAIRS, COHORT)["a"]
    assert plain.trials == normal.trials == 6
    assert not np.allclose(plain.genuine, normal.genuine) and not np.allclose(plain.impostor, normal.impostor)

    embedded = embed_all(Bands(), [one.path for one in JUDGED + COHORT])
    voices = {path: voice.double().numpy() for path, voice in embedded.items()}
    strangers = np.stack([sum(voices[u.path] for u in COHORT if u.speaker == name) for name in ("awb", "kal16")])
    strangers /= np.linalg.norm(strangers, axis=1, keepdims=True)

    def normalised(x: np.ndarray, y: np.ndarray) -> float:
        return 0.5 * sum((x @ y - (strangers @ z).mean()) / (strangers @ z).std() for z in (x, y))

    wanted: dict[bool, list[float]] = {True: [], False: []}
    for trial in PAIRS:
        wanted[trial.same].append(normalised(voices[trial.enrol.path], voices[trial.probe.path]))
    assert normal.genuine == pytest.approx(np.array(wanted[True]), rel=1e-3)
    assert normal.impostor == pytest.approx(np.array(wanted[False]), rel=1e-3)
    assert normal.eer == equal_error_rate(np.array(wanted[True]), np.array(wanted[False]))[0]


def test_a_speaker_of_the_cohort_counts_once_however_often_he_speaks() -> None:
    voices = {Path(f"{n}.wav"): torch.nn.functional.normalize(torch.randn(5), dim=0) for n in range(5)}
    said = [Utterance(name, Path(f"{n}.wav")) for n, name in enumerate("abaab")]
    means = speaker_means(said, voices)
    for row, members in zip(means, ((0, 2, 3), (1, 4)), strict=True):
        total = sum(voices[Path(f"{n}.wav")] for n in members)
        assert torch.allclose(row, total / total.norm())


def test_a_recording_is_not_both_judge_and_judged(tmp_path: Path) -> None:
    link = tmp_path / "b.flac"
    link.symlink_to(JUDGED[0].path)
    with pytest.raises(BadInputError, match=r"b\.flac is in the cohort and in a trial"):
        compare({"a": (Bands(), cosine)}, PAIRS, [*COHORT, Utterance("x", link)])


def test_progress_rises_to_one() -> None:
    seen: list[float] = []
    one = Bands()
    compare({"a": (one, cosine), "b": (one, euclidean), "c": (Bands(20), cosine)}, PAIRS, COHORT, progress=seen.append)
    assert seen == sorted(seen) and seen[-1] == pytest.approx(1.0) and len(seen) == 2 * len(JUDGED + COHORT) + 3
