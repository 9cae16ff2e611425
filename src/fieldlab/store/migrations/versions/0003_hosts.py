"""Hosts, who holds them, and what happened in an attempt."""

import sqlalchemy as sa
from alembic import op

from fieldlab.store.tables import UtcTimestamp

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "hosts",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("identity", sa.String(length=300), nullable=False),
        sa.Column("site", sa.String(length=63), nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("note", sa.Text(), server_default="", nullable=False),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("engine_id", sa.String(length=36), nullable=True),
        sa.Column("hold", sa.String(length=36), nullable=True),
        sa.Column("held_at", UtcTimestamp(), nullable=True),
        sa.Column("held_for", sa.Text(), nullable=True),
        sa.Column("reserving_engine_id", sa.String(length=36), nullable=True),
        sa.Column("reserving_hold", sa.String(length=36), nullable=True),
        sa.Column("last_engine_id", sa.String(length=36), nullable=True),
        sa.Column("power_cycled_at", UtcTimestamp(), nullable=True),
        sa.Column("checked_at", UtcTimestamp(), nullable=True),
        sa.Column("health", sa.JSON(), nullable=True),
        sa.Column("created_at", UtcTimestamp(), nullable=False),
        sa.CheckConstraint(
            "state IN ('ready', 'quarantined', 'restarting', 'lost')", name=op.f("ck_hosts_state")
        ),
        sa.ForeignKeyConstraint(["engine_id"], ["engines.id"], name=op.f("fk_hosts_engine_id")),
        sa.ForeignKeyConstraint(
            ["reserving_engine_id"], ["engines.id"], name=op.f("fk_hosts_reserving_engine_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_hosts")),
        sa.UniqueConstraint("identity", name=op.f("uq_hosts_identity")),
    )
    for name in ("hosts", "steps"):
        op.add_column("attempts", sa.Column(name, sa.Text(), nullable=True))
