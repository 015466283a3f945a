"""lfic export CHECKPOINT OUT.safetensors --data PACK: a trained checkpoint as the file that the codec loads.

The network is stored in half precision, the entropy model as integers. Its tables are counted on real symbols: the
integer context model (C++) predicts every symbol of a few thousand faces, the residuals of each table are counted, and
a discretised logistic fills in where few were seen.
"""

import argparse
import datetime
import json
import pathlib

import numpy as np
import torch

from ..data.sources import template_crops
from ..errors import InvalidInputError, WeightsError
from ..network.entropy import LOGISTIC, SCALE_MIN, SCALE_STEPS, SCALES
from ..network.net import CodecNet
from ..network.rap import pooled_symbols
from .checkpoint import load_tensors
from .state import network_config

FRACTIONS = 8  # the mean's fraction of a symbol, in eighths
TOTAL = 1 << 16  # sum of a table's frequencies, escape included
QUALITY_BUCKETS = 8
PRIOR_WEIGHT = 200.0  # counts that the logistic is worth


def logistic_table(scale, offset):
    """Probabilities of r = low, low + 1, ... for a logistic of deviation ``scale`` about ``offset``: (low, float64
    [n])."""
    reach = int(np.ceil(scale * 7 + 2))
    r = np.arange(-reach, reach + 1)
    s = scale * LOGISTIC
    upper, lower = (r + 0.5 - offset) / s, (r - 0.5 - offset) / s
    flip = upper + lower > 0  # the same difference, taken where it does not cancel
    upper, lower = np.where(flip, -lower, upper), np.where(flip, -upper, lower)

    def sigmoid(x):
        return np.exp(-np.logaddexp(0, -x))

    return -reach, sigmoid(upper) - sigmoid(lower)


def integer_frequencies(probability, escape):
    """Integers >= 1 that sum to TOTAL - (escape frequency); escape frequency >= 1."""
    escape_frequency = max(1, round(escape * TOTAL))
    budget = TOTAL - escape_frequency
    frequencies = np.maximum(1, np.floor(probability / probability.sum() * budget)).astype(np.int64)
    # What rounding left over goes to, or comes from, the most probable symbol: it loses least there.
    frequencies[np.argmax(frequencies)] += budget - frequencies.sum()
    return frequencies


def build_tables(histograms=None):
    """Frequencies of the SCALES x 8 tables: list of (low, int64 [n]).

    histograms: dict table index -> dict residual -> count, or None for the bare logistic.
    """
    tables = []
    for level in range(SCALES):
        scale = SCALE_MIN * 2 ** (level / SCALE_STEPS)
        for fraction in range(FRACTIONS):
            low, probability = logistic_table(scale, (fraction - 4) / FRACTIONS)
            counts = probability * PRIOR_WEIGHT
            escape = 0.02
            for residual, count in (histograms or {}).get(level * FRACTIONS + fraction, {}).items():
                if 0 <= residual - low < len(counts):
                    counts[residual - low] += count
                else:
                    escape += count
            keep = np.flatnonzero(counts / counts.sum() > 0.7 / TOTAL)
            first, last = keep[0], keep[-1] + 1
            escape += counts[:first].sum() + counts[last:].sum()
            total = counts[first:last].sum() + escape
            tables.append((int(low + first), integer_frequencies(counts[first:last] / total, escape / total)))
    return tables


def collect(net, pack, indexes, generator, batch=32):
    """Symbols of faces at random qualities, levels as the head chooses: list of (symbols, levels, h, w, quality,
    aligned)."""
    out = []
    for start in range(0, len(indexes), batch):
        chosen = indexes[start : start + batch]
        pixels = torch.from_numpy(template_crops(pack, chosen)).permute(0, 3, 1, 2).float() / 255
        count = len(chosen)
        quality = torch.randint(1, 101, (count,), generator=generator)
        # One face in eight is coded as if it were no aligned crop, so that those statistics are learnt as well.
        aligned = torch.rand(count, generator=generator) >= 0.125
        with torch.inference_mode():
            y = net.analyse(pixels, quality, aligned)
            levels = net.region_levels(y, quality, aligned)
            symbols = pooled_symbols(y, levels, net.gain, quality)
        for i in range(count):
            out.append((symbols[i], levels[i].numpy(), *y.shape[-2:], int(quality[i]), bool(aligned[i])))
    return out


def level_prior(samples):
    """Start probabilities uint16 [17, 8, 16, 2] of the level map's bits, counted; see docs/FORMAT.md."""
    counts = np.full((17, QUALITY_BUCKETS, 16, 2, 2), 0.4)
    for _, levels, _, _, quality, aligned in samples:
        bucket = (quality - 1) * QUALITY_BUCKETS // 100
        rows, columns = levels.shape
        for y in range(rows):
            for x in range(columns):
                west = levels[y, x - 1] if x else 3
                north = levels[y - 1, x] if y else 3
                context, level = 4 * west + north, levels[y, x]
                for place in (0, 1 + y * 4 + x) if aligned and levels.shape == (4, 4) else (0,):
                    counts[place, bucket, context, 0, int(level > 0)] += 1
                    if level > 0:
                        counts[place, bucket, context, 1, int(level > 1)] += 1
    # A place that a context was hardly seen at leans on the pooled statistics.
    pooled = counts[0]
    counts[1:] += 4 * pooled / pooled.sum(-1, keepdims=True)
    probability = counts[..., 1] / counts.sum(-1)
    return np.clip(np.rint(probability * 65536), 512, 65024).astype(np.uint16)


def load_checkpoint(path):
    """The averaged network of a checkpoint folder, rounded to half precision as it will be stored, and its state."""
    path = pathlib.Path(path)
    if not (path / "state.json").is_file():
        raise WeightsError(f"{path} is not a checkpoint folder: it has no state.json")
    state = json.loads((path / "state.json").read_text())
    net = CodecNet(network_config(state["config"]))
    weights = load_tensors(path, "average")
    net.load_state_dict({k: v.half().float() for k, v in weights.items()})
    return net.eval(), state


def only_name(value):
    """A setting without the folders that it mentions."""
    if isinstance(value, (list, tuple)):
        return [only_name(entry) for entry in value]
    return value.replace("\\", "/").rstrip("/").rpartition("/")[2] if isinstance(value, str) else value


def model_card(training, net):
    """What a checkpoint knows of itself, as text; ``training`` as it goes into the metadata."""
    config = training["config"]

    def names(key, nothing):
        value = config.get(key) or nothing
        return ", ".join(value) if isinstance(value, list) else value

    return "\n".join(
        [
            f"# {names('out', 'a run')}",
            "",
            f"- **Network.** {sum(p.numel() for p in net.parameters()) / 1e6:.1f} million parameters, "
            f"{net.config.channels} feature channels.",
            f"- **Training.** {training['step']} steps, {training['seconds']} seconds, batch "
            f"{config.get('batch', 'not recorded')}, on {names('data', 'data not recorded')}.",
            f"- **Recognisers in the loss.** {names('recognizer', 'none')}; accuracy with them says little, report "
            "others.",
            "- **Adversarial term.** "
            f"{'weight ' + str(config['adversarial_weight']) + ': detail may be invented' if config.get('adversarial_weight') else 'none'}.",
            f"- **Tables.** Counted on {training['faces_for_tables']} faces at most, {training['exported']}.",
            "- **Not measured.** Rate, accuracy and how they differ between groups of people: measure them before "
            "use (`lfic evaluate`).",
        ]
    )


def calibrate(net, pack, faces=6000, seed=0):
    """Context arrays, tables and level prior for a network: (dict of arrays, Tables, residual bits before and after)."""
    from .. import coder

    generator = torch.Generator().manual_seed(seed)
    indexes = torch.randperm(len(pack), generator=generator)[:faces].numpy()
    samples = collect(net, pack, indexes, generator)
    arrays = net.entropy.export(net.gain)
    arrays["active"] = np.ones((100, 3, net.config.channels), np.uint8)
    arrays["table_map"] = np.arange(SCALES * FRACTIONS, dtype=np.int32)
    arrays["level_prior"] = level_prior(samples)
    first = coder.ContextModel(arrays, coder.Tables.from_frequencies(build_tables()))
    counts = {}
    for symbols, levels, h, w, quality, aligned in samples:
        table, mean = first.predict(symbols, levels, h, w, quality, aligned)
        residual = symbols.astype(np.int64) - mean
        keys, number = np.unique(np.stack([table, residual]), axis=1, return_counts=True)
        for (t, r), n in zip(keys.T.tolist(), number.tolist()):
            row = counts.setdefault(t, {})
            row[r] = row.get(r, 0) + n
    tables = coder.Tables.from_frequencies(build_tables(counts))
    model = coder.ContextModel(arrays, tables)

    def mean_bytes(context):
        return float(np.mean([context.cost(*sample).sum() for sample in samples[:500]])) / 8

    return arrays, tables, (mean_bytes(first), mean_bytes(model))


def main(argv=None):
    """Command line of ``lfic export``."""
    parser = argparse.ArgumentParser(prog="lfic export", description="Turn a training checkpoint into a weights file.")
    parser.add_argument("checkpoint", help="checkpoint folder of a run (runs/NAME/checkpoint)")
    parser.add_argument("out", help="weights file to write, .safetensors")
    parser.add_argument(
        "--data", required=True, nargs="+", help="faces to count the tables on: whatever a run takes as data"
    )
    parser.add_argument("--faces", type=int, default=6000, help="faces to count the tables on (default 6000)")
    parser.add_argument(
        "--card",
        help="text file with the model card that is stored in the metadata (default: one made of what the checkpoint "
        "knows)",
    )
    args = parser.parse_args(argv)
    from ..data.sources import open_faces
    from ..network.load import save_model

    if not args.out.endswith(".safetensors"):
        raise InvalidInputError(f"the weights file is called {args.out!r}; its name must end in .safetensors")
    net, state = load_checkpoint(args.checkpoint)
    arrays, tables, (before, after) = calibrate(net, open_faces(args.data), args.faces)
    print(f"mean payload at random qualities: {before:.1f} bytes with logistic tables, {after:.1f} with counted ones")
    # Names of files, not where they lay: that is nobody's business.
    config = {k: only_name(v) for k, v in state["config"].items()}
    training = {
        "step": state["step"],
        "seconds": round(state["seconds"]),
        "config": config,
        "faces_for_tables": args.faces,
    }
    training["exported"] = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    card = pathlib.Path(args.card).read_text() if args.card else model_card(training, net)
    save_model(args.out, net, arrays, tables.state(), {"training": json.dumps(training), "card": card})
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
