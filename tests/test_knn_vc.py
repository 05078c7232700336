"""kNN-VC: the same neighbours as scikit-learn's, the mean that they make, its gradient and its bounded memory."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from voxveil.errors import BadInputError
from voxveil.models.conversion import knn_vc
from voxveil.models.conversion.knn_vc import converted, nearest
from voxveil.models.conversion.stacked_cepstra import StackedCepstra


@pytest.fixture
def features() -> tuple[Tensor, Tensor, Tensor]:
    """Of the content, of the reference for matching, of the reference for synthesis."""
    content, reference, synthesis = torch.randn(37, 6), torch.randn(50, 6), torch.randn(50, 9)
    return content.double(), reference.double(), synthesis.double()


@given(content=st.integers(1, 40), reference=st.integers(4, 60), neighbours=st.integers(1, 4), dim=st.integers(2, 9))
def test_neighbours_are_scikit_learns(content: int, reference: int, neighbours: int, dim: int) -> None:
    frames, others = torch.randn(content, dim).double(), torch.randn(reference, dim).double()
    search = NearestNeighbors(n_neighbors=neighbours, metric="cosine").fit(others.numpy())
    wanted = search.kneighbors(frames.numpy(), return_distance=False)
    assert np.array_equal(nearest(frames, others, neighbours).numpy(), wanted)


def test_the_conversion_is_the_mean_written_in_loops(features: tuple[Tensor, Tensor, Tensor]) -> None:
    content, reference, synthesis = (part.numpy() for part in features)
    wanted = []
    for frame in content:
        alike = [frame @ other / np.linalg.norm(frame) / np.linalg.norm(other) for other in reference]
        wanted.append(synthesis[np.argsort(alike)[-4:]].mean(0))
    np.testing.assert_allclose(converted(*features).numpy(), np.stack(wanted), rtol=1e-12)


@pytest.mark.parametrize("pairs", [1, 50, 51, 400])
def test_blocks_change_nothing(
    features: tuple[Tensor, Tensor, Tensor], monkeypatch: pytest.MonkeyPatch, pairs: int
) -> None:
    whole = converted(*features)
    sizes: list[int] = []
    split = torch.split

    def watched(frames: Tensor, size: int) -> tuple[Tensor, ...]:
        sizes.append(size)
        return split(frames, size)

    monkeypatch.setattr(knn_vc, "MAX_PAIRS", pairs)
    monkeypatch.setattr(torch, "split", watched)
    assert torch.equal(converted(*features), whole)
    assert sizes == [max(1, pairs // 50)]


def test_loudness_of_a_frame_does_not_matter(features: tuple[Tensor, Tensor, Tensor]) -> None:
    content, reference, _ = features
    louder = content * torch.rand(37, 1).double().add(0.1), reference * torch.rand(50, 1).double().add(0.1)
    assert torch.equal(nearest(*louder), nearest(content, reference))


def test_a_reference_converted_to_itself_is_itself(features: tuple[Tensor, Tensor, Tensor]) -> None:
    _, reference, synthesis = features
    assert torch.equal(converted(reference, reference, synthesis, neighbours=1), synthesis)


def test_nothing_is_heard_that_the_reference_does_not_hold(features: tuple[Tensor, Tensor, Tensor]) -> None:
    out, synthesis = converted(*features), features[2]
    assert bool((out >= synthesis.amin(0)).all()) and bool((out <= synthesis.amax(0)).all())


def test_gradient_of_the_synthesis_features_is_exact(features: tuple[Tensor, Tensor, Tensor]) -> None:
    content, reference, synthesis = features
    synthesis.requires_grad_()
    assert torch.autograd.gradcheck(lambda s: converted(content[:5], reference, s), synthesis)


def test_gradient_comes_back_to_the_waveform_of_the_reference(speech: Tensor) -> None:
    cepstra = StackedCepstra()
    reference = speech[:1].clone().requires_grad_()
    matching = cepstra(reference)
    out = converted(cepstra(speech[1:])[0], matching[0], matching[0])
    (gradient,) = torch.autograd.grad(out.square().sum(), reference)
    assert bool(gradient.isfinite().all()) and float(gradient.norm()) > 0.0


def test_frames_of_nothing_do_no_harm() -> None:
    assert bool(converted(torch.zeros(3, 4), torch.zeros(5, 4), torch.randn(5, 2)).isfinite().all())


def test_too_little_reference_is_said_so(features: tuple[Tensor, Tensor, Tensor]) -> None:
    content, reference, synthesis = features
    with pytest.raises(BadInputError, match="The reference has 3 frames and kNN-VC needs 4: give it more speech"):
        converted(content, reference[:3], synthesis[:3])
