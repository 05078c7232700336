"""A report for people: a short table and one plain verdict."""

from __future__ import annotations

from voxveil.report import Report


def lines(report: Report) -> list[str]:
    r"""The report in lines of text.

    >>> from voxveil.report import Quality, VerifierResult
    >>> result = VerifierResult(0.95, 0.45, 0.90, threshold=0.74, accepted=False)
    >>> cost = Quality(4.3, 4.4, 0.95, 6.0, 7.0, 4.2, 0.1)
    >>> print("\n".join(lines(Report("a.wav", "b.wav", "other recordings", cost, {"ge2e": result}, 35.0))))
    b.wav
      quality    PESQ 4.30 of 4.64   STOI 0.95   loudness +0.1 LU
      verifier     threshold     clean  protected  noise of equal PESQ
      ge2e              0.74      0.95       0.45                 0.90  refused
      (speaker enrolled from other recordings)
    Not recognised as the same speaker (1 verifier tested); systems that were not tested may differ.
    """
    cost = report.quality
    loudness = "?" if cost.loudness_change_lu is None else f"{cost.loudness_change_lu:+.1f}"
    out = [
        report.protected,
        f"  quality    PESQ {_number(cost.pesq_wb)} of 4.64   STOI {_number(cost.stoi)}   loudness {loudness} LU",
        f"  {'verifier':<13}{'threshold':>9}{'clean':>10}{'protected':>11}{'noise of equal PESQ':>21}",
    ]
    for name, result in report.verifiers.items():
        out.append(
            f"  {name:<13}{result.threshold:>9.2f}{result.clean_score:>10.2f}{result.protected_score:>11.2f}"
            f"{_number(result.noise_score):>21}  {'ACCEPTED' if result.accepted else 'refused'}"
        )
    out.append(f"  (speaker enrolled from {report.enrolment})")
    if report.seconds is not None and report.real_time_factor is not None:
        out.append(f"  took {report.seconds:.1f} s, {report.real_time_factor:.2f} × the length of the audio")
    if cost.pesq_wb is None:
        out.append("  PESQ, STOI and the noise control need speech and the extra: pip install 'voxveil[eval]'")
    out.append(report.verdict())
    return out


def _number(value: float | None) -> str:
    return "?" if value is None else f"{value:.2f}"
