"""From nothing, or from any earlier version, to the tables that this program knows."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

import fieldlab.store.migrations
from fieldlab.domain.errors import NoLab, StoreError, StoreTooNew
from fieldlab.store.bus_tables import messages
from fieldlab.store.database import Database
from fieldlab.store.migrations import migrate
from fieldlab.store.tables import SCHEMA_VERSION
from tests.databases import upgrade


def test_migrations_make_exactly_the_tables_that_the_code_describes(
    empty_database_url: str,
) -> None:
    upgrade(empty_database_url)
    database = Database(empty_database_url)
    with database.begin() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, messages.metadata) == []
    database.close()


def test_checks_are_the_same_as_the_code_describes(empty_database_url: str) -> None:
    """Alembic doesn't compare them."""
    upgrade(empty_database_url)
    database = Database(empty_database_url)
    with database.begin() as connection:
        inspector = sa.inspect(connection)
        found = {
            (table, check["name"])
            for table in messages.metadata.tables
            for check in inspector.get_check_constraints(table)
        }
    database.close()
    described = {
        (table.name, constraint.name)
        for table in messages.metadata.tables.values()
        for constraint in table.constraints
        if isinstance(constraint, sa.CheckConstraint)
    }
    assert {(table, str(name)) for table, name in found} == {
        (table, str(name)) for table, name in described
    }
    assert len(found) == 5


def test_partial_indexes_are_the_ones_that_the_code_describes(empty_database_url: str) -> None:
    """Alembic doesn't compare their conditions."""
    upgrade(empty_database_url)
    database = Database(empty_database_url)
    with database.begin() as connection:
        inspector = sa.inspect(connection)
        found = {
            each["name"]
            for table in messages.metadata.tables
            for each in inspector.get_indexes(table)
            if any(option.endswith("_where") for option in each.get("dialect_options", {}))
        }
    database.close()
    described = {
        each.name
        for table in messages.metadata.tables.values()
        for each in table.indexes
        if "where" in each.info
    }
    assert found == described
    assert len(found) == 6


def test_the_newest_migration_is_the_version_that_the_code_names() -> None:
    folder = Path(fieldlab.store.migrations.__file__).parent
    assert ScriptDirectory(str(folder)).get_heads() == [SCHEMA_VERSION]


def test_upgrading_twice_changes_nothing(empty_database_url: str) -> None:
    database = Database(empty_database_url)
    assert database.version() is None
    database.upgrade()
    assert database.version() == SCHEMA_VERSION
    with database.begin() as connection:
        connection.execute(sa.text("UPDATE counters SET value = 7"))
    database.upgrade()
    database.require_current()
    with database.read() as connection:
        assert connection.scalar(sa.text("SELECT value FROM counters")) == 7
    database.close()


def test_several_processes_may_make_the_tables_at_once(empty_database_url: str) -> None:
    program = "import sys; from tests.databases import upgrade; upgrade(sys.argv[1])"
    argv = [sys.executable, "-c", program, empty_database_url]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    processes = [
        subprocess.Popen(argv, env=environment, stderr=subprocess.PIPE, text=True) for _ in range(3)
    ]
    for process in processes:
        told = process.communicate(timeout=60)[1]
        assert process.returncode == 0, told
    database = Database(empty_database_url)
    database.require_current()
    database.close()


def test_an_upgrade_keeps_what_the_older_version_recorded(empty_database_url: str) -> None:
    database = Database(empty_database_url)
    with database.begin() as connection:
        migrate(connection, "0001")
        connection.execute(
            sa.text(
                "INSERT INTO messages (id, topic, body, created_at)"
                " VALUES ('m1', 'campaign.finished', '{}', '2026-01-31 10:00:00')"
            )
        )
    assert database.version() == "0001"
    database.upgrade()
    database.require_current()
    with database.read() as connection:
        kept = connection.execute(sa.text("SELECT id, topic, groups FROM messages")).one()
    assert tuple(kept) == ("m1", "campaign.finished", 0)
    database.close()


def test_a_newer_database_is_refused_and_left_alone(database_url: str) -> None:
    database = Database(database_url)
    with database.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
        connection.execute(sa.text("ALTER TABLE messages RENAME TO something_newer"))
    for refused in (database.require_current, database.upgrade):
        with pytest.raises(StoreTooNew, match=r"version 9999.*Use the fieldlab that wrote it"):
            refused()
    with database.read() as connection:
        assert sa.inspect(connection).has_table("something_newer")
        assert not sa.inspect(connection).has_table("messages")
    assert database.version() == "9999"
    database.close()


def test_an_older_database_is_told_how_to_upgrade(database_url: str) -> None:
    database = Database(database_url)
    with database.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '0000'"))
    with pytest.raises(StoreError, match="fieldlab db upgrade"):
        database.require_current()
    database.close()


def test_no_lab_is_told_how_to_make_one(empty_database_url: str) -> None:
    database = Database(empty_database_url)
    with pytest.raises(NoLab, match=r"There is no lab in .*fieldlab init"):
        database.require_current()
    database.close()


def test_asking_for_a_lab_makes_no_file(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'deep' / 'lab.db'}")
    with pytest.raises(NoLab, match="There is no lab"):
        database.require_current()
    assert not list(tmp_path.iterdir())
    database.upgrade()
    assert (tmp_path / "deep" / "lab.db").is_file()
    database.close()


def test_an_upgrade_that_fails_leaves_nothing_half_made(empty_database_url: str) -> None:
    database = Database(empty_database_url)
    with database.begin() as connection:
        connection.execute(sa.text("CREATE TABLE trials (something_else INTEGER)"))
    with pytest.raises(StoreError, match="trials"):
        database.upgrade()
    with database.read() as connection:
        assert sa.inspect(connection).get_table_names() == ["trials"]
    with database.begin() as connection:
        connection.execute(sa.text("DROP TABLE trials"))
    database.upgrade()
    database.require_current()
    database.close()


@pytest.mark.parametrize(
    "name", ["a b", "50% off", "größe", "a#b", "a&b;c", "it's", "a+b", "%2F", "a?b"]
)
def test_a_lab_may_lie_in_any_folder(tmp_path: Path, name: str) -> None:
    path = tmp_path / name / "lab.db"
    upgrade(f"sqlite:///{path}")
    assert path.is_file()
    plain = sqlite3.connect(path)
    assert plain.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    plain.close()


def test_migrating_says_nothing_in_the_log_of_a_program(folder: Path) -> None:
    script = """if True:
        import logging
        logging.basicConfig(level=logging.INFO)
        from fieldlab.store.database import Database
        database = Database("sqlite:///lab.db")
        database.upgrade()
        database.close()
        assert logging.getLogger("alembic").level == logging.NOTSET
    """
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    assert done.stderr == ""
