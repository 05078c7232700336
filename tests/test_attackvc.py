"""AttackVC on waveforms and on mel spectra: its equations, its numbers, and that a voice moves within the budget."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny import tiny_network
from torch import Tensor

from voxveil import catalog, loading
from voxveil.clone.adain import AdaInConverter
from voxveil.errors import BadInputError, VoxveilError
from voxveil.models.conversion.adain_vc import AdaInVC
from voxveil.models.conversion.standard_mel import StandardMel
from voxveil.perturb.solvers import Descent
from voxveil.protectors import attackvc as recipe
from voxveil.protectors.attackvc import AttackVC, attackvc
from voxveil.protectors.attackvc_mel import AttackVCMel, LevelsAdditive
from voxveil.protectors.order import Order
from voxveil.protectors.target_voice import farthest
from voxveil.protectors.victims import all_refuse, steering
from voxveil.verify.scorers import cosine
from voxveil.verify.verifier import Verifier

ATTACKS = ("embedding", "end-to-end", "feedback")


def victim(seed: int = 0, threshold: float = 0.9) -> Verifier:
    return Verifier(f"tiny-{seed}", tiny_network(seed), cosine, threshold)


@pytest.fixture
def clip(speech: Tensor) -> Tensor:
    """Two clips of one channel, [2, 1, 8000]."""
    return speech[:, None, :8000]


def network() -> AdaInVC:
    torch.manual_seed(0)
    return AdaInVC(80, channels=12, bank_channels=4, bank_size=3, strides=(1, 2), dim=8).eval().requires_grad_(False)


def squared(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.square(one - other).reshape(len(one), -1).mean(1)


# Waveforms.


def test_the_loss_is_the_papers_summed_over_encoders(clip, generator):
    clean, target = clip[:, 0], torch.randn(2, 9000, generator=generator) * 0.1
    adversarial = clean + 0.01 * torch.randn(clean.shape, generator=generator)
    victims = [victim(0), victim(1)]
    wanted = np.zeros(2)
    for v in victims:
        came, away, to = (v.embedder(s).numpy().astype(float) for s in (adversarial, clean, target))
        wanted += came.shape[1] * (squared(came, to) - 0.1 * squared(came, away))
    found = steering(victims, clean, target, "mse", 0.1)(adversarial).numpy()
    assert found == pytest.approx(wanted, rel=1e-4) and (abs(wanted) > 0.1).all()


def test_the_published_numbers():
    made = AttackVC((victim(),))
    assert (made.epsilon, recipe.WEIGHT_LAMBDA) == (0.01, 0.1)
    assert made.solver() == Descent(150, 0.1, rule="adam", bound="squash", momentum=0.9, start=1.0)
    assert attackvc(Order((victim(),), effort="thorough")) == AttackVC((victim(),))
    light, strong = (attackvc(Order((victim(),), strength=s)) for s in ("light", "strong"))
    assert (light.epsilon, strong.epsilon) == (0.005, 0.02)


def test_it_starts_at_random_in_the_whole_budget(clip):
    start = torch.randn(2, 8000, generator=torch.Generator().manual_seed(3))
    made = AttackVC((victim(),), steps=0)(clip, seed=3) - clip
    assert torch.allclose(made[:, 0], 0.01 * torch.tanh(start), atol=1e-7)


def test_the_steps_are_those_of_adam(clip):
    """Against torch's optimiser and the equation written out."""
    encoder = deepcopy(tiny_network()).double()
    clean = clip[:1, 0, :4000].double()
    source, wanted = encoder(clean), encoder(farthest([encoder], clean))
    p = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0), dtype=clean.dtype).requires_grad_()
    optimiser = torch.optim.Adam([p], 0.1, betas=(0.9, 0.99))
    for _ in range(3):
        came = encoder(clean + 0.01 * torch.tanh(p))
        loss = (came - wanted).square().sum() - 0.1 * (came - source).square().sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    made = AttackVC((Verifier("tiny", encoder, cosine, 0.9),), steps=3)(clean[:, None], seed=0)
    assert torch.allclose(made[:, 0], clean + 0.01 * torch.tanh(p), rtol=0.0, atol=1e-9)


@pytest.mark.parametrize("epsilon", [0.002, 0.02])
def test_the_budget_holds_and_is_used(clip, epsilon):
    change = AttackVC((victim(),), epsilon, steps=6)(clip, seed=0) - clip
    assert 0.9 * epsilon < float(change.abs().max()) <= epsilon + 1e-7


def test_the_voice_moves_to_the_target_where_noise_of_the_budget_does_not(clip):
    v, clean = victim(), clip[:, 0]
    wanted = v.embedder(farthest([v.embedder], clean))
    noise, made = (AttackVC((v,), steps=n)(clip, seed=0)[:, 0] for n in (0, 20))
    assert bool((cosine(wanted, v.embedder(made)) > cosine(wanted, v.embedder(noise)) + 0.2).all())
    assert bool(
        (cosine(v.embedder(clean), v.embedder(made)) < cosine(v.embedder(clean), v.embedder(noise)) - 0.2).all()
    )
    assert all_refuse([v], clean, made).all()


def test_a_seed_is_a_result(clip):
    one, again, other = (AttackVC((victim(),), steps=2)(clip, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(one, again) and not torch.equal(one, other)


def test_all_channels_get_the_same_noise(clip):
    stereo = torch.cat([clip, 0.3 * clip.roll(40, -1)], dim=1)
    change = AttackVC((victim(),), steps=2)(stereo, seed=0) - stereo
    assert torch.allclose(change[:, 0], change[:, 1], atol=1e-7) and float(change.abs().max()) > 0.005
    inverted = torch.cat([clip, -clip], dim=1)
    found, alone = AttackVC((victim(),), steps=2)(inverted, seed=0), AttackVC((victim(),), steps=2)(clip, seed=0)
    assert torch.allclose(found[:, :1], alone, atol=1e-6)
    assert torch.equal(found[:, 1], -found[:, 0]), "a channel turned round is the same voice"


def test_progress_is_told(clip):
    told: list[float] = []
    AttackVC((victim(),), steps=4)(clip, seed=0, progress=told.append)
    assert told == [0.25, 0.5, 0.75, 1.0]


def converter() -> AdaInConverter:
    return loading.converter(catalog.ATTACKED["attackvc-mel"])


@pytest.mark.parametrize("method", ["antifake", "attackvc", "attackvc-mel", "clearmask", "veil", "voiceguard"])
def test_who_attacks_nobody_or_steers_to_the_speaker_is_told(clip, method):
    def recipe(order):
        return catalog.part("method", method)(replace(order, converter=converter))

    with pytest.raises(ValueError, match="at least one verifier"):
        recipe(Order(victims=()))
    fast = deepcopy(tiny_network())
    fast.sample_rate = 24_000
    with pytest.raises(ValueError, match="16 kHz"):
        recipe(Order(victims=(Verifier("fast", fast, cosine, 0.5),)))
    with pytest.raises(BadInputError, match="taken for the speaker"):
        recipe(Order((victim(),), effort="fast", target=clip[0]))(clip, 0)


# Mel spectra.


@pytest.mark.parametrize("attack", ATTACKS)
def test_the_three_losses(clip, attack, generator):
    net, mel = network(), StandardMel()
    x, y = mel(clip[:, 0]), mel(clip[:, 0].flip(0) * 0.5)
    changed = x + 0.1 * torch.randn(x.shape, generator=generator)
    with torch.no_grad():
        found = AttackVCMel(net, (victim(),), attack).objective(x, y)(changed).numpy()

        def outcome(levels: Tensor) -> np.ndarray:
            if attack == "embedding":
                return net.speaker_encoder(levels).numpy()
            said = net.decoder(net.content_encoder(y)[0], net.speaker_encoder(levels))[:, :, : y.shape[2]]
            return (said if attack == "end-to-end" else net.speaker_encoder(said)).numpy()

        wanted = outcome(y) if attack == "end-to-end" else net.speaker_encoder(y).numpy()
    came = outcome(changed)
    assert found == pytest.approx(squared(came, wanted) - 0.1 * squared(came, outcome(x)), rel=1e-4, abs=1e-9)


@pytest.mark.parametrize("attack", ATTACKS)
def test_the_converter_hears_another_voice(clip, attack):
    """Its loss falls within the budget of the levels; the published numbers are the defaults."""
    net, mel = network(), StandardMel()
    made = AttackVCMel(net, (victim(),), attack)
    assert (made.epsilon, made.steps) == (0.1, 1500)
    x = mel(clip[:, 0])
    loss = made.objective(x, mel(farthest([victim().embedder], clip[:, 0])))
    descent = Descent(15, 0.1, rule="adam", bound="squash", momentum=0.9, start=1.0)
    (amounts,) = descent(loss, LevelsAdditive(0.1, x), clip[:, 0], torch.Generator().manual_seed(0))
    assert 0.09 < float(amounts.abs().max()) <= 0.1
    noise = 0.1 * torch.tanh(torch.randn(x.shape, generator=torch.Generator().manual_seed(0)))
    with torch.no_grad():
        assert bool((loss(x + amounts) < loss(x + noise)).all())


def test_the_levels_become_sound_of_the_same_length(clip):
    stereo = torch.cat([clip, 0.5 * clip], dim=1)
    made = AttackVCMel(network(), (victim(),), steps=3)(stereo, seed=0)
    assert made.shape == stereo.shape
    levels, wanted = (StandardMel()(s[:, 0])[:, :, 4:-4] for s in (made, stereo))
    assert float((levels - wanted).abs().median()) < 0.2, "Griffin-Lim's sound has about the levels of the speech"
    assert torch.equal(made, AttackVCMel(network(), (victim(),), steps=3)(stereo, seed=0))


def test_bad_settings_of_the_mel_attack(clip):
    with pytest.raises(VoxveilError, match="no attack 'softly'; there is: embedding, end-to-end, feedback"):
        AttackVCMel(network(), (victim(),), "softly")
    with pytest.raises(BadInputError, match="frames of speech"):
        AttackVCMel(network(), (victim(),), steps=1)(clip[..., :700], seed=0)


def test_the_shipped_converter_is_what_the_name_attacks():
    made = catalog.part("method", "attackvc-mel")(
        Order((victim(),), effort="thorough", converter=converter), attack="feedback"
    )
    assert (made.attack, made.steps, made.epsilon) == ("feedback", 1500, 0.1)
    assert sum(p.numel() for p in made.network.parameters()) > 1e6
