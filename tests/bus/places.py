"""Where messages are kept, with what a test needs to look into it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Protocol, TypeVar

import sqlalchemy as sa

from fieldlab.bus.memory import DirectCalls, MemoryMessages
from fieldlab.bus.message_bus import MessageBus
from fieldlab.engine.store_thread import StoreThread
from fieldlab.ports.bus import MessageStore
from fieldlab.store.bus_tables import deliveries, messages
from fieldlab.store.database import Database
from fieldlab.store.messaging import SqlMessages
from tests.waiting import PATIENCE_S

T = TypeVar("T")


class Place(Protocol):
    """A place that keeps messages."""

    def store(self) -> MessageStore:
        """Open it, as one process would."""
        ...

    def states(self) -> dict[str, int]:
        """Count the deliveries in each state; those that were acknowledged may be gone."""
        ...

    def errors(self) -> list[str]:
        """List what deliveries say went wrong."""
        ...


class MemoryPlace:
    """All buses of this process share it."""

    def __init__(self) -> None:
        self._messages = MemoryMessages()

    def store(self) -> MessageStore:
        return self._messages

    def states(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for each in self._messages.deliveries.values():
            found[each.state] = found.get(each.state, 0) + 1
        return found

    def errors(self) -> list[str]:
        return [each.error for each in self._messages.deliveries.values() if each.error]


class DatabasePlace:
    """Each bus has connections of its own, as in a process of its own."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def store(self) -> MessageStore:
        return SqlMessages(self.database)

    def states(self) -> dict[str, int]:
        query = sa.select(deliveries.c.state, sa.func.count()).group_by(deliveries.c.state)
        with self.database.read() as connection:
            found = {str(row[0]): int(row[1]) for row in connection.execute(query)}
        found.pop("acknowledged", None)
        return found

    def errors(self) -> list[str]:
        query = sa.select(deliveries.c.error).where(deliveries.c.error.is_not(None))
        with self.database.read() as connection:
            return list(connection.scalars(query))

    def write_body(self, message_id: str, text: str) -> None:
        """Put any text where a body should be, as some other program might."""
        with self.database.begin() as connection:
            connection.execute(
                sa.update(messages)
                .where(messages.c.id == message_id)
                .values(body=sa.literal_column(f"'{text}'"))
            )


@asynccontextmanager
async def opened(place: Place, sender: str = "") -> AsyncIterator[MessageBus]:
    """Open a bus on a place."""
    store = place.store()
    calls = DirectCalls() if isinstance(store, MemoryMessages) else StoreThread(lambda _: None)
    try:
        async with MessageBus(store, calls, sender=sender) as bus:
            yield bus
    finally:
        if isinstance(calls, StoreThread):
            calls.close()


async def soon(what: Awaitable[T]) -> T:
    """Wait for something that must come."""
    async with asyncio.timeout(PATIENCE_S):
        return await what
