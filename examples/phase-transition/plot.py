"""Draw the phase transition: what was measured, and the curve that theory predicts.

Usage: python plot.py RESULTS.csv OUT.png
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray
from theory import parametric, weak_threshold

INK = "#1b1b2f"
PAPER = "#ffffff"
#: colour of points that have no result yet
MISSING = "#7d7d8a"


def draw(frame: pd.DataFrame, path: Path) -> None:
    """Write what :func:`figure_of` draws as a PNG; the file's folder must exist."""
    figure_of(frame).savefig(path)


def figure_of(frame: pd.DataFrame) -> Figure:
    """Draw the fraction of signals recovered over (delta, rho).

    Parameters
    ----------
    frame
        One row per trial: ``delta``, ``rho`` and ``recovered`` (0 or 1). Rows may be missing, so a
        campaign can be drawn while it runs.

    Raises
    ------
    ValueError
        A column is missing, or no trial has a result.
    """
    missing = [name for name in ("delta", "rho", "recovered") if name not in frame.columns]
    if missing:
        raise ValueError(
            f"the results have no column {', '.join(missing)}: "
            "write them with 'fieldlab export phase-transition results.csv'"
        )
    done = frame.dropna(subset=["delta", "rho", "recovered"])
    if done.empty:
        raise ValueError("no trial has a result yet: run 'fieldlab run experiment.yaml' first")
    fraction = fraction_recovered(done)

    figure = Figure(figsize=(7.6, 6.6), dpi=150, facecolor=PAPER, layout="constrained")
    axes = figure.add_subplot()
    _heat_map(figure, axes, fraction)
    _curves(axes, fraction)
    _words(axes, done)
    return figure


def fraction_recovered(frame: pd.DataFrame) -> pd.DataFrame:
    """Average ``recovered`` over the repeats: a row per rho, a column per delta, NaN where none."""
    return frame.pivot_table(index="rho", columns="delta", values="recovered", aggfunc="mean")


def measured_threshold(fraction: pd.DataFrame) -> pd.Series[float]:
    """Estimate, for every delta, the rho at which half of the signals are recovered.

    This is the Spearman-Kärber estimator (Finney, "Statistical method in biological assay", 1978):
    the integral of the fraction recovered over rho. It uses every trial, needs no model of the
    curve, and holds where the rhos go from nearly all recovered to nearly none.

    Parameters
    ----------
    fraction
        As :func:`fraction_recovered` returns it. Columns with a gap, or whose rhos don't enclose
        the threshold, are left out.

    Returns
    -------
    Series
        rho, indexed by delta.
    """
    complete = fraction.dropna(axis="columns")
    crosses = (complete.iloc[0] > 0.5) & (complete.iloc[-1] < 0.5)
    edges = _edges(fraction.index.to_numpy(dtype=float))
    crossing = complete.loc[:, crosses]
    integral = np.diff(edges) @ crossing.to_numpy(dtype=float)
    return pd.Series(edges[0] + integral, index=crossing.columns, dtype=float)


def deviation(fraction: pd.DataFrame) -> float:
    """Root mean square, over the deltas, of the measured threshold less the theoretical one.

    NaN while no delta has a measured threshold.
    """
    measured = measured_threshold(fraction)
    if measured.empty:
        return float("nan")
    theory = weak_threshold(measured.index.to_numpy(dtype=float))
    return float(np.sqrt(np.mean((measured.to_numpy(dtype=float) - theory) ** 2)))


def _edges(centres: NDArray[np.float64]) -> NDArray[np.float64]:
    """Place the borders of cells halfway between their centres, within 0 and 1."""
    gaps = np.diff(centres) if len(centres) > 1 else np.array([0.05])
    borders = np.concatenate([[centres[0] - gaps[0] / 2], centres[:-1] + np.diff(centres) / 2])
    return np.append(borders, centres[-1] + gaps[-1] / 2).clip(0, 1)


def _heat_map(figure: Figure, axes: Axes, fraction: pd.DataFrame) -> None:
    columns = _edges(fraction.columns.to_numpy(dtype=float))
    rows = _edges(fraction.index.to_numpy(dtype=float))
    axes.set_facecolor(MISSING)
    mesh = axes.pcolormesh(
        columns, rows, fraction.to_numpy(dtype=float), cmap="magma", vmin=0, vmax=1
    )
    bar = figure.colorbar(mesh, ax=axes, format=PercentFormatter(1.0), pad=0.02, aspect=28)
    bar.set_label("signals recovered", fontsize=11, color=INK)
    bar.outline.set_visible(False)
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")


def _curves(axes: Axes, fraction: pd.DataFrame) -> None:
    # Even steps in z follow the curve down to delta = 10^-300, where rho is still 10^-3.
    delta, rho = zip(*(parametric(z) for z in np.linspace(0, 37, 2000)), strict=True)
    halo = [patheffects.withStroke(linewidth=5, foreground=INK, alpha=0.55)]
    axes.plot(
        delta,
        rho,
        color="#5ce1e6",
        linewidth=2.4,
        path_effects=halo,
        label="theory: Donoho and Tanner",
    )
    measured = measured_threshold(fraction)
    axes.plot(
        measured.index.to_numpy(dtype=float),
        measured.to_numpy(dtype=float),
        linestyle="none",
        marker="o",
        markersize=5.5,
        markerfacecolor=PAPER,
        markeredgecolor=INK,
        label="measured: half recovered",
    )
    axes.legend(loc="upper left", frameon=False, labelcolor=PAPER, fontsize=10.5)


def _words(axes: Axes, done: pd.DataFrame) -> None:
    axes.text(0.30, 0.60, "not recovered", color=PAPER, alpha=0.85, fontsize=15, ha="center")
    axes.text(0.70, 0.17, "recovered exactly", color=INK, alpha=0.85, fontsize=15, ha="center")
    axes.set_xlabel(r"measurements per unknown,  $\delta = n/N$", fontsize=12, color=INK)
    axes.set_ylabel(r"non-zeros per measurement,  $\rho = k/n$", fontsize=12, color=INK)
    axes.tick_params(colors=INK, length=3)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.set_title(
        "How sparse must a signal be to be recovered?\n",
        loc="left",
        fontsize=15,
        fontweight="bold",
        color=INK,
    )
    axes.text(0, 1.022, _caption(done), transform=axes.transAxes, fontsize=10.5, color="#55556a")


def _caption(done: pd.DataFrame) -> str:
    points = len(done.groupby(["delta", "rho"]))
    text = f"{len(done):,} trials of $\\ell_1$ minimisation at {points} points"
    if "unknowns" in done.columns and done["unknowns"].nunique() == 1:
        text += f", N = {int(done['unknowns'].iloc[0])} unknowns"
    return text


def main() -> None:
    """Read the command line, draw, and say where."""
    parser = argparse.ArgumentParser(description="Draw the phase transition of sparse recovery.")
    parser.add_argument("results", type=Path, help="results as CSV, from 'fieldlab export'")
    parser.add_argument("picture", type=Path, help="PNG file to write")
    arguments = parser.parse_args()
    try:
        frame = pd.read_csv(arguments.results)
        draw(frame, arguments.picture)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    print(f"{arguments.picture}: drawn from {len(frame):,} trials")
    difference = deviation(fraction_recovered(frame))
    if np.isfinite(difference):
        print(f"measured and theoretical threshold differ by {difference:.3f} (root mean square)")


if __name__ == "__main__":
    main()
