"""One suite for every place that keeps messages: memory, SQLite, PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fieldlab.store.database import Database
from tests.bus.places import DatabasePlace, MemoryPlace, Place


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    if request.param == "memory":
        yield MemoryPlace()
        return
    databases = request.getfixturevalue(f"{request.param}_databases")
    url = databases.migrated()
    database = Database(url)
    yield DatabasePlace(database)
    database.close()
    databases.discard(url)
