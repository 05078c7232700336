"""``voxveil verify``: voiceprints, decisions, and how often systems err."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from voxveil.cli import choices
from voxveil.cli.complaint import complain

app = typer.Typer(help="Enrol voices, compare recordings with them, and measure verifiers.", no_args_is_help=True)

System = Annotated[
    str | None,
    typer.Option(
        metavar="NAME,...",
        help="Such as DV-COS, an encoder's name, or the file of a card of your own; default: all that can be had.",
    ),
]
Device = Annotated[str, typer.Option(help="cpu or cuda.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def enrol(
    recordings: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Recordings of one speaker.")],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="VOICE.safetensors", help="Where the voiceprint goes.")],
    system: Annotated[str, typer.Option(metavar="NAME", help="The system that is to compare it.")] = "DV-COS",
    device: Device = "cpu",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a voiceprint that exists.")] = False,
) -> None:
    """Make a voiceprint: the mean of what an encoder hears in recordings of one speaker.

    A voiceprint identifies a person, as a fingerprint does: it is personal data, so ask the speaker, and keep it as
    carefully as the recordings. Only systems with the same encoder can compare it.
    """
    from voxveil import verification
    from voxveil.verify.voiceprint import SUFFIX, write_voiceprint
    from voxveil.whole_file import check_place

    check_place(out, SUFFIX, overwrite)
    voice = verification.enrol(recordings, system, device)
    write_voiceprint(out, voice)
    heard = "1 recording" if voice.clips == 1 else f"{voice.clips} recordings"
    print(f"{out}: voiceprint for {voice.encoder}, from {heard}. It is personal data.")


@app.command()
def score(
    enrolled: Annotated[Path, typer.Argument(help="A recording of the speaker, or a voiceprint made by enrol.")],
    probes: Annotated[list[Path], typer.Argument(metavar="PROBE...", help="Recordings: the same speaker?")],
    enrol: Annotated[
        list[Path] | None, typer.Option(help="More recordings of the speaker (repeat the option for several).")
    ] = None,
    system: System = None,
    criterion: Annotated[
        choices.Criterion,
        typer.Option(help="The threshold: equal error rates, or 1 % of speakers refused or of others accepted."),
    ] = choices.Criterion.eer,
    device: Device = "cpu",
    as_json: AsJson = False,
) -> None:
    """Say for each probe whether it is accepted as the enrolled speaker."""
    from voxveil import verification
    from voxveil.cli.progress import bar
    from voxveil.cli.verify_lines import decision_lines

    with bar("scoring") as progress:
        decisions = verification.score(
            [enrolled, *(enrol or ())], probes, choices.names(system), criterion.value, device, complain, progress
        )
    print(json.dumps([asdict(one) for one in decisions], indent=2) if as_json else "\n".join(decision_lines(decisions)))


@app.command("eval")
def evaluate(
    corpus: Annotated[
        Path | None, typer.Option(help="LibriSpeech, VCTK, VoxCeleb, or a folder for every speaker: all pairs.")
    ] = None,
    trials: Annotated[Path | None, typer.Option(metavar="LIST", help="Lines '1 ENROL PROBE' or '0 …'.")] = None,
    root: Annotated[Path | None, typer.Option(help="Where the recordings of LIST lie; default: beside it.")] = None,
    system: System = None,
    cohort: Annotated[
        Path | None, typer.Option(help="A corpus of other speakers: normalise scores by it (AS-norm).")
    ] = None,
    plot: Annotated[Path | None, typer.Option(metavar="det.png|det.svg", help="Draw the DET curves.")] = None,
    device: Device = "cpu",
    as_json: AsJson = False,
) -> None:
    """Measure how often verification systems err on a corpus or a list of trials.

    False rejection (FRR) and acceptance (FAR) are those at the calibrated threshold of the system's card.
    """
    if (corpus is None) == (trials is None):
        raise typer.BadParameter("give either --corpus DIR or --trials LIST")
    if root is not None and trials is None:
        raise typer.BadParameter("--root goes with --trials")
    from voxveil import verification
    from voxveil.calibration import speakers_of, trials_of
    from voxveil.cli.progress import bar
    from voxveil.cli.verify_lines import evaluation_lines
    from voxveil.loading import threshold
    from voxveil.verify.det_plot import check_det_plot, write_det_plot
    from voxveil.verify.trials import read_trials

    if plot is not None:
        check_det_plot(plot)
    judged = trials_of(corpus) if corpus is not None else read_trials(trials or "", root)
    strangers = () if cohort is None else speakers_of(cohort)
    with bar("evaluating") as progress:
        found = verification.evaluate(judged, choices.names(system), strangers, device, complain, progress)
    if plot is not None:
        write_det_plot(plot, found)
    if as_json:
        print(json.dumps({name: one.as_json() for name, one in found.items()}, indent=2))
        return
    thresholds = {name: None if cohort is not None else threshold(name) for name in found}
    print("\n".join(evaluation_lines(judged, found, thresholds)))
