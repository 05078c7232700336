"""AS-norm against a loop in NumPy; what it must not see, and what it is for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from voxveil.metrics.rates import equal_error_rate
from voxveil.roles import Scorer
from voxveil.verify.plda import Plda, TwoCovariance
from voxveil.verify.score_norm import AsNorm
from voxveil.verify.scorers import cosine, euclidean

DIM, COHORT = 6, 30


def plda(generator: torch.Generator) -> Plda:
    scorer = Plda(DIM, 4).double()
    root = torch.randn(2, 4, 4, generator=generator, dtype=torch.float64)
    between, within = root @ root.mT + 0.1 * torch.eye(4, dtype=torch.float64)
    scorer.model = TwoCovariance(torch.zeros(4, dtype=torch.float64), between, within)
    return scorer


def uneven(enrolled: Tensor, probe: Tensor) -> Tensor:
    """A score that tells the sides apart, and whose size is anything."""
    return (enrolled * probe.roll(1, -1)).sum(-1) + 3.0 * enrolled[:, 0] - probe[:, 1].exp()


@pytest.fixture(params=["cosine", "euclidean", "plda", "uneven"])
def scorer(request: pytest.FixtureRequest, generator: torch.Generator) -> Scorer:
    known = {"cosine": cosine, "euclidean": euclidean, "uneven": uneven}
    return plda(generator) if request.param == "plda" else known[request.param]


@pytest.fixture
def trial(generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Enrolled, probe, cohort."""
    points = torch.randn(7 + 7 + COHORT, DIM, generator=generator, dtype=torch.float64)
    return points[:7], points[7:14], points[14:]


def one(scorer: Scorer, enrolled: Tensor, probe: Tensor) -> float:
    return float(scorer(enrolled[None], probe[None]))


@pytest.mark.parametrize("top", [2, 5, COHORT, 100])
def test_it_is_the_loop_written_in_numpy(scorer: Scorer, trial: tuple[Tensor, Tensor, Tensor], top: int) -> None:
    enrolled, probe, cohort = trial
    wanted = []
    for e, p in zip(enrolled, probe, strict=True):
        s = one(scorer, e, p)
        of_e = np.sort([one(scorer, e, c) for c in cohort])[-top:]
        of_p = np.sort([one(scorer, c, p) for c in cohort])[-top:]
        wanted.append(((s - of_e.mean()) / of_e.std() + (s - of_p.mean()) / of_p.std()) / 2)
    np.testing.assert_allclose(AsNorm(scorer, cohort, top)(enrolled, probe), wanted, rtol=1e-9)


def test_the_scale_of_the_scorer_does_not_matter(scorer: Scorer, trial: tuple[Tensor, Tensor, Tensor]) -> None:
    enrolled, probe, cohort = trial
    plain = AsNorm(scorer, cohort, top=8)(enrolled, probe)
    moved = AsNorm(lambda a, b: 7.0 * scorer(a, b) - 20.0, cohort, top=8)(enrolled, probe)
    torch.testing.assert_close(moved, plain)


def test_the_order_of_the_cohort_does_not_matter(trial: tuple[Tensor, Tensor, Tensor]) -> None:
    enrolled, probe, cohort = trial
    shuffled = cohort[torch.randperm(COHORT)]
    torch.testing.assert_close(AsNorm(cosine, shuffled, 8)(enrolled, probe), AsNorm(cosine, cohort, 8)(enrolled, probe))


def test_strangers_beyond_the_greatest_do_not_matter(trial: tuple[Tensor, Tensor, Tensor]) -> None:
    enrolled, probe, cohort = trial
    far = -(enrolled.sum(0) + probe.sum(0))[None]
    near = cohort[(torch.nn.functional.normalize(cohort) @ far[0]) < 0.0]
    everyone = torch.cat([near, 9.0 * far])
    assert not torch.allclose(AsNorm(cosine, everyone)(enrolled, probe), AsNorm(cosine, near)(enrolled, probe))
    each = [cosine(side[None].expand_as(everyone), everyone).argmin() for side in (*enrolled, *probe)]
    alike = torch.stack([index == len(near) for index in each])
    kept = (alike[:7] & alike[7:]).nonzero()[:, 0]
    assert len(kept) > 0
    adaptive = [AsNorm(cosine, group, len(near))(enrolled[kept], probe[kept]) for group in (everyone, near)]
    torch.testing.assert_close(*adaptive)


def test_pieces_of_a_batch_are_the_whole(trial: tuple[Tensor, Tensor, Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    enrolled, probe, cohort = trial
    whole = AsNorm(cosine, cohort)(enrolled, probe)
    largest = 0

    def counting(a: Tensor, b: Tensor) -> Tensor:
        nonlocal largest
        largest = max(largest, len(a))
        return cosine(a, b)

    monkeypatch.setattr("voxveil.verify.score_norm.PAIRS_A_CALL", 3 * COHORT + 1)
    torch.testing.assert_close(AsNorm(counting, cohort)(enrolled, probe), whole)
    assert largest == 3 * COHORT


def test_the_gradient_is_that_of_finite_differences(scorer: Scorer, trial: tuple[Tensor, Tensor, Tensor]) -> None:
    enrolled, probe, cohort = trial
    inputs = (enrolled.clone().requires_grad_(), probe.clone().requires_grad_())
    assert torch.autograd.gradcheck(AsNorm(scorer, cohort, top=8), inputs)


def test_it_undoes_most_of_a_condition_that_lifts_every_score(generator: torch.Generator) -> None:
    """Half of the probes come over a channel that scores higher with everybody."""

    def inner(enrolled: Tensor, probe: Tensor) -> Tensor:
        return (enrolled * probe).sum(-1)

    def recorded(voices: Tensor, lift: Tensor) -> Tensor:
        noisy = voices + 0.8 * torch.randn(voices.shape, generator=generator)
        return torch.cat([noisy, lift.expand(len(voices))[:, None]], dim=1)

    voices, strangers = torch.randn(40, 16, generator=generator), torch.randn(200, 16, generator=generator)
    plain = torch.ones(1)
    enrolled, cohort, clean = (recorded(group, plain) for group in (voices, strangers, voices.repeat(2, 1)))
    lifted = torch.cat([clean[:, :-1], torch.tensor([1.0, 20.0]).repeat_interleave(40)[:, None]], dim=1)
    rows, columns = (index.flatten() for index in torch.meshgrid(torch.arange(40), torch.arange(80), indexing="ij"))
    same = rows == columns % 40

    def error_rate(scorer: Scorer, probes: Tensor) -> float:
        scores = scorer(enrolled[rows], probes[columns]).double()
        return equal_error_rate(scores[same].numpy(), scores[~same].numpy())[0]

    normal, spoiled = error_rate(inner, clean), error_rate(inner, lifted)
    assert spoiled > normal + 0.1
    assert error_rate(AsNorm(inner, cohort, top=50), lifted) < normal + 0.5 * (spoiled - normal)


def test_a_cohort_that_scores_all_alike_leaves_a_finite_score(trial: tuple[Tensor, Tensor, Tensor]) -> None:
    enrolled, probe, cohort = trial
    inputs = (enrolled.clone().requires_grad_(), probe.clone().requires_grad_())
    scores = AsNorm(cosine, cohort[:1].repeat(5, 1))(*inputs)
    scores.sum().backward()
    assert bool(scores.isfinite().all())
    assert all(side.grad is not None and bool(side.grad.isfinite().all()) for side in inputs)
    alone = [cosine(side, cohort[:1].expand_as(side)) for side in (enrolled, probe)]
    wanted = (cosine(enrolled, probe) - 0.5 * (alone[0] + alone[1])) / 1e-6
    torch.testing.assert_close(scores.detach(), wanted)


@pytest.mark.parametrize(("speakers", "top"), [(0, 100), (1, 100), (30, 1)])
def test_one_speaker_is_no_cohort(trial: tuple[Tensor, Tensor, Tensor], speakers: int, top: int) -> None:
    with pytest.raises(ValueError, match="at least two speakers"):
        AsNorm(cosine, trial[2][:speakers], top)
