"""The README's figure: identity similarity and verification accuracy over bytes per face, from the evaluation's
results.

python benchmarks/plot_rate.py benchmarks/results/evaluation.csv docs/rate.png
"""

import csv
import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

COLOURS = {"lfic": "#e08090", "lfic effort 1": "#c41e3a"}


def read(path):
    """Rows of the CSV file, comment lines left out."""
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(line for line in file if not line.startswith("#")))


def main(source, target):
    rows = [r for r in read(source) if r["protocol"] == "both"]
    recogniser = min({r["recogniser"] for r in rows})
    rows = [r for r in rows if r["recogniser"] == recogniser]
    figure, axes = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
    for axis, key, label in zip(axes, ("similarity", "accuracy"), ("identity similarity", "verification accuracy")):
        for codec in dict.fromkeys(r["codec"] for r in rows if r["codec"] != "uncompressed"):
            points = sorted((float(r["bytes"]), float(r[key])) for r in rows if r["codec"] == codec)
            axis.plot(
                *zip(*points),
                marker="o",
                markersize=3,
                label=codec,
                color=COLOURS.get(codec),
                linewidth=2.5 if codec in COLOURS else 1.2,
            )
        for r in rows:
            if r["codec"] == "uncompressed" and key == "accuracy":
                axis.axhline(float(r[key]), color="grey", linestyle=":", linewidth=1, label="uncompressed")
        axis.set(xlabel="bytes per face (whole files)", ylabel=label, xlim=(0, 1500))
        axis.grid(alpha=0.3)
    axes[1].legend(fontsize=8, ncols=2)
    figure.savefig(target, dpi=110)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
