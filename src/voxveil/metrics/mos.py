"""What listeners would say of a clip that has no clean twin: predicted mean opinion scores, about 1 (bad) … 5.

Clones have nothing to be compared with, so PESQ is no help. The networks are their publishers': NISQA through
``torchmetrics``, DNSMOS through ``speechmos``, which brings its weights (the extra ``mos``). NISQA's weights are
fetched by their card; their licence, CC BY-NC-SA 4.0, forbids commercial use.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import soxr
import torch
from torch import Tensor

from voxveil import hub
from voxveil.errors import BadInputError, MissingExtraError
from voxveil.metrics.quality import Sound

EXTRA = "mos"
LEAST_S, NISQA_MOST_S = 0.6, 50.0
"""Shorter clips do not fill NISQA's transform of 4096 samples at 8 kHz; it has room for 50 s."""
DNSMOS_RATE = 16_000


@dataclass(frozen=True)
class Dnsmos:
    """Opinions on the whole, on the speech and on the background (ITU-T P.835), and on the whole after P.808."""

    overall: float
    speech: float
    background: float
    p808: float


def nisqa(sound: Sound, sample_rate: int) -> float:
    """The overall quality that NISQA 2.0 predicts (G. Mittag et al., Interspeech 2021).

    It hears up to 20 kHz and judges what is missing there: compare clips of one sample rate only.

    Raises :class:`~voxveil.errors.MissingExtraError` without the extra ``mos``,
    :class:`~voxveil.errors.ModelUnavailableError` where the weights cannot be had, and
    :class:`~voxveil.errors.BadInputError` for clips shorter than 0.6 s or longer than 50 s.

    >>> nisqa(np.zeros(100), 16_000)
    Traceback (most recent call last):
    voxveil.errors.BadInputError: NISQA judges clips of 0.6 s to 50 s.
    """
    if not LEAST_S <= len(sound) / sample_rate <= NISQA_MOST_S:
        raise BadInputError("NISQA judges clips of 0.6 s to 50 s.")
    return float(_published_nisqa()(torch.as_tensor(sound, dtype=torch.float32), sample_rate)[0])


def dnsmos(sound: Sound, sample_rate: int) -> Dnsmos:
    """What DNSMOS predicts (C. Reddy et al., ICASSP 2022), at 16 kHz; clips are repeated to nine seconds.

    Raises :class:`~voxveil.errors.MissingExtraError` without the extra ``mos`` and
    :class:`~voxveil.errors.BadInputError` for clips shorter than 0.6 s.

    >>> dnsmos(np.zeros(100), 16_000)
    Traceback (most recent call last):
    voxveil.errors.BadInputError: DNSMOS judges clips of 0.6 s and more.
    """
    if len(sound) < LEAST_S * sample_rate:
        raise BadInputError("DNSMOS judges clips of 0.6 s and more.")
    # onnxruntime, which speechmos loads, would otherwise write telemetry files.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        from speechmos import dnsmos as published
    except ImportError as error:
        raise MissingExtraError.naming(EXTRA, "DNSMOS") from error
    heard = sound if sample_rate == DNSMOS_RATE else soxr.resample(sound, sample_rate, DNSMOS_RATE)
    # speechmos refuses what resampling or a loud clone carries over full scale.
    found = published.run(np.clip(heard, -1.0, 1.0), DNSMOS_RATE)
    return Dnsmos(*(float(found[f"{key}_mos"]) for key in ("ovrl", "sig", "bak", "p808")))


def dnsmos_overall(sound: Sound, sample_rate: int) -> float:
    """The first number of :func:`dnsmos`, and what it raises."""
    return dnsmos(sound, sample_rate).overall


@lru_cache(maxsize=1)
def _published_nisqa() -> Callable[[Tensor, int], Tensor]:
    """Torchmetrics's function, after it has read the verified file in the place of one that it would download."""
    try:
        from torchmetrics.functional.audio import nisqa as published
    except ImportError as error:
        raise MissingExtraError.naming(EXTRA, "NISQA") from error
    judge: Callable[[Tensor, int], Tensor] = published.non_intrusive_speech_quality_assessment
    usual = published.NISQA_DIR
    with TemporaryDirectory() as folder:
        shutil.copyfile(hub.fetch("nisqa"), Path(folder, "nisqa.tar"))
        published.NISQA_DIR = folder
        try:
            # It reads its weights at the first call and keeps them.
            judge(torch.zeros(DNSMOS_RATE), DNSMOS_RATE)
        finally:
            published.NISQA_DIR = usual
    return judge
