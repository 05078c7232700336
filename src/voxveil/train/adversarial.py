"""The losses of HiFi-GAN's game: discriminators tell recorded speech from generated, the generator deceives them.

J. Kong, J. Kim and J. Bae, NeurIPS 2020, equations 1, 2 and 4, after X. Mao et al., "Least Squares Generative
Adversarial Networks", ICCV 2017. Each is a sum over the discriminators.
"""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from voxveil.models.vocoder.hifigan_discriminators import Verdict

Verdicts = Sequence[Verdict]


def discriminator_loss(recorded: Verdicts, made: Verdicts) -> Float[Tensor, ""]:
    """Σ mean (D(x) − 1)² + mean D(G(s))².

    >>> import torch
    >>> sure, fooled = ([Verdict(torch.full((2, 3), score), [])] for score in (1.0, 0.5))
    >>> float(discriminator_loss(sure, fooled))
    0.25
    """
    return sum(
        (
            (real.score.float() - 1.0).square().mean() + fake.score.float().square().mean()
            for real, fake in zip(recorded, made, strict=True)
        ),
        start=recorded[0].score.new_zeros(()),
    )


def deception_loss(made: Verdicts) -> Float[Tensor, ""]:
    """Σ mean (D(G(s)) − 1)².

    >>> import torch
    >>> float(deception_loss([Verdict(torch.full((2, 3), 0.5), [])]))
    0.25
    """
    return sum(((fake.score.float() - 1.0).square().mean() for fake in made), start=made[0].score.new_zeros(()))


def feature_distance(recorded: Verdicts, made: Verdicts) -> Float[Tensor, ""]:
    """Σ over the layers of mean |Dⁱ(x) − Dⁱ(G(s))|; the features of ``recorded`` are a target and get no gradient.

    >>> import torch
    >>> here, there = ([Verdict(torch.zeros(1, 1), [torch.full((2, 3), v)] * 2)] for v in (0.0, 0.5))
    >>> float(feature_distance(here, there))
    1.0
    """
    return sum(
        (
            (theirs.detach().float() - mine.float()).abs().mean()
            for real, fake in zip(recorded, made, strict=True)
            for theirs, mine in zip(real.features, fake.features, strict=True)
        ),
        start=made[0].score.new_zeros(()),
    )
