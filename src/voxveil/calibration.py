"""What a model is worth on speakers it never heard: its error rates and thresholds, written on its card."""

from __future__ import annotations

from pathlib import Path

import torch

from voxveil import hub
from voxveil.audio.corpus import Utterance, read_corpus
from voxveil.cards.card import Figure
from voxveil.errors import BadInputError
from voxveil.loading import embedder, scorer
from voxveil.roles import Progress
from voxveil.verify.evaluate import Evaluation, embed_all, evaluate
from voxveil.verify.trials import Trial, all_pairs, of_both_kinds, recordings, speakers

Figures = dict[str, Figure]


def calibrate(
    card_path: Path, corpus: Path, device: str = "cpu", progress: Progress | None = None
) -> tuple[dict[str, Figures], Figures]:
    """Thresholds by scorer and criterion, and error rates in percent, from all pairs of recordings of ``corpus``.

    An encoder is judged with the cosine and the Euclidean score, a PLDA together with its encoder; the error rates are
    those of the cosine, or of the PLDA. ``progress`` follows the recordings.

    Raises :class:`~voxveil.errors.ModelUnavailableError` for a card that cannot be used, and what :func:`trials_of` and
    :func:`~voxveil.verify.evaluate.embed_all` raise.
    """
    card = hub.card(str(card_path))
    trials = trials_of(corpus)
    heard = recordings(trials)
    encoder = encoder_of(card_path)
    voices = embed_all(embedder(encoder, device), heard, torch.device(device), progress=progress)
    kinds = ("plda",) if card.network.architecture == "plda" else ("cosine", "euclidean")
    found = {kind: evaluate(scorer(kind, encoder, device), voices, trials) for kind in kinds}
    where = f"{name_of(corpus)}: {len(heard)} recordings of {len(speakers(trials))} speakers, all {len(trials)} pairs"
    return {kind: _thresholds(one, where) for kind, one in found.items()}, _measured(found[kinds[0]], where)


def encoder_of(card_path: Path) -> str:
    """The encoder whose embeddings the PLDA of a card scores: the one beside it, else this package's own of that name.

    >>> encoder_of(Path("no/such/ivector-plda.toml"))
    'ivector'
    """
    stem = card_path.stem.removesuffix("-plda")
    beside = card_path.with_name(f"{stem}.toml")
    return str(beside) if beside.exists() else stem


def speakers_of(corpus: Path) -> list[Utterance]:
    """The recordings of ``corpus``; raises :class:`~voxveil.errors.BadInputError` unless two speakers speak in them.

    >>> speakers_of(Path("no/such/corpus"))
    Traceback (most recent call last):
    voxveil.errors.BadInputError: no/such/corpus does not exist.
    """
    spoken = read_corpus(corpus)
    if len({one.speaker for one in spoken}) < 2:
        raise BadInputError(f"{corpus} holds one speaker only: telling speakers apart takes at least two.")
    return spoken


def trials_of(corpus: Path) -> list[Trial]:
    """All pairs of recordings of ``corpus``.

    Raises :class:`~voxveil.errors.BadInputError` unless two speakers speak in them, and one of them twice.

    >>> trials_of(Path("no/such/corpus"))
    Traceback (most recent call last):
    voxveil.errors.BadInputError: no/such/corpus does not exist.
    """
    return of_both_kinds(all_pairs(speakers_of(corpus)), corpus)


def name_of(corpus: Path) -> str:
    """What a card calls the folder ``corpus``: its name without its place.

    >>> name_of(Path("/data/LibriSpeech/")), name_of(Path(".")) == Path.cwd().name
    ('LibriSpeech', True)
    """
    return corpus.absolute().name


def _thresholds(found: Evaluation, where: str) -> Figures:
    return {criterion: Figure(round(value, 4), where) for criterion, value in found.thresholds.items()}


def _measured(found: Evaluation, where: str) -> Figures:
    rates = {"eer_percent": found.eer, "eer_low_percent": found.eer_low, "eer_high_percent": found.eer_high}
    return {name: Figure(round(100.0 * rate, 3), where) for name, rate in rates.items()}
