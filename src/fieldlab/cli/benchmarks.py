"""`perftest summary`: a row per test, over folders of data and over campaigns."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fieldlab.cli.output import Json, counted, say, write_json
from fieldlab.domain.errors import BadInput, MachineError

if TYPE_CHECKING:
    from fieldlab.workflows.perftest.comparing import Comparison
    from fieldlab.workflows.perftest.summaries import Observation, Summary

#: results that are shown on a terminal, and their headings there; --json and --csv have all
_SHOWN = {
    "latency_mean_us": "mean µs",
    "latency_std_us": "std µs",
    "latency_p50_us": "p50 µs",
    "latency_p90_us": "p90 µs",
    "latency_p99_us": "p99 µs",
    "throughput_mbps": "Mbit/s",
    "loss_percent": "loss %",
}
#: left out first where the terminal is narrow
_SPARE = ("latency_p90_us", "latency_std_us", "latency_p50_us")
#: left out last
_LAST = ("loss %", "p99 µs", "Mbit/s")
#: characters that a test with its status leaves to two figures
_BESIDE = 25
#: characters of a reason that are told
_WHY = 400


def register(group: typer.Typer) -> None:
    """Add the command."""
    group.command()(summary)


Against = Annotated[
    list[str] | None,
    typer.Option("--against", metavar="SOURCE", help="Compare with this, which was before."),
]
Threshold = Annotated[
    float,
    typer.Option(
        "--threshold", metavar="PERCENT", min=0.0, help="What gets worse by less is no matter."
    ),
]


def summary(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...", help="Folders of AutoPerf's data, or campaigns of this lab."
        ),
    ],
    against: Against = None,
    threshold: Threshold = 5.0,
    csv_file: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Write the rows to a file.")
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE", help="Draw them: a .png, .svg or .pdf."),
    ] = None,
    json: Json = False,
) -> None:
    """Summarise benchmarks: mean, deviation and percentiles of latency, throughput, loss.

    A folder has one folder per test, named for it. With --against every test is compared, and what
    got worse is marked: by more than the threshold and, where tests have repeats, beyond what they
    vary by.
    """
    after = _summaries(sources)
    if against:
        compared = _compared(_summaries(against), after, threshold / 100, plot)
        _give([each.document() for each in compared], csv_file, json)
        if not json:
            _show_comparisons(compared)
    else:
        if plot is not None:
            from fieldlab.workflows.perftest.plotting import plot_summaries

            plot_summaries(after, plot)
        _give([each.document() for each in after], csv_file, json)
        if not json:
            _show_summaries(after)
    for path in (csv_file, plot):
        if path is not None:
            say(f"Wrote {path}")


def _compared(
    before: Sequence[Summary], after: Sequence[Summary], threshold: float, plot: Path | None
) -> list[Comparison]:
    from fieldlab.workflows.perftest.comparing import compare

    compared = compare(before, after, threshold)
    if not compared:
        raise BadInput(
            "The two have no result in common",
            remedy="`fieldlab perftest summary` of each shows which tests there are",
        )
    _say_missing(before, after)
    if plot is not None:
        from fieldlab.workflows.perftest.plotting import plot_comparison

        plot_comparison(compared, plot, threshold)
    return compared


def _summaries(sources: Sequence[str]) -> list[Summary]:
    from fieldlab.workflows.perftest.summaries import summarise

    return summarise(each for source in sources for each in _observations(source))


def _observations(source: str) -> list[Observation]:
    """Read a folder of that name or, where there is none, a campaign."""
    from fieldlab.cli.tables import shortened
    from fieldlab.workflows.perftest.summaries import read_folders

    path = Path(source)
    if not path.is_dir() and len(path.parts) == 1 and not path.exists():
        from fieldlab.cli.covering import covered

        found = covered(source)
    else:
        found, problems = read_folders(path)
        for problem in problems:
            say(f"Warning: {problem}")
    bad = [each for each in found if each.explanation]
    for each in bad[:10]:
        why = each.explanation.splitlines()[0]
        say(f"{each.test}: {each.status}: {shortened(why, _WHY)}")
    if len(bad) > 10:
        say(f"… and {len(bad) - 10} more that are not complete")
    return found


def _say_missing(before: Sequence[Summary], after: Sequence[Summary]) -> None:
    old, new = ({each.test for each in side} for side in (before, after))
    for number, side in ((len(new - old), "before"), (len(old - new), "after")):
        if number:
            were = "was" if number == 1 else "were"
            say(f"{counted(number, 'test')} {were} not there {side}, and can't be compared")


def _give(rows: Sequence[dict[str, Any]], csv_file: Path | None, as_json: bool) -> None:
    if csv_file is not None:
        text = io.StringIO()
        names = list(dict.fromkeys(name for row in rows for name in row))
        writer = csv.DictWriter(text, names, lineterminator="\r\n")
        writer.writeheader()
        writer.writerows(rows)
        try:
            csv_file.write_text(text.getvalue(), encoding="utf-8", newline="")
        except OSError as error:
            raise MachineError(
                f"{csv_file} can't be written: {error.strerror}", remedy="Name another file"
            ) from error
    if as_json:
        write_json(rows)


def _show_summaries(found: Sequence[Summary]) -> None:
    from fieldlab.cli.tables import console, print_fitted, shortened
    from fieldlab.workflows.perftest.statuses import SUCCESS

    names = [name for name in _SHOWN if any(each.values.get(name) is not None for each in found)]
    others = dict.fromkeys(name for each in found for name in each.values)
    names = names or list(others)[:6]
    headings = [_SHOWN.get(name, name) for name in names]
    longest = max((len(each.test) for each in found), default=0)
    room = max(console().width - longest - _BESIDE, len(SUCCESS))
    rows = [
        [
            each.test,
            shortened(each.status, room),
            str(each.repeats),
            *(_figure(each.values.get(name)) for name in names),
        ]
        for each in found
    ]
    plain = ["status"] if all(each.status == SUCCESS for each in found) else []
    spare = ["repeats", *(_SHOWN[each] for each in _SPARE), *plain, *_LAST, *headings[:0:-1]]
    columns = ["test", "status", "repeats", *headings]
    print_fitted(columns, rows, right=["repeats", *headings], spare=list(dict.fromkeys(spare)))


def _show_comparisons(compared: Sequence[Comparison]) -> None:
    from fieldlab.cli.tables import print_fitted

    rows = [
        [
            each.test,
            _SHOWN.get(each.metric, each.metric),
            _figure(each.before),
            _figure(each.after),
            _figure(each.ratio),
            "worse" if each.regressed else "",
        ]
        for each in compared
    ]
    columns = ["test", "result", "before", "after", "ratio", "verdict"]
    print_fitted(columns, rows, right=["before", "after", "ratio"], spare=["before", "after"])
    worse = sum(each.regressed for each in compared)
    tests = len({each.test for each in compared if each.regressed})
    say(
        f"{counted(worse, 'result')} of {counted(tests, 'test')} got worse"
        if worse
        else "Nothing got worse"
    )


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"
