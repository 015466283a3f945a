"""python -m lfic.train.context OUT.safetensors --data PACK: a larger entropy model for a model's template crops.

The networks stay as they are: symbols of many crops are drawn once, and the entropy model alone learns to predict them,
grown from the one that the networks have. At the end it is rounded as files need it, its tables are counted, and both
join the weights of the model under ``template.``. Run again it goes on where it stood.
"""

import argparse
import contextlib
import json
import math
import os
import pathlib
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from .. import coder
from ..data.base import FaceSource
from ..data.sources import open_faces
from ..errors import InvalidInputError
from ..files import write_atomically
from ..format.container import FORMER, MODELS
from ..format.weights import FORMAT, TEMPLATE, context_entries, digest, load_arrays, model_number, weights_path
from ..network.entropy import SCALES, EntropyModel
from ..network.load import load_model
from ..network.net import CodecNet, shares
from ..network.rap import expand_regions
from .checkpoint import (
    load_tensors,
    newest,
    optimizer_state,
    read_state,
    restore_optimizer,
    restore_parameters,
    save_tensors,
    write_checkpoint,
)
from .symbols import USUAL_LEVEL, Symbols, draw, joined
from .tables import FRACTIONS, build_tables, count_residuals

HELD_OUT = 1024  # crops that the entropy model does not learn from; of fewer an eighth
ROUNDED_FROM = 0.75  # share of the steps after which it computes as its integers will
SAVE_SECONDS = 180.0
WARMUP, LAST, AVERAGE = 50, 0.02, 0.998  # steps, share of the learning rate at the end, decay of the moving average


def grown(base: EntropyModel, hidden1: int, hidden2: int) -> EntropyModel:
    """An entropy model with larger hidden layers that predicts what ``base`` does, but for the noise of its new units,
    which nothing reads yet."""
    if hidden1 < base.hidden1 or hidden2 < base.hidden2:
        raise InvalidInputError(
            f"the hidden layers are of {hidden1} and {hidden2}; at least {base.hidden1} and {base.hidden2} are needed, "
            "those that they grow from"
        )
    out = EntropyModel(base.channels, base.groups, hidden1, hidden2, len(base.b_quality))
    more1, more2 = hidden1 - base.hidden1, hidden2 - base.hidden2

    def rows(weight: Tensor, count: int) -> Tensor:
        return torch.cat([weight, torch.randn(count, weight.shape[1]) * weight.std() / 2])

    with torch.no_grad():
        out.value_scale.copy_(base.value_scale)
        out.w1.copy_(rows(base.w1, more1))
        out.b_level.copy_(F.pad(base.b_level, (0, more1), value=0.3))
        out.b_quality.copy_(F.pad(base.b_quality, (0, more1)))
        out.b_available.copy_(F.pad(base.b_available, (0, more1)))
        out.b_position[:, : base.hidden1] = base.b_position
        for mine, theirs in zip(out.w2, base.w2, strict=True):
            seen, earlier = theirs[:, : base.hidden1], theirs[:, base.hidden1 :]
            mine.copy_(rows(torch.cat([F.pad(seen, (0, more1)), earlier], 1), more2))
        out.b2.copy_(F.pad(base.b2, (0, more2), value=0.1))
        out.w3.copy_(F.pad(base.w3, (0, more2)))
        out.b3.copy_(base.b3)
    out.value_scale.requires_grad_(False)  # symbols are read by it outside the entropy model too
    return out


def bits(entropy: EntropyModel, data: Symbols, chosen: Sequence[int], step: Tensor) -> Tensor:
    """Ideal bits of coded crops: float [n]."""
    features, levels, quality = data.batch(chosen, step)
    cells = F.one_hot(levels.long(), 3).permute(0, 3, 1, 2).float()
    cells = expand_regions(cells, *features.shape[-2:])
    steps = torch.einsum("nlhw,nlc->nchw", cells, step[quality - 1])
    aligned = torch.ones(len(levels), dtype=torch.bool)
    mean, log_scale = entropy(features, steps, cells.argmax(1), quality, aligned)
    return (entropy.bits((features / steps).round(), mean, log_scale).sum(1) * shares(cells)).sum((1, 2))


@torch.inference_mode()
def all_bits(entropy: EntropyModel, data: Symbols, step: Tensor, batch: int = 128) -> Tensor:
    """``bits`` of all."""
    every = range(len(data))
    return torch.cat([bits(entropy, data, every[i : i + batch], step) for i in range(0, len(data), batch)])


class Fit:
    """An entropy model, its moving average and its optimiser, at some step."""

    def __init__(self, entropy: EntropyModel, rate: float, out: pathlib.Path, settings: Mapping[str, Any]) -> None:
        named = [(name, p) for name, p in entropy.named_parameters() if p.requires_grad]
        self.entropy, self.rate, self.out, self.settings = entropy, rate, out, dict(settings)
        self.step, self.seconds = 0, 0.0
        self.names, self.parameters = [name for name, _ in named], [p for _, p in named]
        self.average = [p.detach().clone() for p in self.parameters]
        self.optimizer = torch.optim.Adam(self.parameters, rate, betas=(0.9, 0.99))
        if (place := newest(out)) is not None:
            state = read_state(place)
            other = sorted(key for key, value in self.settings.items() if state["config"].get(key) != value)
            if other:
                raise InvalidInputError(
                    f"the run in {out} has another {', '.join(other)}: give those that it began with, or another --run"
                )
            self.step, self.seconds = state["step"], state["seconds"]
            restore_parameters(place, "parameters", self.names, self.parameters)
            restore_parameters(place, "average", self.names, self.average)
            restore_optimizer(self.optimizer, self.names, self.parameters, load_tensors(place, "optimizer"))

    def save(self) -> None:
        """The checkpoint that the next start goes on from."""

        def fill(folder: pathlib.Path) -> None:
            for stem, tensors in (("parameters", self.parameters), ("average", self.average)):
                save_tensors(dict(zip(self.names, tensors, strict=True)), folder, stem)
            save_tensors(optimizer_state(self.optimizer, self.names, self.parameters), folder, "optimizer")

        self.out.mkdir(parents=True, exist_ok=True)
        write_checkpoint(self.out, fill, {"step": self.step, "seconds": self.seconds, "config": self.settings})

    def learn(self, loss: Tensor, steps: int) -> None:
        """One step of ``steps``, by a loss."""
        done = self.step / steps
        rate = self.rate * min(1, (self.step + 1) / WARMUP) * (LAST + (1 - LAST) * 0.5 * (1 + math.cos(math.pi * done)))
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.step += 1
        decay = min(AVERAGE, self.step / (self.step + 20))
        torch._foreach_lerp_(self.average, [p.detach() for p in self.parameters], 1 - decay)

    @contextlib.contextmanager
    def averaged(self) -> Iterator[EntropyModel]:
        """The moving average in the model's place."""
        kept = [p.detach().clone() for p in self.parameters]
        with torch.no_grad():
            for p, mean in zip(self.parameters, self.average, strict=True):
                p.copy_(mean)
        yield self.entropy
        with torch.no_grad():
            for p, value in zip(self.parameters, kept, strict=True):
                p.copy_(value)


def symbols_of(net: CodecNet, faces: FaceSource, indexes: Sequence[int], epochs: int, seed: int) -> Symbols:
    """``draw`` of all, with a word on how far it is."""
    parts, begun = [], time.monotonic()
    for part in draw(net, faces, indexes, epochs, seed):
        parts.append(part)
        if len(parts) % 400 == 0:
            print(f"{32 * len(parts):7} codings in {time.monotonic() - begun:.0f} s", flush=True)
    return joined(parts)


def fit(net: CodecNet, data: Symbols, held_out: Symbols, fitted: Fit, steps: int, batch: int, seed: int) -> None:
    """Train to ``steps``; a line of figures every few hundred."""
    step = net.step.detach()
    base, measured = all_bits(net.entropy, data, step), all_bits(net.entropy, held_out, step)
    begun, saved, total = time.monotonic() - fitted.seconds, time.monotonic(), []
    while fitted.step < steps:
        fitted.entropy.integers = fitted.step >= ROUNDED_FROM * steps
        rng = np.random.default_rng([seed, fitted.step])
        chosen = rng.integers(0, len(data), batch)
        # Every crop counts alike, whatever its quality: what matters is the share of its bits that is saved.
        loss = (bits(fitted.entropy, data, chosen.tolist(), step) / base[torch.from_numpy(chosen)]).mean()
        fitted.learn(loss, steps)
        fitted.seconds = time.monotonic() - begun
        total.append(loss.item())
        if fitted.step % 500 == 0 or fitted.step == steps:
            with fitted.averaged() as entropy:
                found = all_bits(entropy, held_out, step)
            print(f"step {fitted.step}, {fitted.seconds:.0f} s, learns {np.mean(total) - 1:+.2%}", end="", flush=True)
            print(f", held out {told(found, measured, held_out)}", flush=True)
            total = []
        if time.monotonic() - saved > SAVE_SECONDS:
            fitted.save()
            saved = time.monotonic()
    fitted.save()


def told(found: Tensor, base: Tensor, data: Symbols) -> str:
    """What is saved by bands of quality, at the usual level and at others."""
    usual = torch.from_numpy((data.levels == USUAL_LEVEL).all((1, 2)))
    quality, parts = torch.from_numpy(data.quality), []
    for low, high in ((1, 10), (11, 20), (21, 40), (41, 70), (71, 100)):
        which = usual & (quality >= low) & (quality <= high)
        parts.append(f"{low}-{high} {(found[which].sum() / base[which].sum() - 1).item():+.2%}")
    return ", ".join([*parts, f"other levels {(found[~usual].sum() / base[~usual].sum() - 1).item():+.2%}"])


def integer_form(
    entropy: EntropyModel, gain: Tensor, level_prior: NDArray[np.uint16], data: Symbols
) -> tuple[dict[str, Any], coder.Tables]:
    """Context arrays and tables, counted on ``data``; level maps start as they do in the model it was grown from."""
    arrays = entropy.export(gain)
    arrays["active"] = np.ones((100, 3, entropy.channels), np.uint8)
    arrays["table_map"] = np.arange(SCALES * FRACTIONS, dtype=np.int32)
    arrays["level_prior"] = level_prior
    first = coder.ContextModel(arrays, coder.Tables.from_frequencies(build_tables()))
    return arrays, coder.Tables.from_frequencies(build_tables(count_residuals(first, data.samples())))


def mean_bytes(context: coder.ContextModel, data: Symbols) -> float:
    """Of a crop, ideal ones."""
    return float(np.mean([context.cost(*sample).sum() for sample in data.samples()])) / 8


def join(
    name: str,
    out: str,
    arrays: Mapping[str, Any],
    tables: coder.Tables,
    training: Mapping[str, Any],
    card: str | None = None,
) -> None:
    """Weights again, with an entropy model for template crops in place of the one that they may have. card: the model
    card, where it is not to stay."""
    from safetensors.numpy import save

    kept, metadata = load_arrays(name)
    kept = {key: value for key, value in kept.items() if not key.startswith(TEMPLATE)}
    kept |= {f"{TEMPLATE}{key}": value for key, value in context_entries(arrays, tables.state()).items()}
    trained = {**json.loads(metadata["training"]), "template": dict(training)}
    metadata = {**metadata, "format": FORMAT, "training": json.dumps(trained)}
    metadata["card"] = metadata.get("card", "") if card is None else card
    write_atomically(out, save(kept, {**metadata, "digest": digest(kept, metadata)}))


def main(argv: Sequence[str] | None = None) -> int:
    """Command line: see the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m lfic.train.context", description=__doc__)
    parser.add_argument("out", help="weights file to write, .safetensors")
    parser.add_argument("--model", default="face-v2", help="bundled model whose template crops it codes")
    parser.add_argument("--card", help="file of the model card, where it is not to stay")
    parser.add_argument("--data", nargs="+", required=True, help="faces on the template: whatever a run takes as faces")
    parser.add_argument("--run", default="runs/face-v2/template", help="folder of checkpoints")
    parser.add_argument("--hidden", type=int, nargs=2, default=(256, 128), help="sizes of the two hidden layers")
    parser.add_argument("--steps", type=int, default=12000)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rate", type=float, default=1e-3, help="learning rate of Adam")
    parser.add_argument("--epochs", type=int, default=4, help="how often each face is drawn")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0, help="0: torch's choice")
    args = parser.parse_args(argv)
    card = None if args.card is None else pathlib.Path(args.card).read_text(encoding="utf-8")
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    former = FORMER.get(model_number(load_arrays(args.model)[1]))
    if former is None:
        users = ", ".join(MODELS[number] for number in FORMER)
        raise InvalidInputError(f"{args.model} codes template crops as it does all others; allowed are {users}")
    name = MODELS[former]
    net = load_model(name)[0]
    faces = open_faces(args.data)
    order, held = np.random.default_rng(args.seed).permutation(len(faces)).tolist(), min(HELD_OUT, len(faces) // 8)
    if not held:
        raise InvalidInputError(
            f"there are {len(faces)} faces in {', '.join(args.data)}; 8 are needed, and many wanted"
        )
    held_out = symbols_of(net, faces, order[:held], 1, args.seed + 1)
    data = symbols_of(net, faces, order[held:], args.epochs, args.seed)
    names = "model", "hidden", "batch", "rate", "epochs", "seed", "steps"
    settings = {name: getattr(args, name) for name in names} | {"faces": len(faces), "hidden": list(args.hidden)}
    fitted = Fit(grown(net.entropy, *args.hidden), args.rate, pathlib.Path(args.run), settings)
    fit(net, data, held_out, fitted, args.steps, args.batch, args.seed)
    base = load_arrays(name)[0]
    with fitted.averaged() as entropy, torch.inference_mode():
        arrays, tables = integer_form(entropy, net.gain, base["context.level_prior"], part_of(data, 12000))
    before, after = mean_bytes(load_model(name)[1], held_out), mean_bytes(coder.ContextModel(arrays, tables), held_out)
    print(f"{len(held_out)} crops held out: {before:.2f} bytes, now {after:.2f} ({after / before - 1:+.2%})")
    training = {
        "steps": args.steps,
        "seconds": round(fitted.seconds),
        "faces": [os.path.basename(p) for p in args.data],
    }
    join(args.model, args.out, arrays, tables, training, card)
    if pathlib.Path(args.out).resolve() != weights_path(args.model).resolve():
        print(f"{args.out} holds other weights than {args.model}: they are used once they take its place")
    return 0


def part_of(data: Symbols, count: int) -> Symbols:
    """So many, from the first to the last, at most."""
    chosen = np.unique(np.linspace(0, len(data) - 1, min(count, len(data))).astype(int))
    return Symbols([data.symbols[i] for i in chosen], data.levels[chosen], data.quality[chosen])


if __name__ == "__main__":
    raise SystemExit(main())
