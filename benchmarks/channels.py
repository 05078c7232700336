"""What is left of the default protection after channels and simple attackers, beside the clean clip treated alike.

White box otherwise: protected against the whole ensemble and judged by each of its members. The search knows nothing of
these channels, but of noise at 25 dB and of an equaliser towards other speech. Writes docs/results/channels.{md,json}.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable

import numpy as np
import soundfile as sf
import torch
from speakers import RATE, Clip, batches, clips, corpus_argument, ensemble, few, scores

from voxveil.audio.bands import band_interpolation
from voxveil.audio.spectrum import Stft, power
from voxveil.protectors.veil import Veil
from voxveil.roles import Speech
from voxveil.transforms.filters import BandPass
from voxveil.transforms.noise import WhiteNoise
from voxveil.transforms.quantise import Quantise
from voxveil.transforms.resample import BandLimit
from voxveil.transforms.room import Room

BANDS = 24
CLIPS_A_SPEAKER = 3
Channel = Callable[[Speech, list[Clip]], Speech]


def coded(container: str, subtype: str, level: float) -> Channel:
    """There and back through libsndfile's encoder; for MP3 of a constant bit rate.

    At level l, MP3 of one channel at 16 kHz takes the rate nearest to 160 − 152 l kbit/s, Opus about 256 − 250 l.
    """
    mode = "CONSTANT" if container == "MP3" else None

    def run(speech: Speech, _: list[Clip]) -> Speech:
        out = []
        for clip in speech:
            buffer = io.BytesIO()
            how = {"format": container, "subtype": subtype, "compression_level": level, "bitrate_mode": mode}
            sf.write(buffer, clip.numpy(), RATE, **how)
            buffer.seek(0)
            decoded = torch.as_tensor(sf.read(buffer, dtype="float32")[0])
            out.append(torch.nn.functional.pad(decoded, (0, max(0, len(clip) - len(decoded))))[: len(clip)])
        return torch.stack(out)

    return run


def band_levels_db(speech: Speech) -> torch.Tensor:
    """Long-term level of every clip in 24 Bark bands, its mean taken out, [batch, band]."""
    stft = Stft()
    weights = band_interpolation(stft.frequencies_hz(RATE), BANDS)
    levels = 10 * torch.log10((power(stft(speech)).mean(-1) @ weights).clamp_min(1e-12))
    return levels - levels.mean(1, keepdim=True)


def equalised_back(everything: list[Clip]) -> Channel:
    """An attacker who brings the long-term spectrum to the mean of all other speakers'."""
    levels = {clip.path: band_levels_db(clip.speech[None])[0] for clip in everything}

    def run(speech: Speech, owners: list[Clip]) -> Speech:
        wanted = torch.stack(
            [torch.stack([levels[c.path] for c in everything if c.speaker != o.speaker]).mean(0) for o in owners]
        )
        gains_db = (wanted - band_levels_db(speech)).clamp(-20, 20)
        size = speech.shape[-1] + RATE // 16
        weights = band_interpolation(torch.linspace(0, RATE / 2, size // 2 + 1), BANDS)
        gain = 10 ** (gains_db @ weights.T / 20)
        return torch.fft.irfft(torch.fft.rfft(speech, size) * gain, size)[:, : speech.shape[-1]]

    return run


def channels(everything: list[Clip]) -> dict[str, Channel]:
    seeded = lambda: torch.Generator().manual_seed(0)  # noqa: E731
    plain = {
        "none": lambda x: x,
        "band limit 8 kHz sampling": BandLimit(8000, RATE),
        "telephone band 300–3,400 Hz": BandPass(300, 3400, RATE),
        "8 bit": Quantise(8),
        "white noise 30 dB SNR": WhiteNoise(30, seeded()),
        "room, RT60 0.3 s, direct +6 dB": Room(0.3, 6.0, RATE, seeded()),
    }
    return {
        **{name: (lambda x, _, t=transform: t(x)) for name, transform in plain.items()},
        "MP3 64 kbit/s": coded("MP3", "MPEG_LAYER_III", 0.632),
        "Opus 24 kbit/s": coded("OGG", "OPUS", 0.928),
        "MP3 8 kbit/s": coded("MP3", "MPEG_LAYER_III", 0.99),
        "Opus 9 kbit/s": coded("OGG", "OPUS", 0.99),
        "equalised back to other speakers' spectrum": equalised_back(everything),
    }


def main() -> None:
    options = corpus_argument(__doc__).parse_args()
    verifiers = ensemble()
    everything = few(clips(options.corpus, verifiers), CLIPS_A_SPEAKER)
    veil = Veil(tuple(verifiers.values()))
    accepted: dict[str, dict[str, dict[str, list[np.ndarray]]]] = {}
    for batch in batches(everything):
        clean = torch.stack([c.speech for c in batch])
        versions = {"clean": clean, "protected": veil(clean[:, None], seed=0)[:, 0]}
        for channel_name, channel in channels(everything).items():
            for version, speech in versions.items():
                for name, found in scores(channel(speech, batch), batch, verifiers).items():
                    row = accepted.setdefault(channel_name, {}).setdefault(name, {})
                    row.setdefault(version, []).append(found >= verifiers[name].threshold)
    rows = [
        {
            "channel": channel,
            **{
                name: {f"{v}_accepted_percent": 100 * float(np.concatenate(s).mean()) for v, s in both.items()}
                for name, both in judges.items()
            },
        }
        for channel, judges in accepted.items()
    ]
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "channels.json").write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n")
    (options.out / "channels.md").write_text(table(rows, list(verifiers), len(everything)))
    print(table(rows, list(verifiers), len(everything)))


def table(rows: list[dict], names: list[str], count: int) -> str:
    lines = [
        "# After channels and simple attackers",
        "",
        f"{count} clips of five speakers of LibriSpeech test-other, `veil` at default strength against the ensemble,",
        "then a channel; clean clips go through the same. The search has noise and an equaliser of its own, and knows",
        "nothing of the others. How many of a hundred clips each verifier accepts, clean → protected:",
        "",
        f"| channel | {' | '.join(names)} |",
        f"|---|{'---|' * len(names)}",
    ]
    for row in rows:
        cells = (f"{row[n]['clean_accepted_percent']:.0f} → {row[n]['protected_accepted_percent']:.0f}" for n in names)
        lines.append(f"| {row['channel']} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", "Again: `python benchmarks/channels.py --corpus LIBRISPEECH/test-other`", ""])


if __name__ == "__main__":
    main()
