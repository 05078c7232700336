"""DiffVC: the published names and shapes, the published code's answers, and what the diffusion promises."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from plain_layers import Shapes, affine, shapes, softmax, spelled
from scipy.integrate import quad
from torch import Tensor, nn

from voxveil.audio.mel import MelSpectrogram
from voxveil.audio.spectrum import Stft
from voxveil.errors import BadInputError
from voxveil.models.conversion import diffvc, diffvc_sampler
from voxveil.models.conversion.diffvc import DiffVC
from voxveil.models.conversion.diffvc_blocks import LinearAttention
from voxveil.models.conversion.diffvc_decoder import Estimate
from voxveil.models.conversion.diffvc_diffusion import Schedule, Utterance
from voxveil.models.conversion.diffvc_encoder import RelativeAttention
from voxveil.models.conversion.diffvc_sampler import Method, sample

METHODS: tuple[Method, ...] = ("ml", "em", "pf")
ZERO, ONE = torch.zeros((), dtype=torch.float64), torch.ones((), dtype=torch.float64)


def tiny(n_mels: int = 8) -> DiffVC:
    return DiffVC(n_mels, 8, 16, 2, 2, 0.1, 8, 8, 4)


def rippling(network: Any) -> Any:
    """``network`` in float64 and eval mode, every weight a sample of a sine, so that other code can have the same."""
    network = network.double().eval()
    for index, (name, tensor) in enumerate(sorted(network.state_dict().items())):
        wave = torch.sin(0.7 * torch.arange(tensor.numel(), dtype=torch.float64) + index).view(tensor.shape)
        centre = 0.0 if name.endswith(("bias", "beta")) else 1.0
        tensor.copy_(wave * 0.8 / tensor[0].numel() ** 0.5 if tensor.dim() > 1 else centre + 0.3 * wave)
    return network.requires_grad_(False)


def ripples(*shape: int) -> Tensor:
    return torch.sin(0.37 * torch.arange(math.prod(shape), dtype=torch.float64) ** 1.1).view(shape)


@pytest.fixture
def model() -> DiffVC:
    return rippling(tiny())


def spoken(model: DiffVC, clips: int = 2, frames: int = 8) -> Utterance:
    return model.utterance(2.0 * ripples(clips, 8, frames) - 3.0)


def heard(model: DiffVC, clips: int = 2, frames: int = 11) -> Utterance:
    return model.utterance(2.0 * ripples(clips, 8, frames).flip(2) - 3.0)


def voices(clips: int = 2) -> Tensor:
    return ripples(clips, 256).abs()


def estimate(model: DiffVC, reference: Utterance, embedding: Tensor, time: float = 0.4) -> Estimate:
    source = spoken(model, len(embedding))
    return model.decoder(source.mel, torch.full_like(embedding[:, 0], time), source, reference, embedding)


# ---- as published


def stage(name: str, width_in: int, width: int) -> Shapes:
    return {
        **affine(name + ".{i}.mlp.1", width, 256, i=2),
        **affine(name + ".0.block1.block.0", width, width_in, 3, 3),
        **affine(name + ".1.block1.block.0", width, width, 3, 3),
        **affine(name + ".{i}.block2.block.0", width, width, 3, 3, i=2),
        **affine(name + ".{i}.block{j}.block.1", width, i=2, j=(1, 2)),
        **affine(name + ".0.res_conv", width, width_in, 1, 1),
        **attention(name + ".2", width),
    }


def attention(name: str, width: int) -> Shapes:
    qkv = {f"{name}.fn.g": (1,), f"{name}.fn.fn.to_qkv.weight": (384, width, 1, 1)}
    return qkv | affine(f"{name}.fn.fn.to_out", width, 128, 1, 1)


def norms(name: str, **numbers: object) -> Shapes:
    return {f"{full}.{part}": (192,) for full in spelled(name, **numbers) for part in ("gamma", "beta")}


def transposed(name: str, width: int) -> Shapes:
    return affine(name, width, width, 4, 4)


PUBLISHED_ENCODER = {
    **affine("encoder.init_proj", 192, 80, 1),
    **affine("encoder.prenet.conv_layers.{i}", 192, 192, 5, i=3),
    **norms("encoder.prenet.norm_layers.{i}", i=3),
    **affine("encoder.prenet.proj", 192, 192, 1),
    **{f"encoder.encoder.attn_layers.{i}.emb_rel_{part}": (1, 9, 96) for i in range(6) for part in "kv"},
    **affine("encoder.encoder.attn_layers.{i}.conv_{part}", 192, 192, 1, i=6, part="qkvo"),
    **norms("encoder.encoder.norm_layers_{j}.{i}", j=(1, 2), i=6),
    **affine("encoder.encoder.ffn_layers.{i}.conv_1", 768, 192, 3, i=6),
    **affine("encoder.encoder.ffn_layers.{i}.conv_2", 192, 768, 3, i=6),
    **affine("encoder.term_proj", 80, 192, 1),
    **affine("postnet.init_conv", 128, 1, 1, 1),
    **affine("postnet.res_block.block{i}.block.0", 128, 128, 7, 7, i=(1, 2)),
    **affine("postnet.res_block.block{i}.block.1", 128, i=(1, 2)),
    **affine("postnet.res_block.res", 128, 128, 1, 1),
    **affine("postnet.final_conv", 1, 128, 1, 1),
}
PUBLISHED_DECODER = {
    **affine("mlp.0", 1024, 256),
    **affine("mlp.2", 256, 1024),
    **affine("ref_block.mlp1.1", 32, 256),
    **affine("ref_block.mlp2.1", 64, 256),
    **affine("ref_block.block11.0", 64, 1, 3, 3),
    **affine("ref_block.block12.0", 64, 32, 3, 3),
    **affine("ref_block.block21.0", 128, 32, 3, 3),
    **affine("ref_block.block22.0", 128, 64, 3, 3),
    **affine("ref_block.block31.0", 256, 64, 3, 3),
    **affine("ref_block.block32.0", 256, 128, 3, 3),
    **affine("ref_block.block1{i}.1", 64, i=(1, 2)),
    **affine("ref_block.block2{i}.1", 128, i=(1, 2)),
    **affine("ref_block.block3{i}.1", 256, i=(1, 2)),
    **affine("ref_block.final_conv", 128, 128, 1, 1),
    **affine("cond_block.0", 512, 640),
    **affine("cond_block.2", 128, 512),
    **stage("downs.0", 130, 256),
    **affine("downs.0.3.conv", 256, 256, 3, 3),
    **stage("downs.1", 256, 512),
    **affine("downs.1.3.conv", 512, 512, 3, 3),
    **stage("downs.2", 512, 1024),
    **affine("mid_block{i}.mlp.1", 1024, 256, i=(1, 2)),
    **affine("mid_block{i}.block{j}.block.0", 1024, 1024, 3, 3, i=(1, 2), j=(1, 2)),
    **affine("mid_block{i}.block{j}.block.1", 1024, i=(1, 2), j=(1, 2)),
    **attention("mid_attn", 1024),
    **stage("ups.0", 2048, 512),
    **transposed("ups.0.3.conv", 512),
    **stage("ups.1", 1024, 256),
    **transposed("ups.1.3.conv", 256),
    **affine("final_block.block.0", 256, 256, 3, 3),
    **affine("final_block.block.1", 256),
    **affine("final_conv", 1, 256, 1, 1),
}


def test_names_and_shapes_are_the_published_ones() -> None:
    with torch.device("meta"):
        model = DiffVC()
    assert shapes(model.encoder) == PUBLISHED_ENCODER
    assert shapes(model.decoder.estimator) == PUBLISHED_DECODER
    assert {name.split(".")[0] for name in model.state_dict()} == {"encoder", "decoder"}
    assert all(name.startswith("estimator.") for name in model.decoder.state_dict())
    sizes = [sum(p.numel() for p in part.parameters()) for part in (model.encoder, model.decoder)]
    assert sizes == [8_464_529, 117_794_599]


def test_a_state_dict_loads_strictly() -> None:
    source, target = tiny(), tiny()
    target.load_state_dict(source.state_dict(), strict=True)
    assert all(torch.equal(a, b) for a, b in zip(source.parameters(), target.parameters(), strict=True))
    with pytest.raises(RuntimeError, match=r"decoder\.estimator\.mlp\.0\.bias"):
        target.load_state_dict({k: v for k, v in source.state_dict().items() if not k.endswith("estimator.mlp.0.bias")})


# What Speech-Backbones' own DiffVC (commit 7782c7a) answers for bands 2 and 5 in frames 0 and 5, in float64, with
# `rippling` weights and inputs: two sources of 8 and 7 frames, two references of 10 and 11. Its time embedding, which
# casts to float32 on the way, was held in float64.
ANSWERS = {
    "average": [
        [1.4758258308060053, 1.615048262132992, -1.3715791272175284, -1.3125511326086032],
        [0.5623891820751973, 0.47067383496273113, 0.26237051293598807, 0.4321441784560369],
    ],
    "score": [
        [0.326156585534807, -0.43967211285873664, -0.3335633206384716, 0.1417302333160944],
        [0.35131626146085204, -0.06578007566179295, 0.2466570371174578, -0.3215357336850403],
    ],
    "ml": [
        [185.7622669732059, -176.0875023682122, -2.957470079346133, -106.09805476291831],
        [159.48662323321219, -101.13188572064385, -255.94764681260068, 193.60747348248165],
    ],
    "em": [
        [22.902387538678905, -12.59928886307079, -22.38102072115582, -6.300852276266482],
        [16.10448214106791, -1.4056217598146885, -39.397612533657934, 20.72793913900479],
    ],
    "pf": [
        [37.67021474134721, -31.250827812152398, 3.3298821445228857, -22.16326579187441],
        [33.767720544682746, -25.22812619129974, -46.533121941944046, 35.764629123057624],
    ],
}
LOSS = 0.613174767972644


def padded(model: DiffVC, mel: Tensor, frames: list[int]) -> Utterance:
    said = model.utterance(mel, torch.tensor(frames))
    return Utterance(mel * said.mask, model.encoder(mel * said.mask, said.mask), said.mask)


def answers_to(what: str, mel: Tensor) -> None:
    np.testing.assert_allclose(mel[:, 2:6:3, ::5].flatten(1), ANSWERS[what], rtol=1e-9, err_msg=what)


def test_the_published_code_answers_the_same(model: DiffVC, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diffvc, "noise_like", lambda example, generator: ripples(*example.shape))
    monkeypatch.setattr(diffvc_sampler, "noise_like", lambda example, generator: ripples(*example.shape))
    source = padded(model, 2.0 * ripples(2, 8, 8) - 3.0, [8, 7])
    reference = padded(model, 2.0 * ripples(2, 8, 11).flip(2) - 3.0, [10, 11])
    time = torch.full((2,), 0.4, dtype=torch.float64)
    answers_to("average", source.average)
    answers_to("score", model.decoder(source.mel, time, source, reference, voices()).score)
    for method in METHODS:
        converted = model.convert(source, reference, voices(), steps=3, method=method, generator=torch.Generator())
        answers_to(method, converted)
    alike = padded(model, reference.mel[:, :, :8], [8, 7])
    loss = model.decoder.loss(source, alike, voices(), time, ripples(2, 8, 8))
    assert float(loss) == pytest.approx(LOSS, rel=1e-9)


# ---- parts, by a second road


def plain_relative_attention(x: np.ndarray, layer: RelativeAttention) -> np.ndarray:
    """One clip [width, frame], frame by frame."""
    q, k, v = (
        (conv.weight[:, :, 0].numpy() @ x + conv.bias[:, None].numpy()).reshape(layer.heads, -1, x.shape[1])
        for conv in (layer.conv_q, layer.conv_k, layer.conv_v)
    )
    keys, values = layer.emb_rel_k[0].numpy(), layer.emb_rel_v[0].numpy()
    out = np.zeros_like(q)
    for head in range(layer.heads):
        for i in range(x.shape[1]):
            near = [(j, j - i + 4) for j in range(x.shape[1]) if abs(j - i) <= 4]
            scores = q[head, :, i] @ k[head]
            for j, row in near:
                scores[j] += q[head, :, i] @ keys[row]
            shares = softmax(scores[None] / math.sqrt(len(q[head])))[0]
            out[head, :, i] = v[head] @ shares + sum(shares[j] * values[row] for j, row in near)
    return layer.conv_o.weight[:, :, 0].numpy() @ out.reshape(len(x), -1) + layer.conv_o.bias[:, None].numpy()


@pytest.mark.parametrize("frames", [1, 3, 5, 12])
def test_relative_attention_is_the_one_written_with_loops(frames: int) -> None:
    layer = rippling(RelativeAttention(8, heads=2, dropout=0.1))
    x = ripples(2, 8, frames)
    wanted = np.stack([plain_relative_attention(clip.numpy(), layer) for clip in x])
    np.testing.assert_allclose(layer(x, torch.ones(2, 1, frames).double()), wanted, atol=1e-12)


def test_linear_attention_is_its_equation() -> None:
    layer = rippling(LinearAttention(8))
    maps = ripples(2, 8, 4, 6)
    q, k, v = torch.einsum("oi,bimf->bomf", layer.to_qkv.weight[:, :, 0, 0], maps).chunk(3, dim=1)
    attended = torch.zeros(2, 128, 4, 6, dtype=torch.float64)
    out, context = layer(maps)
    for head in range(4):
        rows = slice(32 * head, 32 * head + 32)
        shares = torch.from_numpy(softmax(k[:, rows].flatten(2).reshape(64, 24).numpy())).view(2, 32, 24)
        torch.testing.assert_close(context[:, head], shares @ v[:, rows].flatten(2).mT)
        attended[:, rows] = (context[:, head].mT @ q[:, rows].flatten(2)).view(2, 32, 4, 6)
    wanted = torch.einsum("oi,bimf->bomf", layer.to_out.weight[:, :, 0, 0], attended)
    torch.testing.assert_close(out, wanted + layer.to_out.bias[:, None, None])


def test_a_new_attention_changes_nothing() -> None:
    model = tiny()
    assert all(float(p.detach().sum()) == 0.0 for name, p in model.named_parameters() if name.endswith("fn.g"))


# ---- the diffusion


@pytest.mark.parametrize(("start", "end"), [(0.0, 1.0), (0.2, 0.7), (0.0, 1e-6)])
def test_the_schedule_is_its_integral(start: float, end: float) -> None:
    schedule = Schedule()
    integral = quad(lambda t: 0.05 + 19.95 * t, start, end)[0]
    s, t = torch.tensor(start, dtype=torch.float64), torch.tensor(end, dtype=torch.float64)
    assert float(schedule.gamma(s, t)) == pytest.approx(math.exp(-0.5 * integral))
    assert float(schedule.variance(s, t)) == pytest.approx(-math.expm1(-integral), rel=1e-12)
    assert float(schedule.variance(s.float(), t.float())) == pytest.approx(-math.expm1(-integral), rel=1e-5)


def test_two_spans_are_one() -> None:
    schedule, half = Schedule(), torch.tensor(0.5, dtype=torch.float64)
    first, second = schedule.gamma(ZERO, half), schedule.gamma(half, ONE)
    torch.testing.assert_close(first * second, schedule.gamma(ZERO, ONE))
    left = second**2 * schedule.variance(ZERO, half) + schedule.variance(half, ONE)
    torch.testing.assert_close(left, schedule.variance(ZERO, ONE))


def test_a_voice_dissolves_into_its_average(model: DiffVC) -> None:
    said, schedule = spoken(model), model.decoder.schedule
    noise = ripples(2, 8, 8)
    at = {t: schedule.noised(said, torch.full((2,), t, dtype=torch.float64), noise) for t in (0.0, 1.0)}
    torch.testing.assert_close(at[0.0], said.mel)
    torch.testing.assert_close(at[1.0], said.average + noise, atol=0.1, rtol=0.0)


# ---- the sampler


def score_of_one(voice: Tensor, average: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    """The score of the diffusion that starts from ``voice`` alone."""

    def score(noisy: Tensor, time: Tensor) -> Tensor:
        left = Schedule().gamma(torch.zeros_like(time), time)[:, None, None]
        level = Schedule().variance(torch.zeros_like(time), time)[:, None, None]
        return (left * voice + (1.0 - left) * average - noisy) / level

    return score


@pytest.mark.parametrize("steps", [1, 2, 6, 30, 100])
def test_maximum_likelihood_is_exact_for_one_voice_at_any_number_of_steps(
    steps: int, generator: torch.Generator
) -> None:
    voice, average, start = (torch.randn(2, 3, 4, dtype=torch.float64) for _ in range(3))
    found = sample(score_of_one(voice, average), start, average, Schedule(), steps, "ml", generator)
    torch.testing.assert_close(found, voice, atol=1e-9, rtol=0.0)


@pytest.mark.parametrize("method", ["em", "pf"])
def test_the_others_come_near_with_many_steps(method: Method, generator: torch.Generator) -> None:
    voice, average, start = (torch.randn(2, 3, 4, dtype=torch.float64) for _ in range(3))

    def miss(steps: int) -> float:
        found = sample(score_of_one(voice, average), start, average, Schedule(), steps, method, generator)
        return float((found - voice).abs().mean())

    few, many = miss(20), miss(1000)
    assert many < 0.1 and few > 4.0 * many


@pytest.mark.parametrize("method", METHODS)
def test_a_normal_distribution_is_sampled(method: Method, generator: torch.Generator) -> None:
    """Voices are normal around 2 with deviation 0.5, their average voice is at −1; the score is known."""
    average, schedule = torch.full((1, 50, 400), -1.0).double(), Schedule()

    def score(noisy: Tensor, time: Tensor) -> Tensor:
        left = schedule.gamma(torch.zeros_like(time), time)[:, None, None]
        level = schedule.variance(torch.zeros_like(time), time)[:, None, None]
        return -(noisy - 2.0 * left - (1.0 - left) * average) / (0.25 * left.square() + level)

    start = schedule.gamma(ZERO, ONE) * 3.0 + average + torch.randn(1, 50, 400).double()
    found = sample(score, start, average, schedule, 300, method, generator)
    assert float(found.mean()) == pytest.approx(2.0, abs=0.05)
    assert float(found.std()) == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("method", METHODS)
def test_the_same_noise_gives_the_same_voice(model: DiffVC, method: Method) -> None:
    source, reference = spoken(model, 1), heard(model)

    def converted(seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        return model.convert(source, reference, voices(), steps=3, method=method, generator=generator)

    model.decoder.estimator.final_conv.weight.mul_(0.1)  # Ripples are no score: at full size their voices explode.
    first, again, other = converted(1), converted(1), converted(2)
    assert torch.equal(first, again) and bool(first.isfinite().all())
    assert not torch.allclose(first, other, rtol=1e-3)


def test_one_source_serves_all_references(model: DiffVC) -> None:
    def converted(source: Utterance) -> Tensor:
        generator = torch.Generator().manual_seed(0)
        return model.convert(source, heard(model, 3), voices(3), steps=2, generator=generator)

    one = spoken(model, 1)
    assert torch.equal(converted(one), converted(one.expanded(3)))


# ---- batches, lengths, padding


def test_a_batch_is_its_clips_one_by_one(model: DiffVC) -> None:
    references = heard(model, 3)
    whole = estimate(model, references, voices(3))
    source = spoken(model, 3)
    for i in range(3):
        parts = (
            Utterance(said.mel[i : i + 1], said.average[i : i + 1], said.mask[i : i + 1])
            for said in (source, references)
        )
        alone = model.decoder(source.mel[i : i + 1], voices(3)[:1, 0] * 0 + 0.4, *parts, voices(3)[i : i + 1])
        torch.testing.assert_close(alone.score, whole.score[i : i + 1])
        torch.testing.assert_close(alone.condition, whole.condition[i : i + 1])
        for mine, all_of in zip(alone.contexts + alone.up_features, whole.contexts + whole.up_features, strict=True):
            torch.testing.assert_close(mine, all_of[i : i + 1])
        torch.testing.assert_close(model.utterance(source.mel[i : i + 1]).average, source.average[i : i + 1])


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 5, 9])
def test_every_length_is_converted(model: DiffVC, frames: int) -> None:
    source, reference = spoken(model, 1, frames), heard(model, 1, frames)
    voice = model.convert(source, reference, voices(1), steps=1, generator=torch.Generator())
    assert voice.shape == (1, 8, frames) and bool(voice.isfinite().all())


def test_what_stands_in_padding_does_not_matter(model: DiffVC) -> None:
    mel = ripples(2, 8, 12)
    other = mel.clone()
    other[1, :, 7:] = 50.0
    said, changed = (model.utterance(clip, torch.tensor([12, 7])) for clip in (mel, other))
    torch.testing.assert_close(said.average * said.mask, changed.average * changed.mask)
    a, b = (estimate(model, reference, voices()) for reference in (said, changed))
    torch.testing.assert_close(a.score, b.score)
    voice = model.convert(said, said, voices(), steps=1, generator=torch.Generator())
    assert float(voice[1, :, 7:].abs().max()) == 0.0 < float(voice[0, :, 7:].abs().min())


def test_features_have_the_sizes_of_their_resolutions(model: DiffVC) -> None:
    seen = estimate(model, heard(model), voices())
    assert seen.condition.shape == (2, 4)
    assert [tuple(context.shape) for context in seen.contexts] == [(2, 4, 32, 32)] * 3
    assert [tuple(maps.shape) for maps in seen.up_features] == [(2, 16, 2, 2), (2, 8, 4, 4)]


# ---- gradients


def aims(seen: Estimate) -> dict[str, Tensor]:
    return {
        "score": seen.score.square().sum(),
        "condition": (seen.condition * torch.arange(seen.condition.shape[1])).sum(),
        **{f"context {i}": (maps * ripples(*maps.shape)).sum() for i, maps in enumerate(seen.contexts)},
        **{f"up {i}": (maps * ripples(*maps.shape)).sum() for i, maps in enumerate(seen.up_features)},
    }


def test_gradients_from_the_reference_are_those_of_finite_differences(model: DiffVC, speech: Tensor) -> None:
    """From the waveform, through mel spectrum, average voice and diffused mean, and through an embedding."""
    mel = MelSpectrogram(16_000, Stft(512, 128), n_mels=8).double()
    rows = ripples(256, 8)

    def values(clip: Tensor) -> dict[str, Tensor]:
        levels = torch.log(mel(clip) + 1e-3)
        return aims(estimate(model, model.utterance(levels), torch.tanh(levels.mean(2) @ rows.mT)))

    clip = speech[:1, 8000:9000].double().requires_grad_()
    direction, at_clip = torch.randn_like(clip), values(clip)
    with torch.no_grad():
        ahead, behind = (values(clip + step * direction) for step in (1e-6, -1e-6))
    for aim, value in at_clip.items():
        (gradient,) = torch.autograd.grad(value, clip, retain_graph=True)
        slope = float(ahead[aim] - behind[aim]) / 2e-6
        assert slope != 0.0
        assert float((gradient * direction).sum()) == pytest.approx(slope, rel=1e-4), aim


def test_hooks_see_what_the_attentions_weigh(model: DiffVC) -> None:
    """The shares that every key gives to the places, on the way down: they make the contexts, and the reference moves
    them."""
    projected: list[Tensor] = []
    for stage in model.decoder.estimator.downs:
        stage[2].fn.fn.to_qkv.register_forward_hook(lambda layer, taken, given: projected.append(given))
    mel = (2.0 * ripples(2, 8, 11).flip(2) - 3.0).requires_grad_()
    seen = estimate(model, model.utterance(mel), voices())
    for given, context in zip(projected, seen.contexts, strict=True):
        _, keys, values = given.unflatten(1, (3, 4, 32)).flatten(4).unbind(1)
        shares = keys.softmax(3)
        torch.testing.assert_close(torch.einsum("bhkp,bhvp->bhkv", shares, values), context)
        (gradient,) = torch.autograd.grad((shares * ripples(*shares.shape)).sum(), mel, retain_graph=True)
        assert bool(gradient.isfinite().all()) and bool((gradient.abs().amax((1, 2)) > 0.0).all())


def test_the_embedding_has_a_gradient_through_a_whole_conversion(model: DiffVC) -> None:
    embedding = voices(1).requires_grad_()
    voice = model.convert(spoken(model, 1), heard(model, 1), embedding, steps=3, generator=torch.Generator())
    (gradient,) = torch.autograd.grad(voice.square().sum(), embedding)
    assert bool(gradient.isfinite().all()) and float(gradient.abs().max()) > 0.0


def test_it_trains() -> None:
    """Every weight has a gradient, both losses fall, and that of a new decoder, whose score is about 0, is about 1."""
    model = tiny().train()
    optimiser = torch.optim.Adam(model.parameters(), lr=5e-3)
    mel, noise = torch.randn(8, 8, 4).repeat_interleave(3, 2), torch.randn(8, 8, 12)
    time, voice, mask = torch.rand(8).clamp(1e-5, 1.0 - 1e-5), torch.rand(8, 256), torch.ones(8, 1, 12)
    losses: list[tuple[float, float]] = []
    for _ in range(8):
        said = model.utterance(mel)
        diffusion, average = model.decoder.loss(said, said, voice, time, noise), model.encoder.loss(mel, mel, mask)
        optimiser.zero_grad()
        (diffusion + average).backward()
        optimiser.step()
        losses.append((float(diffusion.detach()), float(average.detach())))
    missing = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert not missing
    assert losses[0][0] == pytest.approx(1.0, abs=0.3)
    assert all(last < 0.9 * first for first, last in zip(losses[0], losses[-1], strict=True))


def test_the_encoder_is_measured_on_speech_alone(model: DiffVC) -> None:
    mel, target = ripples(2, 8, 12), ripples(2, 8, 12).flip(2)
    said = model.utterance(mel, torch.tensor([12, 7]))
    error = (said.average - target).square()
    wanted = torch.cat([error[0].flatten(), error[1, :, :7].flatten()]).mean()
    torch.testing.assert_close(model.encoder.loss(mel, target, said.mask), wanted)
    target[1, :, 7:] = 50.0
    torch.testing.assert_close(model.encoder.loss(mel, target, said.mask), wanted)


def test_dropout_is_off_in_eval(model: DiffVC) -> None:
    assert any(isinstance(layer, nn.Dropout) for layer in model.modules())
    assert torch.equal(spoken(model).average, spoken(model).average)


# ---- bad input


@pytest.mark.parametrize("shape", [(1, 79, 10), (1, 80, 0)])
def test_spectra_of_another_kind_are_refused(shape: tuple[int, ...]) -> None:
    model = tiny(n_mels=80)
    with pytest.raises(BadInputError, match="needs 80 bands and at least one frame"):
        model.utterance(torch.zeros(shape))


@pytest.mark.parametrize("frames", [[0, 5], [5, 6]])
def test_lengths_that_do_not_fit_are_refused(model: DiffVC, frames: list[int]) -> None:
    with pytest.raises(BadInputError, match="at least one, and no more than there are"):
        model.utterance(ripples(2, 8, 5), torch.tensor(frames))


@pytest.mark.parametrize("steps", [0, -3])
def test_no_steps_are_refused(model: DiffVC, steps: int) -> None:
    with pytest.raises(BadInputError, match="at least one"):
        model.convert(spoken(model), heard(model), voices(), steps=steps, generator=torch.Generator())
