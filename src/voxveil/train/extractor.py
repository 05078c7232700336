"""How an i-vector extractor is trained from crops of speech, and a PLDA from crops that an encoder has embedded.

Speakers with a single recording become speakers with many: every crop is another place in it, in other surroundings.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor

from voxveil.models.speaker.ivector import IVector
from voxveil.roles import Embedder, Progress, Speech
from voxveil.train.augment import OFTEN_CLEAN
from voxveil.train.ivector import fit_total_variability, fit_ubm
from voxveil.train.speech_bank import SAMPLE_RATE, SpeechBank
from voxveil.verify.plda import Plda, fit_plda

CROP_S = 4.0
BATCH = 64
UBM_FRAMES = 400_000
UBM_STEPS, FACTOR_STEPS = 15, 8


def fit_ivector(
    extractor: IVector, bank: SpeechBank, crops: int, generator: Generator, progress: Progress | None = None
) -> None:
    """Fills ``extractor``: its background model from some frames of ``crops`` crops, its matrix from all of them.

    The cepstra of all crops stay in memory while it trains: 115 kB a crop, 740 MB for 6400.

    >>> import numpy as np
    >>> bank = SpeechBank([np.random.default_rng(0).normal(0, 0.1, 70_000).astype(np.float32)], ["ann"])
    >>> extractor = IVector(components=2, factors=2, n_mfcc=5)
    >>> fit_ivector(extractor, bank, 64, Generator().manual_seed(0))
    >>> bool(extractor.total_variability.any())
    True
    """
    with torch.no_grad():
        drawn = [extractor.cepstra(speech) for speech, _ in crops_elsewhere(bank, crops, generator, progress)]
        ubm = fit_ubm(_some_frames(drawn, generator), len(extractor.ubm.weights), UBM_STEPS, generator)
        counted = [ubm.statistics(features, active) for features, active in drawn]
        count, first = torch.cat([c for c, _ in counted]), torch.cat([f for _, f in counted])
        factors = extractor.total_variability.shape[-1]
        matrix = fit_total_variability(ubm, count, first, factors, FACTOR_STEPS, generator)
    state = {f"ubm.{name}": tensor for name, tensor in ubm.state_dict().items()}
    extractor.load_state_dict({**state, "total_variability": matrix}, strict=True)


def _some_frames(drawn: list[tuple[Tensor, Tensor]], generator: Generator) -> Tensor:
    frames = torch.cat([features[active] for features, active in drawn])
    some = torch.randperm(len(frames), generator=generator)[:UBM_FRAMES]
    return frames[some.to(frames.device)]


def fit_backend(
    embedder: Embedder, bank: SpeechBank, crops: int, kept: int, generator: Generator, progress: Progress | None = None
) -> Plda:
    """A PLDA of ``kept`` dimensions for ``embedder``, from ``crops`` crops of the classes of ``bank``.

    Crops should be several times as many as classes, and classes more than ``kept``.

    >>> import numpy as np
    >>> from voxveil.models.speaker.xvector import XVector
    >>> clips = [np.random.default_rng(i).normal(0, 0.1, 70_000).astype(np.float32) for i in range(4)]
    >>> bank = SpeechBank(clips, ["ann", "bob", "cat", "dan"])
    >>> fit_backend(XVector(16, 24, 8).eval(), bank, 64, 3, Generator().manual_seed(0)).projection.shape
    torch.Size([3, 8])
    """
    embedded: list[Float[Tensor, "batch dim"]] = []
    owners: list[Int[Tensor, " batch"]] = []
    for speech, classes in crops_elsewhere(bank, crops, generator, progress):
        with torch.no_grad():
            embedded.append(embedder(speech))
        owners.append(classes)
    # A class that no crop was drawn of has no number.
    _, numbers = torch.unique(torch.cat(owners), return_inverse=True)
    points = torch.cat(embedded)
    return fit_plda(points, numbers.to(points.device), kept)


def crops_elsewhere(
    bank: SpeechBank, crops: int, generator: Generator, progress: Progress | None = None
) -> Iterator[tuple[Speech, Int[Tensor, " batch"]]]:
    """At least ``crops`` crops of 4 s, 64 at a time, each in other surroundings, and their classes.

    The crops are on the device of ``bank``, the classes on the CPU.

    >>> import numpy as np
    >>> bank = SpeechBank([np.random.default_rng(0).normal(0, 0.1, 70_000).astype(np.float32)], ["ann"])
    >>> [speech.shape for speech, _ in crops_elsewhere(bank, 65, Generator().manual_seed(0))]
    [torch.Size([64, 64000]), torch.Size([64, 64000])]
    """
    for done in range(0, crops, BATCH):
        speech, classes = bank.crops(BATCH, round(CROP_S * SAMPLE_RATE), generator)
        yield OFTEN_CLEAN(speech, generator), classes
        if progress is not None:
            progress(min(1.0, (done + BATCH) / crops))
