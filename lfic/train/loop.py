"""The training loop, top to bottom."""
import csv
import json
import math
import os
import pathlib
import shutil
import sys
import time

import torch
from safetensors.torch import load_file, save_file
from tqdm import tqdm

from ..errors import LficError
from ..metric.hybrid import HybridMetric
from ..metric.identity import load_torchscript
from ..model import FaceNet, FaceNetConfig
from .data import FacePack, draw_batch, face_weight
from .soap import Soap
from .validate import aligned_faces, append_rows, save_sheet, validate


def beta(quality, config):
    """Weight of the distortion against one bit: exponential in the quality."""
    share = (quality.float() - 1) / 99
    return config.beta_low * (config.beta_high / config.beta_low) ** share


def learning_rate(step, config):
    """Linear warm-up, then half a cosine."""
    if step < config.warmup:
        return config.learning_rate * (step + 1) / config.warmup
    done = min(1.0, (step - config.warmup) / max(1, config.steps - config.warmup))
    return config.final_learning_rate + (config.learning_rate - config.final_learning_rate) * 0.5 * (1 + math.cos(math.pi * done))


class TargetEmbeddings:
    """Embeddings of the uncompressed aligned crops, computed when first asked for."""

    def __init__(self, recognizer, faces):
        self.recognizer = recognizer
        self.known = torch.zeros(faces, 2, dtype=torch.bool)
        self.table = None

    def __call__(self, pixels, index, flipped):
        side = flipped.long()
        missing = ~self.known[index, side]
        if missing.any():
            with torch.no_grad():
                embedding = self.recognizer(pixels[missing])
            if self.table is None:
                self.table = torch.zeros(*self.known.shape, embedding.shape[1])
            self.table[index[missing], side[missing]] = embedding
            self.known[index[missing], side[missing]] = True
        return self.table[index, side]


class Trainer:
    """State of a run: network, its moving average, optimiser, step."""

    def __init__(self, config):
        self.config = config
        torch.set_num_threads(config.threads)
        torch.manual_seed(config.seed)
        self.net_config = FaceNetConfig(channels=config.channels, width=config.width, inner=config.inner, groups=config.groups)
        self.net = FaceNet(self.net_config).to(memory_format=torch.channels_last)
        self.names = [name for name, _ in self.net.named_parameters()]
        self.parameters = [parameter for _, parameter in self.net.named_parameters()]
        if config.start:
            # An average that lags is a better place to go on from than the last step.
            self.net.load_state_dict(load_file(pathlib.Path(config.start) / "average.safetensors"))
        self.average = [parameter.detach().clone() for parameter in self.parameters]
        if config.optimizer == "adam":
            self.optimizer = torch.optim.Adam(self.parameters, lr=config.learning_rate, betas=(0.9, 0.99))
        else:
            self.optimizer = Soap(self.parameters, lr=config.learning_rate)
        self.step = 0
        self.seconds = 0.0
        self.out = pathlib.Path(config.out)
        self.out.mkdir(parents=True, exist_ok=True)

    def save(self):
        """Write a checkpoint folder of safetensors (network, average, optimiser), then rename it into place."""
        fresh, place, old = self.out / "checkpoint.new", self.out / "checkpoint", self.out / "checkpoint.old"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir()
        for part, tensors in (("net", self.parameters), ("average", self.average)):
            save_file({n: t.detach().contiguous() for n, t in zip(self.names, tensors)}, fresh / f"{part}.safetensors")
        state = {
            f"{name}:{key}": value.contiguous()
            for name, parameter in zip(self.names, self.parameters)
            for key, value in self.optimizer.state[parameter].items()
        }
        save_file(state, fresh / "optimizer.safetensors")
        (fresh / "state.json").write_text(
            json.dumps({"step": self.step, "seconds": self.seconds, "config": json.loads(self.config.to_json())}, indent=1)
        )
        shutil.rmtree(old, ignore_errors=True)
        if place.exists():
            os.rename(place, old)
        os.rename(fresh, place)
        shutil.rmtree(old, ignore_errors=True)

    def resume(self):
        """Continue from the newest whole checkpoint; False where there is none."""
        place = next((p for p in (self.out / "checkpoint", self.out / "checkpoint.old") if (p / "state.json").is_file()), None)
        if place is None:
            return False
        state = json.loads((place / "state.json").read_text())
        self.step, self.seconds = state["step"], state["seconds"]
        net, average = load_file(place / "net.safetensors"), load_file(place / "average.safetensors")
        saved = {}
        for key, value in load_file(place / "optimizer.safetensors").items():
            name, _, part = key.rpartition(":")
            saved.setdefault(name, {})[part] = value
        with torch.no_grad():
            for name, parameter, mean in zip(self.names, self.parameters, self.average):
                parameter.copy_(net[name])
                mean.copy_(average[name])
                # Moments lie in memory as they did: a resumed run adds in the same order. Copies, since what a file is mapped to
                # need not be aligned, and vector code may add in another order there.
                self.optimizer.state[parameter] = {
                    key: torch.empty_like(parameter).copy_(value) if value.shape == parameter.shape and self.config.optimizer == "adam" else value.clone()
                    for key, value in saved.get(name, {}).items()
                }
        return True

    def averaged_net(self):
        """A copy of the network with the averaged weights."""
        net = FaceNet(self.net_config)
        with torch.no_grad():
            for (_, parameter), mean in zip(net.named_parameters(), self.average):
                parameter.copy_(mean)
        return net.eval()


def run(config, seconds=None):
    """Train until ``config.steps``, or for about ``seconds``; resumes by itself from ``config.out``."""
    started = time.monotonic()
    trainer = Trainer(config)
    resumed = trainer.resume()
    print(config.to_json(), flush=True)
    print(f"{'resumed at' if resumed else 'starting at'} step {trainer.step}", flush=True)
    pack = FacePack(config.data)
    # Sources of fewer faces are drawn as often as if they had at least a third of the largest one's.
    counts = torch.bincount(torch.from_numpy(pack.source).long()).float()
    share = torch.maximum(counts, counts.max() / 3) / counts
    sampling_weights = share[torch.from_numpy(pack.source).long()]
    recognizer = load_torchscript(config.recognizer) if config.recognizer else None
    metric = HybridMetric(recognizer, pixel_weight=config.pixel_weight, identity_weight=config.identity_weight / config.identity_share)
    targets = TargetEmbeddings(recognizer, len(pack)) if recognizer else None
    held_out = aligned_faces(FacePack(config.validation), config.validation_faces) if config.validation else None
    judge = load_torchscript(config.validation_recognizer) if config.validation_recognizer else None
    samples = aligned_faces(pack, 4) if held_out is None else held_out[:4]
    bar = tqdm(total=config.steps, initial=trainer.step, unit="step", disable=None)  # silent where there is no terminal
    weight_map = face_weight(config.face_floor)
    log_path = trainer.out / "log.csv"
    net, optimizer = trainer.net, trainer.optimizer
    sums, count, began = {}, 0, time.perf_counter()
    while trainer.step < config.steps:
        step = trainer.step
        # One generator a step: a resumed run draws what an uninterrupted one would have drawn.
        torch.manual_seed(config.seed * 1_000_003 + step)
        generator = torch.Generator().manual_seed(config.seed * 1_000_003 + step)
        pixels, index, flipped, aligned = draw_batch(pack, sampling_weights, config, generator)
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        quality = torch.randint(1, 101, (config.batch,), generator=generator)
        uniform = torch.where(
            torch.rand(config.batch, generator=generator) < config.uniform_share,
            torch.randint(0, 3, (config.batch,), generator=generator),
            -1,
        )
        net.entropy.integers = step >= config.integers_from * config.steps
        explore = 0.5 if step < config.explore_until else config.explore
        out = net(pixels, quality, aligned, explore=explore, uniform_level=uniform, hard=step >= config.hard_from * config.steps)

        weight = torch.where(aligned[:, None, None, None], weight_map, torch.ones(()))
        identity_on = recognizer is not None and step >= config.identity_from
        # The recogniser costs more than the codec: a random share of the faces, weighted up, gives the same gradient on average.
        with_identity = aligned & identity_on & (torch.rand(config.batch, generator=generator) < config.identity_share)
        target = targets(pixels[with_identity], index[with_identity], flipped[with_identity]) if with_identity.any() else None
        pixel_weight = torch.where(aligned & identity_on, config.pixel_weight, config.pixel_only_weight)
        terms = metric(out.pixels, pixels, weight, seen=with_identity, embedding=target, pixel_weight=pixel_weight)
        b = beta(quality, config)
        # Rates differ by a factor of 20 between the ends: this keeps their gradients comparable.
        loss = ((out.bits + b * terms.total) / (600 * (b / config.beta_low) ** 0.4)).mean()
        if not torch.isfinite(loss):
            save_file({"pixels": pixels.contiguous(), "quality": quality}, trainer.out / "bad-batch.safetensors")
            raise LficError(f"loss is {loss.item()} at step {step}: the batch is in {trainer.out / 'bad-batch.safetensors'}")

        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(trainer.parameters, config.clip)
        rate = learning_rate(step, config)
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
        trainer.step += 1
        decay = min(config.ema, (1 + step) / (10 + step))
        with torch.no_grad():
            torch._foreach_lerp_(trainer.average, [p.detach() for p in trainer.parameters], 1 - decay)

        levels = out.level_weights.detach().mean((0, 2, 3))
        values = {
            "loss": loss.item(), "bytes": out.bits.mean().item() / 8, "psnr": -10 * math.log10(terms.pixel.mean().item() + 1e-9),
            "cos": 1 - terms.identity.sum().item() / max(1, int(with_identity.sum())), "norm": norm.item(),
            "level1": levels[1].item(), "level2": levels[2].item(),
        }
        for key, value in values.items():
            sums[key] = sums.get(key, 0.0) + value
        count += 1
        if trainer.step % config.log_every == 0:
            elapsed = time.perf_counter() - began
            trainer.seconds += elapsed
            row = {"step": trainer.step, **{k: round(v / count, 5) for k, v in sums.items()}, "lr": rate}
            row |= {"faces_per_s": round(count * config.batch / elapsed, 2), "seconds": round(trainer.seconds, 1)}
            tqdm.write(" ".join(f"{k}={v}" for k, v in row.items()))
            sys.stdout.flush()  # into a file lines would wait for a full buffer
            bar.set_postfix({k: row[k] for k in ("loss", "bytes", "psnr", "cos", "faces_per_s")}, refresh=False)
            fresh = not log_path.exists()
            with open(log_path, "a", newline="") as file:
                writer = csv.DictWriter(file, row.keys())
                if fresh:
                    writer.writeheader()
                writer.writerow(row)
            sums, count, began = {}, 0, time.perf_counter()
        bar.update()
        if held_out is not None and trainer.step % config.validate_every == 0:
            append_rows(trainer.out / "validation.csv", trainer.step, validate(trainer.averaged_net(), held_out, judge))
        if trainer.step % config.sample_every == 0:
            save_sheet(trainer.out / "samples" / f"{trainer.step:07d}.png", trainer.averaged_net(), samples)
        out_of_time = seconds is not None and time.monotonic() - started > seconds
        if trainer.step % config.save_every == 0 or trainer.step == config.steps or out_of_time:
            trainer.save()
        if out_of_time:
            break
    bar.close()
    return trainer
