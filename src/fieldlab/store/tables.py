"""The tables, as SQLAlchemy Core describes them; migrations make them, a test keeps both equal."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

from fieldlab.domain import trials as lifecycles
from fieldlab.domain.lifecycle import Lifecycle

#: the newest migration; a database that says something newer is refused
SCHEMA_VERSION = "0003"

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

#: SQLite's integers are 64 bits wide whatever they are called, and only INTEGER makes a row id
BigInteger = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _as_moment(value: datetime | float | None) -> datetime | None:
    if value is None or isinstance(value, datetime):
        return value
    return datetime.fromtimestamp(value, UTC)


def _as_text(value: datetime | float | None) -> str | None:
    if type(value) is float:
        second, fraction = divmod(round(value * 1e6), 1_000_000)
        return f"{_second(second)}.{fraction:06d}"
    moment = _as_moment(value)
    if moment is None:
        return None
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")


@lru_cache(maxsize=64)
def _second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%d %H:%M:%S")


class UtcTimestamp(TypeDecorator[datetime]):
    """A moment in UTC to the microsecond: TIMESTAMPTZ, or ISO 8601 text (26 characters) in SQLite.

    Takes a datetime with its zone, or Unix time in s; gives a datetime in UTC.
    """

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "sqlite":
            return dialect.type_descriptor(sa.String(26))
        return dialect.type_descriptor(sa.DateTime(timezone=True))

    def process_bind_param(self, value: datetime | float | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        return _as_text(value) if dialect.name == "sqlite" else _as_moment(value)

    def bulk_converter(self, dialect: Dialect) -> Callable[[datetime | float | None], Any]:
        """Give the conversion alone, for rows by the ten thousand."""
        return _as_text if dialect.name == "sqlite" else _as_moment

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if isinstance(value, str):
            return datetime.fromisoformat(value).replace(tzinfo=UTC)
        moment: datetime = value.astimezone(UTC)
        return moment


def utc_text(column: sa.Column[datetime], dialect: Dialect) -> sa.ColumnElement[str]:
    """Select a moment as text, ``2026-01-31 23:59:59.123456`` in UTC, without parsing it."""
    if dialect.name == "sqlite":
        return sa.type_coerce(column, sa.String)
    return sa.func.to_char(sa.func.timezone("UTC", column), "YYYY-MM-DD HH24:MI:SS.US")


def state_column(lifecycle: Lifecycle) -> tuple[sa.Column[str], sa.CheckConstraint]:
    """Make the state column of a lifecycle and the CHECK that keeps it to the declared states."""
    states = ", ".join(f"'{state}'" for state in lifecycle.states)
    return (
        sa.Column("state", sa.String(32), nullable=False),
        sa.CheckConstraint(f"state IN ({states})", name="state"),
    )


def partial_index(name: str, *columns: str, where: str) -> sa.Index:
    """Describe an index of some rows only; the migration that makes it has the condition.

    SQLAlchemy's own words for it would import what it knows of both databases into every process.
    """
    return sa.Index(name, *columns, info={"where": where})


def in_state(table: sa.Table, *states: StrEnum) -> sa.ColumnElement[bool]:
    """Match rows in one of the states, written out as constants.

    Only so do the databases see that a partial index holds all rows that match.
    """
    names: list[sa.ColumnClause[str]] = [sa.literal_column(f"'{state}'") for state in states]
    match = table.c.state == names[0] if len(names) == 1 else table.c.state.in_(names)
    if table is trials and lifecycles.TrialState.SUCCEEDED not in states:
        return match & (table.c.state != sa.literal_column("'succeeded'"))
    return match


funding = sa.Table(
    "funding",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(63), nullable=False, unique=True),
    sa.Column("agency", sa.Text),
    sa.Column("award", sa.Text),
    # charge accounts, separated by commas
    sa.Column("accounts", sa.Text),
    sa.Column("budget", sa.Numeric(14, 2)),
    sa.Column("currency", sa.String(3)),
    sa.Column("starts_on", sa.Date),
    sa.Column("ends_on", sa.Date),
    sa.Column("note", sa.Text),
    sa.Column("created_at", UtcTimestamp, nullable=False),
)

projects = sa.Table(
    "projects",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(63), nullable=False, unique=True),
    sa.Column("title", sa.Text),
    sa.Column("funding_id", sa.ForeignKey("funding.id")),
    sa.Column("parent_id", sa.ForeignKey("projects.id")),
    sa.Column("repository", sa.Text),
    sa.Column("note", sa.Text),
    sa.Column("created_at", UtcTimestamp, nullable=False),
)

experimenters = sa.Table(
    "experimenters",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(63), nullable=False, unique=True),
    sa.Column("full_name", sa.Text),
    sa.Column("email", sa.Text),
    sa.Column("git_account", sa.Text),
    sa.Column("gcp_account", sa.Text),
    sa.Column("aws_account", sa.Text),
    sa.Column("cluster_account", sa.Text),
    sa.Column("note", sa.Text),
    sa.Column("created_at", UtcTimestamp, nullable=False),
)

experiments = sa.Table(
    "experiments",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(63), nullable=False),
    # grows when the tool changes: results of different programs don't mix
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("identity", sa.String(20), nullable=False),
    sa.Column("results_table", sa.String(63), nullable=False, unique=True),
    sa.Column("description", sa.Text),
    sa.Column("code_link", sa.Text),
    sa.Column("commit", sa.String(64)),
    sa.Column("environment", sa.Text),
    sa.Column("cluster", sa.Text),
    sa.Column("project_id", sa.ForeignKey("projects.id")),
    sa.Column("experimenter_id", sa.ForeignKey("experimenters.id")),
    sa.Column("funding_id", sa.ForeignKey("funding.id")),
    sa.Column("created_at", UtcTimestamp, nullable=False),
    sa.UniqueConstraint("name", "version"),
    sa.UniqueConstraint("name", "identity"),
)

campaigns = sa.Table(
    "campaigns",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("experiment_id", sa.ForeignKey("experiments.id"), nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    *state_column(lifecycles.CAMPAIGN),
    sa.Column("definition", sa.JSON, nullable=False),
    sa.Column("definition_digest", sa.String(20), nullable=False),
    # positions of the sequence: taken so far; in all (NULL: no end); trials wanted at most
    sa.Column("cursor", BigInteger, nullable=False, server_default="0"),
    sa.Column("positions", BigInteger),
    sa.Column("wanted", BigInteger),
    sa.Column("succeeded", BigInteger, nullable=False, server_default="0"),
    sa.Column("failed", BigInteger, nullable=False, server_default="0"),
    sa.Column("cancelled", BigInteger, nullable=False, server_default="0"),
    sa.Column("skipped", BigInteger, nullable=False, server_default="0"),
    sa.Column("excluded", BigInteger, nullable=False, server_default="0"),
    sa.Column("attempts", BigInteger, nullable=False, server_default="0"),
    sa.Column("consecutive_failures", sa.Integer, nullable=False, server_default="0"),
    sa.Column("note", sa.Text, nullable=False, server_default=""),
    sa.Column("created_at", UtcTimestamp, nullable=False),
    sa.Column("started_at", UtcTimestamp),
    sa.Column("ended_at", UtcTimestamp),
    sa.UniqueConstraint("experiment_id", "number"),
)

trials = sa.Table(
    "trials",
    metadata,
    sa.Column("id", BigInteger, primary_key=True, autoincrement=False),
    sa.Column("experiment_id", sa.ForeignKey("experiments.id"), nullable=False),
    sa.Column("campaign_id", sa.ForeignKey("campaigns.id"), nullable=False),
    sa.Column("position", BigInteger, nullable=False),
    sa.Column("repeat", sa.Integer, nullable=False),
    sa.Column("fingerprint", sa.String(20), nullable=False),
    # canonical JSON of the point
    sa.Column("parameters", sa.Text, nullable=False),
    *state_column(lifecycles.TRIAL),
    # attempts begun; those that failed by their own fault; those that the infrastructure failed
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("used", sa.Integer, nullable=False),
    sa.Column("lost", sa.Integer, nullable=False),
    sa.Column("due_at", UtcTimestamp),
    sa.UniqueConstraint("experiment_id", "fingerprint"),
    sa.Index("ix_trials_campaign_id_position", "campaign_id", "position"),
    # nearly every trial succeeds: the index holds those that somebody will look for
    partial_index("ix_trials_unfinished", "campaign_id", "state", where="state <> 'succeeded'"),
)

attempts = sa.Table(
    "attempts",
    metadata,
    sa.Column("trial_id", sa.ForeignKey("trials.id"), primary_key=True, autoincrement=False),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("campaign_id", sa.ForeignKey("campaigns.id"), nullable=False),
    # 1, 2, 3 … in the order in which the campaign's attempts ended; NULL while it runs
    sa.Column("sequence", BigInteger),
    *state_column(lifecycles.ATTEMPT),
    sa.Column("status", sa.Text),
    sa.Column("failure", sa.String(16)),
    sa.Column("started_at", UtcTimestamp, nullable=False),
    sa.Column("ended_at", UtcTimestamp),
    sa.Column("engine_id", sa.String(36)),
    sa.Column("exit_code", sa.Integer),
    sa.Column("pings", sa.Integer, nullable=False, server_default="0"),
    sa.Column("ssh_checks", sa.Integer, nullable=False, server_default="0"),
    sa.Column("error", sa.Text),
    # names of the hosts it ran on, separated by commas; JSON of what was done, step by step
    sa.Column("hosts", sa.Text),
    sa.Column("steps", sa.Text),
    sa.Index("ix_attempts_campaign_id_sequence", "campaign_id", "sequence", unique=True),
    partial_index("ix_attempts_running", "campaign_id", "engine_id", where="state = 'running'"),
    sqlite_with_rowid=False,
)

#: joins trials with the last attempt of each
IS_LAST_ATTEMPT = (attempts.c.trial_id == trials.c.id) & (attempts.c.number == trials.c.attempts)

events = sa.Table(
    "events",
    metadata,
    sa.Column("id", BigInteger, primary_key=True),
    sa.Column("at", UtcTimestamp, nullable=False),
    sa.Column("entity", sa.String(16), nullable=False),
    sa.Column("entity_id", BigInteger, nullable=False),
    sa.Column("source", sa.String(32), nullable=False),
    sa.Column("target", sa.String(32), nullable=False),
    # the engine's id, or the person
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False, server_default=""),
    sa.Index("ix_events_entity_entity_id", "entity", "entity_id"),
)

provenances = sa.Table(
    "provenances",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    # of all that follows: equal ones share a row
    sa.Column("digest", sa.String(20), nullable=False, unique=True),
    sa.Column("repository", sa.Text),
    sa.Column("commit", sa.String(64)),
    sa.Column("branch", sa.Text),
    # NULL: not in a repository
    sa.Column("dirty", sa.Boolean),
    # what `git diff` says against the commit, when it may be kept
    sa.Column("patch", sa.Text),
    sa.Column("lock_file", sa.Text),
    sa.Column("lock_sha256", sa.String(64)),
    sa.Column("interpreter", sa.Text, nullable=False),
    sa.Column("platform", sa.Text, nullable=False),
    # name → version
    sa.Column("packages", sa.JSON, nullable=False),
)

engines = sa.Table(
    "engines",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("campaign_id", sa.ForeignKey("campaigns.id"), nullable=False, index=True),
    sa.Column("host", sa.Text, nullable=False),
    sa.Column("pid", sa.Integer, nullable=False),
    sa.Column("process_started", sa.Float(53), nullable=False),
    sa.Column("slots", sa.Integer, nullable=False),
    # the person, the words and the folder that started it
    sa.Column("user", sa.Text),
    sa.Column("command_line", sa.JSON),
    sa.Column("directory", sa.Text),
    sa.Column("provenance_id", sa.ForeignKey("provenances.id")),
    # which kernel and which process numbers it sees; NULL: only the host is known
    sa.Column("machine", sa.Text),
    sa.Column("started_at", UtcTimestamp, nullable=False),
    sa.Column("heartbeat_at", UtcTimestamp, nullable=False),
    sa.Column("ended_at", UtcTimestamp),
)

leases = sa.Table(
    "leases",
    metadata,
    sa.Column("id", BigInteger, primary_key=True),
    sa.Column("campaign_id", sa.ForeignKey("campaigns.id"), nullable=False, index=True),
    sa.Column("start", BigInteger, nullable=False),
    sa.Column("stop", BigInteger, nullable=False),
    sa.Column("first_id", BigInteger, nullable=False),
    # NULL: free, to be taken before new positions are
    sa.Column("engine_id", sa.ForeignKey("engines.id")),
    # positions of it that the space excludes and that its campaign counts already
    sa.Column("excluded", BigInteger, nullable=False, server_default="0"),
)

counters = sa.Table(
    "counters",
    metadata,
    sa.Column("name", sa.String(32), primary_key=True),
    sa.Column("value", BigInteger, nullable=False),
)

result_columns = sa.Table(
    "result_columns",
    metadata,
    sa.Column("experiment_id", sa.ForeignKey("experiments.id"), primary_key=True),
    sa.Column("name", sa.String(63), primary_key=True),
    # "parameter" or "result"
    sa.Column("kind", sa.String(16), nullable=False),
    # "boolean", "integer", "real", "text"; NULL as long as every value is missing
    sa.Column("type", sa.String(16)),
    sa.Column("ordinal", sa.Integer, nullable=False),
)
