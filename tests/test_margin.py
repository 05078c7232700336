"""The angular margin: ArcFace's formula, written out in NumPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax

from voxveil.train.margin import AngularMargin, widened

DIM, CLASSES = 5, 7


@pytest.fixture
def voices(generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Unit vectors [12, 5], float64, and the classes they belong to."""
    vectors = torch.randn(12, DIM, generator=generator, dtype=torch.float64)
    return torch.nn.functional.normalize(vectors, dim=1), torch.randint(CLASSES, (12,), generator=generator)


def head(margin: float, scale: float = 30.0) -> AngularMargin:
    return AngularMargin(DIM, CLASSES, margin, scale).double()


def written_out(made: AngularMargin, vectors: torch.Tensor, classes: torch.Tensor) -> np.ndarray:
    """One embedding and one class after the other."""
    centres = made.centres.detach().numpy()
    losses = []
    for vector, true in zip(vectors.numpy(), classes.tolist(), strict=True):
        logits = []
        for number, centre in enumerate(centres):
            angle = math.acos(vector @ centre / np.linalg.norm(centre))
            extra = made.margin if number == true else 0.0
            assert angle + extra < math.pi
            logits.append(made.scale * math.cos(angle + extra))
        losses.append(-log_softmax(logits)[true])
    return np.array(losses)


@pytest.mark.parametrize("margin", [0.0, 0.2, 0.4])
@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_the_loss_is_arcfaces(voices, margin, scale):
    made = head(margin, scale)
    np.testing.assert_allclose(made(*voices).detach(), written_out(made, *voices), rtol=1e-9, atol=1e-12)


def test_without_a_margin_it_is_the_softmax_of_cosines(voices):
    made = head(0.0)
    vectors, classes = voices
    cosines = vectors @ torch.nn.functional.normalize(made.centres, dim=1).T
    plain = torch.nn.functional.cross_entropy(30.0 * cosines, classes, reduction="none")
    torch.testing.assert_close(made(*voices), plain)


@pytest.mark.parametrize("margin", [0.0, 0.2])
def test_gradients_are_finite_differences(voices, margin):
    made = head(margin, scale=4.0)
    vectors, classes = voices

    def loss(vectors: torch.Tensor, centres: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(made, {"centres": centres}, (vectors, classes))

    inputs = vectors.clone().requires_grad_(), made.centres.detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(loss, inputs)


@given(margin=st.floats(0.0, 1.0))
def test_the_further_from_the_true_class_the_lower(margin):
    angles = torch.linspace(0.0, math.pi, 1001, dtype=torch.float64)
    assert (widened(angles.cos(), margin).diff() <= 1e-6).all()


def test_a_margin_asks_for_more(voices):
    losses = []
    for margin in (0.0, 0.1, 0.3):
        torch.manual_seed(0)
        losses.append(head(margin)(*voices))
    assert (losses[0] < losses[1]).all() and (losses[1] < losses[2]).all()


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_on_a_centre_and_opposite_to_it_the_gradient_is_finite(sign, dtype):
    made = AngularMargin(DIM, CLASSES).to(dtype)
    with torch.no_grad():
        made.centres.copy_(torch.eye(CLASSES, DIM))
    vector = sign * torch.eye(1, DIM, dtype=dtype)
    vector.requires_grad_()
    loss = made(vector, torch.tensor([0]))
    loss.sum().backward()
    assert loss.isfinite().all() and vector.grad.isfinite().all() and made.centres.grad.isfinite().all()


def test_the_length_of_the_centres_does_not_matter(voices):
    made = head(0.2)
    before = made(*voices).detach()
    with torch.no_grad():
        made.centres *= torch.arange(1.0, CLASSES + 1.0, dtype=torch.float64)[:, None]
    torch.testing.assert_close(made(*voices).detach(), before)
