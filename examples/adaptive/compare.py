"""Draw how fast the search gets better, beside as many random points.

python compare.py PICTURE
"""

from __future__ import annotations

import sys

import matplotlib.pyplot as plt
from search import track

import fieldlab

SPACE = {
    "kp": {"loguniform": [0.1, 50]},
    "ki": {"loguniform": [0.01, 20]},
    "kd": {"loguniform": [0.01, 20]},
}


def main() -> None:
    """Run the random points, and draw both."""
    with fieldlab.open() as lab:
        searched = lab.results("controller").sort_values("recorded_at")["error"]
    drawn = fieldlab.run(
        track, name="controller-random", matrix=SPACE, sample={"count": len(searched), "seed": 1}
    )
    random = drawn.results()["error"]
    figure, axes = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
    for errors, colour, label in ((random, "#999999", "random"), (searched, "#3b5bb5", "adaptive")):
        numbers, best = range(1, len(errors) + 1), errors.cummin()
        axes.scatter(numbers, errors, s=6, color=colour, alpha=0.5, linewidths=0)
        axes.step(numbers, best, where="post", color=colour, label=f"{label}, best so far")
    axes.set(xlabel="trials", ylabel="error", yscale="log")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(sys.argv[1], dpi=150)


if __name__ == "__main__":
    main()
