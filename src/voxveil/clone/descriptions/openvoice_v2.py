"""Converts a recording with a checkout of OpenVoice (github.com/myshell-ai/OpenVoice, 74a1d147), which has no command.

It is run in the checkout by the checkout's own interpreter, so it imports nothing of Voxveil. The calls are those of
``demo_part3.ipynb`` but for the tone colours: ``ToneColorConverter.extract_se`` takes them from the whole files, where
the notebook has a voice-activity detector cut the files into pieces first.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import torch

CONVERTER = Path("checkpoints_v2/converter")


def main() -> None:
    """Reads the arguments, converts, and writes the output."""
    parser = argparse.ArgumentParser()
    for name in ("--reference", "--content", "--output"):
        parser.add_argument(name, required=True)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    sys.path[0] = str(Path.cwd())
    from openvoice.api import ToneColorConverter  # type: ignore[import-not-found]

    torch.manual_seed(given.seed)
    device = "cuda:0" if torch.cuda.is_available() else "cpu"
    converter: Any = ToneColorConverter(str(CONVERTER / "config.json"), device=device)
    converter.load_ckpt(str(CONVERTER / "checkpoint.pth"))
    converter.convert(
        audio_src_path=given.content,
        src_se=converter.extract_se([given.content]),
        tgt_se=converter.extract_se([given.reference]),
        output_path=given.output,
    )


if __name__ == "__main__":
    main()
