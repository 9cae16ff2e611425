"""A store on either database."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fieldlab.store.database import Database
from fieldlab.store.sql_store import SqlStore


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = Database(database_url)
    yield opened
    opened.close()


@pytest.fixture
def store(database: Database) -> SqlStore:
    return SqlStore(database)
