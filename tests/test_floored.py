"""A quality floor for any protector: the largest share that holds it, for every clip by itself."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import soundfile as sf
import torch
from tiny import tiny_network
from torch import Tensor

from voxveil import api, catalog, loading
from voxveil.metrics.quality import pesq
from voxveil.protectors.floored import Floored, floored
from voxveil.protectors.order import Order
from voxveil.protectors.white_noise import WhiteNoise
from voxveil.verify.scorers import cosine
from voxveil.verify.verifier import Verifier

DATA = Path(__file__).parent / "data"


class Adds:
    """Adds a number of its own to every channel of every clip, [batch, channel]."""

    sample_rate = 16_000

    def __init__(self, amounts: list[list[float]]) -> None:
        self.amounts = torch.tensor(amounts)[..., None]

    def __call__(self, speech: Tensor, seed: int, progress: object = None) -> Tensor:
        return speech + self.amounts


def closeness(clean: Tensor, changed: Tensor) -> Tensor:
    return 5.0 - (changed - clean).abs().amax(-1)


@pytest.mark.parametrize("floor", [2.0, 4.0, 4.9])
def test_each_clip_gets_the_largest_share_its_worst_channel_allows(floor):
    speech = torch.zeros(3, 2, 8)
    change = Floored(Adds([[4.0, 1.0], [0.5, 4.0], [0.0, 0.05]]), closeness, floor)(speech, seed=0)
    for clip, loudest in zip(change, (4.0, 4.0, 0.05), strict=True):
        allowed = min(loudest, 5.0 - floor)
        assert allowed - loudest / 64 <= float(clip.max()) <= allowed + 1e-6
    assert float(change[0, 0, 0] / change[0, 1, 0]) == pytest.approx(4.0, rel=1e-4), "one share for all channels"


def test_what_no_share_reaches_is_left_clean():
    speech = torch.randn(1, 1, 8)
    assert torch.equal(Floored(Adds([[1000.0]]), closeness, 4.99)(speech, seed=0), speech)


def test_pesq_of_real_speech_stays_above_the_floor():
    clean = torch.as_tensor(sf.read(DATA / "slt-1.flac", frames=24_000)[0], dtype=torch.float32)[None, None]
    judge = api._batch_pesq
    made = Floored(WhiteNoise(snr_db=25.0), judge, 3.0)(clean, seed=0)
    free = WhiteNoise(snr_db=25.0)(clean, seed=0)
    score, free = (pesq(*(s[0, 0].double().numpy() for s in (clean, noisy)), 16_000) for noisy in (made, free))
    assert 3.0 <= score < 3.3 and free < 2.5


def test_without_a_floor_the_protector_is_itself_and_with_one_it_needs_a_measure():
    noise = WhiteNoise()
    assert floored(noise, Order(victims=())) is noise
    with pytest.raises(ValueError, match="quality measure"):
        floored(noise, Order(victims=(), quality_floor=4.0))


@pytest.mark.parametrize(
    ("method", "allowed"),
    [("antifake", 0.005), ("attackvc", 0.005), ("attackvc-mel", 0.1), ("voiceguard", 0.005), ("white-noise", 0.005)],
)
def test_every_published_method_keeps_a_floor(method, allowed, speech):
    victim = Verifier("tiny", tiny_network(), cosine, 0.9)
    floor = {"quality_floor": 5.0 - allowed, "quality": closeness}
    order = Order((victim,), effort="fast", **floor, converter=partial(loading.converter, "adain-vc"))
    made = catalog.part("method", method)(order)
    assert made.sample_rate == 16_000
    clip = speech[:1, None, 8000:12_000]
    change = (made(clip, seed=0) - clip).abs().max()
    assert 0.4 * allowed < float(change) <= allowed + 1e-6


def test_white_noise_lies_where_it_is_asked_to(speech):
    stereo = torch.stack([speech, 0.5 * speech], dim=1)
    for strength, snr_db in (("light", 30.0), ("medium", 20.0), ("strong", 10.0)):
        noise = catalog.part("method", "white-noise")(Order((), strength))(stereo, seed=0) - stereo
        found = 10 * torch.log10(stereo.mean(1).square().mean(-1) / noise[:, 0].square().mean(-1))
        assert found.tolist() == pytest.approx([snr_db] * 2, abs=0.01)
        assert torch.allclose(noise[:, 0], noise[:, 1], atol=1e-6)
    assert not torch.equal(WhiteNoise()(stereo, seed=0), WhiteNoise()(stereo, seed=1))
