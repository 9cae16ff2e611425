"""Noticing at once that something was committed, also by another process.

PostgreSQL tells who LISTENs. SQLite tells a connection that asks whether the file has been changed
by another one (``PRAGMA data_version``), which costs some microseconds, so it is asked every few
milliseconds.
"""

from __future__ import annotations

import selectors
import socket
import sqlite3
import threading
import time
from typing import TYPE_CHECKING

from fieldlab.ports.bus import News
from fieldlab.store.database import Database
from fieldlab.store.posting import CHANNEL

if TYPE_CHECKING:
    import psycopg

#: SQLite is asked this often, s
TICK_S = 0.004
#: a server that can't be reached is tried again after so long, s; what waits is looked for then
RETRY_S = 1.0


def news_of(database: Database) -> News:
    """Choose how a database tells."""
    return SqliteNews(database) if database.is_sqlite else PostgresNews(database)


class SqliteNews:
    """Asks a SQLite file whether it has been changed; see :class:`fieldlab.ports.bus.News`."""

    def __init__(self, database: Database) -> None:
        self._path = database.place
        self._connection: sqlite3.Connection | None = None
        self._version = -1
        self._closed = threading.Event()
        self._in_use = threading.Lock()

    def wait(self, timeout_s: float) -> bool:
        end = time.monotonic() + timeout_s
        with self._in_use:
            while not self._closed.is_set():
                try:
                    changed = self._has_changed()
                except sqlite3.Error:  # there is no such file now: whoever reads it says so
                    self._forget()
                    return not self._closed.wait(min(RETRY_S, timeout_s))
                if changed:
                    return True
                left = end - time.monotonic()
                if left <= 0:
                    break
                self._closed.wait(min(TICK_S, left))
        return False

    def _has_changed(self) -> bool:
        if self._connection is None:
            self._connection = sqlite3.connect(self._path, check_same_thread=False)
        (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        before, self._version = self._version, version
        return bool(before != version)

    def _forget(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection, self._version = None, -1

    def close(self) -> None:
        self._closed.set()
        with self._in_use:
            self._forget()


class PostgresNews:
    """Listens to a PostgreSQL server on a connection of its own."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: psycopg.Connection | None = None
        self._closed = threading.Event()
        #: written to by :meth:`close`, to end a wait
        self._bell, self._ringer = socket.socketpair()
        self._in_use = threading.Lock()

    def wait(self, timeout_s: float) -> bool:
        import psycopg

        with self._in_use:
            try:
                return not self._closed.is_set() and self._hear(timeout_s)
            except psycopg.Error:
                self._forget()
                return not self._closed.wait(min(RETRY_S, timeout_s))

    def _hear(self, timeout_s: float) -> bool:
        if self._connection is None:
            self._connection = self._listen()
            return True  # what came before it listened
        with selectors.DefaultSelector() as selector:
            selector.register(self._connection.fileno(), selectors.EVENT_READ)
            selector.register(self._bell, selectors.EVENT_READ)
            selector.select(timeout_s)
        return any(True for _ in self._connection.notifies(timeout=0))

    def _listen(self) -> psycopg.Connection:
        import psycopg
        from psycopg import sql

        url = self._database.url.set(drivername="postgresql")
        conninfo = url.render_as_string(hide_password=False)
        connection = psycopg.connect(conninfo, autocommit=True, connect_timeout=10)
        try:
            connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(CHANNEL)))
        except BaseException:
            connection.close()
            raise
        return connection

    def _forget(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def close(self) -> None:
        self._closed.set()
        self._ringer.send(b".")
        with self._in_use:
            self._forget()
            self._bell.close()
            self._ringer.close()
