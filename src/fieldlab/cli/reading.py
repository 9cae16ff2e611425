"""Reading what has been recorded: `results`, `export`, `attempts`."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from enum import StrEnum
from json import dumps, loads
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from typer.core import TyperCommand

from fieldlab.cli import diffing, explaining, journal
from fieldlab.cli.errors import ExitCode
from fieldlab.cli.labs import Name, opened
from fieldlab.cli.origins import commit_text
from fieldlab.cli.output import Json, counted, is_terminal, local_time, say, write_json
from fieldlab.domain.ids import trial_name

if TYPE_CHECKING:
    import sqlalchemy as sa

    from fieldlab.notebook.export import Column
    from fieldlab.ports.store import Campaign
    from fieldlab.store.extracts import Extract
    from fieldlab.store.queries import AttemptView

#: rows that `--head` shows when it isn't told how many
HEAD = 10
#: rows that are shown on a terminal when it isn't asked for more
SCREENFUL = 50
#: rows of a long table that are laid out together
PAGE = 1_000


#: characters of a text in a table of results on a terminal
_LONGEST_TEXT = 40
#: columns of the screen between two of a table
_GAP = 3
#: columns of the screen that a table of attempts needs beside parameters and status
_BESIDE = 38
#: columns that either of those has at least
_LEAST = 10


class What(StrEnum):
    """What can be exported."""

    RESULTS = "results"
    ATTEMPTS = "attempts"
    TRIALS = "trials"


class _HeadCommand(TyperCommand):
    """Lets ``--head`` stand without a number; typer's options always take what follows."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        full: list[str] = []
        for place, word in enumerate(args):
            full.append(word)
            following = args[place + 1] if place + 1 < len(args) else ""
            if word == "--head" and not following.lstrip("-").isdecimal():
                full.append(str(HEAD))
        return super().parse_args(ctx, full)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(cls=_HeadCommand)(results)
    app.command()(export)
    app.command()(attempts)
    journal.register(app)
    explaining.register(app)
    diffing.register(app)


def results(
    name: Name,
    head: Annotated[
        int | None,
        typer.Option(
            "--head", min=1, metavar="[N]", help=f"Show the first N rows; {HEAD} without N."
        ),
    ] = None,
    all_columns: Annotated[
        bool, typer.Option("--all-columns", help="Show the columns that fieldlab adds, too.")
    ] = False,
    json: Json = False,
) -> None:
    """Show results: a row per trial (or several), its parameters first.

    An experiment's name shows what all its campaigns have recorded, a campaign's name its own part.
    """
    from fieldlab.store.extracts import result_rows

    with opened() as lab:
        campaign = lab.find(name)
        with lab.database.read() as connection:
            rows = result_rows(
                connection,
                campaign,
                everywhere=campaign.is_all_of(name),
                own_columns=all_columns,
            )
            if json:
                _write_rows(rows, head)
            else:
                _show_rows(rows, head, name)


def _write_rows(rows: Extract, limit: int | None) -> None:
    """Write rows as one JSON list, an object per line, while they are being read."""
    from fieldlab.notebook.export import json_values

    separator = "[\n"
    for block in rows.blocks(limit):
        for row in json_values(_columns(rows), block):
            sys.stdout.write(separator + dumps(row, ensure_ascii=False, allow_nan=False))
            separator = ",\n"
    sys.stdout.write("\n]\n" if separator == ",\n" else "[]\n")


def _show_rows(rows: Extract, head: int | None, name: str) -> None:
    terminal = sys.stdout.isatty()
    limit = head or (SCREENFUL if terminal else None)
    shown = _show_tables(rows, limit, exact=not terminal)
    if not shown:
        say(f"No results have been recorded yet; `fieldlab status {name}` says how far it is")
        return
    if shown == limit and (all_of_them := rows.count()) > shown:
        more = "--head N shows more" if terminal and head is None else ""
        say(
            f"The first {shown:,} of {all_of_them:,} rows. {more or '`fieldlab export'}"
            f"{'; `fieldlab export' if more else ''} {name} FILE.csv` writes them all"
        )


def _show_tables(rows: Extract, limit: int | None, *, exact: bool) -> int:
    """Show rows a page at a time, each laid out as wide as the first; how many there were."""
    from fieldlab.cli.tables import console, print_whole, table

    numbers = {name for name, type_ in rows.columns if type_ in ("integer", "real")}
    headings = [name for name, _ in rows.columns]
    shown = 0
    widths: list[int] = []
    for page in _pages(rows, limit):
        cells = [[_cut(cell_text(value, exact=exact), exact) for value in row] for row in page]
        if not widths:
            widths = [max(map(len, column)) for column in zip(headings, *cells, strict=True)]
            if not exact:
                widths = widths[: _fitting(widths, console().width)]
        made = table(headings[: len(widths)], right=numbers)
        for column, width in zip(made.columns, widths, strict=True):
            column.min_width = width
        made.show_header = shown == 0
        made.show_edge = False
        for row in cells:
            made.add_row(*row[: len(widths)])
        print_whole(made)
        shown += len(page)
    if shown and len(widths) < len(headings):
        say(
            f"{counted(len(headings) - len(widths), 'more column')} for a wider screen:"
            f" {', '.join(headings[len(widths) :])}"
        )
    return shown


def _cut(text: str, exact: bool) -> str:
    """Cut a text that would take the screen from all others; no number is so long."""
    return text if exact or len(text) <= _LONGEST_TEXT else f"{text[: _LONGEST_TEXT - 1]}…"


def _fitting(widths: Sequence[int], screen: int) -> int:
    """Count the columns, from the first on, that a screen has room for."""
    used = 0
    for place, width in enumerate(widths):
        used += width + (_GAP if place else 0)
        if used > screen:
            return max(place, 1)
    return len(widths)


def _pages(rows: Extract, limit: int | None) -> Iterator[Sequence[Sequence[Any]]]:
    for block in rows.blocks(limit):
        for start in range(0, len(block), PAGE):
            yield block[start : start + PAGE]


def cell_text(value: object, *, exact: bool) -> str:
    """Write a value of a result for people: on a terminal reals have six digits, elsewhere all."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(value) if exact else f"{value:.6g}"
    if isinstance(value, datetime):
        return local_time(value)
    text = str(value)
    return text if text.isprintable() else " ".join(text.split())


def _columns(rows: Extract) -> list[Column]:
    from fieldlab.notebook.export import Column

    return [Column(name, type_) for name, type_ in rows.columns]


def export(
    name: Name,
    file: Annotated[str, typer.Argument(metavar="FILE", help="The file to write; - is stdout.")],
    format_name: Annotated[
        str,
        typer.Option(
            "--format", metavar="csv|jsonl|parquet", help="Otherwise the file's ending says it."
        ),
    ] = "",
    what: Annotated[What, typer.Option("--what", help="What to write.")] = What.RESULTS,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
    json: Json = False,
) -> None:
    """Write results, attempts or trials to a file: CSV, JSON lines or Parquet.

    The file appears when it is whole. An experiment's name exports all its campaigns, a campaign's
    name its own part.
    """
    from fieldlab.notebook.export import format_of, whole_file, write_rows

    format_name = format_of(file, format_name)
    with contextlib.ExitStack() as stack:
        stack.enter_context(_ended_by_signals())
        lab = stack.enter_context(opened())
        campaign = lab.find(name)
        target = (
            sys.stdout.buffer
            if file == "-"
            else stack.enter_context(whole_file(Path(file), force=force))
        )
        with lab.database.read() as connection:
            rows = _rows_of(connection, campaign, what, everywhere=campaign.is_all_of(name))
            with _progress(rows, what) as on_rows:
                blocks = rows.blocks()
                written = write_rows(target, format_name, _columns(rows), blocks, on_rows)
    if file == "-":
        return
    if json:
        write_json({"file": str(Path(file).absolute()), "format": format_name, "rows": written})
    else:
        say(f"{counted(written, 'row')} of {what.value} written to {file}")


def _rows_of(
    connection: sa.Connection, campaign: Campaign, what: What, *, everywhere: bool
) -> Extract:
    from fieldlab.store.extracts import attempt_rows, result_rows, trial_rows

    if what is What.ATTEMPTS:
        return attempt_rows(connection, campaign, everywhere=everywhere)
    if what is What.TRIALS:
        return trial_rows(connection, campaign, everywhere=everywhere)
    return result_rows(connection, campaign, everywhere=everywhere, own_columns=True)


@contextlib.contextmanager
def _progress(rows: Extract, what: What) -> Iterator[Callable[[int], object]]:
    """Show on a terminal how far a long export is."""
    if not is_terminal():
        yield lambda _: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    from fieldlab.cli.tables import console

    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console(stderr=True), transient=True) as progress:
        task = progress.add_task(what.value, total=rows.count())
        yield lambda written: progress.update(task, completed=written)


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let a termination signal end the command as an error does, so that it tidies up."""

    def end(_number: int, _frame: object) -> NoReturn:
        raise typer.Exit(ExitCode.INTERRUPTED)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def attempts(
    name: Name,
    failed: Annotated[bool, typer.Option("--failed", help="Only those that failed.")] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many to list.")] = SCREENFUL,
    json: Json = False,
) -> None:
    """List a campaign's attempts: those that run, then those that ended last."""
    from fieldlab.store.queries import newest_attempts

    with opened() as lab:
        campaign = lab.find(name)
        with lab.database.read() as connection:
            found = newest_attempts(connection, campaign, limit=limit, failed=failed)
    if json:
        write_json([journal.attempt_document(each) for each in found])
    elif found:
        _show_attempts(found)
    else:
        kind = "failed" if failed else "been made"
        say(f"No attempt of {campaign.name} has {kind} yet")
    if len(found) == limit and not json:
        say(
            f"The newest {limit:,}; --limit N lists more, `fieldlab export {campaign.name} FILE.csv"
            " --what attempts` writes all"
        )


def _show_attempts(found: Sequence[AttemptView]) -> None:
    from fieldlab.cli.tables import console, print_fitted, shortened

    names = [trial_name(each.parameters, each.repeat) for each in found]
    longest, room = max(map(len, names)), 0
    if sys.stdout.isatty():
        room = max(console().width - _BESIDE, 2 * _LEAST)
        if longest > max(room // 2, _LEAST):  # what is cut off then is what they share
            names = _telling_names(found)
        longest = max(min(longest, room // 2), _LEAST)
    more = _origin_columns(found)
    print_fitted(
        ("trial", "parameters", "no.", "status", "started", "took", *more),
        [
            (
                each.fingerprint[: journal.DIGITS],
                shortened(names[place], longest),
                str(each.number),
                shortened(status, room - longest) if room else status,
                local_time(each.started_at),
                journal.took(each),
                *(cells[place] for cells in more.values()),
            )
            for place, each in enumerate(found)
            for status in [each.status or each.state]
        ],
        right=("no.", "took"),
        spare=(*reversed(more), "started"),
    )


def _telling_names(found: Sequence[AttemptView]) -> list[str]:
    """Name trials with the repeat and the parameters first in which they differ."""
    points = [loads(each.parameters) for each in found]
    repeats_differ = len({each.repeat for each in found}) > 1
    kinds = {  # one that a trial lacks differs from all that it may have
        name: len({dumps(point[name]) if name in point else "" for point in points})
        for name in dict.fromkeys(name for point in points for name in point)
    }
    order = sorted(kinds, key=lambda name: kinds[name] == 1)
    names = []
    for each, point in zip(found, points, strict=True):
        own = {name: point[name] for name in order if name in point}
        text = dumps(own, ensure_ascii=False, separators=(",", ":"))
        name = trial_name(text, 1 if repeats_differ else each.repeat)
        names.append(f"#{each.repeat} {name}" if repeats_differ else name)
    return names


def _origin_columns(found: Sequence[AttemptView]) -> dict[str, list[str]]:
    """Say where attempts come from, as far as that is known and tells them apart."""
    columns = {
        "by": [each.user or "" for each in found],
        "on": [each.host or "" for each in found],
        "commit": [commit_text(each.commit, each.dirty) for each in found],
    }
    return {
        name: cells
        for name, cells in columns.items()
        if len(set(cells)) > 1 or (name == "commit" and any(cells))
    }
