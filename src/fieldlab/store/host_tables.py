"""The table of hosts."""

from __future__ import annotations

import sqlalchemy as sa

from fieldlab.domain.sites import HOST
from fieldlab.store.tables import UtcTimestamp, metadata, state_column

hosts = sa.Table(
    "hosts",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    # address:port, the same for every controller
    sa.Column("identity", sa.String(300), nullable=False, unique=True),
    sa.Column("site", sa.String(63), nullable=False),
    sa.Column("name", sa.String(63), nullable=False),
    *state_column(HOST),
    # why it is in that state
    sa.Column("note", sa.Text, nullable=False, server_default=""),
    # failures of the infrastructure in a row
    sa.Column("failures", sa.Integer, nullable=False, server_default="0"),
    # who holds it, by which hold, since when, for what; NULL: it is free
    sa.Column("engine_id", sa.ForeignKey("engines.id")),
    sa.Column("hold", sa.String(36)),
    sa.Column("held_at", UtcTimestamp),
    sa.Column("held_for", sa.Text),
    # who waits for it, and gets it next
    sa.Column("reserving_engine_id", sa.ForeignKey("engines.id")),
    sa.Column("reserving_hold", sa.String(36)),
    sa.Column("last_engine_id", sa.String(36)),
    sa.Column("power_cycled_at", UtcTimestamp),
    sa.Column("checked_at", UtcTimestamp),
    sa.Column("health", sa.JSON),
    sa.Column("created_at", UtcTimestamp, nullable=False),
)
