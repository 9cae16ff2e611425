"""Pictures of summaries and comparisons, drawn without a display."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fieldlab.domain.errors import BadInput, MissingExtra
from fieldlab.workflows.perftest.comparing import METRICS, Comparison
from fieldlab.workflows.perftest.summaries import Summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: inches: of the picture's width, and of each test's line
_WIDTH_IN, _LINE_IN = 11.0, 0.22
#: more tests than these aren't named one by one
_MOST_NAMED = 80
_GOOD, _BAD, _BAR = "#1b6ca8", "#c8372d", "#8fb8d8"


def plot_summaries(summaries: Sequence[Summary], path: Path) -> None:
    """Draw the latencies (median, 90 % and 99 %) and the throughput of every test.

    Raises
    ------
    MissingExtra
        matplotlib isn't installed.
    BadInput
        The file can't be written, or its ending is no format of pictures.
    """
    figure = _figure(len(summaries))
    left, right = figure.subplots(1, 2, sharey=True)
    for name, sign, colour in (("p50", "o", _GOOD), ("p90", "|", _BAR), ("p99", ">", _BAD)):
        drawn = [(v, y) for y, v in enumerate(_column(summaries, f"latency_{name}_us")) if v]
        left.plot([v for v, _ in drawn], [y for _, y in drawn], sign, color=colour, label=name)
    if any(_column(summaries, "latency_p50_us")):
        left.set_xscale("log")
    left.set_xlabel("latency / µs")
    left.legend(loc="best", fontsize="small")
    rates = [value or 0.0 for value in _column(summaries, "throughput_mbps")]
    right.barh(list(range(len(rates))), rates, color=_BAR)
    right.set_xlabel("throughput / Mbit/s")
    _name_tests(left, [each.test for each in summaries])
    _save(figure, path)


def plot_comparison(found: Sequence[Comparison], path: Path, threshold: float) -> None:
    """Draw the ratio of after to before, test by test; what got worse is red.

    Raises
    ------
    MissingExtra
        matplotlib isn't installed.
    BadInput
        The file can't be written, or its ending is no format of pictures.
    """
    tests = list(dict.fromkeys(each.test for each in found))
    place = {test: number for number, test in enumerate(tests)}
    metrics = [
        name for name in METRICS if any(each.metric == name and each.ratio for each in found)
    ]
    figure = _figure(len(tests))
    panels = figure.subplots(1, max(len(metrics), 1), sharey=True, squeeze=False)[0]
    for panel, metric in zip(panels, metrics, strict=False):
        shown = [(each.ratio, each) for each in found if each.metric == metric and each.ratio]
        panel.axvspan(1 - threshold, 1 + threshold, color="#eeeeee")
        panel.axvline(1.0, color="#888888", linewidth=0.8)
        panel.scatter(
            [ratio for ratio, _ in shown],
            [place[each.test] for _, each in shown],
            c=[_BAD if each.regressed else _GOOD for _, each in shown],
            s=18,
        )
        panel.set_xlabel(f"{metric}\nafter / before", fontsize="small")
    _name_tests(panels[0], tests)
    _save(figure, path)


def _column(summaries: Sequence[Summary], name: str) -> list[float | None]:
    return [each.values.get(name) for each in summaries]


def _figure(tests: int) -> Figure:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtra("notebook", "Drawing a plot") from None
    height = 2.0 + _LINE_IN * min(max(tests, 4), _MOST_NAMED)
    figure = Figure(figsize=(_WIDTH_IN, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _name_tests(axes: Axes, tests: Sequence[str]) -> None:
    axes.invert_yaxis()
    if len(tests) <= _MOST_NAMED:
        axes.set_yticks(range(len(tests)), tests, fontsize="x-small")
    else:
        axes.set_ylabel(f"{len(tests)} tests")


def _save(figure: Figure, path: Path) -> None:
    try:
        figure.savefig(path, dpi=120)
    except (OSError, ValueError) as error:
        raise BadInput(
            f"{path} can't be written: {error}", remedy="Name a .png, .svg or .pdf"
        ) from None
