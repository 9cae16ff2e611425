"""Claiming messages: those that are due, and those whose consumers died."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from fieldlab.domain.messages import DeliveryPolicy, DeliveryState, Envelope
from fieldlab.ports.bus import Claim
from fieldlab.store.bus_tables import deliveries
from fieldlab.store.listening import expire, seconds_of
from fieldlab.store.tables import in_state
from fieldlab.store.transitions import DELIVERIES, Cause, advance_all
from fieldlab.store.waiting import lock_due

#: claims of dead consumers that are taken back at a time
MOST_LAPSED = 500

#: what tells one claim of a delivery from all others
CLAIM_KEY = ("id", "consumer_id", "claims")


def take_back_lapsed(
    connection: sa.Connection, group: str, policy: DeliveryPolicy, now: float
) -> None:
    """Make messages due again whose consumers died; those that had all their tries are dead."""
    rows = connection.execute(
        sa.select(*(deliveries.c[name] for name in (*CLAIM_KEY, "forgiven")))
        .where(
            deliveries.c.group_name == group,
            in_state(deliveries, DeliveryState.CLAIMED),
            deliveries.c.leased_until < now,
        )
        .order_by(deliveries.c.leased_until)
        .limit(MOST_LAPSED)
        .with_for_update(skip_locked=True)
    ).all()
    error = "its consumer died, or wasn't heard of for the time of its lease"
    for row in rows:
        dead = row.claims - row.forgiven >= policy.attempts
        advance_all(
            connection,
            DELIVERIES,
            DeliveryState.CLAIMED,
            DeliveryState.DEAD if dead else DeliveryState.WAITING,
            Cause(actor="bus", at=now),
            (*CLAIM_KEY, "due_at", "settled_at", "error"),
            [(*row[:3], now, now if dead else None, error)],
            match=CLAIM_KEY[1:],
        )


def claim_due(
    connection: sa.Connection,
    group: str,
    consumer_id: str,
    limit: int,
    policy: DeliveryPolicy,
    now: float,
) -> list[Claim]:
    """Claim the messages of a group that are due, the longest due first."""
    late, good, bad = _sorted(lock_due(connection, group, limit, now), now)
    expire(connection, [row.delivery_id for row in late], now, "nobody took it in time")
    rows = [row for row, _ in good]
    won = _begin(connection, [*rows, *bad], consumer_id, now + policy.lease_s, now)
    _bury_unreadable(connection, bad, consumer_id, now)
    return [
        Claim(
            delivery_id=row.delivery_id,
            group=group,
            consumer_id=consumer_id,
            number=row.claims + 1 - row.forgiven,
            token=row.claims + 1,
            envelope=_envelope(row, body),
        )
        for row, body in good
        if row.delivery_id in won
    ]


def _sorted(rows: Sequence[Any], now: float) -> tuple[list[Any], list[tuple[Any, Any]], list[Any]]:
    """Tell those that have expired, those with their bodies, and those whose body isn't JSON.

    Some other program may have written the last.
    """
    late, good, bad = [], [], []
    for row in rows:
        if row.late_at and row.late_at.timestamp() <= now:
            late.append(row)
            continue
        try:
            good.append((row, json.loads(row.body)))
        except (ValueError, RecursionError):
            bad.append(row)
    return late, good, bad


def _begin(
    connection: sa.Connection,
    rows: Sequence[Any],
    consumer_id: str,
    leased_until: float,
    now: float,
) -> set[int]:
    won = advance_all(
        connection,
        DELIVERIES,
        DeliveryState.WAITING,
        DeliveryState.CLAIMED,
        Cause(actor=consumer_id, at=now),
        ("id", "claims", "consumer_id", "leased_until"),
        [(row.delivery_id, row.claims + 1, consumer_id, leased_until) for row in rows],
    )
    return {step[0] for step in won}


def _bury_unreadable(
    connection: sa.Connection, rows: Sequence[Any], consumer_id: str, now: float
) -> None:
    advance_all(
        connection,
        DELIVERIES,
        DeliveryState.CLAIMED,
        DeliveryState.DEAD,
        Cause(actor="bus", at=now),
        (*CLAIM_KEY, "settled_at", "error"),
        [
            (row.delivery_id, consumer_id, row.claims + 1, now, "its body is not JSON")
            for row in rows
        ],
        match=CLAIM_KEY[1:],
    )


def _envelope(row: Any, body: Any) -> Envelope:
    return Envelope(
        id=row.id,
        topic=row.topic,
        body=body,
        sender=row.sender,
        sent_at=row.created_at.timestamp(),
        expires_at=seconds_of(row.expires_at),
        reply_to=row.reply_to,
        in_reply_to=row.in_reply_to,
        failed=row.failed,
    )
