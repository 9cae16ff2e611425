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

#: results that are shown on a terminal; --json and --csv have all
_SHOWN = (
    "latency_mean_us",
    "latency_std_us",
    "latency_p50_us",
    "latency_p90_us",
    "latency_p99_us",
    "throughput_mbps",
    "loss_percent",
)


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
    from fieldlab.workflows.perftest.summaries import read_folders

    path = Path(source)
    if not path.is_dir() and len(path.parts) == 1 and not path.exists():
        return _recorded(source)
    found, problems = read_folders(path)
    for problem in problems:
        say(f"Warning: {problem}")
    bad = [each for each in found if each.explanation]
    for each in bad[:10]:
        say(f"{each.test}: {each.status}: {each.explanation}")
    if len(bad) > 10:
        say(f"… and {len(bad) - 10} more that are not complete")
    return found


def _recorded(name: str) -> list[Observation]:
    from fieldlab.cli.labs import opened
    from fieldlab.domain.errors import NoLab
    from fieldlab.store.extracts import result_rows
    from fieldlab.workflows.perftest.summaries import recorded

    try:
        with opened() as lab:
            campaign = lab.find(name)
            parameters = lab.sequence(campaign.definition).names
            fixed = campaign.definition.tool.options
            with lab.database.read() as connection:
                rows = result_rows(
                    connection,
                    campaign,
                    everywhere=campaign.is_all_of(name),
                    own_columns=False,
                )
                names = [each for each, _ in rows.columns]
                cells = (
                    dict(zip(names, row, strict=True)) for block in rows.blocks() for row in block
                )
                return list(recorded(cells, parameters, fixed))
    except NoLab:
        raise BadInput(
            f"There is neither a folder '{name}' nor a lab here",
            remedy="Name a folder of AutoPerf's data, or go to the folder of the lab",
        ) from None


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
    from fieldlab.cli.tables import print_fitted

    names = [name for name in _SHOWN if any(each.values.get(name) is not None for each in found)]
    others = [name for each in found[:1] for name in each.values]
    names = names or others[:6]
    rows = [
        [
            each.test,
            each.status,
            str(each.repeats),
            *(_figure(each.values.get(name)) for name in names),
        ]
        for each in found
    ]
    right = ["repeats", *names]
    spare = ["repeats", *(name for name in reversed(names) if name.startswith("latency"))][:5]
    print_fitted(["test", "status", "repeats", *names], rows, right=right, spare=spare)


def _show_comparisons(compared: Sequence[Comparison]) -> None:
    from fieldlab.cli.tables import print_fitted

    rows = [
        [
            each.test,
            each.metric,
            _figure(each.before),
            _figure(each.after),
            _figure(each.ratio),
            "worse" if each.regressed else "",
        ]
        for each in compared
    ]
    columns = ["test", "result", "before", "after", "ratio", "verdict"]
    print_fitted(columns, rows, right=["before", "after", "ratio"])
    worse = sum(each.regressed for each in compared)
    tests = len({each.test for each in compared if each.regressed})
    say(
        f"{counted(worse, 'result')} of {counted(tests, 'test')} got worse"
        if worse
        else "Nothing got worse"
    )


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"
