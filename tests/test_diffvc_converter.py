"""DiffVC learns in two parts, each where it should, and clones by the published sampler."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Generator, Tensor, nn

from voxveil.clone.adaptation import adapted
from voxveil.clone.diffvc import AVERAGE_UNTIL, LEAST_TIME, LEVELS, SAMPLER_STEPS, DiffVCConverter, spread_times
from voxveil.models.conversion.diffvc_diffusion import Schedule
from voxveil.models.conversion.diffvc_sampler import believable
from voxveil.models.conversion.standard_mel import StandardMel
from voxveil.train.conversion import in_disguise


@pytest.fixture
def converter() -> DiffVCConverter:
    torch.manual_seed(0)
    return DiffVCConverter(16, 16, 1, 8, channels=8, condition_channels=8, speaker_width=6, dim=4)


def _levels(*sizes: int) -> tuple[Tensor, ...]:
    generator = Generator().manual_seed(1)
    return tuple(torch.randn(3, 80, frames, generator=generator) for frames in sizes)


def _learns(module: nn.Module) -> bool:
    gradients = [parameter.grad for parameter in module.parameters()]
    return any(gradient is not None for gradient in gradients)


@pytest.mark.parametrize(("done", "learns"), [(0.0, [True, False, False]), (AVERAGE_UNTIL, [False, True, True])])
def test_first_the_average_voice_learns_then_everything_else(
    converter: DiffVCConverter, done: float, learns: list[bool]
) -> None:
    disguised, reference, target = _levels(24, 30, 24)
    converter.loss(disguised, reference, target, done, Generator().manual_seed(0)).backward()
    parts = (converter.network.encoder, converter.network.decoder, converter.speaker_encoder)
    assert [_learns(part) for part in parts] == learns


def test_the_average_voice_is_to_be_near_another_disguise(converter: DiffVCConverter) -> None:
    disguised, reference, target = _levels(24, 30, 24)
    loss = converter.loss(disguised, reference, target, 0.0, Generator().manual_seed(7))
    wanted = in_disguise(target, Generator().manual_seed(7)).numpy()
    average = converter.network.utterance(disguised).average.detach().numpy()
    assert float(loss.detach()) == pytest.approx(np.square(average - wanted).mean(), rel=1e-5)


def test_the_second_part_is_score_matching_on_the_average_of_the_disguise(converter: DiffVCConverter) -> None:
    disguised, reference, target = _levels(24, 30, 24)
    loss = converter.loss(disguised, reference, target, 1.0, Generator().manual_seed(7))
    generator = Generator().manual_seed(7)
    time, noise = spread_times(3, generator), torch.randn(3, 80, 24, generator=generator)
    with torch.no_grad():
        said, heard = converter.network.utterance(disguised), converter.network.utterance(reference)
        left = (-0.5 * (0.05 * time + 19.95 * time.square() / 2)).exp()[:, None, None]
        level = (1.0 - left.square()).sqrt()
        noisy = left * target + (1.0 - left) * said.average + level * noise
        score = converter.network.decoder(noisy, time, said, heard, converter.speaker_encoder(reference)).score
    assert float(loss.detach()) == pytest.approx(float((level * score + noise).square().mean()), rel=1e-4)


def test_times_are_spread_over_all_that_the_sampler_asks_for() -> None:
    times = torch.stack([spread_times(8, Generator().manual_seed(seed)) for seed in range(500)])
    part = (1.0 - LEAST_TIME) / 8
    assert torch.equal(((times - LEAST_TIME) / part).floor().clamp_max(7), torch.arange(8.0).expand(500, -1))
    assert LEAST_TIME <= 1.0 / SAMPLER_STEPS
    assert np.allclose(times.mean(0).numpy(), LEAST_TIME + part * (np.arange(8) + 0.5), atol=0.01)


def test_a_conversion_is_the_published_fast_sampler_and_random_by_its_generator(converter: DiffVCConverter) -> None:
    content, reference = _levels(21, 30)
    converter.eval()
    with torch.no_grad():
        first, again, other = (converter(content, reference, Generator().manual_seed(s)) for s in (4, 4, 5))
        network = converter.network
        wanted = network.convert(
            network.utterance(content),
            network.utterance(reference),
            converter.speaker_encoder.speaker(reference),
            steps=6,
            method="ml",
            levels=LEVELS,
            generator=Generator().manual_seed(4),
        )
    assert first.shape == content.shape
    assert torch.equal(first, again) and torch.equal(first, wanted)
    assert not torch.allclose(first, other)


def test_a_voice_is_learned_by_the_decoder_and_not_by_the_average(converter: DiffVCConverter, speech: Tensor) -> None:
    familiar = adapted(converter.eval(), StandardMel(), [speech[1]], [speech[0]], [], steps=1, seed=0)
    was, now = (dict(network.network.named_parameters()) for network in (converter, familiar))
    moved = {name.split(".")[0] for name in was if not torch.equal(was[name], now[name])}
    assert moved == {"decoder"}


def test_a_score_is_changed_only_where_it_believes_in_an_impossible_voice() -> None:
    noisy, average, raw = _levels(12, 12, 12)
    time = torch.tensor([0.2, 0.5, 0.9])
    out = believable(lambda *_: raw, average, Schedule(), -3.0, 4.0)(noisy, time).double().numpy()
    left = np.exp(-0.5 * (0.05 * time.double() + 19.95 * time.double().square() / 2).numpy())[:, None, None]
    level, mean = 1.0 - left**2, (1.0 - left) * average.double().numpy()
    believed = (noisy.double().numpy() + level * raw.double().numpy() - mean) / left
    inside = (believed > -2.99) & (believed < 3.99)
    assert 0.05 < inside.mean() < 0.95
    assert np.allclose(out[inside], raw.numpy()[inside], atol=1e-4)
    assert np.allclose((noisy.numpy() + level * out - mean) / left, believed.clip(-3.0, 4.0), atol=1e-3)


def test_levels_hold_all_that_the_front_end_gives() -> None:
    mel, time = StandardMel(), torch.arange(16_000) / 16_000
    tones = torch.stack([torch.sin(2 * torch.pi * hz * time) for hz in (60.0, 200.0, 700.0, 3000.0)])
    assert float(mel(tones).max()) < LEVELS[1]
    assert LEVELS[0] < float(mel(torch.zeros(1, 16_000)).min())


def test_an_untrained_network_says_nothing_impossible(converter: DiffVCConverter) -> None:
    content, reference = _levels(21, 30)
    out = converter.eval()(content, reference, Generator().manual_seed(0)).detach()
    assert LEVELS[0] - 1e-3 <= float(out.min()) and float(out.max()) <= LEVELS[1] + 1e-3
