"""What is made for a computation is made where the speech is.

A ``meta`` tensor has a shape and a device and no numbers: whatever meets it from a CPU is an error, as it is on CUDA,
and no such device has to be there. (``istft`` has no kernel for it: carriers that go through a spectrum are not asked.)
"""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from voxveil import catalog, loading
from voxveil.models.conversion.autovc import AutoVC, SpeakerEncoder
from voxveil.models.recurrent import through
from voxveil.models.speaker.ge2e import GE2E
from voxveil.perturb.perceptual import Listener
from voxveil.transforms.crop import RandomStart
from voxveil.transforms.equalise_back import EqualiseBack
from voxveil.transforms.filters import BandPass
from voxveil.transforms.noise import WhiteNoise
from voxveil.transforms.quantise import Quantise
from voxveil.transforms.resample import BandLimit
from voxveil.transforms.room import Room
from voxveil.transforms.speed import RandomSpeed

RATE = 16_000


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


TRANSFORMS = {
    "crop": lambda: RandomStart(8000, generator()),
    "equalise back": lambda: EqualiseBack(RATE),
    "band pass": lambda: BandPass(300, 3400, RATE),
    "noise": lambda: WhiteNoise(30.0, generator()),
    "quantise": lambda: Quantise(8),
    "resample": lambda: BandLimit(8000, RATE),
    "room": lambda: Room(0.3, 6.0, RATE, generator()),
    "speed": lambda: RandomSpeed(0.2, generator()),
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_a_transform_works_where_the_speech_is(name):
    assert TRANSFORMS[name]()(torch.empty(2, RATE, device="meta")).device.type == "meta"


@pytest.mark.parametrize("name", catalog.ENSEMBLE)
def test_an_encoder_works_where_it_is(name):
    encoder = GE2E() if name == "ge2e" else copy.deepcopy(loading.embedder(name))
    assert encoder.eval().to("meta")(torch.empty(2, 2 * RATE, device="meta")).device.type == "meta"


def test_what_a_listener_hears_is_judged_where_the_speech_is():
    clean = torch.empty(2, RATE, device="meta")
    assert Listener(clean, RATE, 1.0, 1.0, 0.5)(torch.empty_like(clean)).device.type == "meta"


class Asked(nn.LSTM):
    """Recurrent layers that remember whether they could have been cuDNN's."""

    def forward(self, *inputs):
        self.fast = torch.backends.cudnn.enabled
        return super().forward(*inputs)


@pytest.mark.parametrize(
    ("training", "gradient", "fast"), [(False, True, False), (False, False, True), (True, True, True)]
)
def test_cudnns_layers_which_have_no_gradient_outside_training_are_not_asked_for_one(training, gradient, fast):
    layers = Asked(4, 3, batch_first=True).train(training)
    with torch.set_grad_enabled(gradient):
        through(layers, torch.randn(2, 5, 4))
    assert layers.fast is fast


CLIP, MEL, VOICE = torch.randn(1, RATE), torch.rand(1, 20, 48), torch.randn(1, 6)
RECURRENT = {
    "ge2e": (GE2E, (CLIP,)),
    "speaker encoder": (lambda: SpeakerEncoder(20, 8, 6), (MEL,)),
    "autovc": (lambda: AutoVC(20, 6, 8, 10, 3, 16), (MEL, VOICE, VOICE)),
}


@pytest.mark.parametrize("name", RECURRENT)
def test_every_recurrent_network_that_is_attacked_goes_that_way(name, monkeypatch):
    make, inputs = RECURRENT[name]
    layers, asked, plain = make().eval(), [], nn.LSTM.forward

    def forward(self, *args):
        asked.append(torch.backends.cudnn.enabled)
        return plain(self, *args)

    monkeypatch.setattr(nn.LSTM, "forward", forward)
    layers(*inputs)
    assert asked and not any(asked)
