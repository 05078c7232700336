"""The training loop: it goes down, it goes on exactly where it was, and says in one sentence why it cannot."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from running import one_sentence
from torch import Generator, Tensor, nn

from voxveil.errors import BadInputError, BadOutputError, VoxveilError
from voxveil.train.loop import Plan, train

PLAN = Plan(steps=14, learning_rate=0.05, measure_every=5)
TRUTH = torch.tensor([[1.0], [-2.0], [0.5]])


@dataclass
class Line:
    """A line through points: three numbers to be found, behind a normalisation that counts its batches."""

    width: int = 3
    recipe: Mapping[str, object] = field(default_factory=lambda: {"batch": 16, "speech": "a1"})
    factor: float = 1.0
    judged: int = 0
    losses: list[float] = field(default_factory=list)
    drawn: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        torch.manual_seed(1)
        self.network = nn.Sequential(
            nn.BatchNorm1d(3, affine=False), nn.Linear(3, self.width), nn.Linear(self.width, 1)
        )

    def loss(self, done: float, generator: Generator) -> Tensor:
        assert self.network.training and 0.0 <= done < 1.0
        points = torch.randn(16, 3, generator=generator)
        points = (points - points.mean(0)) / points.std(0, correction=0)
        loss = self.factor * (self.network(points) - points @ TRUTH).square().mean()
        self.losses.append(loss.item())
        self.drawn.append(points[0, 0].item())
        return loss

    def measure(self) -> Mapping[str, float]:
        assert not self.network.training
        self.judged += 1
        return {"error": float((self.network(torch.eye(3)) - TRUTH).detach().norm())}


def stopping_at(step: int, plan: Plan = PLAN):
    def progress(share: float) -> None:
        if round(share * plan.steps) == step:
            raise KeyboardInterrupt

    return progress


def log_of(checkpoint: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in checkpoint.with_suffix(".log.jsonl").read_text().splitlines()]


def same(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    return tmp_path / "line.checkpoint"


def refusal(kind: type[VoxveilError], checkpoint: Path, trainee: Line | None = None, plan: Plan = PLAN) -> str:
    with pytest.raises(kind) as caught:
        train(trainee or Line(), plan, checkpoint)
    sentence = f"voxveil: {caught.value}\n"
    assert one_sentence(sentence, checkpoint.name), sentence
    return sentence


def test_the_loss_falls_and_every_measurement_is_told(checkpoint):
    told, shares = [], []
    plan = Plan(steps=200, learning_rate=0.05, measure_every=60)
    train(Line(), plan, checkpoint, shares.append, told.append)
    assert [found["step"] for found in told] == [60, 120, 180, 200]
    assert told[-1]["loss"] < 0.02 * told[0]["loss"] and told[-1]["error"] < 0.05 * TRUTH.norm()
    assert log_of(checkpoint) == told
    assert shares == pytest.approx(np.arange(1, 201) / 200)
    assert sorted(path.name for path in checkpoint.parent.iterdir()) == ["line.checkpoint", "line.log.jsonl"]


def test_the_logged_loss_is_the_mean_since_the_line_before(checkpoint):
    told: list[Mapping[str, float]] = []
    trainee = Line()
    train(trainee, PLAN, checkpoint, on_measured=told.append)
    parts = [trainee.losses[:5], trainee.losses[5:10], trainee.losses[10:]]
    assert [found["loss"] for found in told] == pytest.approx([np.mean(part) for part in parts])
    assert len(set(trainee.drawn)) == PLAN.steps, "every step has a batch of its own"


def test_every_seed_draws_batches_of_its_own(tmp_path):
    drawn = []
    for seed in (0, 1, 2**32 - 1):
        trainee = Line()
        train(trainee, replace(PLAN, seed=seed), tmp_path / f"{seed}.checkpoint")
        drawn += trainee.drawn
    assert len(set(drawn)) == 3 * PLAN.steps


def test_the_rate_rises_in_a_line_and_falls_by_half_a_cosine():
    plan = Plan(steps=1000, learning_rate=0.3, warmup_share=0.2)
    rates = np.array([plan.rate(step) for step in range(1000)])
    np.testing.assert_allclose(rates[:200], 0.3 * np.arange(1, 201) / 200, rtol=1e-12)
    np.testing.assert_allclose(rates[199:], 0.15 * (1.0 + np.cos(np.linspace(0.0, math.pi, 801))), atol=1e-12)


@pytest.mark.parametrize("factor", [1.0, 1000.0])
def test_the_first_step_is_as_long_as_the_rate_whatever_the_gradient(checkpoint, factor):
    """AdamW's first step has the length of the rate in every direction; without decay nothing else moves."""
    trainee = Line(factor=factor)
    before = [parameter.detach().clone() for parameter in trainee.network.parameters()]
    plan = Plan(steps=20, learning_rate=0.05, weight_decay=0.0)
    with pytest.raises(KeyboardInterrupt):
        train(trainee, plan, checkpoint, stopping_at(1, plan))
    moved = torch.cat([(p - q).detach().flatten() for p, q in zip(trainee.network.parameters(), before, strict=True)])
    torch.testing.assert_close(moved.abs(), torch.full_like(moved, plan.rate(0)), rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("stops", [(3,), (5,), (7,), (13,), (2, 6, 11), (6, 7, 8)])
def test_interrupted_and_resumed_is_uninterrupted_bit_for_bit(checkpoint, stops):
    whole, told = Line(), []
    train(whole, PLAN, checkpoint.with_name("whole.checkpoint"), on_measured=told.append)
    for stop in stops:
        torch.rand(7)  # what else is random in the process does not matter
        with pytest.raises(KeyboardInterrupt):
            train(Line(), PLAN, checkpoint, stopping_at(stop))
    resumed = Line()
    train(resumed, PLAN, checkpoint)
    assert same(resumed.network, whole.network)
    assert log_of(checkpoint) == told, "no line twice, and none missing"
    kept, wanted = (torch.load(path)["optimiser"]["state"] for path in sorted(checkpoint.parent.glob("*.checkpoint")))
    assert all(torch.equal(kept[n][key], wanted[n][key]) for n in kept for key in kept[n])


def test_what_is_finished_is_not_trained_again(checkpoint):
    first, again = Line(), Line()
    assert train(first, PLAN, checkpoint) == 0.0
    content = checkpoint.read_bytes()
    assert train(again, PLAN, checkpoint, stopping_at(1)) > 0.0, "the seconds that have gone into it"
    assert again.judged == 0 and checkpoint.read_bytes() == content
    assert same(again.network, first.network)


def test_seconds_add_up(checkpoint):
    with pytest.raises(KeyboardInterrupt):
        train(Line(), PLAN, checkpoint, stopping_at(6))
    state = torch.load(checkpoint)
    torch.save(state | {"past": {"step": 5, "seconds": 1000.0}}, checkpoint)
    assert train(Line(), PLAN, checkpoint) == 1000.0
    assert 1000.0 < torch.load(checkpoint)["past"]["seconds"] < 1060.0


def test_without_its_checkpoint_a_training_begins_anew_and_so_does_its_log(checkpoint):
    train(Line(), PLAN, checkpoint)
    checkpoint.unlink()
    train(Line(), PLAN, checkpoint)
    assert [found["step"] for found in log_of(checkpoint)] == [5, 10, 14]


@pytest.mark.parametrize(
    ("trainee", "plan"),
    [
        (Line(), Plan(steps=15, learning_rate=0.05, measure_every=5)),
        (Line(), Plan(steps=14, learning_rate=0.05, measure_every=5, seed=1)),
        (Line(width=4), PLAN),
        (Line(recipe={"batch": 16, "speech": "b2"}), PLAN),
    ],
)
def test_a_checkpoint_of_another_training_is_refused(checkpoint, trainee, plan):
    train(Line(), PLAN, checkpoint)
    content = checkpoint.read_bytes()
    assert "another training" in refusal(BadInputError, checkpoint, trainee, plan)
    assert checkpoint.read_bytes() == content and len(log_of(checkpoint)) == 3


def test_a_checkpoint_that_does_not_name_its_recipe_is_gone_on_from(checkpoint):
    train(Line(), PLAN, checkpoint)
    state = torch.load(checkpoint)
    del state["recipe"]
    torch.save(state, checkpoint)
    assert train(Line(), PLAN, checkpoint) > 0.0


@pytest.mark.parametrize("damage", ["truncated", "empty", "text", "a network's state", "a number", "a folder"])
def test_a_damaged_checkpoint_is_named(checkpoint, damage):
    trainee = Line()
    train(trainee, PLAN, checkpoint)
    content = checkpoint.read_bytes()
    checkpoint.unlink()
    match damage:
        case "truncated":
            checkpoint.write_bytes(content[: len(content) // 2])
        case "empty":
            checkpoint.touch()
        case "text":
            checkpoint.write_text("no checkpoint at all")
        case "a network's state":
            torch.save(trainee.network.state_dict(), checkpoint)
        case "a number":
            torch.save(torch.ones(1), checkpoint)
        case "a folder":
            checkpoint.mkdir()
    assert "is no checkpoint" in refusal(BadInputError, checkpoint)


def test_a_full_disk_keeps_the_checkpoint_before(checkpoint):
    with pytest.raises(KeyboardInterrupt):
        train(Line(), PLAN, checkpoint, stopping_at(6))
    content = checkpoint.read_bytes()
    part = checkpoint.with_name("line.checkpoint.part")
    part.symlink_to("/dev/full")
    assert "no space left on device" in refusal(BadOutputError, checkpoint)
    assert checkpoint.read_bytes() == content and not part.is_symlink()
    resumed, whole = Line(), Line()
    train(resumed, PLAN, checkpoint)
    train(whole, PLAN, checkpoint.with_name("whole.checkpoint"))
    assert same(resumed.network, whole.network)


def test_no_folder_no_training(tmp_path):
    assert "no such file or directory" in refusal(BadOutputError, tmp_path / "missing" / "line.checkpoint")
    assert not (tmp_path / "missing").exists()


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_lost_ends_the_training(checkpoint, value):
    with pytest.raises(VoxveilError) as caught:
        train(Line(factor=value), PLAN, checkpoint)
    assert one_sentence(f"voxveil: {caught.value}\n", "step 5") and caught.value.exit_code == 1
    assert not checkpoint.exists(), "nothing of it is kept"


@pytest.mark.parametrize("steps", [0, -3])
def test_a_training_has_a_step(steps):
    with pytest.raises(VoxveilError, match=f"at least one step, not {steps}\\.$"):
        Plan(steps, 0.1)
