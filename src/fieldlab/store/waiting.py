"""What waits on the bus, and when it is due."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from fieldlab.domain.messages import DeliveryState
from fieldlab.store.bus_tables import deliveries, messages, subscriptions
from fieldlab.store.tables import in_state


def body_bytes(connection: sa.Connection) -> sa.Label[Any]:
    """Select bodies as they lie there: on SQLite another program may have written anything."""
    raw = sa.LargeBinary if connection.dialect.name == "sqlite" else sa.Text
    return sa.cast(messages.c.body, raw).label("body")


def lock_due(connection: sa.Connection, group: str, limit: int, now: float) -> list[Any]:
    """Read messages that may be taken, each locked against other consumers."""
    query = (
        sa.select(
            deliveries.c.id.label("delivery_id"),
            deliveries.c.claims,
            deliveries.c.forgiven,
            deliveries.c.expires_at.label("late_at"),
            *(column for column in messages.c if column.name != "body"),
            body_bytes(connection),
        )
        .join_from(deliveries, messages)
        .where(
            deliveries.c.group_name == group,
            in_state(deliveries, DeliveryState.WAITING),
            deliveries.c.due_at <= now,
        )
        .order_by(deliveries.c.due_at, deliveries.c.id)
        .limit(limit)
        .with_for_update(of=deliveries, skip_locked=True)
    )
    return list(connection.execute(query))


def next_due(connection: sa.Connection, group: str, now: float) -> float | None:
    """Tell in how many seconds something may be due: a message that waits, or one lost."""
    waiting = sa.select(sa.func.min(deliveries.c.due_at, type_=deliveries.c.due_at.type)).where(
        deliveries.c.group_name == group, in_state(deliveries, DeliveryState.WAITING)
    )
    lapsing = sa.select(
        sa.func.min(deliveries.c.leased_until, type_=deliveries.c.due_at.type)
    ).where(deliveries.c.group_name == group, in_state(deliveries, DeliveryState.CLAIMED))
    moments = sa.select(waiting.scalar_subquery(), lapsing.scalar_subquery())
    found = [each.timestamp() for each in connection.execute(moments).one() if each is not None]
    return max(min(found) - now, 0.0) if found else None


def due_groups(connection: sa.Connection, until: float) -> set[str]:
    """Name the groups of which a message is due, or a consumer's lease ends, by then."""
    # by group, not by message: a million may stand
    waits, lapses = (
        sa.exists().where(
            deliveries.c.group_name == subscriptions.c.group_name,
            in_state(deliveries, state),
            moment <= until,
        )
        for state, moment in (
            (DeliveryState.WAITING, deliveries.c.due_at),
            (DeliveryState.CLAIMED, deliveries.c.leased_until),
        )
    )
    return set(connection.scalars(sa.select(subscriptions.c.group_name).where(waits | lapses)))
