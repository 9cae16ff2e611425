"""Draw how small each program makes the corpus, against how fast, and which settings are best.

Usage: python plot.py RESULTS.csv OUT.png
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

INK = "#1b1b2f"
COLOURS = {"gzip": "#8a6d3b", "bzip2": "#7b4fa3", "xz": "#1b6ca8", "zstd": "#c8372d"}
SPEED, RATIO = "compress_mb_per_s", "ratio"


def summary(results: pd.DataFrame) -> pd.DataFrame:
    """Take medians over the repeats, and mark the settings that none other beats.

    Parameters
    ----------
    results
        A row per trial: ``program``, ``level``, ``ratio``, ``compress_mb_per_s``,
        ``decompress_mb_per_s``. A campaign can be summed up while it runs.

    Returns
    -------
    DataFrame
        A row per program and level, with ``best``: whether none is both smaller and faster.

    Raises
    ------
    ValueError
        A column is missing, or there is no result yet.
    """
    wanted = ["program", "level", RATIO, SPEED, "decompress_mb_per_s"]
    missing = [name for name in wanted if name not in results.columns]
    if missing or results.empty:
        raise ValueError(
            f"the results have no {f'column {missing[0]}' if missing else 'rows'} yet: run"
            " 'fieldlab run experiment.yaml', then 'fieldlab export compressors results.csv'"
        )
    medians = results[wanted].groupby(["program", "level"], as_index=False).median()
    return medians.assign(best=front(medians))


def front(medians: pd.DataFrame) -> pd.Series[bool]:
    """Mark the Pareto front of speed and ratio: the rows that no other row beats in both."""
    ordered = medians.sort_values([SPEED, RATIO], ascending=False)
    best_before = ordered[RATIO].cummax().shift(fill_value=0.0)
    return (ordered[RATIO] > best_before).reindex(medians.index)


def draw(medians: pd.DataFrame) -> Figure:
    """Draw what :func:`summary` gives: a line per program, a dot per level, the front in full."""
    figure = Figure(figsize=(7.6, 5.2), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    best = medians[medians["best"]].sort_values(SPEED)
    axes.step(
        best[SPEED], best[RATIO], where="pre", color=INK, alpha=0.25, linewidth=6, zorder=1,
        label="best: none is smaller and faster",
    )  # fmt: skip
    for program, levels in medians.sort_values("level").groupby("program"):
        _line(axes, str(program), levels)
    axes.set(xscale="log", title="How small, and how fast?")
    axes.set_xlabel("megabytes compressed per second of processor time", color=INK)
    axes.set_ylabel("original size / compressed size", color=INK)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.2)
    axes.legend(frameon=False)
    return figure


def _line(axes: Axes, program: str, levels: pd.DataFrame) -> None:
    colour = COLOURS.get(program, INK)
    axes.plot(levels[SPEED], levels[RATIO], color=colour, linewidth=1.2, label=program)
    for _, row in levels.iterrows():
        face = colour if row["best"] else "white"
        axes.plot(row[SPEED], row[RATIO], "o", color=colour, markerfacecolor=face, markersize=5)
    for _, row in levels.iloc[[0, -1]].iterrows():
        axes.annotate(
            f"-{row['level']}", (row[SPEED], row[RATIO]), (5, 5), textcoords="offset points",
            color=colour, fontsize=9,
        )  # fmt: skip


def main() -> None:
    """Read the command line, draw, and say which settings are best."""
    parser = argparse.ArgumentParser(description="Draw ratio against speed of compressors.")
    parser.add_argument("results", type=Path, help="results as CSV, from 'fieldlab export'")
    parser.add_argument("picture", type=Path, help="PNG file to write")
    arguments = parser.parse_args()
    try:
        medians = summary(pd.read_csv(arguments.results))
        draw(medians).savefig(arguments.picture)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    best = medians[medians["best"]].sort_values(SPEED, ascending=False)
    words = [f"{row.program} -{row.level}" for row in best.itertuples()]
    print(f"best, from the fastest to the smallest: {', '.join(words)}")


if __name__ == "__main__":
    main()
