"""Whose voice a protection steers to: the one that is asked for, or of twelve others the one that is farthest.

With E_k the speaker encoders, x the speech and y_j the candidates' (Z. Yu et al., "AntiFake", CCS 2023, its automatic
choice; there people may be asked as well how different the voices sound, and whoever wants that gives a target):

    d_kj = Σ |E_k(x) − E_k(y_j)|,    the target is argmax_j Σ_k d_kj / mean_j(d_kj)

The candidates are 3 s each of six women and six men in LibriSpeech train-clean-100 (V. Panayotov et al. 2015, CC BY
4.0), at −26 dBFS one after the other in ``other-speakers.ogg`` (Vorbis, 16 kHz). The utterances are 32-21625-0000 (from
0.0 s), 426-122819-0000 (0.4), 1926-143879-0000 (3.7), 3526-175658-0000 (0.1), 5163-18515-0000 (0.4), 7148-59157-0000
(0.3), women; 26-495-0000 (2.5), 460-172357-0000 (0.4), 2289-152253-0000 (0.0), 3807-4923-0000 (3.0), 5390-24512-0000
(0.2), 7067-76047-0000 (0.3), men.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from importlib.resources import files

import soundfile as sf
import torch
from jaxtyping import Float
from torch import Tensor

from voxveil.errors import BadInputError
from voxveil.roles import Embedder, Speech
from voxveil.verify.verifier import Verifier

SAMPLE_RATE = 16_000
CANDIDATE_S = 3


@lru_cache(maxsize=1)
def candidates() -> Float[Tensor, "candidate time"]:
    """The speech of twelve others, 3 s each at 16 kHz.

    >>> candidates().shape
    torch.Size([12, 48000])
    """
    with files(__package__).joinpath("other-speakers.ogg").open("rb") as file:
        sound, _ = sf.read(file, dtype="float32")
    return torch.from_numpy(sound).view(-1, CANDIDATE_S * SAMPLE_RATE)


def farthest(embedders: Sequence[Embedder], clean: Speech) -> Float[Tensor, "batch time2"]:
    """For every clip the candidate whose voice is farthest from it; a clip's choice depends on no other clip.

    >>> from voxveil.models.speaker.xvector import XVector
    >>> farthest([XVector(16, 24, dim=8).eval()], torch.randn(2, 8000)).shape
    torch.Size([2, 48000])
    """
    others = candidates().to(clean)
    total = torch.zeros(len(clean), len(others), device=clean.device)
    with torch.no_grad():
        for embedder in embedders:
            distance = (embedder(clean)[:, None] - embedder(others)).abs().sum(-1)
            total = total + distance / distance.mean(1, keepdim=True)
    return others[total.argmax(1)]


def check_target(victims: Sequence[Verifier], clean: Speech, target: Float[Tensor, "1 time2"]) -> None:
    """Raises :class:`~voxveil.errors.BadInputError` if most of the ``victims`` take ``target`` for a clip's speaker.

    One verifier by itself errs now and then; two speakers whom most of them confuse are too alike to steer anywhere.

    >>> from voxveil.models.speaker.xvector import XVector
    >>> from voxveil.verify.scorers import cosine
    >>> victim, speech = Verifier("tiny", XVector(16, 24, dim=8).eval(), cosine, 0.9), torch.randn(1, 8000)
    >>> check_target([victim], speech, speech)
    Traceback (most recent call last):
    voxveil.errors.BadInputError: The target is taken for the speaker who is to be protected: give another speaker.
    """
    with torch.no_grad():
        accepted = torch.stack([v.decide(v.embedder(target.to(clean)), clean) for v in victims])
    if bool((accepted.float().mean(0) > 0.5).any()):
        raise BadInputError("The target is taken for the speaker who is to be protected: give another speaker.")


def target_voice(
    victims: Sequence[Verifier], clean: Speech, target: Float[Tensor, "1 time2"] | None
) -> Float[Tensor, "batch time2"]:
    """What every clip is to be steered to: ``target`` [1, time] at 16 kHz once it is checked, or who is farthest.

    Raises :class:`~voxveil.errors.BadInputError` where :func:`check_target` does.

    >>> from voxveil.models.speaker.xvector import XVector
    >>> from voxveil.verify.scorers import cosine
    >>> victim = Verifier("tiny", XVector(16, 24, dim=8).eval(), cosine, threshold=1.1)
    >>> target_voice([victim], torch.randn(2, 8000), torch.randn(1, 9000)).shape
    torch.Size([2, 9000])
    """
    if target is None:
        return farthest([victim.embedder for victim in victims], clean)
    check_target(victims, clean, target)
    return target.to(clean).expand(clean.shape[0], -1)
