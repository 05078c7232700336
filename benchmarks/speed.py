"""What every protection that searches costs beside the bare forward and backward passes it needs, and in batches.

Which passes a protection needs is recorded in a run of its own, whatever its recipe: every gradient that its solver
asks for (the loss, which is the objective of the carrier's output, and the parameters), and every speaker embedding
that it takes outside of them, the same speech through the same encoder counted once however often it is taken. Then

- *passes* are these again and nothing else: the forward and the backward pass of every loss (carrier, channels drawn,
  encoders, terms of quality), and the forward pass of every such embedding;
- *encoders* are less still, and nothing that a protection could do without: the forward and backward passes of the
  encoders alone, on the same inputs, and the same embeddings. Of a protection that attacks a converter they are not
  all, so they are left out there.

What a protection takes beyond its passes is its solver, its carrier's last rendering, what it computes of the clean
speech at first, and the order of things. The times of a round are taken one after the other, on the same speech, so
that what else the machine does touches them alike; of the rounds the median counts. Batches: the clips together, beside
the same clips one by one. Writes docs/results/speed.{md,json}.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from unittest.mock import patch

import torch
from speakers import RATE, clips, corpus_argument, few
from torch import Tensor, nn

from voxveil import api, catalog, loading
from voxveil.errors import ModelUnavailableError
from voxveil.perturb import solvers
from voxveil.perturb.gradients import Autograd
from voxveil.roles import Loss, Parameters, Protector

WITHOUT_SEARCH = ("white-noise",)
EFFORTS = {"attackvc-mel": "normal"}
"""Fast if nothing is said; this one has cheap steps, and a vocoder that counts too much beside few of them."""

THREADS = 1
ROUNDS = 3
CLIP_S = 3.0
QUICK_ENCODERS, QUICK_CLIP_S, QUICK_STEPS = ("xvector", "ivector"), 1.0, 2
MOST = 1.2
"""Times its passes that a protection may take."""


@dataclass
class Passes:
    """What a protector asked for: gradients, and calls of the encoders inside of them and outside."""

    gradients: list[tuple[Callable[[Parameters], Loss], Parameters]] = field(default_factory=list)
    inside: list[tuple[nn.Module, Tensor]] = field(default_factory=list)
    outside: dict[tuple[int, bytes], tuple[nn.Module, Tensor]] = field(default_factory=dict)
    in_gradient: bool = False

    def __call__(self, loss: Callable[[Parameters], Loss], parameters: Parameters) -> tuple[Loss, Parameters]:
        """The gradient that a solver asks for."""
        self.gradients.append((loss, parameters))
        self.in_gradient = True
        found = Autograd()(loss, parameters)
        self.in_gradient = False
        return found

    def heard(self, encoder: nn.Module, inputs: tuple[Tensor], _: Tensor) -> None:
        """An encoder's forward pass."""
        speech = inputs[0].detach()
        if self.in_gradient:
            self.inside.append((encoder, speech))
        else:
            self.outside[id(encoder), speech.cpu().numpy().tobytes()] = (encoder, speech)

    def embed(self) -> None:
        """The embeddings that no gradient is asked of."""
        with torch.no_grad():
            for encoder, speech in self.outside.values():
                encoder(speech)

    def bare(self) -> None:
        """All passes, forward and backward."""
        self.embed()
        for loss, parameters in self.gradients:
            leaves = [parameter.detach().requires_grad_() for parameter in parameters]
            torch.autograd.grad(loss(tuple(leaves)).sum(), leaves)

    def encoders(self) -> None:
        """Those of the encoders alone."""
        self.embed()
        for encoder, speech in self.inside:
            leaf = speech.clone().requires_grad_()
            torch.autograd.grad(encoder(leaf).sum(), leaf)


def recorded(protector: Protector, speech: Tensor, encoders: Sequence[nn.Module]) -> Passes:
    passes = Passes()
    hooks = [encoder.register_forward_hook(passes.heard) for encoder in encoders]
    with patch.object(solvers, "Autograd", lambda: passes):
        protector(speech, seed=0)
    for hook in hooks:
        hook.remove()
    return passes


def shortened(protector: Any) -> Any:
    """The same with very few steps, where only the script is to be tried."""
    if hasattr(protector, "steps"):
        return replace(protector, steps=QUICK_STEPS)
    return replace(protector, effort=replace(protector.effort, steps=QUICK_STEPS))


def seconds(call: Callable[[], object], device: str) -> float:
    started = time.perf_counter()
    call()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def measured(
    protector: Protector, name: str, speech: Tensor, encoders: Sequence[nn.Module], device: str, rounds: int
) -> dict[str, Any]:
    passes = recorded(protector, speech[:1], encoders)
    calls: dict[str, Callable[[], object]] = {
        "protector_s": lambda: protector(speech[:1], seed=0),
        "passes_s": passes.bare,
        "encoders_s": passes.encoders,
        "one_by_one_s": lambda: [protector(clip, seed=0) for clip in speech.split(1)],
        "batch_s": lambda: protector(speech, seed=0),
    }
    if name in catalog.ATTACKED:
        del calls["encoders_s"]
    found = [{key: seconds(call, device) for key, call in calls.items()} for _ in range(rounds)]
    took = {key: statistics.median(one[key] for one in found) for key in calls}
    counts = {"gradients": len(passes.gradients), "embeddings": len(passes.outside)}
    ratio = statistics.median(one["protector_s"] / one["passes_s"] for one in found)
    gain = statistics.median(one["one_by_one_s"] / one["batch_s"] for one in found)
    return took | counts | {"times_passes": ratio, "batch_throughput": gain, "rounds": found}


def main() -> None:
    parser = corpus_argument(__doc__)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--batch", type=int, default=3, help="clips at once")
    parser.add_argument("--quick", action="store_true", help="two steps on short clips; writes nothing")
    options = parser.parse_args()
    torch.set_num_threads(THREADS)
    wanted = QUICK_ENCODERS if options.quick else catalog.ENSEMBLE
    names = list(loading.available(wanted, lambda name: loading.embedder(name, options.device), print))
    encoders: list[Any] = [loading.embedder(name, options.device) for name in names]
    chosen = few(clips(options.corpus, {}), options.batch)[: options.batch]
    clip_s, rounds = (QUICK_CLIP_S, 1) if options.quick else (CLIP_S, ROUNDS)
    speech = torch.stack([clip.speech[: round(clip_s * RATE)] for clip in chosen])[:, None].to(options.device)
    figures: dict[str, Any] = {"device": options.device, "clip_s": clip_s, "clips": len(speech), "encoders": names}
    figures |= {"protections": {}, "left_out": {}}
    for name in [method for method in catalog.names("method") if method not in WITHOUT_SEARCH]:
        effort = EFFORTS.get(name, "fast")
        try:
            protector: Any = api.make_protector(name, "medium", None, effort, "auto", tuple(names), options.device)
        except ModelUnavailableError as error:
            figures["left_out"][name] = str(error).partition(";")[0].rstrip(".")
            continue
        if options.quick:
            protector = shortened(protector)
        found = measured(protector, name, speech, encoders, options.device, rounds)
        figures["protections"][name] = {"effort": effort} | found
        print(name, json.dumps(figures["protections"][name]), flush=True)
    print(table(figures))
    if not options.quick:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "speed.json").write_text(json.dumps(figures, indent=1) + "\n")
        (options.out / "speed.md").write_text(table(figures))


def table(figures: dict[str, Any]) -> str:
    count, clip_s, device = figures["clips"], figures["clip_s"], figures["device"]
    where = "one CPU thread" if device == "cpu" else "one CUDA device"
    lines = [
        "# Speed of the protections",
        "",
        f"A clip of {clip_s:g} s on {where}, against {', '.join(figures['encoders'])}; medium",
        f"strength, median of {ROUNDS} rounds.",
        "",
        "*Passes*: the forward and backward passes of every gradient that the search takes (carrier, encoders, terms",
        "of quality) and the forward passes of the embeddings that it takes besides, each of the same speech once,",
        "recorded in one run and done again without anything else. *Encoders*: those of the speaker encoders alone.",
        f"*Batch*: {count} clips one by one, beside the {count} together.",
        "",
        "| protection | effort | gradients | embeddings | s | × length | × passes | × encoders | batch: × throughput |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, found in figures["protections"].items():
        took = found["protector_s"]
        encoders = f"{took / found['encoders_s']:.2f}" if "encoders_s" in found else "–"
        ratio = f"{found['times_passes']:.2f}"
        lines.append(
            f"| `{name}` | {found['effort']} | {found['gradients']} | {found['embeddings']} | {took:.2f} "
            f"| {took / clip_s:.2f} "
            f"| {ratio if found['times_passes'] <= MOST else f'**{ratio}**'} | {encoders} "
            f"| {found['batch_throughput']:.2f} |"
        )
    if any(found["times_passes"] > MOST for found in figures["protections"].values()):
        lines += ["", f"Bold: more than {MOST:g} times its passes."]
    lines += ["", *(f"`{name}` is left out. {why}." for name, why in figures["left_out"].items())]
    again = f"python benchmarks/speed.py --corpus LIBRISPEECH/test-other --device {device} --batch {count}"
    return "\n".join([*lines, "", f"Again: `{again}`", ""])


if __name__ == "__main__":
    main()
