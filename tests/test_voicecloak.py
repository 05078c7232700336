"""VoiceCloak: each loss beside a second implementation, one cheap gradient for all, and bounds that hold."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, softmax
from torch import Generator, Tensor

from voxveil import api, catalog, loading
from voxveil.errors import BadInputError, ModelUnavailableError, VoxveilError
from voxveil.models.conversion.autovc import SpeakerEncoder
from voxveil.models.conversion.diffvc import DiffVC
from voxveil.models.conversion.diffvc_decoder import Estimate
from voxveil.models.conversion.standard_mel import StandardMel
from voxveil.perturb.diffusion_objectives import (
    context_divergence,
    early_times,
    score_magnitude,
    semantic_corruption,
)
from voxveil.protectors import voicecloak as module
from voxveil.protectors.floored import Floored
from voxveil.protectors.order import Order
from voxveil.protectors.voicecloak import EPSILON, VoiceCloak, Weights, voicecloak
from voxveil.verify.scorers import cosine
from voxveil.verify.verifier import Verifier

TERMS = ("identity", "context", "score", "semantics")


@dataclass
class Colour:
    """A toy speaker encoder: the clip's long-term log spectrum."""

    calls: int = 0
    sample_rate = 16_000
    differentiable = True

    def __call__(self, speech: Tensor) -> Tensor:
        self.calls += 1
        frames = speech.unfold(-1, 256, 256) * torch.hann_window(256, dtype=speech.dtype)
        levels = (torch.fft.rfft(frames).abs().square().mean(1) + 1e-6).log()[:, :32]
        return torch.nn.functional.normalize(levels - levels.mean(-1, keepdim=True), dim=-1)

    def coarse(self) -> Colour:
        return self


@pytest.fixture
def converter() -> SimpleNamespace:
    torch.manual_seed(0)
    network = DiffVC(80, 8, 8, layers=1, postnet_channels=8, decoder_channels=8, condition_channels=8, embedding_dim=4)
    return SimpleNamespace(network=network.eval(), speaker_encoder=SpeakerEncoder(80, width=6, dim=4).eval())


@pytest.fixture
def clips(speech: Tensor, monkeypatch: pytest.MonkeyPatch) -> Tensor:
    """Two clips of a quarter of a second, allowed here, and two times of six: the tests take as much less time."""
    monkeypatch.setattr(module, "LEAST_REFERENCE_S", 0.25)
    monkeypatch.setattr(module, "early_times", lambda steps: early_times(2, steps))
    return speech[:, 8_000:12_000]


def only(term: str) -> Weights:
    return Weights().without([other for other in TERMS if other != term])


def cloak(converter: SimpleNamespace, **settings: object) -> VoiceCloak:
    return VoiceCloak(converter, (Verifier("colour", Colour(), cosine, threshold=0.999),), **{"steps": 4, **settings})


def estimates(converter: SimpleNamespace, count: int) -> list[Estimate]:
    network, generator = converter.network, Generator().manual_seed(3)
    source = network.utterance(torch.randn(2, 80, 20, generator=generator))
    time = torch.tensor([0.9, 0.5])
    made = []
    for _ in range(count):
        reference = network.utterance(torch.randn(2, 80, 24, generator=generator))
        voice = torch.randn(2, 4, generator=generator)
        made.append(network.decoder(source.mel, time, source, reference, voice))
    return made


# Each loss.


@torch.no_grad()
def test_the_contexts_diverge_as_in_numpy(converter: SimpleNamespace) -> None:
    clean, other = estimates(converter, 2)
    found = context_divergence([40 * c for c in clean.contexts], [40 * c for c in other.contexts]).numpy()
    summed = [40 * np.sum([c.numpy() for c in each.contexts], axis=0) for each in (clean, other)]
    share = softmax(summed[0], axis=-1)
    wanted = (share * (log_softmax(summed[0], axis=-1) - log_softmax(summed[1], axis=-1))).sum(-1).mean((1, 2))
    assert wanted.min() > 1e-4
    assert found == pytest.approx(wanted, rel=1e-3)
    assert context_divergence(clean.contexts, clean.contexts).abs().max() == 0.0


@torch.no_grad()
def test_scores_and_features_are_measured_as_in_numpy(converter: SimpleNamespace) -> None:
    found, clean, noise = estimates(converter, 3)
    score = found.score.numpy()
    assert score_magnitude(found.score).numpy() == pytest.approx(np.sqrt((score**2).mean((1, 2))), rel=1e-5)

    def alike(one: Tensor, other: Tensor) -> np.ndarray:
        a, b = (x.flatten(1).double().numpy() for x in (one, other))
        return (a * b).sum(1) / np.sqrt((a**2).sum(1) * (b**2).sum(1))

    layers = zip(found.up_features, clean.up_features, noise.up_features, strict=True)
    wanted = np.mean([1 - alike(f, c) + alike(f, n) for f, c, n in layers], axis=0)
    made = semantic_corruption(found.up_features, clean.up_features, noise.up_features).numpy()
    assert made == pytest.approx(wanted, abs=1e-5)


def test_the_first_times_are_those_of_the_published_sampler() -> None:
    assert early_times().tolist() == pytest.approx([1.0, 0.99, 0.98, 0.97, 0.96, 0.95])
    assert early_times(steps=6).tolist() == pytest.approx([1.0, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6])


@pytest.mark.parametrize("sampler_steps", [6, 100])
def test_the_protector_looks_at_the_first_six_times_of_every_clip(
    converter: SimpleNamespace, speech: Tensor, sampler_steps: int
) -> None:
    objective = cloak(converter, sampler_steps=sampler_steps).objective(speech[:, :2_000], Generator().manual_seed(0))
    (rows,) = objective.terms[-1][1].parts
    assert rows.time.tolist() == early_times(steps=sampler_steps).repeat_interleave(2).tolist()
    assert rows.clip.tolist() == 6 * [0, 1]


@torch.no_grad()
def test_the_objective_is_the_sum_over_single_times_and_clips(converter: SimpleNamespace, clips: Tensor) -> None:
    """Beside one pass of the network for every time, clip and kind of reference, with all four weights."""
    mel, network, times, rows = StandardMel(), converter.network, early_times(2, 6), 4
    generator = Generator().manual_seed(5)
    drawn = torch.randn(clips.shape, generator=generator)
    noise = drawn * clips.square().mean(1, keepdim=True).sqrt()
    blur = torch.randn((2, 2, 80, 15), generator=generator)
    adversarial = clips + 0.01 * torch.randn(clips.shape, generator=Generator().manual_seed(6))

    def passed(source: Tensor, reference: Tensor, time: Tensor, blur: Tensor) -> Estimate:
        said, heard = (network.utterance(mel(speech[None])) for speech in (source, reference))
        voice = converter.speaker_encoder.speaker(heard.mel)
        noisy = network.decoder.schedule.noised(said, time[None], blur[None])
        return network.decoder(noisy, time[None], said, heard, voice)

    wanted = torch.zeros(2)
    for index in range(rows):
        step, clip = divmod(index, 2)
        time, mixed = times[step], blur[step, clip]
        clean = passed(clips[clip], clips[clip], time, mixed)
        found = passed(clips[clip], adversarial[clip], time, mixed)
        unstructured = passed(noise[clip], noise[clip], time, mixed)
        wanted[clip] -= 4.5 / 2 * context_divergence(clean.contexts, found.contexts)[0]
        wanted[clip] -= 10 / 2 * score_magnitude(found.score)[0]
        corrupted = semantic_corruption(found.up_features, clean.up_features, unstructured.up_features)
        wanted[clip] -= 0.85 / 2 * corrupted[0]
    before, after = Colour()(clips), Colour()(adversarial)
    wanted -= 1 - torch.cosine_similarity(before, after)
    made = cloak(converter).objective(clips, Generator().manual_seed(5))(adversarial)
    assert made.numpy() == pytest.approx(wanted.numpy(), rel=1e-4)


# The gradient.


@pytest.mark.parametrize("term", [None, *TERMS])
def test_the_gradient_is_that_of_finite_differences(
    converter: SimpleNamespace, clips: Tensor, generator: Generator, term: str | None
) -> None:
    converter.network.double(), converter.speaker_encoder.double()
    clean = clips.double()
    weights = Weights() if term is None else only(term)
    objective = cloak(converter, weights=weights).objective(clean, generator)
    at = clean + 1e-3 * torch.randn(clean.shape, generator=generator, dtype=torch.float64)
    leaf = at.clone().requires_grad_()
    (slope,) = torch.autograd.grad(objective(leaf).sum(), leaf)
    way = torch.randn(clean.shape, generator=generator, dtype=torch.float64) * (slope / slope.norm()).abs().sqrt()
    way = way + slope / slope.norm()
    small = 1e-5 / way.norm()
    with torch.no_grad():
        rise = float((objective(at + small * way) - objective(at - small * way)).sum() / (2 * small))
    assert rise == pytest.approx(float((slope * way).sum()), rel=1e-4)
    assert abs(rise) > 0


def test_a_pass_that_is_computed_again_has_the_same_gradient(converter: SimpleNamespace, clips: Tensor) -> None:
    found = []
    for memory in (float("inf"), 1.0):
        objective = cloak(converter, memory_bytes=memory).objective(clips, Generator().manual_seed(0))
        disrupt = objective.terms[-1][1]
        leaf = (clips + 1e-3).requires_grad_()
        loss = objective(leaf)
        found.append((len(disrupt.parts), loss.detach(), *torch.autograd.grad(loss.sum(), leaf)))
    (whole, loss, slope), (parts, again, slope_again) = found
    assert (whole, parts) == (1, 4)
    assert torch.allclose(loss, again, rtol=1e-5)
    assert torch.allclose(slope, slope_again, rtol=1e-3, atol=1e-5 * float(slope.abs().max()))


def test_a_step_is_one_pass_and_the_clean_speech_is_seen_once(
    converter: SimpleNamespace, clips: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded, heard, backward = [], [], []
    converter.network.decoder.register_forward_hook(lambda *_: decoded.append(1))
    converter.network.encoder.register_forward_hook(lambda *_: heard.append(1))
    real = torch.autograd.grad
    monkeypatch.setattr(torch.autograd, "grad", lambda *a, **k: (backward.append(1), real(*a, **k))[1])
    protector = cloak(converter, steps=3)
    protector(clips[:1, None], seed=0)
    # Once the clean speech and once noise, then a pass a step.
    assert (len(decoded), len(heard), len(backward)) == (2 + 3, 2 + 3, 3)
    assert protector.victims[0].embedder.calls == 1 + 3


# What it does.


@pytest.mark.parametrize("term", TERMS)
def test_each_loss_alone_leads_its_measure_the_right_way(converter: SimpleNamespace, clips: Tensor, term: str) -> None:
    protector, clips = cloak(converter, weights=only(term), steps=8), clips[:1]
    made = protector(clips[:, None], seed=0)[:, 0]
    noisy = clips + 0.002 * torch.randn(clips.shape, generator=Generator().manual_seed(1)).sign()
    measure = protector.objective(clips, Generator().manual_seed(0))
    with torch.no_grad():
        before, random, after = measure(clips), measure(noisy), measure(made)
    assert bool((after < torch.minimum(before, random)).all())


def test_a_loss_that_is_left_out_is_not_felt(converter: SimpleNamespace, clips: Tensor) -> None:
    decoded: list[int] = []
    converter.network.decoder.register_forward_pre_hook(lambda *_: decoded.append(1))
    alone = cloak(converter, weights=only("identity"))(clips[:, None], seed=0)
    assert not decoded
    assert not torch.equal(cloak(converter)(clips[:, None], seed=0), alone) and decoded


def test_without_the_identity_no_encoder_is_asked_or_needed(converter: SimpleNamespace, clips: Tensor) -> None:
    weights = Weights().without(["identity"])
    protector = cloak(converter, weights=weights)
    alone = replace(protector, victims=())(clips[:, None], seed=0)
    assert torch.equal(protector(clips[:, None], seed=0), alone)
    assert protector.victims[0].embedder.calls == 0
    assert not torch.equal(cloak(converter)(clips[:, None], seed=0), alone)


def test_a_target_is_approached(converter: SimpleNamespace, clips: Tensor) -> None:
    settings = {"weights": only("identity"), "steps": 8}
    aimed = cloak(converter, target=clips[1:], **settings)(clips[:1, None], seed=0)[:, 0]
    astray = cloak(converter, **settings)(clips[:1, None], seed=0)[:, 0]
    goal = Colour()(clips[1:])
    near, far, before = (float(torch.cosine_similarity(Colour()(x), goal)) for x in (aimed, astray, clips[:1]))
    assert near > far and near > before


@pytest.mark.parametrize("epsilon", [0.002, 0.01])
def test_no_sample_leaves_the_budget_and_channels_change_alike(
    converter: SimpleNamespace, clips: Tensor, epsilon: float
) -> None:
    stereo = torch.stack([clips[0], 0.5 * clips[0].roll(9)])[None]
    change = cloak(converter, epsilon=epsilon)(stereo, seed=0) - stereo
    assert 0.9 * epsilon < float(change.abs().max()) <= epsilon + 1e-7
    assert torch.allclose(change[0, 0], change[0, 1], atol=1e-7)


def test_a_seed_is_a_result_and_progress_ends_at_one(converter: SimpleNamespace, clips: Tensor) -> None:
    seen: list[float] = []
    first = cloak(converter)(clips[:, None], seed=1, progress=seen.append)
    again, other = (cloak(converter)(clips[:, None], seed=seed) for seed in (1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert seen == [step / 8 for step in range(1, 9)]


def test_a_cpu_protects_one_clip_after_the_other(converter: SimpleNamespace, clips: Tensor) -> None:
    together = cloak(converter)(clips[:, None], seed=1)
    alone = torch.cat([cloak(converter)(clip[None, None], seed=1) for clip in clips])
    assert torch.equal(together, alone) and not torch.equal(together[0], together[1])


# What is asked of it.


def test_an_order_is_put_into_numbers(converter: SimpleNamespace, clips: Tensor) -> None:
    victims = (Verifier("colour", Colour(), cosine, threshold=0.999),)
    order = Order(victims, "strong", "fast", target=clips[1:], converter=lambda: converter)
    made = voicecloak(order, without=("score", "context"))
    assert (made.epsilon, made.steps, made.weights) == (0.004, 10, Weights(1.0, 0.0, 0.0, 0.85))
    assert made.converter is converter and made.target is order.target
    thorough = voicecloak(replace(order, strength="medium", effort="thorough"))
    assert (thorough.epsilon, thorough.steps, thorough.weights) == (0.002, 50, Weights(1.0, 4.5, 10.0, 0.85))
    assert EPSILON["light"] * 4 == EPSILON["strong"]
    assert catalog.part("method", "voicecloak") is voicecloak and catalog.ATTACKED["voicecloak"] == "diffvc"
    held = voicecloak(replace(order, quality_floor=4.0, quality=lambda clean, made: torch.zeros(len(clean))))
    assert isinstance(held, Floored) and held.protector == made.__class__(
        converter, victims, Weights(), 0.004, 10, order.target
    )


def test_by_name_it_attacks_the_converter_of_the_package(speech: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    made = api.make_protector("voicecloak", "medium", None, "fast", "auto", ("xvector",), "cpu", without=("identity",))
    assert made.converter is loading.converter("diffvc")
    clean = speech[:1, None, 8_000:12_000]
    monkeypatch.setattr(module, "LEAST_REFERENCE_S", 0.25)
    change = replace(made, steps=2)(clean, seed=0) - clean
    assert 0.0 < float(change.abs().max()) <= 0.002 + 1e-7


def test_what_cannot_be_done_is_said(converter: SimpleNamespace) -> None:
    with pytest.raises(BadInputError, match=r"Speech of 0.90 s is too short for VoiceCloak: .* at least 1 s."):
        cloak(converter)(torch.ones(1, 1, 14_400), seed=0)
    with pytest.raises(VoxveilError, match="no loss 'quality'"):
        voicecloak(Order(()), without=("quality",))
    with pytest.raises(VoxveilError, match="leave it one"):
        cloak(converter, weights=Weights().without(TERMS))
    with pytest.raises(ValueError, match="at least one verifier"):
        VoiceCloak(converter, ())
    with pytest.raises(ModelUnavailableError, match="'nobody'"):
        api.make_protector("voicecloak", "medium", None, "fast", "auto", ("nobody",), "cpu")
