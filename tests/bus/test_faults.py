"""The database goes away for a while: who publishes and who consumes goes on by itself."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import Any

import pytest
import sqlalchemy as sa

from fieldlab import Actor, Context, DeliveryPolicy, Envelope
from fieldlab.bus.message_bus import MessageBus
from fieldlab.domain.errors import FieldlabError
from fieldlab.domain.messages import DeliveryState
from fieldlab.engine.supervisor import Supervisor
from fieldlab.store import database as database_module
from fieldlab.store.actors import SqlActors
from fieldlab.store.bus_tables import deliveries
from fieldlab.store.database import Database
from fieldlab.store.messaging import SqlMessages
from fieldlab.store.transitions import DELIVERIES, Cause, advance_all
from tests.bus.places import DatabasePlace, opened, soon
from tests.databases import Databases, upgrade
from tests.postgres import PostgresServer
from tests.waiting import until, wait_until

#: a server dies with the thread that started it, so this one stays to the end
_HANDS = ThreadPoolExecutor(1)

POLICY = DeliveryPolicy(attempts=100, lease_s=2.0, delay_s=0.05)


class Keeping(Actor):
    topics = ("t",)
    policy = POLICY
    concurrency = 4

    def __init__(self) -> None:
        self.got: list[int] = []

    async def handle(self, envelope: Envelope, context: Context) -> None:
        self.got.append(envelope.body)
        await asyncio.sleep(0)


async def publish_always(bus: MessageBus, sent: list[int]) -> None:
    while True:
        await bus.publish("t", len(sent))
        sent.append(len(sent))
        await asyncio.sleep(0.002)


async def play(url: str, fault: Callable[[], None]) -> None:
    """Publish and consume; in the middle the fault happens; afterwards nothing is missing."""
    database = Database(url)
    actor, sent = Keeping(), list[int]()
    place = DatabasePlace(database)
    async with opened(place) as publishing, opened(place) as consuming:
        registry = SqlActors(database)
        supervisor = Supervisor(consuming, registry, consuming._calls, [actor], lambda _: None)
        running = asyncio.create_task(supervisor.run())
        sending = asyncio.create_task(publish_always(publishing, sent))
        await until(lambda: len(actor.got) > 20, "messages flow")
        await asyncio.get_running_loop().run_in_executor(_HANDS, fault)
        before = len(sent)
        await until(
            lambda: len(sent) > before + 20 and len(set(actor.got)) > before + 10, "they flow again"
        )
        sending.cancel()
        await asyncio.wait([sending])
        await until(lambda: set(range(len(sent))) <= set(actor.got), "nothing is missing")
        supervisor.drain()
        await soon(running)
    database.close()


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_postgresql_is_restarted(postgres_server: PostgresServer, mode: str) -> None:
    url = postgres_server.create("lab")
    upgrade(url)
    asyncio.run(play(url, lambda: postgres_server.restart(mode)))


def test_postgresql_cuts_every_connection(postgres_server: PostgresServer) -> None:
    url = postgres_server.create("lab")
    upgrade(url)

    def cut() -> None:
        database = Database(postgres_server.url("postgres"))
        with database.engine.connect() as connection:
            connection.execute(
                sa.text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'lab'"
                )
            )
        database.close()

    asyncio.run(play(url, cut))


def test_sqlite_is_locked_for_longer_than_a_writer_waits(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "BUSY_TIMEOUT_MS", 100)
    refused: list[str] = []
    translate = database_module.translate

    def watched(error: sa.exc.DBAPIError, *others: Any) -> FieldlabError:
        refused.append(str(error))
        return translate(error, *others)

    monkeypatch.setattr(database_module, "translate", watched)

    def lock() -> None:
        path = sqlite_url.removeprefix("sqlite:///")
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            wait_until(lambda: len(refused) >= 3, "the others were refused, again and again")
            other.execute("ROLLBACK")

    asyncio.run(play(sqlite_url, lock))


@pytest.fixture
def sqlite_url(sqlite_databases: Databases) -> Iterator[str]:
    url = sqlite_databases.migrated()
    yield url
    sqlite_databases.discard(url)


@contextmanager
def _open(url: str) -> Iterator[Database]:
    database = Database(url)
    try:
        yield database
    finally:
        database.close()


def test_a_body_that_some_program_wrote_wrongly_is_a_dead_letter(database_url: str) -> None:
    """PostgreSQL keeps it to JSON by itself."""
    with _open(database_url) as database:
        messages = SqlMessages(database)
        messages.subscribe("g", ["t"], lasts_s=None, backlog=True)
        bad, good = Envelope(topic="t", body=1), Envelope(topic="t", body=2)
        messages.post([bad, good])
        if database.is_sqlite:
            DatabasePlace(database).write_body(bad.id, "{not json")
        [claim] = [
            each
            for each in messages.claim("g", "consumer", 10, POLICY).claims
            if each.envelope.body != 1
        ]
        assert claim.envelope.id == good.id
        if database.is_sqlite:
            assert DatabasePlace(database).states() == {"claimed": 1, "dead": 1}
            assert DatabasePlace(database).errors() == ["its body is not JSON"]


def test_claiming_stays_quick_with_many_messages_standing(database_url: str) -> None:
    """The plan of the query uses the index of what waits, so it doesn't grow with the rest."""
    with _open(database_url) as database:
        messages = SqlMessages(database)
        messages.subscribe("g", ["t"], lasts_s=None, backlog=True)
        messages.post([Envelope(topic="t", body=each) for each in range(2_000)])
        with database.begin() as connection:
            ids = connection.scalars(sa.select(deliveries.c.id).limit(1_900)).all()
            for target in (DeliveryState.CLAIMED, DeliveryState.ACKNOWLEDGED):
                source = {"claimed": "waiting", "acknowledged": "claimed"}[target]
                steps = [(each,) for each in ids]
                cause = Cause(actor="test")
                advance_all(connection, DELIVERIES, source, target, cause, ("id",), steps)
        with database.begin() as connection:
            if not database.is_sqlite:
                connection.execute(sa.text("ANALYZE deliveries"))
            explain = "EXPLAIN QUERY PLAN" if database.is_sqlite else "EXPLAIN"
            plan = connection.execute(
                sa.text(
                    f"{explain} SELECT id FROM deliveries WHERE group_name = 'g'"
                    " AND state = 'waiting' AND due_at <= '2099-01-01' ORDER BY due_at, id LIMIT 5"
                )
            ).all()
        assert "ix_deliveries_waiting" in str(plan)
