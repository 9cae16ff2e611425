"""Posting messages in the sender's transaction: one delivery for every group that listens."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import sqlalchemy as sa

from fieldlab.domain.messages import DeliveryState, Envelope, groups_for
from fieldlab.store.bulk import insert_rows
from fieldlab.store.bus_tables import deliveries, messages, subscriptions
from fieldlab.store.database import clock

#: what consumers on PostgreSQL LISTEN to; the payload is the group
CHANNEL = "fieldlab_bus"

_MESSAGE = (
    "id", "topic", "body", "created_at", "sender", "reply_to", "in_reply_to", "failed",
    "expires_at", "groups",
)  # fmt: skip
_DELIVERY = ("message_id", "group_name", "state", "due_at", "expires_at")


def post(connection: sa.Connection, envelopes: Sequence[Envelope]) -> None:
    """Write messages, and a delivery for each group whose patterns they match.

    A message whose id is there already is left as it is, so a call that was cut off may be made
    again. Consumers are woken when the transaction is committed.
    """
    if not envelopes:
        return
    lock_subscriptions(connection, shared=True)
    listening = read_subscriptions(connection)
    groups = {each.id: groups_for(each.topic, listening) for each in envelopes}
    rows = [
        (
            each.id,
            each.topic,
            each.body,
            each.sent_at,
            each.sender,
            each.reply_to,
            each.in_reply_to,
            each.failed,
            each.expires_at,
            len(groups[each.id]),
        )
        for each in envelopes
    ]
    insert_rows(connection, messages, _MESSAGE, rows, ignore_existing=True)
    deliver(connection, [(each, groups[each.id]) for each in envelopes])


def deliver(connection: sa.Connection, sent: Iterable[tuple[Envelope, Sequence[str]]]) -> None:
    """Write the deliveries of messages that are there, and wake the groups."""
    now = clock(connection)
    rows = [
        (each.id, group, DeliveryState.WAITING, now, each.expires_at)
        for each, groups in sent
        for group in groups
    ]
    insert_rows(connection, deliveries, _DELIVERY, rows, ignore_existing=True)
    wake(connection, {row[1] for row in rows})


def wake(connection: sa.Connection, groups: Iterable[str]) -> None:
    """Wake the consumers of groups when this transaction is committed.

    On SQLite they notice a commit by themselves.
    """
    named = sorted(set(groups))
    if named and connection.dialect.name == "postgresql":
        connection.execute(
            sa.text("SELECT pg_notify(:channel, name) FROM unnest(CAST(:names AS text[])) AS name"),
            {"channel": CHANNEL, "names": named},
        )


def lock_subscriptions(connection: sa.Connection, *, shared: bool) -> None:
    """Keep a message from passing a subscription that is just being made.

    Those who post share the lock, those who subscribe have it alone. SQLite has a single writer.
    """
    if connection.dialect.name == "postgresql":
        function = sa.func.pg_advisory_xact_lock_shared if shared else sa.func.pg_advisory_xact_lock
        connection.execute(sa.select(function(sa.func.hashtext("fieldlab.subscriptions"))))


def read_subscriptions(connection: sa.Connection) -> list[tuple[str, str]]:
    """Read who listens to what: pairs of a group and a pattern."""
    query = sa.select(subscriptions.c.group_name, subscriptions.c.pattern)
    return [(group, pattern) for group, pattern in connection.execute(query)]
