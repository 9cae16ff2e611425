"""Groups of consumers: what a new one gets, and what becomes of one that ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from fieldlab.domain.messages import DeliveryState, Envelope, groups_for
from fieldlab.store.bulk import chunks
from fieldlab.store.bus_tables import deliveries, messages, subscriptions
from fieldlab.store.posting import deliver
from fieldlab.store.tables import in_state
from fieldlab.store.transitions import DELIVERIES, Cause, advance_all


def deliver_unheard(
    connection: sa.Connection, group: str, patterns: Sequence[str], now: float
) -> None:
    """Give a new group the messages that no group has got, the oldest first."""
    query = (
        sa.select(messages.c.id, messages.c.topic, messages.c.expires_at)
        .where(
            messages.c.groups == sa.literal_column("0"),
            messages.c.expires_at.is_(None) | (messages.c.expires_at > now),
        )
        .order_by(messages.c.id)
    )
    listening = [(group, pattern) for pattern in patterns]
    heard = [row for row in connection.execute(query) if groups_for(row.topic, listening)]
    deliver(
        connection,
        [
            (Envelope(id=row.id, topic=row.topic, expires_at=seconds_of(row.expires_at)), [group])
            for row in heard
        ],
    )
    for some in chunks([row.id for row in heard]):
        connection.execute(sa.update(messages).where(messages.c.id.in_(some)).values(groups=1))


def end_lapsed_groups(connection: sa.Connection, now: float) -> None:
    """End the groups whose one consumer hasn't been heard of."""
    lapsed = connection.scalars(
        sa.select(subscriptions.c.group_name).where(subscriptions.c.expires_at <= now).distinct()
    ).all()
    if lapsed:
        end_groups(connection, lapsed, now, "its consumer is gone")


def end_groups(connection: sa.Connection, groups: Sequence[str], now: float, why: str) -> None:
    """Let groups listen no more: what they have expires, also what is in work."""
    for group in groups:
        connection.execute(sa.delete(subscriptions).where(subscriptions.c.group_name == group))
        for state in (DeliveryState.WAITING, DeliveryState.CLAIMED):
            held = connection.scalars(
                sa.select(deliveries.c.id).where(
                    deliveries.c.group_name == group, in_state(deliveries, state)
                )
            ).all()
            expire(connection, held, now, why, state)


def expire(
    connection: sa.Connection,
    ids: Sequence[int],
    now: float,
    why: str,
    state: DeliveryState = DeliveryState.WAITING,
) -> None:
    """Put deliveries away that nobody will handle any more."""
    cause = Cause(actor="bus", at=now)
    steps = [(each, now, why) for each in ids]
    columns = ("id", "settled_at", "error")
    advance_all(
        connection,
        DELIVERIES,
        state,
        DeliveryState.EXPIRED,
        cause,
        columns,
        steps,
    )


def seconds_of(moment: Any) -> float | None:
    """Give a moment in Unix time, s; None for none."""
    return None if moment is None else float(moment.timestamp())
