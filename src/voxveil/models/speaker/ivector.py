"""The i-vector extractor, batched and differentiable from the waveform.

N. Dehak, P. Kenny, R. Dehak, P. Dumouchel, P. Ouellet, "Front-End Factor Analysis for Speaker Verification", IEEE
TASLP 19(4), 2011. A clip's Gaussian means are shifted from those of a universal background model (UBM) by
T·w, w ~ N(0, I); the i-vector is the most probable w given the clip:

    γ_t(c) = p(c | x_t)     N_c = Σ_t γ_t(c)     F_c = Σ_t γ_t(c) · (x_t − m_c)
    w = (I + Σ_c N_c T_cᵀ Σ_c⁻¹ T_c)⁻¹ · Σ_c T_cᵀ Σ_c⁻¹ F_c

Features: 24 cepstra with their first and second differences, silence left out, and the mean of the clip taken away,
as in Kaldi's VoxCeleb recipe (which slides the mean over 3 s, and whose Gaussians have full covariances; here they
are diagonal, as in the paper).

State dict: ``ubm.weights`` [component], ``ubm.means`` and ``ubm.variances`` [component, feature], and
``total_variability`` [component, feature, factor]; :mod:`voxveil.train.ivector` finds all four.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from voxveil.audio.mel import MelScale, MelSpectrogram, Mfcc
from voxveil.audio.spectrum import Stft
from voxveil.audio.voice_activity import FRAME_S, voice_activity
from voxveil.roles import Speech

HOP_SAMPLES = 160
REGRESSION = (-0.2, -0.1, 0.0, 0.1, 0.2)
"""Slope of the line through five frames, in cepstra a frame: Σ n·c[t + n] / Σ n²."""


def deltas(features: Float[Tensor, "batch feature frame"]) -> Float[Tensor, "batch feature frame"]:
    """The slope of every feature over five frames; the first and last frames stand still at the edges.

    >>> deltas(10.0 * torch.arange(6.0)[None, None]).tolist()
    [[[5.0, 8.0, 10.0, 10.0, 8.0, 5.0]]]
    """
    slope = features.new_tensor(REGRESSION)[None, None]
    padded = F.pad(features, (2, 2), mode="replicate").flatten(0, 1)[:, None]
    return F.conv1d(padded, slope).reshape(features.shape)


class Cepstra(nn.Module):
    """Speech at 16 kHz → ``n_mfcc`` cepstra, Δ and ΔΔ of every 10 ms, and where somebody speaks.

    The bands are equally wide on ``scale``.

    >>> features, active = Cepstra()(torch.randn(2, 16_000))
    >>> features.shape, active.shape
    (torch.Size([2, 101, 72]), torch.Size([2, 101]))
    """

    def __init__(self, n_mfcc: int = 24, scale: MelScale = "slaney") -> None:
        super().__init__()
        mel = MelSpectrogram(16_000, Stft(512, HOP_SAMPLES), n_mels=40, low_hz=20.0, high_hz=7600.0, scale=scale)
        self.mfcc = Mfcc(mel, n_mfcc)

    def forward(self, speech: Speech) -> tuple[Float[Tensor, "batch frame feature"], Bool[Tensor, "batch frame"]]:
        """The features, their mean over the active frames zero, and which frames are active."""
        cepstra = self.mfcc(speech)
        slopes = deltas(cepstra)
        features = torch.cat([cepstra, slopes, deltas(slopes)], dim=1).transpose(1, 2)
        active = _active(speech, features.shape[1])
        weight = active.to(features)[:, :, None]
        mean = (features * weight).sum(1, keepdim=True) / weight.sum(1, keepdim=True)
        return features - mean, active


class GaussianMixture(nn.Module):
    """A mixture of Gaussians with diagonal covariances: the universal background model.

    >>> ubm = GaussianMixture(torch.tensor([0.5, 0.5]), torch.tensor([[-4.0], [4.0]]), torch.ones(2, 1))
    >>> ubm.posteriors(torch.tensor([[-4.0], [0.0]])).round(decimals=3).tolist()
    [[1.0, 0.0], [0.5, 0.5]]
    """

    weights: Tensor
    means: Tensor
    variances: Tensor

    def __init__(
        self,
        weights: Float[Tensor, " component"],
        means: Float[Tensor, "component feature"],
        variances: Float[Tensor, "component feature"],
    ) -> None:
        super().__init__()
        self.register_buffer("weights", weights)
        self.register_buffer("means", means)
        self.register_buffer("variances", variances)

    def log_joint(self, features: Float[Tensor, "*batch frame feature"]) -> Float[Tensor, "*batch frame component"]:
        """The logarithm of p(c) · p(x | c) for every frame and component."""
        precisions = 1.0 / self.variances
        # (x − m)²/σ² multiplied out: two matrix products, and no tensor of frame × component × feature.
        distance = (
            features.square() @ precisions.T
            - 2.0 * features @ (self.means * precisions).T
            + (self.means.square() * precisions).sum(1)
        )
        log_volume = torch.log(2.0 * math.pi * self.variances).sum(1)
        tiny = torch.finfo(self.weights.dtype).tiny
        return torch.log(self.weights.clamp_min(tiny)) - 0.5 * (log_volume + distance)

    def posteriors(self, features: Float[Tensor, "*batch frame feature"]) -> Float[Tensor, "*batch frame component"]:
        """γ_t(c) = p(c | x_t)."""
        return torch.softmax(self.log_joint(features), dim=-1)

    def statistics(
        self, features: Float[Tensor, "batch frame feature"], active: Bool[Tensor, "batch frame"]
    ) -> tuple[Float[Tensor, "batch component"], Float[Tensor, "batch component feature"]]:
        """N_c, how many of the active frames belong to each component, and F_c, their sum about its mean."""
        share = self.posteriors(features) * active.to(features)[:, :, None]
        count = share.sum(1)
        return count, share.transpose(1, 2) @ features - count[:, :, None] * self.means


class IVector(nn.Module):
    """Speech [batch, time] at 16 kHz → unit vectors [batch, factors].

    A new one is empty (standard Gaussians, T = 0) and waits for ``load_state_dict``; 2048 components with 400
    factors are the paper's size.

    >>> extractor = IVector(components=4, factors=3, n_mfcc=5)
    >>> extractor.load_state_dict(extractor.state_dict() | {"total_variability": torch.randn(4, 15, 3)})
    <All keys matched successfully>
    >>> extractor(torch.randn(2, 16_000)).shape
    torch.Size([2, 3])
    """

    sample_rate = 16_000
    differentiable = True
    total_variability: Tensor
    gram: Tensor

    def __init__(
        self, components: int = 2048, factors: int = 400, n_mfcc: int = 24, scale: MelScale = "slaney"
    ) -> None:
        super().__init__()
        size = (components, 3 * n_mfcc)
        self.cepstra = Cepstra(n_mfcc, scale)
        self.ubm = GaussianMixture(torch.full((components,), 1.0 / components), torch.zeros(size), torch.ones(size))
        self.register_buffer("total_variability", torch.zeros(*size, factors))
        # T_cᵀ Σ_c⁻¹ T_c costs more than all the rest of a clip and does not depend on it.
        self.register_buffer("gram", torch.zeros(components, factors, factors), persistent=False)
        self.register_load_state_dict_post_hook(_refresh_gram)  # type: ignore[no-untyped-call]

    def forward(self, speech: Speech) -> Float[Tensor, "batch factor"]:
        """The embedding of every clip; clips of a batch are equally long."""
        return F.normalize(self.embed(*self.cepstra(speech)), dim=-1)

    def embed(
        self, features: Float[Tensor, "batch frame feature"], active: Bool[Tensor, "batch frame"]
    ) -> Float[Tensor, "batch factor"]:
        """The i-vectors of features: longer for longer clips, and zero for an unknown voice."""
        count, first = self.ubm.statistics(features, active)
        return factor_posterior(self.total_variability, self.gram, self.ubm.variances, count, first)[0]

    def coarse(self) -> IVector:
        """The extractor itself: it takes a clip in one piece."""
        return self


def lfcc_ivector(components: int = 2048, factors: int = 400, n_lfcc: int = 20) -> IVector:
    """An extractor that hears ``n_lfcc`` linear-frequency cepstra, in which high frequencies count as much as low ones.

    X. Zhou, D. Garcia-Romero, R. Duraiswami, C. Espy-Wilson, S. Shamma, "Linear versus mel frequency cepstral
    coefficients for speaker recognition", ASRU 2011.

    >>> lfcc_ivector(components=4, factors=3, n_lfcc=5).ubm.means.shape
    torch.Size([4, 15])
    """
    return IVector(components, factors, n_lfcc, scale="linear")


def gram_of(
    total_variability: Float[Tensor, "component feature factor"], variances: Float[Tensor, "component feature"]
) -> Float[Tensor, "component factor factor"]:
    """T_cᵀ Σ_c⁻¹ T_c of every component.

    >>> gram_of(torch.full((1, 2, 1), 3.0), torch.full((1, 2), 2.0)).tolist()
    [[[9.0]]]
    """
    return total_variability.transpose(1, 2) @ (total_variability / variances[:, :, None])


def factor_posterior(
    total_variability: Float[Tensor, "component feature factor"],
    gram: Float[Tensor, "component factor factor"],
    variances: Float[Tensor, "component feature"],
    count: Float[Tensor, "batch component"],
    first: Float[Tensor, "batch component feature"],
) -> tuple[Float[Tensor, "batch factor"], Float[Tensor, "batch factor factor"]]:
    """The posterior of w given the statistics: its mean, and the Cholesky factor of its precision.

    >>> one = torch.ones(1, 1, 1)
    >>> mean, root = factor_posterior(one, one, one[0], torch.tensor([[3.0]]), torch.tensor([[[8.0]]]))
    >>> mean.item(), root.item()
    (2.0, 2.0)
    """
    identity = torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
    precision = identity + torch.tensordot(count, gram, dims=1)
    root = torch.linalg.cholesky(precision)
    pull = torch.tensordot(first / variances, total_variability, dims=2)
    return torch.cholesky_solve(pull[:, :, None], root)[:, :, 0], root


def _refresh_gram(extractor: nn.Module, _: object) -> None:
    assert isinstance(extractor, IVector)
    extractor.gram = gram_of(extractor.total_variability, extractor.ubm.variances)


def _active(speech: Tensor, frames: int) -> Tensor:
    # The detector's frames are centred every 20 ms, these every 10. In silence every frame counts, lest none does.
    each = round(FRAME_S * 16_000) // HOP_SAMPLES
    active = voice_activity(speech, 16_000).repeat_interleave(each, dim=1)[:, :frames]
    return active | ~active.any(1, keepdim=True)
