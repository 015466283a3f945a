"""Train the neural baseline: CompressAI's bmshj2018 on the faces that lfic is trained on, for mean squared error.

    python benchmarks/train_bmshj2018.py data/train.safetensors runs/bmshj2018.safetensors --seconds 3600

One network for each lambda, trained in turns so that a run that is stopped at any time leaves networks of like age; started again it
goes on. ``lfic evaluate --codecs bmshj2018 --bmshj2018 runs/bmshj2018.safetensors`` measures it, with CompressAI's own entropy coder.
Loss: lambda * 255^2 * MSE + bits per pixel, as in CompressAI's training example; crops, flips and grey as in lfic's own training data.
"""
import argparse
import dataclasses
import json
import os
import pathlib
import sys
import time

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from lfic.evaluate import neural  # noqa: E402
from lfic.train.data import SIDE, FacePack  # noqa: E402

LAMBDAS = (0.0008, 0.002, 0.005, 0.012)


@dataclasses.dataclass
class State:
    """One lambda's network, its two optimisers (weights, quantiles) and its age in steps."""

    network: torch.nn.Module
    optimizer: torch.optim.Optimizer
    auxiliary: torch.optim.Optimizer
    lmbda: float
    steps: int = 0


def create(about, lmbda, rate):
    torch.manual_seed(1)
    network = neural.build(about["architecture"], about["channels"], about["latent"])
    quantiles = [p for name, p in network.named_parameters() if name.endswith(".quantiles")]
    others = [p for name, p in network.named_parameters() if not name.endswith(".quantiles")]
    return State(network, torch.optim.Adam(others, lr=rate), torch.optim.Adam(quantiles, lr=1e-3), lmbda)


def draw(pack, count, generator):
    """float [count, 3, 112, 112] in 0..1: aligned crops moved by a few pixels, half of them mirrored."""
    out = np.empty((count, SIDE, SIDE, 3), np.uint8)
    for i in range(count):
        face = pack.pixels[generator.integers(len(pack))]
        top, left = generator.integers(0, 2 * pack.margin + 1, 2)
        face = face[top : top + SIDE, left : left + SIDE]
        out[i] = face[:, ::-1] if generator.random() < 0.5 else face
    return torch.from_numpy(out).permute(0, 3, 1, 2).float() / 255


def step(state, pixels, side):
    """One step on one batch -> (bits per pixel, MSE)."""
    padded = neural.pad(pixels, side)
    out = state.network(padded)
    area = pixels.shape[0] * pixels.shape[2] * pixels.shape[3]
    bpp = sum(-torch.log2(p).sum() for p in out["likelihoods"].values()) / area
    mse = (out["x_hat"][..., :SIDE, :SIDE] - pixels).square().mean()
    state.optimizer.zero_grad()
    (state.lmbda * 255**2 * mse + bpp).backward()
    torch.nn.utils.clip_grad_norm_(state.network.parameters(), 1.0)
    state.optimizer.step()
    state.auxiliary.zero_grad()
    state.network.aux_loss().backward()
    state.auxiliary.step()
    state.steps += 1
    return float(bpp), float(mse)


def save(path, about, states):
    """Networks to the checkpoint, optimisers beside it; each file is written whole or not at all."""
    tensors = {f"{k}.{name}": t.contiguous() for k, s in enumerate(states) for name, t in s.network.state_dict().items()}
    moments = {f"{k}.{which}.{i}.{name}": torch.as_tensor(value).float().contiguous() for k, s in enumerate(states)
               for which in ("optimizer", "auxiliary") for i, slot in getattr(s, which).state_dict()["state"].items() for name, value in slot.items()}
    about = {**about, "steps": [s.steps for s in states]}
    for target, content in ((path, tensors), (f"{path}.optimizer", moments)):
        save_file(content, f"{target}.part", metadata={"bmshj2018": json.dumps(about)})
        os.replace(f"{target}.part", target)


def resume(path, about, states):
    """Load what ``save`` wrote, if it is there and of the same kind."""
    if not os.path.exists(path):
        return
    with safe_open(path, "pt") as file:
        found = json.loads(file.metadata()["bmshj2018"])
        if any(found[key] != about[key] for key in about):
            raise SystemExit(f"{path} holds {found}; asked for was {about}: give another output file")
        for k, state in enumerate(states):
            part = {name[len(f"{k}."):]: file.get_tensor(name) for name in file.keys() if name.startswith(f"{k}.")}
            state.network.load_state_dict(part)
            state.steps = found["steps"][k]
    with safe_open(f"{path}.optimizer", "pt") as file:
        for k, state in enumerate(states):
            for which in ("optimizer", "auxiliary"):
                slots, prefix = {}, f"{k}.{which}."
                for name in file.keys():
                    if name.startswith(prefix):
                        index, field = name[len(prefix):].split(".")
                        slots.setdefault(int(index), {})[field] = file.get_tensor(name)
                target = getattr(state, which)
                target.load_state_dict({"state": slots, "param_groups": target.state_dict()["param_groups"]})


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("pack", help="packed faces (python -m lfic.train.pack)")
    parser.add_argument("out", help="checkpoint, .safetensors; goes on from it where it exists")
    parser.add_argument("--seconds", type=float, default=3600, help="time budget of this run (default 3600)")
    parser.add_argument("--architecture", choices=neural.ARCHITECTURES, default="factorized")
    parser.add_argument("--channels", type=int, default=64, help="N; the published models have 128 (default 64)")
    parser.add_argument("--latent", type=int, default=96, help="M; the published models have 192 (default 96)")
    parser.add_argument("--lambdas", type=float, nargs="+", default=list(LAMBDAS))
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rate", type=float, default=3e-4, help="learning rate; a tenth of it in the last fifth of the time")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    about = {"architecture": args.architecture, "channels": args.channels, "latent": args.latent, "lambdas": args.lambdas}
    states = [create(about, lmbda, args.rate) for lmbda in args.lambdas]
    resume(args.out, about, states)
    pack, side = FacePack(args.pack), neural.padding(args.architecture)
    generator = np.random.default_rng(sum(s.steps for s in states) + 1)
    start = last_save = time.monotonic()
    while (spent := time.monotonic() - start) < args.seconds:
        state = min(states, key=lambda s: s.steps)
        for group in state.optimizer.param_groups:
            group["lr"] = args.rate * (0.1 if spent > 0.8 * args.seconds else 1)
        for _ in range(20):
            bpp, mse = step(state, draw(pack, args.batch, generator), side)
        print(f"lambda={state.lmbda} step={state.steps} bytes={bpp * SIDE * SIDE / 8:.0f} psnr={-10 * np.log10(mse):.2f} seconds={spent:.0f}", flush=True)
        if time.monotonic() - last_save > 120:
            save(args.out, about, states)
            last_save = time.monotonic()
    save(args.out, about, states)
    print(f"steps of each network: {[s.steps for s in states]} -> {args.out}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
