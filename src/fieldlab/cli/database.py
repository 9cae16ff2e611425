"""The group `db`: what the database is, and bringing it up to date."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fieldlab.cli.labs import opened
from fieldlab.cli.output import Json, is_terminal, say, show_facts, write_json
from fieldlab.domain.errors import BadInput

if TYPE_CHECKING:
    from fieldlab.app import Lab


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
    group.command()(info)
    group.command()(upgrade)
    group.command()(copy)
    app.add_typer(group, name="db", help="Look at the database, and bring it up to date.")


def info(json: Json = False) -> None:
    """Say where the database is, and what is in it."""
    with opened() as lab:
        found = _described(lab)
    if json:
        write_json(found)
        return
    size = found["size_bytes"]
    counts = [(name, f"{number:,}") for name, number in found["rows"].items()]
    show_facts(
        [
            ("database", found["database"]),
            ("version", f"{found['version']}, the newest"),
            ("size", "" if size is None else f"{size / 1e6:,.1f} MB"),
            *counts,
        ]
    )


def _described(lab: Lab) -> dict[str, Any]:
    import sqlalchemy as sa

    from fieldlab.store import tables

    campaigns = lab.store.campaigns()
    with lab.database.read() as connection:
        size = connection.scalar(
            sa.text(
                "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
                if lab.database.is_sqlite
                else "SELECT pg_database_size(current_database())"
            )
        )
        experiments = connection.scalar(sa.select(sa.func.count()).select_from(tables.experiments))
    return {
        "database": lab.database.place,
        "version": tables.SCHEMA_VERSION,
        "size_bytes": size,
        "rows": {
            "experiments": experiments,
            "campaigns": len(campaigns),
            # from the campaigns' own counters: counting rows would take time with millions of them
            "trials": sum(each.succeeded + each.failed + each.cancelled for each in campaigns),
            "attempts": sum(each.attempts for each in campaigns),
        },
    }


def upgrade(json: Json = False) -> None:
    """Bring it to this program's version; the data stay."""
    from fieldlab.settings import load_settings
    from fieldlab.store.database import Database
    from fieldlab.store.tables import SCHEMA_VERSION

    database = Database(load_settings().database)
    try:
        before = database.version()
        if before is None:
            database.require_current()
        if before != SCHEMA_VERSION:
            database.upgrade()
    finally:
        database.close()
    if json:
        write_json({"database": database.place, "before": before, "version": SCHEMA_VERSION})
    elif before == SCHEMA_VERSION:
        say(f"{database.place} has the newest version {SCHEMA_VERSION} already")
    else:
        say(f"Upgraded {database.place} from version {before} to {SCHEMA_VERSION}")


def copy(
    url: Annotated[
        str,
        typer.Argument(metavar="URL", help="An empty database: postgresql://ada@host/lab."),
    ],
    json: Json = False,
) -> None:
    """Copy this lab to another database, which is empty; this one stays as it is.

    So a lab moves from SQLite to PostgreSQL: afterwards name the new one in fieldlab.toml.
    """
    from fieldlab.store.copying import copy_lab
    from fieldlab.store.database import Database

    with opened() as lab:
        _require_rest(lab)
        target = Database(url)
        try:
            if target.place == lab.database.place:
                raise BadInput("A lab can't be copied to itself", remedy="Name another database")
            target.upgrade()
            with _progress() as on_rows:
                copied = copy_lab(lab.database, target, on_rows)
        finally:
            target.close()
    if json:
        write_json({"database": target.place, "rows": copied})
    else:
        say(f"Copied {sum(copied.values()):,} rows to {target.place}")
        say(f'Use it from now on: write database = "{url}" into fieldlab.toml')


def _require_rest(lab: Lab) -> None:
    """Refuse while something writes: what comes after the copy would be missing there."""
    from fieldlab.cli.actors import state_of
    from fieldlab.store.actors import read_actors

    for campaign in lab.store.campaigns():
        if lab.engines_alive(campaign):
            raise BadInput(
                f"{campaign.name} runs", remedy=f"Pause it first: `fieldlab pause {campaign.name}`"
            )
    with lab.database.read() as connection:
        running = [each.sign.name for each in read_actors(connection) if state_of(each) == "runs"]
    if running:
        raise BadInput(f"Actors run: {', '.join(running)}", remedy="End them first")


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[str, int], object]]:
    """Show on a terminal what is being copied."""
    if not is_terminal():
        yield lambda _table, _rows: None
        return
    from rich.progress import Progress, SpinnerColumn, TextColumn

    from fieldlab.cli.tables import console

    columns = (SpinnerColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console(stderr=True), transient=True) as progress:
        task = progress.add_task("")
        yield lambda table, rows: progress.update(task, description=f"{table}: {rows:,} rows")
