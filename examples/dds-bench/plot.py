"""Draw latency and throughput by size of a sample, a line per loss in the network.

Usage: python plot.py RESULTS.csv OUT.png
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLUMNS = ("datalen_bytes", "loss", "latency_p50_us", "latency_p90_us", "throughput_mbps")
COLOURS = ("#1f6f8b", "#e07a3f", "#9b2226", "#5f0f40")


def draw(frame: pd.DataFrame, path: Path) -> None:
    """Write what :func:`figure_of` draws as a PNG; the file's folder must exist."""
    figure_of(frame).savefig(path)


def figure_of(frame: pd.DataFrame) -> Figure:
    """Draw the median latency, up to the 90th percentile, and the throughput.

    Parameters
    ----------
    frame
        One row per trial: ``datalen_bytes``, ``loss`` in %, ``latency_p50_us`` and
        ``latency_p90_us`` in µs, ``throughput_mbps`` in Mbit/s. Rows may be missing.

    Raises
    ------
    ValueError
        A column is missing, or no trial has a result.
    """
    missing = [name for name in COLUMNS if name not in frame.columns]
    if missing:
        raise ValueError(
            f"the results have no column {', '.join(missing)}: "
            "write them with 'fieldlab export dds-bench results.csv'"
        )
    done = frame.dropna(subset=list(COLUMNS))
    if done.empty:
        raise ValueError("no trial has a result yet: run 'fieldlab run experiment.yaml' first")
    figure = Figure(figsize=(8.4, 3.8), dpi=110, layout="constrained")
    latency, throughput = figure.subplots(1, 2)
    for place, (loss, group) in enumerate(done.groupby("loss")):
        means = group.groupby("datalen_bytes").mean(numeric_only=True)
        colour, label = COLOURS[place % len(COLOURS)], f"{loss:g} % lost"
        latency.plot(means.index, means["latency_p50_us"], "o-", color=colour, label=label)
        latency.fill_between(
            means.index, means["latency_p50_us"], means["latency_p90_us"], color=colour, alpha=0.15
        )
        # dashed, so that one line is seen through another
        style = "o--" if place else "o-"
        throughput.plot(means.index, means["throughput_mbps"], style, color=colour, label=label)
    _name(latency, "Latency: median, and up to 90 %", "one way / µs")
    _name(throughput, "Throughput", "received / Mbit/s")
    latency.legend(frameon=False)
    return figure


def _name(axes: Axes, title: str, label: str) -> None:
    axes.set(xscale="log", yscale="log", xlabel="size of a sample / bytes", ylabel=label)
    axes.set_title(title, loc="left", fontweight="bold")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.2)


def main() -> None:
    """Read the command line, draw, and say where."""
    parser = argparse.ArgumentParser(description="Draw latency and throughput of DDS.")
    parser.add_argument("results", type=Path, help="results as CSV, from 'fieldlab export'")
    parser.add_argument("picture", type=Path, help="PNG file to write")
    arguments = parser.parse_args()
    try:
        frame = pd.read_csv(arguments.results)
        draw(frame, arguments.picture)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    print(f"{arguments.picture}: drawn from {len(frame):,} trials")


if __name__ == "__main__":
    main()
