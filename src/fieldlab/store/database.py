"""One way into the database: SQLite in WAL mode or PostgreSQL, and errors that say what to do."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc

from fieldlab.domain.errors import (
    BadInput,
    FieldlabError,
    MissingExtra,
    NoLab,
    StoreError,
    StoreFull,
    StoreReadOnly,
    StoreTooNew,
    StoreUnavailable,
)
from fieldlab.store.tables import SCHEMA_VERSION

#: how long SQLite waits for another writer before it gives up, ms
BUSY_TIMEOUT_MS = 10_000
#: how long a transaction may hold its locks on PostgreSQL without doing anything, ms
SUSPENDED_MS = 20_000
#: page cache of one SQLite connection, KiB
CACHE_KIB = 65_536


_SQLITE = "sqlite:///"
_URLS = "Write sqlite:///path/to/lab.db or postgresql://user@host/name"


class Database:
    """A database that holds a lab.

    Parameters
    ----------
    url
        ``sqlite:///path/to/lab.db`` or ``postgresql://user:password@host/name``.
    """

    def __init__(self, url: str) -> None:
        self.url = _parsed(url)
        self.engine = self._connectable()
        #: device and inode of a SQLite file that is in use
        self._file: tuple[int, int] | None = None

    @property
    def is_sqlite(self) -> bool:
        """Whether it is a file rather than a server."""
        return self.url.get_backend_name() == "sqlite"

    @property
    def place(self) -> str:
        """Say where it is, without its password."""
        if self.is_sqlite:
            return self.url.database or ""
        return self.url.set(drivername="postgresql").render_as_string()

    def _connectable(self) -> sa.Engine:
        kind = self.url.drivername
        if kind not in ("sqlite", "postgresql+psycopg"):
            raise BadInput(f"'{kind}' databases are not supported", remedy=_URLS)
        try:
            if kind == "sqlite":
                engine = sa.create_engine(self.url, connect_args={"timeout": BUSY_TIMEOUT_MS / 1e3})
                sa.event.listen(engine, "connect", _prepare_sqlite)
                sa.event.listen(engine, "begin", _begin_sqlite)
                return engine
            return sa.create_engine(
                self.url,
                pool_pre_ping=True,
                connect_args={"connect_timeout": 10} | self._session_settings(),
            )
        except ModuleNotFoundError as error:
            raise MissingExtra("postgres", "A PostgreSQL database") from error

    def _session_settings(self) -> dict[str, str]:
        """Keep one suspended process from holding up all others on PostgreSQL."""
        if "options" in self.url.query:
            return {}
        settings = {
            "idle_in_transaction_session_timeout": SUSPENDED_MS,
            "lock_timeout": 2 * SUSPENDED_MS,
        }
        return {"options": " ".join(f"-c {name}={value}" for name, value in settings.items())}

    @contextmanager
    def begin(self) -> Iterator[sa.Connection]:
        """Open a transaction that may write: committed at the end, rolled back on any error."""
        with self._translated(), self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """Open a transaction that sees one moment of the database and never blocks a writer."""
        with self._translated(), self.engine.connect() as plain:
            isolation = {} if self.is_sqlite else {"isolation_level": "REPEATABLE READ"}
            connection = plain.execution_options(fieldlab_reads=True, **isolation)
            with connection.begin():
                yield connection

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except exc.DBAPIError as error:
            raise translate(_first(error), self.place) from error
        except exc.SQLAlchemyError as error:
            raise StoreError(f"The database {self.place} failed: {error}") from error

    def version(self) -> str | None:
        """Read the schema's version; None when the database is empty or doesn't exist yet."""
        if self.is_sqlite and not Path(self.place).exists():
            return None
        with self.read() as connection:
            if not sa.inspect(connection).has_table("alembic_version"):
                return None
            found = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
            return None if found is None else str(found)

    def require_current(self) -> None:
        """Refuse a database that this program can't use as it is.

        Raises
        ------
        StoreTooNew
            A newer fieldlab wrote it.
        StoreError
            It has no tables yet, or is older and must be upgraded first.
        """
        version = self.version()
        if version == SCHEMA_VERSION:
            return
        if version is None:
            raise NoLab(f"There is no lab in {self.place}", remedy="Make one with `fieldlab init`")
        if version > SCHEMA_VERSION:
            raise StoreTooNew(
                f"The database {self.place} has version {version}, this fieldlab knows up to"
                f" {SCHEMA_VERSION}",
                remedy="Use the fieldlab that wrote it, or a newer one",
            )
        raise StoreError(
            f"The database {self.place} has the older version {version}",
            remedy="Upgrade it with `fieldlab db upgrade`; the data stay",
        )

    def upgrade(self) -> None:
        """Make the tables, or bring them to this program's version.

        Raises
        ------
        StoreTooNew
            A newer fieldlab wrote the database; it is left as it is.
        """
        version = self.version()
        if version is not None and version > SCHEMA_VERSION:
            self.require_current()
        if self.is_sqlite:
            _make_folder(Path(self.place).parent)
        from fieldlab.store.migrations import migrate

        with self.begin() as connection:
            if not self.is_sqlite:  # of several processes that upgrade, the others find it done
                connection.execute(sa.text("SELECT pg_advisory_xact_lock(hashtext('fieldlab'))"))
            migrate(connection)

    def require_in_place(self) -> None:
        """Refuse to go on with a SQLite file that was deleted or replaced since it was opened.

        Raises
        ------
        StoreError
            What is written would go nowhere.
        """
        if not self.is_sqlite:
            return
        try:
            found = Path(self.place).stat()
        except FileNotFoundError:
            found = None
        here = found and (found.st_dev, found.st_ino)
        self._file = self._file or here
        if here != self._file:
            raise StoreError(
                f"The database {self.place} was deleted or replaced while it was in use",
                remedy="What was recorded went with it; put it back, then `fieldlab resume`",
            )

    def close(self) -> None:
        """Give back every connection."""
        self.engine.dispose()


def clock(connection: sa.Connection) -> float:
    """Tell the time by the clock that all engines of the lab share, Unix time in s."""
    if connection.dialect.name == "sqlite":
        return time.time()
    return float(connection.scalar(sa.text("SELECT extract(epoch FROM clock_timestamp())")) or 0.0)


def _parsed(url: str) -> sa.URL:
    if url in ("sqlite://", _SQLITE, f"{_SQLITE}:memory:"):
        raise BadInput(f"'{url}' keeps a lab in memory, where it gets lost", remedy=_URLS)
    if url.startswith(_SQLITE):  # as it is: a path may have percent signs and question marks
        return sa.URL.create("sqlite", database=url.removeprefix(_SQLITE))
    try:
        parsed = sa.make_url(url)
    except (exc.ArgumentError, ValueError):
        shown = re.sub(r":[^:@/]*@", ":***@", url)
        raise BadInput(f"'{shown}' is not a database URL", remedy=_URLS) from None
    if parsed.drivername in ("postgresql", "postgres"):
        return parsed.set(drivername="postgresql+psycopg")
    return parsed


def _first(error: exc.DBAPIError) -> exc.DBAPIError:
    """Find the failure that began it: on a full disk, SQLite's savepoints can't be left either."""
    at: BaseException | None = error
    driver = type(error.orig).__module__
    while at is not None and (isinstance(at, exc.DBAPIError) or type(at).__module__ == driver):
        error = at if isinstance(at, exc.DBAPIError) else error
        at = at.__context__
    return error


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreReadOnly(
            f"The folder {folder} can't be made: {error.strerror}",
            remedy="Choose another place with FIELDLAB_HOME or FIELDLAB_DATABASE",
        ) from error


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # fieldlab says BEGIN itself
    cursor = connection.cursor()
    # FULL: a commit survives a power cut; commits are grouped, so the price is small
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        f"cache_size=-{CACHE_KIB}",
        "temp_store=MEMORY",
        "foreign_keys=ON",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: sa.Connection) -> None:
    reads = connection.get_execution_options().get("fieldlab_reads", False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def translate(error: exc.DBAPIError, place: str) -> FieldlabError:
    """Turn a driver's error into one that says what to do."""
    text = " ".join(str(error.orig).split())  # libpq writes several lines
    lowered = text.lower()
    code = getattr(error.orig, "sqlstate", None) or ""
    if "is locked" in lowered or "is busy" in lowered:
        return StoreUnavailable(
            f"The database {place} is locked by another program",
            remedy="Close what holds it (a database browser, a backup, a sync client)",
        )
    if "disk is full" in lowered or code == "53100" or "no space left" in lowered:
        return StoreFull(
            f"No space is left for the database {place}",
            remedy="Free some space, then `fieldlab resume`; what was recorded is safe",
        )
    if any(
        sign in lowered for sign in ("readonly", "read-only", "unable to open", "attempt to write")
    ):
        return StoreReadOnly(
            f"The database {place} can't be opened for writing: {text}",
            remedy="Check its folder's permissions, or set FIELDLAB_HOME to another folder",
        )
    if "malformed" in lowered or "not a database" in lowered:
        return StoreError(
            f"{place} is not a sound SQLite database: {text}",
            remedy="Restore it from a backup, or move it away and start anew",
        )
    if error.connection_invalidated or code[:2] in ("08", "57") or _is_connection(error):
        return StoreUnavailable(
            f"The database {place} can't be reached: {text}",
            remedy="Check that the server runs and that the URL is right",
        )
    if code in ("40001", "40P01", "55P03"):
        return StoreUnavailable(f"The database {place} asked for another try: {text}")
    return StoreError(f"The database {place} failed: {text}")


def _is_connection(error: exc.DBAPIError) -> bool:
    """Whether no statement was even answered: psycopg's operational errors without an SQLSTATE."""
    return (
        isinstance(error, exc.OperationalError | exc.InterfaceError)
        and not getattr(error.orig, "sqlite_errorcode", None)
        and not getattr(error.orig, "sqlstate", None)
    )
