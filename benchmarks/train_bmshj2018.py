"""Train the neural baseline: CompressAI's bmshj2018 on the faces that lfic is trained on, for mean squared error.

    python benchmarks/train_bmshj2018.py data/train.safetensors runs/bmshj2018.safetensors --seconds 7200

The published architecture, one network for each lambda. The first half of the time trains one of them, the base; the
others start as its copies, and then all are trained in turns while the learning rate falls. Time is this process's CPU
time, so that a busy machine changes nothing; with ``--device cuda`` it is the clock's. A run that was stopped goes on
where it was saved last; seconds and faces of each network stand in the checkpoint. ``lfic evaluate --codecs bmshj2018
--bmshj2018 runs/bmshj2018.safetensors`` measures it, with CompressAI's own entropy coder. Loss: lambda * 255^2 * MSE +
bits per pixel, as in CompressAI's training example; crops are moved and mirrored as in lfic's own training.

With ``--identity RECOGNIZER`` the loss is lfic's own: bits + beta * D with the weights of face-v1, D of weighted
pixels, texture and identity (lfic/metric/objective.py). ``--lambdas`` are lfic's qualities then, 1 to 100: they say
beta. ``--start CHECKPOINT`` begins with the one network of another checkpoint, as a rule one for mean squared error: a
recognizer says little about pictures that are no faces yet.
"""

import argparse
import copy
import dataclasses
import json
import os
import pathlib
import time

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from lfic.data.sources import open_faces
from lfic.evaluate.peers import neural
from lfic.files import write_atomically
from lfic.format.geometry import SIDE
from lfic.metric.identity import load_torchscript

LAMBDAS = (0.0005, 0.0013, 0.0035, 0.009)
QUALITIES = (1, 12, 25, 45)
TURN = 20  # steps before the next network's turn
SETTLING = 2000  # steps of the quantiles alone before networks are saved for good: they cost nothing and need no faces


@dataclasses.dataclass
class State:
    """One lambda's network, its two optimisers (weights, quantiles) and the faces that it has seen (its base's among
    them)."""

    network: torch.nn.Module
    optimizer: torch.optim.Optimizer
    auxiliary: torch.optim.Optimizer
    lmbda: float
    faces: int = 0


def create(about, lmbda, network=None, device="cpu"):
    if network is None:
        torch.manual_seed(1)
        network = neural.build(about["architecture"], about["channels"], about["latent"]).to(device)
    quantiles = [p for name, p in network.named_parameters() if name.endswith(".quantiles")]
    others = [p for name, p in network.named_parameters() if not name.endswith(".quantiles")]
    return State(network, torch.optim.Adam(others), torch.optim.Adam(quantiles, lr=1e-2), lmbda)


def draw(pack, count, generator, device):
    """float [count, 3, 112, 112] in 0..1 on a device: aligned crops moved by a few pixels, half of them mirrored."""
    out = np.empty((count, SIDE, SIDE, 3), np.uint8)
    for i in range(count):
        face = pack.face(int(generator.integers(len(pack))))
        top, left = generator.integers(0, len(face) - SIDE + 1, 2)
        face = face[top : top + SIDE, left : left + SIDE]
        out[i] = face[:, ::-1] if generator.random() < 0.5 else face
    return torch.from_numpy(out).to(device).permute(0, 3, 1, 2).float() / 255


def own_distortion(recognizer, decoded, pixels, quality):
    """lfic's beta * D of aligned faces at one of its qualities, a mean over faces: float []."""
    decoded, pixels = (x.contiguous(memory_format=torch.channels_last) for x in (decoded, pixels))  # 1.3 times as fast
    with torch.no_grad():
        target = recognizer(pixels)
    objective = neural.own_objective()
    distortion = objective.distortion(recognizer, decoded, pixels, target, quality, True)
    return objective.beta(quality, True) * distortion.mean()


def coded(network, padded, precision):
    """(decoded, likelihoods) of a batch; with "bfloat16" the two transforms are in it, the entropy model never is."""
    if precision == "float32":
        out = network(padded)
        return out["x_hat"], list(out["likelihoods"].values())
    with torch.autocast(padded.device.type, torch.bfloat16):
        y = network.g_a(padded)
    rounded, likelihoods = network.entropy_bottleneck(y.float())
    with torch.autocast(padded.device.type, torch.bfloat16):
        decoded = network.g_s(rounded)
    return decoded.float(), [likelihoods]


def step(state, pixels, side, rate, recognizer=None, precision="float32"):
    """One step on one batch -> tensor [bits per pixel, MSE]."""
    for group in state.optimizer.param_groups:
        group["lr"] = rate
    decoded, likelihoods = coded(state.network, neural.pad(pixels, side), precision)
    area = pixels.shape[0] * pixels.shape[2] * pixels.shape[3]
    bpp = sum(-torch.log2(p).sum() for p in likelihoods) / area
    decoded = decoded[..., :SIDE, :SIDE]
    mse = (decoded - pixels).square().mean()
    state.optimizer.zero_grad()
    if recognizer is None:
        distortion = state.lmbda * 255**2 * mse
    else:
        distortion = own_distortion(recognizer, decoded, pixels, round(state.lmbda)) / SIDE**2
    (distortion + bpp).backward()
    torch.nn.utils.clip_grad_norm_(
        state.optimizer.param_groups[0]["params"], 1.0
    )  # not the quantiles': theirs are of another loss
    state.optimizer.step()
    settle(state, 1)
    state.faces += len(pixels)
    return torch.stack([bpp.detach(), mse.detach()])


def settle(state, steps):
    """Move the quantiles, which bound the coder's tables, to where the learned densities have them."""
    for _ in range(steps):
        state.auxiliary.zero_grad()
        state.network.aux_loss().backward()
        state.auxiliary.step()


def learning_rate(highest, share):
    """Warm-up over the first hundredth, constant for the first half, then down to a fiftieth along a cosine."""
    if share < 0.5:
        return highest * min(1.0, 0.05 + share / 0.01)
    return highest * (0.02 + 0.98 * 0.5 * (1 + np.cos(np.pi * min(1.0, (share - 0.5) / 0.5))))


def write(path, about, states, seconds):
    """Networks to the checkpoint, optimisers beside it; each file is written whole or not at all."""
    tensors = {
        f"{k}.{name}": t.contiguous().cpu() for k, s in enumerate(states) for name, t in s.network.state_dict().items()
    }
    moments = {
        f"{k}.{which}.{i}.{name}": torch.as_tensor(value).float().contiguous().cpu()
        for k, s in enumerate(states)
        for which in ("optimizer", "auxiliary")
        for i, slot in getattr(s, which).state_dict()["state"].items()
        for name, value in slot.items()
    }
    about = {**about, "seconds": round(seconds, 1), "faces": [s.faces for s in states]}
    for target, content in ((f"{path}.optimizer", moments), (str(path), tensors)):
        write_atomically(pathlib.Path(target), save(content, metadata={"bmshj2018": json.dumps(about)}))


def resume(path, about, states):
    """Load what ``write`` wrote, if it is there and of the same kind -> seconds spent so far."""
    if not os.path.exists(path):
        return 0.0
    with safe_open(path, "pt") as file, safe_open(f"{path}.optimizer", "pt") as moments:
        found = json.loads(file.metadata()["bmshj2018"])
        if any(found[key] != about[key] for key in about):
            raise SystemExit(f"{path} holds {found}; asked for was {about}: give another output file")
        if json.loads(moments.metadata()["bmshj2018"]) != found:
            raise SystemExit(f"{path}.optimizer is not of the same moment as {path}: delete both to start anew")
        for k, state in enumerate(states):
            state.network.load_state_dict(
                {name[len(f"{k}.") :]: file.get_tensor(name) for name in list(file.keys()) if name.startswith(f"{k}.")}
            )
            state.faces = found["faces"][k]
            for which in ("optimizer", "auxiliary"):
                slots, prefix = {}, f"{k}.{which}."
                for name in list(moments.keys()):
                    if name.startswith(prefix):
                        index, field = name[len(prefix) :].split(".")
                        slots.setdefault(int(index), {})[field] = moments.get_tensor(name)
                target = getattr(state, which)
                target.load_state_dict({"state": slots, "param_groups": target.state_dict()["param_groups"]})
    return found["seconds"]


def begin(path, about, base):
    """Make the base a copy of another checkpoint's one network -> what it was trained for, in how many seconds."""
    try:
        with safe_open(path, "pt") as file:
            found = json.loads((file.metadata() or {})["bmshj2018"])
            tensors = {name.partition(".")[2]: file.get_tensor(name) for name in list(file.keys())}
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise SystemExit(f"--start {path} is no checkpoint of this script: {error}") from None
    if len(found["lambdas"]) != 1:
        raise SystemExit(f"--start {path} holds networks for the lambdas {found['lambdas']}; needed is one network")
    wrong = [key for key in ("architecture", "channels", "latent") if found[key] != about[key]]
    if wrong:
        raise SystemExit(f"--start {path} has another {wrong[0]}, {found[wrong[0]]}; asked for was {about[wrong[0]]}")
    base.network.load_state_dict(tensors)
    base.faces = found["faces"][0]
    return {key: found[key] for key in ("lambdas", "identity", "seconds", "faces") if key in found}


def train(args, states, about, spent, recognizer=None):
    """Until ``args.seconds`` are spent, or ``args.wall`` seconds have passed here -> seconds in all."""
    pack, side = open_faces(args.pack), neural.padding(args.architecture)
    base = states[args.lambdas.index(args.base)]
    generator = np.random.default_rng(sum(s.faces for s in states) + 1)
    clock = time.process_time if args.device == "cpu" else time.monotonic
    started, begun, saved = clock(), time.monotonic(), time.monotonic()
    earlier, spent = spent, spent
    while spent < args.seconds and time.monotonic() - begun < args.wall:
        if spent >= args.seconds / 2 and any(s.faces == 0 for s in states):
            for k, state in enumerate(states):
                if state is not base:
                    states[k] = create(about, state.lmbda, copy.deepcopy(base.network))
                    states[k].faces = base.faces
        state = base if spent < args.seconds / 2 else min(states, key=lambda s: s.faces)
        rate = learning_rate(args.rate, spent / args.seconds)
        figures = (
            torch.stack(
                [
                    step(
                        state,
                        draw(pack, args.batch, generator, args.device),
                        side,
                        rate,
                        recognizer,
                        args.precision,
                    )
                    for _ in range(TURN)
                ]
            )
            .cpu()
            .numpy()
        )
        spent = earlier + clock() - started
        size, psnr = figures[:, 0].mean() * SIDE * SIDE / 8, -10 * np.log10(figures[:, 1].mean())
        print(
            f"lambda={state.lmbda} faces={state.faces} bytes={size:.0f} psnr={psnr:.2f} rate={rate:.2g} "
            f"seconds={spent:.0f}",
            flush=True,
        )
        if time.monotonic() - saved > 120:
            write(args.out, about, states, spent)
            saved = time.monotonic()
    return spent


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("pack", help="packed faces (python -m lfic.data.pack, or lfic.data.pack_pictures)")
    parser.add_argument("out", help="checkpoint, .safetensors; goes on from it where it exists")
    parser.add_argument(
        "--seconds",
        type=float,
        default=7200,
        help="in all, those of earlier runs into the same file among them; on the CPU its time",
    )
    parser.add_argument(
        "--wall", type=float, default=1e9, help="leave after so many seconds by the clock; the next run goes on"
    )
    parser.add_argument("--architecture", choices=neural.ARCHITECTURES, default="factorized")
    parser.add_argument("--channels", type=int, default=64, help="N; the published models have 128")
    parser.add_argument("--latent", type=int, default=96, help="M; the published models have 192")
    parser.add_argument("--lambdas", type=float, nargs="+", help="from few bytes to many; with --identity: qualities")
    parser.add_argument("--identity", metavar="FILE", help="TorchScript recogniser: train for lfic's loss")
    parser.add_argument("--start", metavar="CHECKPOINT", help="of this script, with one network: the base begins as it")
    parser.add_argument("--base", type=float, help="the lambda that is trained first; the last but one by default")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rate", type=float, default=1e-3, help="highest learning rate")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--precision", choices=("float32", "bfloat16"), default="float32", help="of the transforms (factorized)"
    )
    parser.add_argument("--device", default="cpu", help="or cuda")
    args = parser.parse_args(argv)
    if args.lambdas is None:
        args.lambdas = list(QUALITIES if args.identity else LAMBDAS)
    if args.identity and not all(1 <= quality <= 100 for quality in args.lambdas):
        parser.error(f"with --identity, --lambdas are qualities of 1 to 100; found {args.lambdas}")
    args.base = args.lambdas[max(0, len(args.lambdas) - 2)] if args.base is None else args.base
    if args.precision != "float32" and args.architecture != "factorized":
        parser.error(f"--precision {args.precision} is of the factorized network alone")
    if args.base not in args.lambdas:
        parser.error(f"--base {args.base:g} is none of the lambdas {args.lambdas}")
    torch.set_num_threads(args.threads)
    about = {
        "architecture": args.architecture,
        "channels": args.channels,
        "latent": args.latent,
        "lambdas": args.lambdas,
    }
    recognizer = None
    if args.identity:
        about["identity"] = pathlib.Path(args.identity).stem
        recognizer = load_torchscript(args.identity, args.device)
    states = [create(about, lmbda, device=args.device) for lmbda in args.lambdas]
    if args.start:
        about["start"] = begin(args.start, about, states[args.lambdas.index(args.base)])
    spent = train(args, states, about, resume(args.out, about, states), recognizer)
    for state in states:
        settle(state, SETTLING)
    write(args.out, about, states, spent)
    print(f"{spent:.0f} seconds, faces of each network: {[s.faces for s in states]} -> {args.out}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
