"""Read models of hosts: whose campaign holds them, and what has happened to them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from fieldlab.store import tables
from fieldlab.store.host_tables import hosts
from fieldlab.store.queries import EventView


@dataclass(frozen=True, slots=True, kw_only=True)
class HostEvent(EventView):
    """One step that a host took."""

    host: str


def holding_campaigns(connection: sa.Connection, engine_ids: Collection[str]) -> dict[str, int]:
    """Find for whose campaign engines work: their ids → the campaign's."""
    engines = tables.engines
    query = sa.select(engines.c.id, engines.c.campaign_id).where(engines.c.id.in_(engine_ids))
    return {row.id: row.campaign_id for row in connection.execute(query)}


def host_events(
    connection: sa.Connection,
    host_ids: Collection[int],
    *,
    since: datetime,
    until: datetime | None = None,
    limit: int,
) -> list[HostEvent]:
    """Read the last steps that hosts took in a span of time, the oldest first.

    That they were written down for the first time is none of them.
    """
    events = tables.events
    columns = (events.c[name] for name in ("at", "entity", "source", "target", "actor", "reason"))
    query = (
        sa.select(*columns, hosts.c.name.label("host"))
        .join_from(events, hosts, events.c.entity_id == hosts.c.id)
        .where(
            events.c.entity == "host",
            events.c.entity_id.in_(host_ids),
            events.c.source != "",
            events.c.at >= since,
        )
    )
    if until is not None:
        query = query.where(events.c.at <= until)
    rows = connection.execute(query.order_by(events.c.id.desc()).limit(limit)).mappings().all()
    return [HostEvent(**row) for row in reversed(rows)]
