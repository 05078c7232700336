"""The default protection on real speakers, through files, beside white noise of equal PESQ.

Every utterance of 3 s or more, its first 6 s, is protected by ``voxveil.protect`` as a 16-bit file and read back.
Enrolment: the speaker's other utterances. Writes docs/results/default_protection.{md,json}.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
import soundfile as sf
import torch
from speakers import RATE, Clip, clips, corpus_argument

from voxveil import api, hub, loading
from voxveil.metrics import quality
from voxveil.metrics.noise_control import noise_of_equal_quality

STRENGTHS = ("light", "medium", "strong")


def judge(clip: Clip, sound: np.ndarray) -> float:
    with torch.no_grad():
        probe = loading.embedder("ge2e")(torch.as_tensor(sound, dtype=torch.float32)[None])
    return float(probe[0] @ clip.enrolled)


def one(clip: Clip, strength: str, folder: Path) -> dict[str, float | str]:
    clean_path, out = folder / "clean.flac", folder / "protected.flac"
    sf.write(clean_path, clip.speech.numpy(), RATE, subtype="PCM_16")
    protector = api.make_protector("veil", strength, None, "normal", "auto", ("ge2e",), "cpu")
    api.protect_file(clean_path, out, protector, overwrite=True)
    clean, protected = sf.read(clean_path)[0], sf.read(out)[0]
    pesq = quality.pesq(clean, protected, RATE)
    noisy, noise_snr_db = noise_of_equal_quality([clean], lambda c, n: quality.pesq(c, n, RATE), pesq, seed=0)
    return {
        "speaker": clip.speaker,
        "clip": clip.path.stem,
        "clean_score": judge(clip, clean),
        "protected_score": judge(clip, protected),
        "noise_score": judge(clip, noisy[0]),
        "pesq_wb": pesq,
        "stoi": quality.stoi(clean, protected, RATE),
        "snr_db": quality.snr_db(clean, protected),
        "noise_snr_db": noise_snr_db,
        "loudness_change_lu": quality.loudness_lufs(protected, RATE) - quality.loudness_lufs(clean, RATE),
    }


def summary(rows: list[dict[str, float | str]], threshold: float) -> dict[str, float]:
    def mean(key: str) -> float:
        return float(np.mean([row[key] for row in rows]))

    return {
        "clips": len(rows),
        "accepted": sum(float(row["protected_score"]) >= threshold for row in rows),
        "noise_accepted": sum(float(row["noise_score"]) >= threshold for row in rows),
        "clean_accepted": sum(float(row["clean_score"]) >= threshold for row in rows),
        "worst_score": max(float(row["protected_score"]) for row in rows),
        "least_pesq_wb": min(float(row["pesq_wb"]) for row in rows),
        **{key: mean(key) for key in rows[0] if key not in ("speaker", "clip")},
    }


def main() -> None:
    options = corpus_argument(__doc__).parse_args()
    threshold = hub.card("ge2e").thresholds["cosine"]["eer"].value
    embedder = loading.embedder("ge2e")
    chosen = clips(options.corpus, embedder)
    results = {}
    for strength in STRENGTHS:
        with tempfile.TemporaryDirectory() as folder:
            rows = [one(clip, strength, Path(folder)) for clip in chosen]
        results[strength] = {"summary": summary(rows, threshold), "clips": rows}
        print(strength, json.dumps(results[strength]["summary"]), flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "default_protection.json").write_text(json.dumps(results, indent=1) + "\n")
    (options.out / "default_protection.md").write_text(table(results, threshold))


def table(results: dict[str, dict], threshold: float) -> str:
    lines = [
        "# The default protection, `veil`",
        "",
        "Five speakers of LibriSpeech test-other, every utterance of 3 s or more, its first 6 s. Enrolment: the other",
        "utterances of the speaker. White box: judged by the encoder it was computed against (GE2E, accepted at",
        f"≥ {threshold}). 16-bit FLAC written and read back; `--effort normal`, seed 0.",
        "",
        "| strength | clips | accepted | mean score | worst score | clean score | noise of equal PESQ (accepted) "
        "| PESQ-wb mean (least) | STOI | SNR dB | loudness LU |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for strength, result in results.items():
        s = result["summary"]
        lines.append(
            f"| {strength} | {s['clips']} | {s['accepted']} | {s['protected_score']:.3f} | {s['worst_score']:.3f} "
            f"| {s['clean_score']:.3f} | {s['noise_score']:.3f} ({s['noise_accepted']}) "
            f"| {s['pesq_wb']:.2f} ({s['least_pesq_wb']:.2f}) | {s['stoi']:.3f} | {s['snr_db']:.1f} "
            f"| {s['loudness_change_lu']:+.2f} |"
        )
    command = "python benchmarks/default_protection.py --corpus LIBRISPEECH/test-other"
    return "\n".join([*lines, "", f"Again: `{command}`", ""])


if __name__ == "__main__":
    main()
