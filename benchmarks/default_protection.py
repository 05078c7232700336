"""The default protection on real speakers, through files, judged by every verifier of the ensemble it is aimed at.

Three clips of 6 s a speaker are protected by ``voxveil.protect`` as 16-bit files and read back. Enrolment: the
speaker's other utterances. White noise of equal PESQ stands beside it, and what an attacker has equalised back. Writes
docs/results/default_protection.{md,json}.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf
import torch
from speakers import RATE, Clip, clips, corpus_argument, ensemble, few, scores
from torch import Tensor

from voxveil import api, catalog
from voxveil.metrics import quality
from voxveil.metrics.noise_control import noise_of_equal_quality
from voxveil.metrics.quality import Sound
from voxveil.transforms.equalise_back import EqualiseBack
from voxveil.verify.verifier import Verifier

STRENGTHS = ("medium",)
CLIPS_A_SPEAKER = 3
VERSIONS = ("clean", "protected", "noise", "equalised_back")


def through_files(speech: Tensor, strength: str) -> tuple[Sound, Sound]:
    with tempfile.TemporaryDirectory() as folder:
        clean, out = Path(folder, "clean.flac"), Path(folder, "protected.flac")
        sf.write(clean, speech.numpy(), RATE, subtype="PCM_16")
        api.protect_file(
            clean, out, api.make_protector("veil", strength, None, "normal", "auto", catalog.ENSEMBLE, "cpu")
        )
        return sf.read(clean)[0], sf.read(out)[0]


def one(clip: Clip, strength: str) -> dict[str, Any]:
    clean, protected = through_files(clip.speech, strength)
    pesq = quality.pesq(clean, protected, RATE)
    noisy, noise_snr_db = noise_of_equal_quality([clean], lambda c, n: quality.pesq(c, n, RATE), pesq, seed=0)
    sounds = torch.as_tensor(np.stack([clean, protected, noisy[0]]), dtype=torch.float32)
    sounds = torch.cat([sounds, EqualiseBack(RATE)(sounds[1:2])])
    judged = scores(sounds, [clip] * len(sounds), ensemble())
    return {
        "speaker": clip.speaker,
        "clip": clip.path.stem,
        "scores": {name: dict(zip(VERSIONS, found.tolist(), strict=True)) for name, found in judged.items()},
        "pesq_wb": pesq,
        "stoi": quality.stoi(clean, protected, RATE),
        "snr_db": quality.snr_db(clean, protected),
        "noise_snr_db": noise_snr_db,
        "loudness_change_lu": quality.loudness_lufs(protected, RATE) - quality.loudness_lufs(clean, RATE),
    }


def summary(rows: list[dict[str, Any]], verifiers: Mapping[str, Verifier]) -> dict[str, Any]:
    judged = {}
    for name, verifier in verifiers.items():
        found = {v: np.array([row["scores"][name][v] for row in rows]) for v in VERSIONS}
        judged[name] = {
            "threshold": verifier.threshold,
            **{f"{v}_score": float(s.mean()) for v, s in found.items()},
            **{f"{v}_accepted": int((s >= verifier.threshold).sum()) for v, s in found.items()},
            "worst_score": float(found["protected"].max()),
        }
    any_accepted = [any(row["scores"][n]["protected"] >= v.threshold for n, v in verifiers.items()) for row in rows]
    means = {
        key: float(np.mean([row[key] for row in rows])) for key in rows[0] if key[-3:] not in ("ker", "lip", "res")
    }
    return {
        "clips": len(rows),
        "accepted_by_any": int(np.sum(any_accepted)),
        "least_pesq_wb": min(row["pesq_wb"] for row in rows),
        **means,
        "verifiers": judged,
    }


def main() -> None:
    parser = corpus_argument(__doc__)
    parser.add_argument("--workers", type=int, default=1, help="processes")
    options = parser.parse_args()
    verifiers = ensemble()
    chosen = few(clips(options.corpus, verifiers), CLIPS_A_SPEAKER)
    results = {}
    for strength in STRENGTHS:
        with ProcessPoolExecutor(options.workers, get_context("spawn")) as pool:
            rows = list(pool.map(partial(one, strength=strength), chosen))
        results[strength] = {"summary": summary(rows, verifiers), "clips": rows}
        print(strength, json.dumps(results[strength]["summary"]), flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "default_protection.json").write_text(json.dumps(results, indent=1) + "\n")
    (options.out / "default_protection.md").write_text(table(results))


def table(results: dict[str, dict]) -> str:
    lines = [
        "# The default protection, `veil`",
        "",
        "Clips of 6 s of five speakers of LibriSpeech test-other. Enrolment: the other utterances of the speaker.",
        "White box: judged by the encoders it was computed against, each by cosine at the threshold of its card.",
        "16-bit FLAC written and read back; `--effort normal`, seed 0.",
        "",
        "| strength | clips | accepted by any | PESQ-wb mean (least) | STOI | SNR dB | loudness LU |",
        "|---|---|---|---|---|---|---|",
    ]
    for strength, result in results.items():
        s = result["summary"]
        lines.append(
            f"| {strength} | {s['clips']} | {s['accepted_by_any']} | {s['pesq_wb']:.2f} ({s['least_pesq_wb']:.2f}) "
            f"| {s['stoi']:.3f} | {s['snr_db']:.1f} | {s['loudness_change_lu']:+.2f} |"
        )
    lines += [
        "",
        "Mean scores, and in brackets how many clips were accepted:",
        "",
        "| strength | verifier | threshold | clean | noise of equal PESQ | protected | worst | … equalised back |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for strength, result in results.items():
        for name, v in result["summary"]["verifiers"].items():
            cells = [f"{v[f'{k}_score']:.3f} ({v[f'{k}_accepted']})" for k in ("clean", "noise", "protected")]
            lines.append(
                f"| {strength} | {name} | {v['threshold']:.3f} | {' | '.join(cells)} | {v['worst_score']:.3f} "
                f"| {v['equalised_back_score']:.3f} ({v['equalised_back_accepted']}) |"
            )
    command = "python benchmarks/default_protection.py --corpus LIBRISPEECH/test-other --workers 2"
    return "\n".join([*lines, "", f"Again: `{command}`", ""])


if __name__ == "__main__":
    main()
