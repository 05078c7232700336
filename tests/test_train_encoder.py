"""How an encoder is trained: what its head sees is what the trained network gives, and it learns."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile as sf
import torch
import torch.nn.functional as F
from running import DATA
from tiny import SIZE
from torch import Generator, Tensor, nn

from voxveil.models.speaker.xvector import XVector
from voxveil.train.encoder import MARGIN, EncoderTrainee, fold
from voxveil.train.speech_bank import SpeechBank

LAST = "blocks.16.w"


@pytest.fixture(scope="module")
def bank() -> SpeechBank:
    paths = sorted(DATA.glob("*.flac"))
    clips = (sf.read(path, dtype=np.float32)[0] for path in paths)
    return SpeechBank(clips, [path.stem.partition("-")[0] for path in paths], (1.0, 0.9))


def trainee(bank: SpeechBank, last: str | None = LAST, half: bool = False, **settings: float) -> EncoderTrainee:
    torch.manual_seed(0)
    encoder = XVector(**SIZE)
    layer = None if last is None else encoder.get_submodule(last)
    return EncoderTrainee(encoder, bank, 6, half, last=layer, **settings)


def seeded(seed: int) -> Generator:
    return Generator().manual_seed(seed)


def taught(learner: EncoderTrainee, steps: int) -> list[float]:
    """The losses of one batch, over and over."""
    optimiser = torch.optim.AdamW(learner.network.parameters(), 0.01)
    losses = []
    for _ in range(steps):
        loss = learner.loss(0.0, seeded(1))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize(("last", "half"), [(LAST, True), (None, False)])
def test_it_learns_and_every_weight_has_its_part(bank, last, half):
    learner = trainee(bank, last, half)
    before = {name: weight.detach().clone() for name, weight in learner.network.named_parameters()}
    losses = taught(learner, 8)
    assert losses[-1] < 0.8 * losses[0]
    assert all(not torch.equal(weight, before[name]) for name, weight in learner.network.named_parameters())
    assert all(weight.dtype == torch.float32 for weight in learner.network.parameters())


@pytest.mark.parametrize("last", [LAST, None])
def test_the_trained_encoder_gives_what_the_head_has_seen(bank, last):
    learner = trainee(bank, last)
    taught(learner, 2)
    state = {name: tensor.clone() for name, tensor in learner.network.state_dict().items()}
    speech = bank.crops(5, 20_000, seeded(2))[0]
    with torch.no_grad():
        given = learner.trained()(speech)
        learner.network.eval()
        seen = learner.centring(learner.encoder.embed(learner.encoder.features(speech)))
    torch.testing.assert_close(given, F.normalize(seen, dim=1), atol=1e-5, rtol=1e-5)
    assert all(torch.equal(tensor, state[name]) for name, tensor in learner.network.state_dict().items())
    assert learner.network["encoder"] is learner.encoder, "the copy is another network"


def test_behind_the_last_layer_every_dimension_is_standardised(bank):
    learner, seen = trainee(bank), []
    learner.centring.register_forward_hook(lambda *called: seen.append(called[-1]))
    learner.loss(0.0, seeded(1))
    torch.testing.assert_close(seen[0].mean(0), torch.zeros(16), atol=1e-5, rtol=0)
    torch.testing.assert_close(seen[0].var(0, correction=0), torch.ones(16), atol=1e-2, rtol=0)


@pytest.mark.parametrize(("done", "share"), [(0.0, 0.0), (0.1, 0.25), (0.4, 1.0), (0.9, 1.0)])
def test_the_margin_rises_in_a_line(bank, done, share):
    learner = trainee(bank, margin_rises_until=0.4)
    learner.loss(done, seeded(1))
    assert learner.head.margin == pytest.approx(share * MARGIN)


def test_the_loss_is_the_generators(bank):
    losses = [trainee(bank).loss(0.5, seeded(seed)).item() for seed in (1, 1, 2)]
    assert losses[0] == losses[1] != losses[2]
    assert trainee(bank, half=True).loss(0.5, seeded(1)).item() == pytest.approx(losses[0], rel=0.02)


def test_what_makes_a_training_is_told(bank):
    """Batch, precision, surroundings and speech: nothing else but the plan and the network."""
    made = trainee(bank).recipe
    other = SpeechBank([np.ones(100, np.float32)] * 2, ["ann", "bob"])
    assert made == trainee(bank).recipe
    for changed in (trainee(bank, half=True), trainee(other), trainee(bank, margin_rises_until=0.5)):
        assert changed.recipe != made


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Linear(4, 6), (3, 4)),
        (nn.Conv1d(4, 6, 1), (3, 4, 1)),
        (nn.Conv1d(4, 6, 3, padding=1), (3, 4, 10)),
    ],
)
def test_a_layer_takes_the_step_behind_it_in(layer, shape, generator):
    x = torch.randn(shape, dtype=torch.float64, generator=generator)
    centring = nn.BatchNorm1d(6, affine=False, momentum=1.0).double()
    centring(10.0 * torch.randn(50, 6, dtype=torch.float64, generator=generator) + 5.0)
    layer.double()
    wanted: Tensor = centring.eval()(layer(x))
    fold(centring, layer)
    torch.testing.assert_close(layer(x), wanted)
