"""The only code that changes a state.

Every step is a compare-and-set: it happens if the entity still is in the expected state, and then
its event and its messages are written in the same commit. The first step of a trial or an attempt
inserts its row: what has no row yet is in the lifecycle's initial state.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from fieldlab.domain.errors import Conflict
from fieldlab.domain.lifecycle import Lifecycle, Role
from fieldlab.domain.messages import DELIVERY, Envelope
from fieldlab.domain.sites import HOST
from fieldlab.domain.trials import ATTEMPT, CAMPAIGN, TRIAL
from fieldlab.store import bus_tables, host_tables, tables
from fieldlab.store.bulk import insert_rows, update_rows
from fieldlab.store.posting import post


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity:
    """A table whose rows move through a lifecycle."""

    lifecycle: Lifecycle
    table: sa.Table
    #: the primary key; its first column is the entity's id in the journal
    key: tuple[str, ...] = ("id",)
    #: in its initial state it has no row: the first step inserts it
    rowless: bool = False


TRIALS = Entity(lifecycle=TRIAL, table=tables.trials, rowless=True)
ATTEMPTS = Entity(
    lifecycle=ATTEMPT, table=tables.attempts, key=("trial_id", "number"), rowless=True
)
CAMPAIGNS = Entity(lifecycle=CAMPAIGN, table=tables.campaigns)
HOSTS = Entity(lifecycle=HOST, table=host_tables.hosts)
DELIVERIES = Entity(lifecycle=DELIVERY, table=bus_tables.deliveries)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Who takes a step, as whom, why and when."""

    actor: str
    role: Role = Role.ENGINE
    reason: str = ""
    #: Unix time, s
    at: float = field(default_factory=time.time)


def create(connection: sa.Connection, entity: Entity, cause: Cause, **values: Any) -> int:
    """Insert an entity in its initial state; give its id."""
    initial = entity.lifecycle.initial
    created = connection.execute(sa.insert(entity.table).values(state=initial, **values))
    key = int(created.inserted_primary_key[0])  # type: ignore[index]
    _journal(connection, entity.lifecycle, "", initial, cause, [key])
    return key


def create_missing(
    connection: sa.Connection, entity: Entity, cause: Cause, unique: str, **values: Any
) -> None:
    """Insert an entity in its initial state, unless there is one of the same ``unique`` column."""
    initial = entity.lifecycle.initial
    full = {"state": initial, **values}
    inserted = insert_rows(
        connection, entity.table, tuple(full), [tuple(full.values())], ignore_existing=True
    )
    if inserted:
        same = entity.table.c[unique] == values[unique]
        key = connection.execute(sa.select(entity.table.c.id).where(same)).scalar_one()
        _journal(connection, entity.lifecycle, "", initial, cause, [key])


def advance(
    connection: sa.Connection,
    entity: Entity,
    key: int,
    expected: str,
    target: str,
    cause: Cause,
    **values: Any,
) -> None:
    """Take one entity from ``expected`` to ``target``, and set ``values`` in its row.

    Raises
    ------
    IllegalTransition
        The lifecycle doesn't allow it; nothing changed.
    Conflict
        The entity is in another state by now; nothing changed.
    """
    won = advance_all(
        connection, entity, expected, target, cause, ("id", *values), [(key, *values.values())]
    )
    if not won:
        kind = entity.lifecycle.entity
        raise Conflict(
            f"The {kind} {key} is no longer '{expected}': somebody else changed it",
            remedy="Look at it again with `fieldlab status`",
        )


def remark(connection: sa.Connection, entity: Entity, key: int, state: str, cause: Cause) -> None:
    """Journal that something happened to an entity which leaves its state as it is."""
    _journal(connection, entity.lifecycle, state, state, cause, [key])


def advance_all(
    connection: sa.Connection,
    entity: Entity,
    expected: str,
    target: str,
    cause: Cause,
    columns: Sequence[str],
    rows: Sequence[tuple[Any, ...]],
    *,
    match: Sequence[str] = (),
) -> list[tuple[Any, ...]]:
    """Take many entities from ``expected`` to ``target``.

    Parameters
    ----------
    columns, rows
        The key's columns first, then those of ``match``, then what the step sets.
    match
        Columns that must have the given value too, besides the state.

    Returns
    -------
    list of tuple
        The rows whose entity took the step, in their order. The others had been changed by
        somebody else and are left as they are.
    """
    if not rows:
        return []
    lifecycle = entity.lifecycle
    lifecycle.check(f"{lifecycle.entity.capitalize()} {rows[0][0]}", expected, target, cause.role)
    if expected == lifecycle.initial and entity.rowless:
        won = _born(connection, entity, target, columns, rows)
    else:
        won = _moved(connection, entity, expected, target, columns, rows, match)
    if won and (lifecycle.journaled or cause.role is not Role.ENGINE):
        _journal(connection, lifecycle, expected, target, cause, [row[0] for row in won])
    topic = lifecycle.publishes.get(target)
    if topic:
        for row in won:
            _publish(connection, lifecycle, topic, row[0], expected, target, cause)
    return won


def _born(
    connection: sa.Connection,
    entity: Entity,
    target: str,
    columns: Sequence[str],
    rows: Sequence[tuple[Any, ...]],
) -> list[tuple[Any, ...]]:
    """Insert the rows that aren't there: all at once, or row by row where some lose."""
    names = [*columns, "state"]
    stated = [(*row, target) for row in rows]
    if len(rows) > 1:
        with connection.begin_nested() as savepoint:
            inserted = insert_rows(connection, entity.table, names, stated, ignore_existing=True)
            if inserted == len(rows):
                return list(rows)
            savepoint.rollback()
    return [
        row
        for row, full in zip(rows, stated, strict=True)
        if insert_rows(connection, entity.table, names, [full], ignore_existing=True)
    ]


def _moved(
    connection: sa.Connection,
    entity: Entity,
    expected: str,
    target: str,
    columns: Sequence[str],
    rows: Sequence[tuple[Any, ...]],
    match: Sequence[str],
) -> list[tuple[Any, ...]]:
    """Update the rows that still are in the expected state: all at once, or row by row."""
    fixed = len(entity.key) + len(match)
    matched = ["state", *entity.key, *match]
    named = ["state", *columns[fixed:]]

    def update(some: Sequence[tuple[Any, ...]]) -> int:
        return update_rows(
            connection,
            entity.table,
            matched,
            named,
            [(expected, *row[:fixed], target, *row[fixed:]) for row in some],
        )

    if len(rows) > 1:
        with connection.begin_nested() as savepoint:
            if update(rows) == len(rows):
                return list(rows)
            savepoint.rollback()
    return [row for row in rows if update([row])]


def _journal(
    connection: sa.Connection,
    lifecycle: Lifecycle,
    source: str,
    target: str,
    cause: Cause,
    ids: Sequence[int],
) -> None:
    insert_rows(
        connection,
        tables.events,
        ("at", "entity", "entity_id", "source", "target", "actor", "reason"),
        [
            (cause.at, lifecycle.entity, each, source, target, cause.actor, cause.reason)
            for each in ids
        ],
    )


def _publish(
    connection: sa.Connection,
    lifecycle: Lifecycle,
    topic: str,
    entity_id: int,
    source: str,
    state: str,
    cause: Cause,
) -> None:
    body = {
        "entity": lifecycle.entity,
        "id": entity_id,
        "from": source,
        "state": state,
        "by": cause.actor,
        "reason": cause.reason,
    }
    post(connection, [Envelope(topic=topic, body=body, sender=cause.actor, sent_at=cause.at)])
