"""Databases that can't be used: what is said, and that nothing is damaged."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from fieldlab.domain.errors import (
    BadInput,
    FieldlabError,
    StoreError,
    StoreFull,
    StoreReadOnly,
    StoreUnavailable,
)
from fieldlab.domain.trials import CampaignState
from fieldlab.store import database as database_module
from fieldlab.store.database import Database
from fieldlab.store.sql_store import SqlStore
from tests.databases import upgrade
from tests.postgres import PostgresServer
from tests.store import books
from tests.store.staging import HandEngine, created, running
from tests.unprivileged import nobody, open_folder


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Have a lab in a file."""
    made = tmp_path / "lab.db"
    upgrade(f"sqlite:///{made}")
    return made


@contextmanager
def store_at(url: str | Path) -> Iterator[SqlStore]:
    database = Database(f"sqlite:///{url}" if isinstance(url, Path) else url)
    try:
        yield SqlStore(database)
    finally:
        database.close()


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("", "is not a database URL"),
        ("lab.db", "is not a database URL"),
        ("mysql://somewhere/lab", "'mysql' databases are not supported"),
        ("postgresql://user@host:many/lab", "is not a database URL"),
        ("sqlite+nonsense:///lab.db", "not supported"),
        ("postgresql+nonsense://host/lab", "not supported"),
        ("nonsense://host/lab", "'nonsense' databases are not supported"),
        ("sqlite://", "keeps a lab in memory"),
        ("sqlite:///:memory:", "keeps a lab in memory"),
    ],
)
def test_a_wrong_url_is_bad_input(url: str, told: str) -> None:
    with pytest.raises(BadInput, match=told) as caught:
        Database(url)
    assert "sqlite" in caught.value.remedy
    assert not caught.value.transient


def test_passwords_are_never_shown(postgres_server: PostgresServer) -> None:
    url = postgres_server.url("nowhere").replace("postgres@", "postgres:secret@")
    database = Database(url)
    assert "secret" not in database.place
    with pytest.raises(FieldlabError) as caught:
        database.version()
    assert "secret" not in str(caught.value)
    database.close()
    with pytest.raises(BadInput) as refused:
        Database("postgresql://ada:secret@host:many/lab")
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "place"),
    [
        (
            "postgresql:///?host=/nowhere&user=ada&password=hunter2",
            "postgresql:///?host=%2Fnowhere&password=***&user=ada",
        ),
        (
            "postgresql://ada:hunter2@localhost:1/lab?sslpassword=hunter2&passfile=/etc/pass",
            "postgresql://ada:***@localhost:1/lab?passfile=%2Fetc%2Fpass&sslpassword=***",
        ),
    ],
)
def test_secrets_in_any_part_of_a_url_are_never_shown(url: str, place: str) -> None:
    database = Database(url)
    assert database.place == place
    with pytest.raises(StoreError) as caught:
        database.version()
    database.close()
    said = str(caught.value)
    assert "hunter2" not in said
    assert "***" in said
    assert "\n" not in said
    assert "\t" not in said
    assert "?." not in said


def test_secrets_of_a_url_that_cant_be_read_are_not_shown() -> None:
    with pytest.raises(BadInput) as caught:
        Database("postgresql://ada:hunter2@host:many/lab?sslpassword=hunter2")
    assert "hunter2" not in str(caught.value)
    assert "sslpassword=***" in str(caught.value)


def test_a_lab_that_another_program_holds_is_locked(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "BUSY_TIMEOUT_MS", 50)
    holder = sqlite3.connect(path, isolation_level=None)
    with store_at(path) as store:
        campaign = created(store)
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="is locked by another program") as caught:
            store.change_state(campaign.id, CampaignState.RUNNING, by="ada", why="")
        assert caught.value.transient
        assert "Close what holds it" in caught.value.remedy
        assert store.campaign(campaign.id) == campaign, "readers are not kept waiting"
        holder.execute("COMMIT")
        store.change_state(campaign.id, CampaignState.RUNNING, by="ada", why="")
    holder.close()


def test_a_short_lock_is_waited_for(path: Path) -> None:
    holder = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    with store_at(path) as store:
        campaign = created(store)
        holder.execute("BEGIN IMMEDIATE")
        release = threading.Timer(0.3, lambda: holder.execute("COMMIT"))
        release.start()
        began = time.monotonic()
        store.change_state(campaign.id, CampaignState.RUNNING, by="ada", why="")
        assert time.monotonic() - began > 0.2
        release.join()
    holder.close()


def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "lab.db"
    path.write_text("my thesis, the only copy\n" * 100)
    before = path.read_bytes()
    with store_at(path) as store:
        for use in (store.database.version, store.database.upgrade, store.campaigns):
            with pytest.raises(StoreError, match="is not a sound SQLite database") as caught:
                use()
            assert not caught.value.transient
    assert path.read_bytes() == before


def test_a_damaged_database_is_called_damaged(path: Path) -> None:
    with store_at(path) as store:
        engine = HandEngine(store, running(store, positions=2000))
        engine.acquire(2000)
        engine.end(*range(2000))
        engine.record()
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (path.stat().st_size - 8192))
    with store_at(path) as store, pytest.raises(StoreError, match="Restore it from a backup"):
        list(store.ended_attempts(1, 0))


def test_a_folder_that_cannot_be_made_is_named() -> None:
    with open_folder() as folder:
        (folder / "closed").mkdir(mode=0o555)
        with (
            nobody(),
            store_at(folder / "closed" / "deep" / "lab.db") as store,
            pytest.raises(StoreReadOnly, match=r"closed/deep can't be made") as caught,
        ):
            store.database.upgrade()
    assert "FIELDLAB_HOME" in caught.value.remedy


def test_a_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with store_at(tmp_path / "file" / "lab.db") as store, pytest.raises(StoreReadOnly):
        store.database.upgrade()


def test_a_lab_that_may_only_be_read_is_not_written() -> None:
    with open_folder() as folder:
        upgrade(f"sqlite:///{folder / 'lab.db'}")
        (folder / "lab.db").chmod(0o444)
        folder.chmod(0o555)
        with (
            nobody(),
            store_at(folder / "lab.db") as store,
            pytest.raises(StoreReadOnly, match="can't be opened for writing") as caught,
        ):
            created(store)
    assert "permissions" in caught.value.remedy


def test_a_folder_instead_of_a_file_is_refused(tmp_path: Path) -> None:
    with store_at(tmp_path) as store, pytest.raises(StoreError, match="can't be opened"):
        store.campaigns()


def test_a_full_disk_loses_nothing_that_was_recorded(path: Path) -> None:
    with store_at(path) as store:
        engine = HandEngine(store, running(store, positions=20_000))
        engine.acquire(20_000)
        engine.end(*range(100))
        before = engine.record()

        def limit(connection: sqlite3.Connection, _record: object) -> None:
            pages = connection.execute("PRAGMA page_count").fetchone()[0]
            connection.execute(f"PRAGMA max_page_count = {pages + 2}")

        store.database.engine.dispose()
        sa.event.listen(store.database.engine, "connect", limit)
        engine.end(*range(100, 5_000), results=[{"y": 0.5, "label": "x" * 100}])
        recording = engine.recording()
        with pytest.raises(StoreFull, match="No space is left") as caught:
            store.record(before.id, engine.id, recording)
        assert "was recorded is safe" in caught.value.remedy
        assert store.campaign(before.id) == before
        sa.event.remove(store.database.engine, "connect", limit)
        store.database.engine.dispose()
        assert store.record(before.id, engine.id, recording).succeeded == 5_000
        books.check(store, before.id)


def test_a_reader_sees_one_moment_while_others_write(store: SqlStore) -> None:
    engine = HandEngine(store, running(store))
    engine.acquire()
    engine.end(*range(5))
    engine.record()
    stream = store.ended_attempts(engine.campaign.id, 0)
    first = next(stream)
    engine.end(*range(5, 10))
    engine.record()
    assert len([first, *stream]) == 5
    assert len(list(store.ended_attempts(engine.campaign.id, 0))) == 10


def test_nothing_can_be_written_while_reading(store: SqlStore) -> None:
    campaign = created(store)
    change = sa.text("UPDATE campaigns SET note = 'changed'")
    with store.database.read() as connection:
        connection.execute(change)
        connection.rollback()
    assert store.campaign(campaign.id) == campaign


def test_a_server_that_is_not_there_is_unavailable(postgres_server: PostgresServer) -> None:
    upgrade(postgres_server.create("lab"))
    with store_at(postgres_server.url("lab")) as store:
        campaign = running(store)
        postgres_server.stop()
        with pytest.raises(StoreUnavailable, match="can't be reached") as caught:
            store.campaign(campaign.id)
        assert caught.value.transient
        assert "Check that the server runs" in caught.value.remedy
        postgres_server.start()
        assert store.campaign(campaign.id) == campaign, "the next call connects anew"


def test_a_connection_that_breaks_in_the_middle_is_unavailable(
    postgres_server: PostgresServer,
) -> None:
    upgrade(postgres_server.create("lab"))
    with store_at(postgres_server.url("lab")) as store:
        campaign = running(store)
        with pytest.raises(StoreUnavailable), store.database.begin() as connection:  # noqa: PT012
            connection.execute(sa.text("UPDATE campaigns SET note = 'half'"))
            postgres_server.restart("immediate")
            connection.execute(sa.text("UPDATE campaigns SET note = 'done'"))
        assert store.campaign(campaign.id) == campaign


def test_what_was_committed_survives_the_server_being_killed(
    postgres_server: PostgresServer,
) -> None:
    upgrade(postgres_server.create("lab"))
    with store_at(postgres_server.url("lab")) as store:
        engine = HandEngine(store, running(store))
        engine.acquire()
        engine.end(*range(7))
        recorded = engine.record()
        postgres_server.restart("immediate")
        assert store.campaign(recorded.id) == recorded
        engine.end(*range(7, 10))
        assert engine.record().succeeded == 10
        books.check(store, recorded.id)


def test_a_database_that_does_not_exist_is_named(postgres: PostgresServer) -> None:
    with (
        store_at(postgres.url("nowhere")) as store,
        pytest.raises(StoreError, match='database "nowhere" does not exist'),
    ):
        store.campaigns()


def test_of_two_transactions_that_wait_for_each_other_one_may_be_tried_again(
    postgres: PostgresServer,
) -> None:
    url = postgres.create("deadlock")
    upgrade(url)
    with (
        store_at(url) as store,
        closing(psycopg.connect(url)) as other,
        ThreadPoolExecutor(1) as pool,
    ):
        created(store)

        def cross() -> None:
            with store.database.begin() as connection:
                connection.execute(sa.text("SET LOCAL deadlock_timeout = '50ms'"))
                connection.execute(sa.text("UPDATE counters SET value = 2"))
                pool.submit(other.execute, "UPDATE counters SET value = 1")
                connection.execute(sa.text("UPDATE campaigns SET note = 'mine'"))

        other.execute("SET deadlock_timeout = '1min'")
        other.execute("UPDATE campaigns SET note = ''")
        with pytest.raises(StoreUnavailable, match="asked for another try") as caught:
            cross()
        assert caught.value.transient
    postgres.drop("deadlock")
