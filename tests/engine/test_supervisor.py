"""Actors under a supervisor: what becomes of their messages, whatever they do."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import sqlalchemy as sa

from fieldlab import Actor, Context, DeliveryPolicy, Envelope
from fieldlab.domain.errors import BadInput, RequestFailed
from fieldlab.engine.handling import MOST_POSTS
from fieldlab.engine.supervisor import Supervisor
from fieldlab.store.actors import SqlActors, read_actors
from fieldlab.store.bus_tables import deliveries, messages
from fieldlab.store.database import Database
from fieldlab.store.messaging import SqlMessages
from tests.bus.places import DatabasePlace, opened, soon
from tests.waiting import until

QUICK = DeliveryPolicy(attempts=3, delay_s=0.01, timeout_s=20)


@dataclass(slots=True)
class Stage:
    """A database on which actors play."""

    database: Database
    told: list[str] = field(default_factory=list)

    @asynccontextmanager
    async def played(self, *actors: Actor) -> AsyncIterator[Supervisor]:
        """Run actors; afterwards they have ended gracefully."""
        async with opened(DatabasePlace(self.database)) as bus:
            registry = SqlActors(self.database)
            supervisor = Supervisor(bus, registry, bus._calls, actors, self.told.append)
            running = asyncio.create_task(supervisor.run())
            try:
                yield supervisor
            finally:
                supervisor.drain()
                await soon(running)

    def send(self, topic: str, body: Any = None) -> Envelope:
        envelope = Envelope(topic=topic, body=body)
        SqlMessages(self.database).post([envelope])
        return envelope

    def fate(self, envelope: Envelope) -> tuple[str, int, str]:
        """Tell a message's state, how often it was taken, and its error."""
        query = sa.select(deliveries.c.state, deliveries.c.claims, deliveries.c.error).where(
            deliveries.c.message_id == envelope.id
        )
        with self.database.read() as connection:
            row = connection.execute(query).one_or_none()
        return ("unheard", 0, "") if row is None else (row.state, row.claims, row.error or "")

    async def settled(self, envelope: Envelope) -> tuple[str, int, str]:
        await until(lambda: self.fate(envelope)[0] in ("acknowledged", "dead"), "it is settled")
        return self.fate(envelope)

    def sent(self, topic: str) -> list[Any]:
        query = sa.select(messages.c.body).where(messages.c.topic == topic).order_by(messages.c.id)
        with self.database.read() as connection:
            return list(connection.scalars(query))


@pytest.fixture
def stage(database_url: str) -> Iterator[Stage]:
    database = Database(database_url)
    yield Stage(database)
    database.close()


def run(scene: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(60):
            await scene()

    asyncio.run(limited())


class Doubler(Actor):
    topics = ("double",)
    policy = QUICK

    async def handle(self, envelope: Envelope, context: Context) -> None:
        context.publish("doubled", 2 * envelope.body)
        context.reply(2 * envelope.body)


def test_what_a_handler_publishes_is_sent_when_its_message_is_acknowledged(stage: Stage) -> None:
    async def scene() -> None:
        async with stage.played(Doubler()):
            assert await stage.settled(stage.send("double", 21)) == ("acknowledged", 1, "")
        assert stage.sent("doubled") == [42]
        assert not stage.told

    run(scene)


class Faulty(Actor):
    """Fails as often as the message says, after having published something."""

    topics = ("work",)
    policy = QUICK

    async def handle(self, envelope: Envelope, context: Context) -> None:
        context.publish("half-done", envelope.body)
        if context.attempt <= envelope.body:
            raise ValueError(f"try {context.attempt} fails")


def test_a_handler_that_raises_is_tried_again_and_leaves_nothing_half_done(stage: Stage) -> None:
    async def scene() -> None:
        async with stage.played(Faulty()):
            assert await stage.settled(stage.send("work", 2)) == ("acknowledged", 3, "")
        assert stage.sent("half-done") == [2]
        assert [line.rpartition(": ")[2] for line in stage.told] == ["try 1 fails", "try 2 fails"]

    run(scene)


def test_a_handler_that_raises_always_leaves_a_dead_letter_with_its_traceback(
    stage: Stage,
) -> None:
    async def scene() -> None:
        async with stage.played(Faulty()):
            state, claims, error = await stage.settled(stage.send("work", 99))
        assert (state, claims) == ("dead", 3)
        assert "Traceback" in error
        assert error.rstrip().endswith("ValueError: try 3 fails")
        assert stage.sent("half-done") == []
        with stage.database.read() as connection:
            [view] = read_actors(connection, ended=True)
        assert (view.sign.failed, view.sign.handled) == (3, 0)
        assert view.sign.last_error == "ValueError: try 3 fails"

    run(scene)


class Picky(Actor):
    topics = ("pick",)
    policy = QUICK

    async def handle(self, envelope: Envelope, context: Context) -> None:
        raise BadInput("a unit that nobody knows")


def test_bad_input_is_a_dead_letter_at_once(stage: Stage) -> None:
    async def scene() -> None:
        async with stage.played(Picky()):
            assert (await stage.settled(stage.send("pick")))[:2] == ("dead", 1)

    run(scene)


def test_whoever_asked_is_told_that_it_failed(stage: Stage) -> None:
    async def scene() -> None:
        async with opened(DatabasePlace(stage.database)) as bus, stage.played(Picky()):
            with pytest.raises(RequestFailed, match="BadInput: a unit that nobody knows"):
                await bus.request("pick", timeout_s=20)

    run(scene)


class Asker(Actor):
    topics = ("ask",)
    policy = QUICK

    async def handle(self, envelope: Envelope, context: Context) -> None:
        context.publish("answer", await context.request("double", envelope.body, timeout_s=20))


def test_an_actor_may_ask_another(stage: Stage) -> None:
    async def scene() -> None:
        async with stage.played(Asker(), Doubler()):
            await stage.settled(stage.send("ask", 4))
        assert stage.sent("answer") == [8]

    run(scene)


class Hanging(Actor):
    topics = ("hang",)
    policy = DeliveryPolicy(attempts=2, delay_s=0.01, timeout_s=0.05)

    async def handle(self, envelope: Envelope, context: Context) -> None:
        await asyncio.Event().wait()


def test_a_handler_that_hangs_is_ended_at_its_time_limit(stage: Stage) -> None:
    async def scene() -> None:
        async with stage.played(Hanging()):
            state, claims, error = await stage.settled(stage.send("hang"))
        assert (state, claims) == ("dead", 2)
        assert "its time limit of 0.05 s was over" in error

    run(scene)


class Flooding(Actor):
    topics = ("flood",)
    policy = QUICK

    async def handle(self, envelope: Envelope, context: Context) -> None:
        for number in range(envelope.body):
            context.publish("drop", number)


def test_a_handler_may_send_many_messages_but_not_a_flood(stage: Stage) -> None:
    async def scene() -> None:
        async with stage.played(Flooding()):
            assert (await stage.settled(stage.send("flood", 1_000)))[0] == "acknowledged"
            state, claims, error = await stage.settled(stage.send("flood", MOST_POSTS + 1))
        assert (state, claims) == ("dead", 1)
        assert "sends more than 10,000 others" in error
        assert sorted(stage.sent("drop")) == list(range(1_000))

    run(scene)


class Effective(Actor):
    """Writes into the database in the commit that acknowledges; at its first try that fails."""

    topics = ("effect",)
    policy = QUICK

    async def handle(self, envelope: Envelope, context: Context) -> None:
        def write(connection: sa.Connection) -> None:
            connection.execute(sa.text("UPDATE counters SET value = value + 1"))
            if context.attempt == 1:
                raise ValueError("not this time")

        context.effect(write)


def test_an_effect_happens_in_the_commit_of_the_acknowledgement_once(stage: Stage) -> None:
    async def scene() -> None:
        async with stage.played(Effective()):
            assert (await stage.settled(stage.send("effect")))[:2] == ("acknowledged", 2)
        with stage.database.read() as connection:
            assert connection.scalar(sa.text("SELECT value FROM counters")) == 1

    run(scene)


class Plain(Actor):
    topics = ("plain",)
    policy = QUICK

    def handle(self, envelope: Envelope, context: Context) -> None:  # type: ignore[override]
        context.publish("thread", threading.current_thread() is threading.main_thread())


def test_a_plain_method_runs_in_a_thread(stage: Stage) -> None:
    async def scene() -> None:
        async with stage.played(Plain()):
            await stage.settled(stage.send("plain"))
        assert stage.sent("thread") == [False]

    run(scene)


class Gate(Actor):
    """Handles several at a time, each until it is let go."""

    topics = ("gate",)
    concurrency = 3

    def __init__(self) -> None:
        self.inside = 0
        self.open = asyncio.Event()

    async def handle(self, envelope: Envelope, context: Context) -> None:
        self.inside += 1
        await self.open.wait()


def test_it_handles_so_many_at_a_time(stage: Stage) -> None:
    async def scene() -> None:
        gate = Gate()
        async with stage.played(gate):
            sent = [stage.send("gate") for _ in range(5)]
            await until(lambda: gate.inside == 3, "three are in work")
            assert sorted(stage.fate(each)[0] for each in sent).count("claimed") == 3
            gate.open.set()
            for each in sent:
                await stage.settled(each)

    run(scene)


def test_draining_finishes_what_is_in_work_and_takes_no_more(stage: Stage) -> None:
    async def scene() -> None:
        gate = Gate()
        async with stage.played(gate) as supervisor:
            sent = [stage.send("gate") for _ in range(4)]
            await until(lambda: gate.inside == 3, "three are in work")
            supervisor.drain()
            gate.open.set()
        states = sorted(stage.fate(each)[0] for each in sent)
        assert states == ["acknowledged"] * 3 + ["waiting"]

    run(scene)


def test_stopping_gives_the_messages_in_work_back(stage: Stage) -> None:
    async def scene() -> None:
        gate = Gate()
        async with stage.played(gate) as supervisor:
            sent = [stage.send("gate") for _ in range(3)]
            await until(lambda: gate.inside == 3, "three are in work")
            supervisor.stop()
        assert {stage.fate(each)[0] for each in sent} == {"waiting"}

    run(scene)


def test_the_registry_says_who_runs_where_and_how_it_fares(stage: Stage) -> None:
    async def scene() -> None:
        async with stage.played(Doubler()):
            await stage.settled(stage.send("double", 1))
            with stage.database.read() as connection:
                [view] = read_actors(connection)
            assert (view.sign.name, view.sign.group, view.sign.topics) == (
                "doubler",
                "doubler",
                ("double",),
            )
            assert view.ended_at is None
        with stage.database.read() as connection:
            assert read_actors(connection) == []
            [view] = read_actors(connection, ended=True)
        assert view.ended_at is not None

    run(scene)


class Quitting(Actor):
    """Raises what isn't an Exception."""

    topics = ("quit",)
    policy = QUICK

    async def handle(self, envelope: Envelope, context: Context) -> None:
        raise {"exit": SystemExit, "key": KeyboardInterrupt, "cancel": asyncio.CancelledError}[
            envelope.body
        ]("I give up")


@pytest.mark.parametrize("how", ["exit", "key", "cancel"])
def test_a_handler_that_ends_the_program_only_ends_its_message(stage: Stage, how: str) -> None:
    async def scene() -> None:
        async with stage.played(Quitting(), Doubler()):
            assert (await stage.settled(stage.send("quit", how)))[:2] == ("dead", 3)
            assert (await stage.settled(stage.send("double", 1)))[0] == "acknowledged"

    run(scene)


class PlainAsker(Actor):
    topics = ("ask-plainly",)
    policy = QUICK

    def handle(self, envelope: Envelope, context: Context) -> None:  # type: ignore[override]
        context.publish("answer", context.request("double", envelope.body, timeout_s=20))


def test_a_plain_method_asks_without_awaiting(stage: Stage) -> None:
    async def scene() -> None:
        async with stage.played(PlainAsker(), Doubler()):
            await stage.settled(stage.send("ask-plainly", 5))
        assert stage.sent("answer") == [10]

    run(scene)


class Mute(Exception):
    def __str__(self) -> str:
        raise ValueError("nothing to say")


class Muttering(Actor):
    topics = ("mutter",)
    policy = QUICK

    async def handle(self, envelope: Envelope, context: Context) -> None:
        raise Mute


def test_an_exception_that_cannot_say_what_it_is_ends_only_its_message(stage: Stage) -> None:
    async def scene() -> None:
        async with stage.played(Muttering()):
            assert (await stage.settled(stage.send("mutter")))[:2] == ("dead", 3)

    run(scene)


class Reusing(Actor):
    """Sends one dict again and again, each time changed."""

    topics = ("reuse",)
    policy = QUICK

    async def handle(self, envelope: Envelope, context: Context) -> None:
        body: dict[str, object] = {}
        for number in range(3):
            body["n"] = number
            context.publish("reused", body)
        body["n"] = object()


def test_what_is_changed_after_it_was_published_is_sent_as_it_was(stage: Stage) -> None:
    async def scene() -> None:
        async with stage.played(Reusing()):
            assert (await stage.settled(stage.send("reuse")))[0] == "acknowledged"
        assert sorted(each["n"] for each in stage.sent("reused")) == [0, 1, 2]

    run(scene)


class Several(Actor):
    """Writes with effects, many at a time; one of them can't."""

    topics = ("several",)
    policy = QUICK
    concurrency = 6

    async def handle(self, envelope: Envelope, context: Context) -> None:
        def write(connection: sa.Connection) -> None:
            connection.execute(sa.text("UPDATE counters SET value = value + 1"))
            if envelope.body == "typo":
                connection.execute(sa.text("SELECT * FROM no_such_table"))
            if envelope.body == "close":
                connection.close()
            if envelope.body == "rollback":
                connection.rollback()
            if envelope.body == "cancel":
                raise asyncio.CancelledError

        context.effect(write)


@pytest.mark.parametrize("fault", ["typo", "close", "rollback", "cancel"])
def test_nobody_suffers_for_the_effect_of_another(stage: Stage, fault: str) -> None:
    async def scene() -> None:
        sent = [stage.send("several", each) for each in ("a", "b", fault, "c", "d")]
        async with stage.played(Several()):
            fates = [(await stage.settled(each))[0] for each in sent]
        assert fates == ["acknowledged", "acknowledged", "dead", "acknowledged", "acknowledged"]
        with stage.database.read() as connection:
            assert connection.scalar(sa.text("SELECT value FROM counters")) == 4

    run(scene)


class Blocking(Actor):
    topics = ("block",)
    concurrency = 20
    policy = DeliveryPolicy(attempts=1, timeout_s=0.2)

    def handle(self, envelope: Envelope, context: Context) -> None:  # type: ignore[override]
        threading.Event().wait()


def test_methods_that_never_come_back_keep_nobody_waiting(stage: Stage) -> None:
    async def scene() -> None:
        async with stage.played(Blocking(), Plain()):
            stuck = [stage.send("block") for _ in range(20)]
            for each in stuck:
                assert (await stage.settled(each))[0] == "dead"
            assert (await stage.settled(stage.send("plain")))[0] == "acknowledged"

    run(scene)
