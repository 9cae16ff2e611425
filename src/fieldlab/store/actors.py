"""Which actors run, where, and how they fare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from fieldlab.ports.bus import ActorSign
from fieldlab.store.bulk import insert_rows, update_rows
from fieldlab.store.bus_tables import actors
from fieldlab.store.database import Database, clock

_FIRST = (
    "id", "name", "group_name", "topics", "host", "pid", "process_started", "machine",
    "started_at", "heartbeat_at",
)  # fmt: skip
_NEXT = (
    "heartbeat_at", "in_work", "handled", "failed", "restarts", "last_error", "last_error_at",
)  # fmt: skip


class SqlActors:
    """Implements :class:`fieldlab.ports.bus.ActorRegistry` on a lab's database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def sign(self, signs: Sequence[ActorSign]) -> None:
        self._database.require_in_place()
        with self._database.begin() as connection:
            now = clock(connection)
            rows = [
                (
                    each.id,
                    each.name,
                    each.group,
                    list(each.topics),
                    each.host,
                    each.pid,
                    each.process_started,
                    each.machine or None,
                    now,
                    now,
                )
                for each in signs
            ]
            insert_rows(connection, actors, _FIRST, rows, ignore_existing=True)
            news = [
                (
                    each.id,
                    now,
                    each.in_work,
                    each.handled,
                    each.failed,
                    each.restarts,
                    each.last_error or None,
                    each.last_error_at,
                )
                for each in signs
            ]
            update_rows(connection, actors, ("id",), _NEXT, news)

    def retire(self, actor_ids: Sequence[str]) -> None:
        with self._database.begin() as connection:
            now = clock(connection)
            ended = [(each, now, 0) for each in actor_ids]
            update_rows(connection, actors, ("id",), ("ended_at", "in_work"), ended)


@dataclass(frozen=True, slots=True, kw_only=True)
class ActorView:
    """An actor, as people look at it."""

    sign: ActorSign
    started_at: datetime
    heartbeat_at: datetime
    ended_at: datetime | None
    #: since it was last heard of, s
    silent_s: float


def read_actors(connection: sa.Connection, *, ended: bool = False) -> list[ActorView]:
    """List the actors that haven't been written out, by name; or all that ever ran."""
    query = sa.select(actors).order_by(actors.c.name, actors.c.started_at)
    if not ended:
        query = query.where(actors.c.ended_at.is_(None))
    now = clock(connection)
    return [
        ActorView(
            sign=ActorSign(
                id=row.id,
                name=row.name,
                group=row.group_name,
                topics=tuple(row.topics),
                host=row.host,
                pid=row.pid,
                process_started=row.process_started,
                machine=row.machine or "",
                in_work=row.in_work,
                handled=row.handled,
                failed=row.failed,
                restarts=row.restarts,
                last_error=row.last_error or "",
                last_error_at=row.last_error_at and row.last_error_at.timestamp(),
            ),
            started_at=row.started_at,
            heartbeat_at=row.heartbeat_at,
            ended_at=row.ended_at,
            silent_s=now - row.heartbeat_at.timestamp(),
        )
        for row in connection.execute(query)
    ]
