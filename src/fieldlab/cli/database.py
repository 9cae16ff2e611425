"""The group `db`: what the database is, and bringing it up to date."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from fieldlab.cli.labs import opened
from fieldlab.cli.output import Json, say, show_facts, write_json

if TYPE_CHECKING:
    from fieldlab.app import Lab


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
    group.command()(info)
    group.command()(upgrade)
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
