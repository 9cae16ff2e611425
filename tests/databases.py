"""Databases to test against: as many as a test wants, each of them new."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path
from typing import Protocol

from fieldlab.store.database import Database
from tests.postgres import PostgresServer

_TEMPLATE = "fieldlab_template"


class Databases(Protocol):
    """Makes databases of one kind."""

    #: "sqlite" or "postgresql"
    kind: str

    def empty(self) -> str:
        """Make a database without tables; give its URL."""
        ...

    def migrated(self) -> str:
        """Make a database with all tables; give its URL."""
        ...

    def discard(self, url: str) -> None:
        """Delete a database that was made here."""
        ...


class SqliteDatabases:
    """Files in one folder."""

    kind = "sqlite"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._numbers = itertools.count(1)
        self._template: Path | None = None

    def empty(self) -> str:
        return f"sqlite:///{self._next()}"

    def migrated(self) -> str:
        if self._template is None:
            self._template = self._next()
            upgrade(f"sqlite:///{self._template}")
        copy = self._next()
        shutil.copyfile(self._template, copy)
        return f"sqlite:///{copy}"

    def discard(self, url: str) -> None:
        path = Path(url.removeprefix("sqlite:///"))
        for each in path.parent.glob(f"{path.name}*"):
            each.unlink()

    def _next(self) -> Path:
        return self.folder / f"lab{next(self._numbers)}.db"


class PostgresDatabases:
    """Databases of one server."""

    kind = "postgresql"

    def __init__(self, server: PostgresServer) -> None:
        self.server = server
        self._numbers = itertools.count(1)
        self._has_template = False

    def empty(self) -> str:
        return self.server.create(self._next())

    def migrated(self) -> str:
        if not self._has_template:
            upgrade(self.server.create(_TEMPLATE))
            self._has_template = True
        return self.server.create(self._next(), _TEMPLATE)

    def discard(self, url: str) -> None:
        self.server.drop(url.rpartition("/")[2])

    def _next(self) -> str:
        return f"lab{next(self._numbers)}"


def upgrade(url: str) -> None:
    """Give a database its tables."""
    database = Database(url)
    try:
        database.upgrade()
    finally:
        database.close()
