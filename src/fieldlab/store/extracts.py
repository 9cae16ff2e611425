"""Many rows at a time: results, attempts and trials as tables to look at or to write to a file."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from fieldlab.domain.trials import TrialState
from fieldlab.ports.store import Campaign
from fieldlab.store import provenances, tables
from fieldlab.store.campaigns import read_campaigns
from fieldlab.store.queries import failure_counts
from fieldlab.store.results import FIXED, stream
from fieldlab.store.sql_store import results_of

#: rows that are read at a time
BLOCK = 5_000

_TYPES: dict[type[sa.types.TypeEngine[Any]], str] = {
    sa.Boolean: "boolean",
    sa.Integer: "integer",
    sa.Float: "real",
    sa.String: "text",
    tables.UtcTimestamp: "moment",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Extract:
    """Rows that are read when they are asked for, inside the connection's transaction."""

    connection: sa.Connection
    #: (name, type) of each column; a type is "boolean", "integer", "real", "text" or "moment"
    columns: Sequence[tuple[str, str]]
    #: read one after the other
    queries: Sequence[sa.Select[Any]]

    def blocks(self, limit: int | None = None) -> Iterator[Sequence[sa.Row[Any]]]:
        """Read all rows, or the first ``limit``, in pieces."""
        left = limit
        for query in self.queries:
            if left is not None and left <= 0:
                return
            for rows in stream(self.connection, query.limit(left), BLOCK):
                yield rows
                left = None if left is None else left - len(rows)

    def count(self) -> int:
        """Count the rows."""
        return sum(
            self.connection.scalar(
                sa.select(sa.func.count()).select_from(
                    query.with_only_columns(sa.literal(1), maintain_column_froms=True)
                    .order_by(None)
                    .subquery()
                )
            )
            or 0
            for query in self.queries
        )


def result_rows(
    connection: sa.Connection, campaign: Campaign, *, everywhere: bool, own_columns: bool
) -> Extract:
    """Give results, in the order of their trials: parameters first, then results.

    Parameters
    ----------
    everywhere
        Those of every campaign of the experiment, not only what this one has recorded.
    own_columns
        With the columns that fieldlab adds behind them, and the commit of the code.
    """
    table = results_of(connection, campaign)
    query = table.select(connection)
    chosen = query.selected_columns
    if not everywhere:
        query = query.where(chosen["campaign_id"] == campaign.id)
    values = [each for each in chosen if each.name not in FIXED]
    if own_columns:
        query = _with_commit(query, {each.name.lower() for each in values})
    elif values:
        query = query.with_only_columns(*values)
    return _extract(connection, [query])


def attempt_results(
    connection: sa.Connection, campaign: Campaign, trial_id: int, number: int
) -> list[dict[str, Any]]:
    """Read what one attempt gave: a dictionary per row, without its parameters."""
    table = results_of(connection, campaign)
    results = [each.name for each in table.load(connection) if each.kind == "result"]
    query = table.select(connection)
    chosen = query.selected_columns
    rows = connection.execute(
        query.where(chosen["trial_id"] == trial_id, chosen["attempt"] == number)
    ).mappings()
    return [{name: row[name] for name in results} for row in rows]


def _with_commit(query: sa.Select[Any], taken: Collection[str]) -> sa.Select[Any]:
    """Add the commit and whether it is all, unless the experiment has columns of these names."""
    attempts = tables.attempts
    results = query.get_final_froms()[0]
    return query.select_from(
        provenances.with_origin(
            results.outerjoin(
                attempts,
                (attempts.c.trial_id == results.c.trial_id)
                & (attempts.c.number == results.c.attempt),
            )
        )
    ).add_columns(*(each for each in provenances.CODE if each.name not in taken))


def attempt_rows(connection: sa.Connection, campaign: Campaign, *, everywhere: bool) -> Extract:
    """Give the attempts of a campaign, or of all of its experiment, in the order of their ends."""
    attempts, trials = tables.attempts, tables.trials
    return _extract(
        connection,
        [
            sa.select(
                sa.literal(each.name).label("campaign"),
                attempts.c.trial_id,
                trials.c.fingerprint,
                trials.c.repeat,
                trials.c.parameters,
                *(column for column in attempts.c if column.name not in _NOT_SHOWN),
                *provenances.WHENCE,
            )
            .select_from(provenances.with_origin(attempts.join(trials)))
            .where(attempts.c.campaign_id == each.id)
            .order_by(attempts.c.sequence)
            for each in _campaigns(connection, campaign, everywhere)
        ],
    )


_NOT_SHOWN = ("id", "trial_id", "campaign_id", "experiment_id")


def trial_rows(connection: sa.Connection, campaign: Campaign, *, everywhere: bool) -> Extract:
    """Give the trials that something has touched, of a campaign or its experiment, by position."""
    trials = tables.trials
    return _extract(
        connection,
        [
            sa.select(
                sa.literal(each.name).label("campaign"),
                trials.c.id.label("trial_id"),
                *(column for column in trials.c if column.name not in _NOT_SHOWN),
            )
            .where(trials.c.campaign_id == each.id)
            .order_by(trials.c.position)
            for each in _campaigns(connection, campaign, everywhere)
        ],
    )


def _campaigns(
    connection: sa.Connection, campaign: Campaign, everywhere: bool
) -> Sequence[Campaign]:
    if not everywhere:
        return [campaign]
    return [
        each for each in read_campaigns(connection) if each.experiment_id == campaign.experiment_id
    ]


def _extract(connection: sa.Connection, queries: Sequence[sa.Select[Any]]) -> Extract:
    columns = [(str(column.name), _type_of(column.type)) for column in queries[0].selected_columns]
    return Extract(connection=connection, columns=columns, queries=queries)


def _type_of(type_: sa.types.TypeEngine[Any]) -> str:
    return next(name for kind, name in _TYPES.items() if isinstance(type_, kind))


def failure_rows(connection: sa.Connection, campaigns: Sequence[Campaign]) -> Extract:
    """Give the failed trials of campaigns, each with how and where its last attempt ended.

    ``parameters`` is canonical JSON, ``error`` a traceback or the end of what a command wrote.
    """
    attempts, trials, engines = tables.attempts, tables.trials, tables.engines
    query = (
        sa.select(
            trials.c.campaign_id,
            trials.c.fingerprint,
            trials.c.repeat,
            trials.c.parameters,
            trials.c.attempts,
            *(attempts.c[name] for name in ("status", "failure", "exit_code", "error")),
            engines.c.host,
            attempts.c.started_at,
            attempts.c.ended_at,
        )
        .join_from(
            trials,
            attempts,
            tables.IS_LAST_ATTEMPT,
        )
        .outerjoin(engines, engines.c.id == attempts.c.engine_id)
        .where(
            trials.c.campaign_id.in_([each.id for each in campaigns]),
            tables.in_state(trials, TrialState.FAILED),
        )
        .order_by(trials.c.campaign_id, trials.c.position)
    )
    return _extract(connection, [query])


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Trials that are queued to be tried again."""

    count: int
    #: those whose time hasn't come
    later: int
    #: when the next of those is due
    next_due_at: datetime | None


def waiting_trials(connection: sa.Connection, campaign: Campaign) -> Waiting:
    """Count the queued trials of a campaign."""
    trials = tables.trials
    now = datetime.now().astimezone()
    later = trials.c.due_at > now
    count, late, next_due = connection.execute(
        sa.select(
            sa.func.count(),
            sa.func.count().filter(later),
            sa.func.min(trials.c.due_at, type_=tables.UtcTimestamp).filter(later),
        ).where(trials.c.campaign_id == campaign.id, tables.in_state(trials, TrialState.QUEUED))
    ).one()
    return Waiting(count=count, later=late, next_due_at=next_due)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A failed trial, and what its last attempt had to say."""

    fingerprint: str
    repeat: int
    parameters: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureKind:
    """Failed trials whose last attempts ended alike, see :class:`FailureCount`."""

    title: str
    count: int
    #: the one that ended last
    example: Failure


def failure_kinds(
    connection: sa.Connection, campaign: Campaign, *, limit: int
) -> list[FailureKind]:
    """Sort a campaign's failed trials by how they ended, the most frequent kind first."""
    return [
        FailureKind(title=title, count=number, example=_failure(connection, campaign, newest))
        for title, number, newest in failure_counts(connection, campaign, limit=limit)
    ]


def _failure(connection: sa.Connection, campaign: Campaign, sequence: int) -> Failure:
    """Read the trial of an attempt that failed."""
    attempts, trials = tables.attempts, tables.trials
    row = connection.execute(
        sa.select(trials.c.fingerprint, trials.c.repeat, trials.c.parameters, attempts.c.error)
        .join_from(attempts, trials)
        .where(attempts.c.campaign_id == campaign.id, attempts.c.sequence == sequence)
    ).one()
    return Failure(
        fingerprint=row.fingerprint,
        repeat=row.repeat,
        parameters=row.parameters,
        error=row.error or "",
    )
