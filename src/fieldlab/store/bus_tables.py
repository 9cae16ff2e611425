"""The tables of the bus: messages, who listens, what became of each delivery, and the actors."""

from __future__ import annotations

import sqlalchemy as sa

from fieldlab.domain.messages import DELIVERY
from fieldlab.store.tables import (
    BigInteger,
    UtcTimestamp,
    metadata,
    partial_index,
    state_column,
)

messages = sa.Table(
    "messages",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("topic", sa.Text, nullable=False),
    sa.Column("body", sa.JSON, nullable=False),
    sa.Column("created_at", UtcTimestamp, nullable=False),
    sa.Column("sender", sa.Text, nullable=False, server_default=""),
    sa.Column("reply_to", sa.Text, nullable=False, server_default=""),
    sa.Column("in_reply_to", sa.String(36), nullable=False, server_default=""),
    sa.Column("failed", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("expires_at", UtcTimestamp),
    # groups that it was delivered to; a message that nobody listened for waits for its first group
    sa.Column("groups", sa.Integer, nullable=False, server_default="0"),
    partial_index("ix_messages_unheard", "id", where="groups = 0"),
)

deliveries = sa.Table(
    "deliveries",
    metadata,
    sa.Column("id", BigInteger, primary_key=True),
    sa.Column("message_id", sa.ForeignKey("messages.id"), nullable=False),
    sa.Column("group_name", sa.String(63), nullable=False),
    *state_column(DELIVERY),
    # times that a consumer has taken it
    sa.Column("claims", sa.Integer, nullable=False, server_default="0"),
    # of these, the times before somebody let it be tried anew
    sa.Column("forgiven", sa.Integer, nullable=False, server_default="0"),
    sa.Column("due_at", UtcTimestamp, nullable=False),
    sa.Column("expires_at", UtcTimestamp),
    # who has it, or had it last
    sa.Column("consumer_id", sa.String(36)),
    sa.Column("leased_until", UtcTimestamp),
    sa.Column("settled_at", UtcTimestamp),
    sa.Column("error", sa.Text),
    sa.UniqueConstraint("message_id", "group_name"),
    partial_index("ix_deliveries_waiting", "group_name", "due_at", "id", where="state = 'waiting'"),
    partial_index("ix_deliveries_claimed", "group_name", "leased_until", where="state = 'claimed'"),
    partial_index("ix_deliveries_dead", "group_name", "id", where="state = 'dead'"),
)

subscriptions = sa.Table(
    "subscriptions",
    metadata,
    sa.Column("group_name", sa.String(63), primary_key=True),
    sa.Column("pattern", sa.Text, primary_key=True),
    sa.Column("created_at", UtcTimestamp, nullable=False),
    # of a group that lasts as long as its one consumer; NULL: it stays, whoever comes and goes
    sa.Column("expires_at", UtcTimestamp),
)

actors = sa.Table(
    "actors",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("name", sa.String(63), nullable=False),
    sa.Column("group_name", sa.String(63), nullable=False),
    sa.Column("topics", sa.JSON, nullable=False),
    sa.Column("host", sa.Text, nullable=False),
    sa.Column("pid", sa.Integer, nullable=False),
    sa.Column("process_started", sa.Float(53), nullable=False),
    sa.Column("machine", sa.Text),
    sa.Column("started_at", UtcTimestamp, nullable=False),
    sa.Column("heartbeat_at", UtcTimestamp, nullable=False),
    sa.Column("ended_at", UtcTimestamp),
    # messages in work now; handled and failed since it started
    sa.Column("in_work", sa.Integer, nullable=False, server_default="0"),
    sa.Column("handled", BigInteger, nullable=False, server_default="0"),
    sa.Column("failed", BigInteger, nullable=False, server_default="0"),
    sa.Column("restarts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("last_error", sa.Text),
    sa.Column("last_error_at", UtcTimestamp),
)
