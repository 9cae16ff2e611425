"""A lab moves from one kind of database to the other: nothing is missing, and work goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from fieldlab.app import Lab
from fieldlab.domain.errors import BadInput
from fieldlab.domain.messages import DeliveryPolicy, Envelope
from fieldlab.settings import Settings
from fieldlab.store import sql_store
from fieldlab.store.bus_tables import messages
from fieldlab.store.copying import copy_lab
from fieldlab.store.database import Database
from fieldlab.store.messaging import SqlMessages
from tests.databases import Databases
from tests.engine.campaigning import BREAKABLE, TEN, Bench

#: results whose columns change: one is widened, one is missing always, one has text like a number
CHANGING = """
def work(x):
    return {"y": x if x < 8 else x / 3, "none": None, "code": f"00{x}", "good": x > 3}
"""


def contents(lab: Lab) -> dict[str, list[tuple[Any, ...]]]:
    """Read every row of every table, in an order that doesn't depend on the database."""
    with lab.database.read() as connection:
        found = {
            table.name: [tuple(row) for row in connection.execute(sa.select(table))]
            for table in messages.metadata.sorted_tables
        }
    for campaign in lab.store.campaigns():
        with lab.database.read() as connection:
            query = sql_store.results_of(connection, campaign).select(connection)
            found["results"] = [tuple(row) for row in connection.execute(query)]
    return {name: sorted(rows, key=repr) for name, rows in found.items()}


def lab_at(folder: Path, url: str) -> Bench:
    return Bench(Lab(Settings(home=folder / "lab", database=url)), folder)


def fill(bench: Bench) -> None:
    """Record a campaign, people, projects in projects, and messages."""
    bench.finish(bench.define(CHANGING, TEN))
    with bench.lab.database.begin() as connection:
        for statement in (
            "INSERT INTO projects (id, name, parent_id, created_at)"
            " VALUES (7, 'optics', NULL, '2026-01-31 10:00:00')",
            "INSERT INTO projects (id, name, parent_id, created_at)"
            " VALUES (3, 'lenses', 7, '2026-01-31 10:00:00')",
        ):
            connection.execute(sa.text(statement))
    store = SqlMessages(bench.lab.database)
    store.subscribe("g", ["t"], lasts_s=None, backlog=True)
    store.post([Envelope(topic="t", body={"größe": [1, 2.5, None]}), Envelope(topic="u")])


@pytest.mark.parametrize("direction", ["to PostgreSQL", "to SQLite"])
def test_all_is_copied_and_campaigns_go_on(
    direction: str,
    folder: Path,
    sqlite_databases: Databases,
    postgresql_databases: Databases,
) -> None:
    kinds = [sqlite_databases, postgresql_databases]
    source, target = kinds if direction == "to PostgreSQL" else reversed(kinds)
    old = lab_at(folder, source.migrated())
    fill(old)
    new = lab_at(folder, target.migrated())
    told: list[tuple[str, int]] = []
    copied = copy_lab(old.lab.database, new.lab.database, lambda *words: told.append(words))
    assert contents(new.lab) == contents(old.lab)
    assert copied["trials"] == copied["results_probe"] == 10
    assert ("trials", 10) in told
    more = new.finish(new.define(CHANGING, {"matrix": {"x": {"range": [1, 12]}}}))
    assert (more.skipped, more.succeeded) == (10, 2)
    [claim] = SqlMessages(new.lab.database).claim("g", "c", 9, DeliveryPolicy()).claims
    assert claim.envelope.body == {"größe": [1, 2.5, None]}
    old.lab.close()
    new.lab.close()


def test_a_database_that_holds_a_lab_is_left_alone(
    folder: Path, database_url: str, databases: Databases
) -> None:
    old = lab_at(folder, database_url)
    fill(old)
    other = lab_at(folder, databases.migrated())
    other.finish(other.define(BREAKABLE, TEN))
    before = contents(other.lab)
    with pytest.raises(BadInput, match="holds a lab already"):
        copy_lab(old.lab.database, other.lab.database, lambda *_: None)
    assert contents(other.lab) == before
    old.lab.close()
    other.lab.close()


def test_a_copy_that_breaks_off_leaves_the_target_empty(
    folder: Path, database_url: str, databases: Databases
) -> None:
    old = lab_at(folder, database_url)
    fill(old)
    target = Database(databases.migrated())

    def fail(table: str, _rows: int) -> None:
        if table == "attempts":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy_lab(old.lab.database, target, fail)
    with target.read() as connection:
        assert connection.scalar(sa.text("SELECT count(*) FROM trials")) == 0
        assert connection.scalar(sa.text("SELECT value FROM counters")) == 0
        assert not sa.inspect(connection).has_table("results_probe")
    copy_lab(old.lab.database, target, lambda *_: None)
    target.close()
    old.lab.close()
