"""The README's figure: identity similarity and verification accuracy over bytes per face, from the evaluation's
results.

python benchmarks/plot_rate.py benchmarks/results/verification.csv docs/rate.png
"""

import sys

import matplotlib

from lfic.evaluate.tables import read_csv

matplotlib.use("Agg")
import matplotlib.pyplot as plt

COLORS = {"lfic": "#e08090", "lfic effort 1": "#c41e3a"}


def main(source: str, target: str) -> int:
    """source: table of an evaluation. target: picture to write."""
    rows = [r for r in read_csv(source) if r["protocol"] == "both"]
    recognizer = min({r["recognizer"] for r in rows})
    rows = [r for r in rows if r["recognizer"] == recognizer]
    figure, axes = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
    for axis, key, label in zip(axes, ("similarity", "accuracy"), ("identity similarity", "verification accuracy")):
        for codec in dict.fromkeys(r["codec"] for r in rows if r["codec"] != "uncompressed"):
            points = sorted((r["bytes"], r[key]) for r in rows if r["codec"] == codec)
            axis.plot(
                *zip(*points),
                marker="o",
                markersize=3,
                label=codec,
                color=COLORS.get(codec),
                linewidth=2.5 if codec in COLORS else 1.2,
            )
        for r in rows:
            if r["codec"] == "uncompressed" and key == "accuracy":
                axis.axhline(r[key], color="grey", linestyle=":", linewidth=1, label="uncompressed")
        axis.set(xlabel="bytes per face (whole files)", ylabel=label, xlim=(0, 1500))
        axis.grid(alpha=0.3)
    axes[1].legend(fontsize=8, ncols=2)
    figure.savefig(target, dpi=110)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
