"""`perftest ess`: the status spreadsheet of a campaign as AutoPerf writes it."""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fieldlab.cli.labs import Name, opened
from fieldlab.cli.output import Json, counted, say, write_json

if TYPE_CHECKING:
    from fieldlab.app import Lab


def register(group: typer.Typer) -> None:
    """Add the command."""
    group.command("ess")(ess)


def ess(
    name: Name,
    file: Annotated[
        str, typer.Argument(metavar="[FILE]", help="The CSV file to write; - is stdout.")
    ] = "-",
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
    json: Json = False,
) -> None:
    """Write the attempts as a status spreadsheet of AutoPerf, with its columns and test names.

    An experiment's name writes all its campaigns, a campaign's name its own part.
    """
    from fieldlab.notebook.export import whole_file

    with opened() as lab:
        rows = _rows_of(lab, name)
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    content = text.getvalue().encode(errors="backslashreplace")
    if file == "-" and not json:
        sys.stdout.buffer.write(content)
        return
    number = len(rows) - 1
    if file == "-":
        heading, *others = rows
        write_json([dict(zip(heading, row, strict=True)) for row in others])
        return
    with whole_file(Path(file), force=force) as target:
        target.write(content)
    if json:
        write_json({"file": str(Path(file).absolute()), "rows": number})
    else:
        say(f"{counted(number, 'row')} written to {file}")


def _rows_of(lab: Lab, name: str) -> list[tuple[object, ...]]:
    """List the rows, the heading first."""
    from fieldlab.workflows.perftest.naming import COLUMNS, ess_rows

    found = lab.find(name)
    campaigns = [found]
    if found.is_all_of(name):
        of_experiment = [
            each for each in lab.store.campaigns() if each.experiment_id == found.experiment_id
        ]
        campaigns = sorted(of_experiment, key=lambda each: each.number)
    rows: list[tuple[object, ...]] = [COLUMNS]
    for each in campaigns:
        rows += ess_rows(lab.store.ended_attempts(each.id, 0), each.definition.tool.options)
    return rows
