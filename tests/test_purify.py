"""What attackers do to recordings, and what recordings go through on the way to them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from voxveil import catalog
from voxveil.roles import Transform
from voxveil.transforms.codec import Codec
from voxveil.transforms.equalise_back import AVERAGE_DB, EqualiseBack, band_levels_db

RATE = 16_000


def _made(kind: str, name: str, seed: int = 0) -> Transform:
    factory = catalog.part(kind, name)
    return factory(RATE) if kind == "purifier" else factory(RATE, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("kind", "name"), [(k, n) for k in ("channel", "purifier") for n in catalog.names(k)])
def test_flags_are_true(kind: str, name: str, speech: Tensor) -> None:
    clips = speech[:, :16_000].clone().requires_grad_()
    transform = _made(kind, name)
    out = transform(clips)
    assert (out.shape == clips.shape) == transform.keeps_length
    assert torch.isfinite(out).all() and not torch.equal(out, clips)
    if transform.differentiable:
        out.square().sum().backward()
        assert clips.grad is not None and clips.grad.abs().max() > 0
    with torch.no_grad():
        again = torch.equal(transform(clips), out)
    assert again != transform.random
    assert torch.equal(_made(kind, name)(clips.detach()), out.detach())


def test_equalising_back_undoes_an_equaliser() -> None:
    """Two versions of a sound that differ by a smooth filter come out alike, where they were not."""
    clips = 0.1 * torch.randn(2, 32_000)
    frequencies = torch.fft.rfftfreq(32_000, 1 / RATE)
    tilt = 10 ** (8.0 * torch.sin(frequencies / 900.0) / 20.0)
    filtered = torch.fft.irfft(torch.fft.rfft(clips) * tilt, 32_000)
    before = (band_levels_db(filtered, RATE) - band_levels_db(clips, RATE)).abs().mean()
    tool = EqualiseBack(RATE)
    after = (band_levels_db(tool(filtered), RATE) - band_levels_db(tool(clips), RATE)).abs().mean()
    assert float(before) > 2.5 and float(after) < 0.2 * float(before)


def test_the_average_is_of_all_levels_the_mean_taken_out() -> None:
    assert len(AVERAGE_DB) == 24 and abs(np.mean(AVERAGE_DB)) < 0.1
    # Read speech falls by about 6 to 12 dB an octave above its first formants.
    assert AVERAGE_DB[1] - AVERAGE_DB[-1] > 15


def test_a_codec_keeps_the_words_and_loses_the_samples(speech: Tensor) -> None:
    clips = speech[:, :32_000]
    for container, subtype in (("MP3", "MPEG_LAYER_III"), ("OGG", "OPUS")):
        coarse, fine = (Codec(container, subtype, level, RATE)(clips) for level in (0.99, 0.0))
        error = [float((out - clips).square().sum() / clips.square().sum()) for out in (fine, coarse)]
        assert 0.0 < error[0] < error[1] < 1.0
