"""One loop, many attacks: each lowers its loss, stays in its budget, and takes the steps that its paper writes down."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from voxveil.perturb.budgets import BandWeighted, GainRange, Linf, MaskingThreshold, Snr
from voxveil.perturb.carriers import Additive, Chain, Filter, GainMask, Levelled, SpectralAdditive
from voxveil.perturb.expectation import Dealt, Expectation
from voxveil.perturb.gradients import Autograd, Nes, StraightThrough
from voxveil.perturb.solvers import Descent, adam, fgsm, momentum_pgd, pgd, radii
from voxveil.roles import Carrier, Loss, Speech
from voxveil.transforms.noise import WhiteNoise

ATTACKS: dict[str, Descent] = {
    "fgsm": fgsm(),
    "pgd": pgd(steps=12),
    "pgd from clean": pgd(steps=12, start=0.0),
    "momentum": momentum_pgd(steps=12),
    "adam": adam(steps=12),
    "adam, projected": Descent(12, 0.1, rule="adam", bound="project", momentum=0.9),
    "sign, squashed": Descent(12, 0.1, rule="sign", bound="squash"),
}
CARRIERS: dict[str, Callable[[], Carrier]] = {
    "linf": lambda: Additive(Linf(0.02)),
    "snr": lambda: Additive(Snr(20.0)),
    "masked": lambda: SpectralAdditive(MaskingThreshold(0.0, 16_000)),
    "weighted": lambda: SpectralAdditive(BandWeighted(0.02, {8000: 1.0}, 16_000)),
    "filter": lambda: Filter(GainRange(9.0), 16_000),
    "mask": lambda: GainMask(GainRange(9.0), GainRange(6.0), 16_000),
    "chain": lambda: Levelled(Chain((Filter(GainRange(9.0), 16_000), Additive(Linf(0.01)))), 16_000),
}


@pytest.fixture
def clean(speech: Tensor) -> Tensor:
    return speech[:, 2000:6000].contiguous()


def towards(goal: Speech) -> Callable[[Speech], Loss]:
    """A quadratic bowl around another waveform."""
    return lambda adversarial: (adversarial - goal).square().sum(-1)


def reachable(carrier: Carrier, clean: Speech) -> Speech:
    """What the carrier can do with half of its budget: a goal worth seeking."""
    drawn = (torch.randn(s, dtype=clean.dtype) for s in carrier.shapes(clean))
    held = (0.5 * b.project(3.0 * p) for b, p in zip(carrier.budgets, drawn, strict=True))
    return carrier(tuple(r * p for r, p in zip(radii(carrier, clean), held, strict=True)), clean)


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("kind", CARRIERS)
def test_every_attack_lowers_the_loss_within_its_budget(
    attack: str, kind: str, clean: Tensor, generator: torch.Generator
) -> None:
    carrier = CARRIERS[kind]()
    objective = towards(reachable(carrier, clean))
    if attack == "fgsm":
        # One step of the whole budget overshoots a goal inside it; a slope has no inside.
        goal = reachable(carrier, clean)
        objective = lambda adversarial: ((clean - goal) * adversarial).sum(-1)  # noqa: E731
    found = ATTACKS[attack](objective, carrier, clean, generator)
    assert (objective(carrier(found, clean)) < objective(clean)).all()
    for amount, limit, budget in zip(found, radii(carrier, clean), carrier.budgets, strict=True):
        share = amount / limit
        assert torch.allclose(budget.project(share), share, atol=1e-5), "inside the unit ball"
        assert not amount.requires_grad


@pytest.mark.parametrize("attack", ATTACKS)
def test_the_same_seed_gives_the_same_bytes(attack: str, clean: Tensor) -> None:
    carrier = Additive(Linf(0.02))
    objective = towards(reachable(carrier, clean))
    first, second = (ATTACKS[attack](objective, carrier, clean, torch.Generator().manual_seed(7))[0] for _ in range(2))
    assert torch.equal(first, second)
    other = ATTACKS[attack](objective, carrier, clean, torch.Generator().manual_seed(8))[0]
    assert torch.equal(first, other) == (ATTACKS[attack].start == 0.0), "only a random start hears the seed"


def test_fgsm_is_its_closed_form(clean: Tensor, generator: torch.Generator) -> None:
    """x − ε · sign(∂loss/∂x)."""
    goal = torch.randn_like(clean)
    (delta,) = fgsm()(towards(goal), Additive(Linf(0.01)), clean, generator)
    assert torch.allclose(delta, -0.01 * torch.sign(clean - goal), atol=1e-9)


def test_pgd_is_its_closed_form(clean: Tensor, generator: torch.Generator) -> None:
    """Three steps written out, in the waveform and its own units."""
    goal, epsilon = clean + 0.05 * torch.randn_like(clean), 0.02
    (found,) = pgd(steps=3, step_size=0.4, start=0.0)(towards(goal), Additive(Linf(epsilon)), clean, generator)
    delta = torch.zeros_like(clean)
    for _ in range(3):
        delta = (delta - 0.4 * epsilon * torch.sign(clean + delta - goal)).clamp(-epsilon, epsilon)
    assert torch.allclose(found, delta, atol=1e-8)


def test_momentum_is_dongs_sum(clean: Tensor, generator: torch.Generator) -> None:
    """g ← μ·g + ∇/mean|∇| of each clip, x ← x − α·sign(g)."""
    goal, epsilon = clean + 0.02 * torch.randn_like(clean), 0.02
    attack = Descent(steps=6, step_size=0.3, momentum=0.9)
    (found,) = attack(towards(goal), Additive(Linf(epsilon)), clean, generator)
    delta, running = torch.zeros_like(clean).double(), torch.zeros_like(clean).double()
    for _ in range(6):
        slope = 2.0 * (clean + delta - goal)
        running = 0.9 * running + slope / slope.abs().mean(1, keepdim=True)
        delta = (delta - 0.3 * epsilon * running.sign()).clamp(-epsilon, epsilon)
    agree = (found.double() - delta).abs() < 1e-6
    assert agree.float().mean() > 0.999, "but for samples on the very edge of a sign"


@pytest.mark.parametrize("last", [1.0, 0.1])
def test_adam_is_torchs(last: float, generator: torch.Generator) -> None:
    """With β = (0.9, 0.99), step by step, through the change of variables; the step size falls linearly."""
    clean = 0.1 * torch.randn(2, 50, dtype=torch.float64)
    goal, epsilon = clean + 0.05 * torch.randn_like(clean), 0.1
    for steps in range(1, 9):
        attack = Descent(steps, 0.2, rule="adam", bound="squash", momentum=0.9, last_step_size=last)
        (found,) = attack(towards(goal), Additive(Linf(epsilon)), clean, generator)
        free = torch.zeros_like(clean, requires_grad=True)
        optimiser = torch.optim.Adam([free], lr=0.2, betas=(0.9, 0.99), eps=1e-8)
        for index in range(steps):
            optimiser.param_groups[0]["lr"] = 0.2 * (1.0 - (1.0 - last) * index / steps)
            optimiser.zero_grad()
            (clean + epsilon * torch.tanh(free) - goal).square().sum().backward()
            optimiser.step()
        assert torch.allclose(found, epsilon * torch.tanh(free.detach()), atol=1e-10)


def test_clips_of_a_batch_do_not_disturb_each_other(clean: Tensor) -> None:
    """The gain of a neighbour's loss does not change a clip's path."""
    carrier = Filter(GainRange(9.0), 16_000)
    goal = reachable(carrier, clean)
    for attack in (adam(steps=8), momentum_pgd(steps=8)):
        starting = Descent(**{**vars(attack), "start": 0.0})
        together = starting(towards(goal), carrier, clean, torch.Generator())[0]
        alone = starting(towards(goal[:1]), carrier, clean[:1], torch.Generator())[0]
        assert torch.allclose(together[:1], alone, atol=1e-3)


def test_limits_can_be_given(clean: Tensor, generator: torch.Generator) -> None:
    carrier = Additive(Linf(0.02))
    small = (torch.full((1, 1), 0.001),)
    (delta,) = fgsm()(towards(torch.randn_like(clean)), carrier, clean, generator, limits=small)
    assert delta.abs().max().item() == pytest.approx(0.001)


def test_progress_rises_to_one(clean: Tensor, generator: torch.Generator) -> None:
    told: list[float] = []
    pgd(steps=4)(towards(clean), Additive(Linf(0.02)), clean, generator, progress=told.append)
    assert told == [0.25, 0.5, 0.75, 1.0]


def test_nes_points_where_backpropagation_points() -> None:
    goal = torch.randn(3, 40, dtype=torch.float64)
    scale = torch.tensor([1.0, 10.0, 0.1], dtype=torch.float64)

    def loss(parameters: tuple[Tensor, ...]) -> Loss:
        return scale * (torch.sin(parameters[0]) - goal).square().sum(-1)

    at = (torch.randn(3, 40, dtype=torch.float64),)
    value, (exact,) = Autograd()(loss, at)
    queried, (estimate,) = Nes(600, 1e-3, torch.Generator().manual_seed(0))(loss, at)
    assert torch.allclose(value, queried)
    # n antithetic pairs in d dimensions: cos² ≈ n / (n + d).
    assert (torch.cosine_similarity(exact, estimate, dim=1) > 0.93).all()
    assert torch.allclose(exact.norm(dim=1), estimate.norm(dim=1), rtol=0.2)


def test_a_black_box_can_be_attacked(generator: torch.Generator) -> None:
    clean = 0.1 * torch.randn(1, 30)
    goal = clean + 0.05 * torch.randn_like(clean)

    def blind(adversarial: Speech) -> Loss:
        with torch.no_grad():
            return towards(goal)(adversarial)

    found = adam(steps=30)(blind, Additive(Linf(0.05)), clean, generator, gradient=Nes(30, 0.01, generator))
    assert blind(clean + found[0]) < 0.3 * blind(clean)


class Rounded:
    differentiable, random, keeps_length = False, False, True

    def __call__(self, speech: Speech) -> Speech:
        return (speech * 8.0).round() / 8.0


def test_straight_through_is_the_transform_forward_and_the_identity_backward(speech: Tensor) -> None:
    leaf = speech.clone().requires_grad_()
    wrapped = StraightThrough(Rounded())
    out = wrapped(leaf)
    assert torch.equal(out, Rounded()(speech)), "to the bit"
    weights = torch.randn_like(speech)
    (slope,) = torch.autograd.grad((out * weights).sum(), leaf)
    assert torch.equal(slope, weights)
    assert wrapped.differentiable
    assert not wrapped.random


def test_expectation_refuses_what_passes_no_gradient() -> None:
    with pytest.raises(ValueError, match="Rounded passes no gradient"):
        Expectation(lambda x: x.sum(-1), [Rounded()])
    Expectation(lambda x: x.sum(-1), [StraightThrough(Rounded())])


def test_expectation_is_the_mean_over_its_draws(clean: Tensor) -> None:
    objective = towards(torch.zeros_like(clean))
    noise = WhiteNoise(10.0, torch.Generator().manual_seed(3))
    got = Expectation(objective, [noise], draws=4)(clean)
    again = WhiteNoise(10.0, torch.Generator().manual_seed(3))
    assert torch.allclose(got, torch.stack([objective(again(clean)) for _ in range(4)]).mean(0))


def test_expectation_chains_its_transforms(clean: Tensor) -> None:
    class Shift:
        differentiable, random, keeps_length = True, False, True

        def __call__(self, speech: Speech) -> Speech:
            return speech + 1.0

    class Double(Shift):
        def __call__(self, speech: Speech) -> Speech:
            return 2.0 * speech

    got = Expectation(lambda x: x.mean(-1), [Shift(), Double()])(clean)
    assert torch.allclose(got, 2.0 * (clean.mean(-1) + 1.0))


def test_what_is_dealt_is_the_sum_on_average_and_every_objective_equally_often(clean: Tensor) -> None:
    met: list[int] = []

    def objective(index: int) -> Objective:
        def loss(speech: Speech) -> Loss:
            met.append(index)
            return (1.0 + index) * speech.square().sum(-1)

        return loss

    dealt = Dealt([objective(index) for index in range(5)], count=2, generator=torch.Generator().manual_seed(0))
    losses = torch.stack([dealt(clean) for _ in range(50)])
    assert torch.allclose(losses.mean(0), 15.0 * clean.square().sum(-1))
    rounds = [met[start : start + 5] for start in range(0, 100, 5)]
    assert all(sorted(found) == list(range(5)) for found in rounds)
    assert len({tuple(found) for found in rounds}) > 10, "and shuffled anew"


def test_a_descent_goes_on_where_another_ended(clean: Tensor, generator: torch.Generator) -> None:
    carrier, goal = Additive(Linf(0.02)), towards(0.9 * clean)
    whole, first = (Descent(steps, 0.1, start=0.3) for steps in (7, 3))
    begin = whole.start_at(carrier, clean, generator)
    once = whole.free(goal, carrier, clean, begin)
    twice = Descent(4, 0.1).free(goal, carrier, clean, first.free(goal, carrier, clean, begin))
    assert torch.equal(once[0], twice[0]) and not torch.equal(once[0], begin[0])


def test_stages_fall_by_equal_factors() -> None:
    falling = Descent(steps=1000, step_size=0.02, last_step_size=0.9**9, stages=10)
    sizes = [falling.step_size_at(index) for index in range(1000)]
    assert sizes == pytest.approx([0.02 * 0.9 ** (index // 100) for index in range(1000)])
    few = [Descent(5, 1.0, last_step_size=0.5, stages=1).step_size_at(index) for index in range(5)]
    assert few == [1.0] * 5
