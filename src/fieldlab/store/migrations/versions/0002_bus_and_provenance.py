"""Messages that are delivered, actors, and where every attempt came from."""

import sqlalchemy as sa
from alembic import op

from fieldlab.store.tables import BigInteger, UtcTimestamp

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _provenances()
    _messages()
    _deliveries()
    _subscriptions()
    _actors()
    op.add_column("leases", sa.Column("excluded", BigInteger, server_default="0", nullable=False))


def _provenances() -> None:
    op.create_table(
        "provenances",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(length=20), nullable=False),
        sa.Column("repository", sa.Text(), nullable=True),
        sa.Column("commit", sa.String(length=64), nullable=True),
        sa.Column("branch", sa.Text(), nullable=True),
        sa.Column("dirty", sa.Boolean(), nullable=True),
        sa.Column("patch", sa.Text(), nullable=True),
        sa.Column("lock_file", sa.Text(), nullable=True),
        sa.Column("lock_sha256", sa.String(length=64), nullable=True),
        sa.Column("interpreter", sa.Text(), nullable=False),
        sa.Column("platform", sa.Text(), nullable=False),
        sa.Column("packages", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_provenances")),
        sa.UniqueConstraint("digest", name=op.f("uq_provenances_digest")),
    )
    for column in (
        sa.Column("user", sa.Text(), nullable=True),
        sa.Column("command_line", sa.JSON(), nullable=True),
        sa.Column("directory", sa.Text(), nullable=True),
        sa.Column("machine", sa.Text(), nullable=True),
    ):
        op.add_column("engines", column)
    # in one statement, because SQLite can't add the constraint later
    op.execute(
        "ALTER TABLE engines ADD COLUMN provenance_id INTEGER"
        " CONSTRAINT fk_engines_provenance_id REFERENCES provenances (id)"
    )


def _messages() -> None:
    for column in (
        sa.Column("sender", sa.Text(), server_default="", nullable=False),
        sa.Column("reply_to", sa.Text(), server_default="", nullable=False),
        sa.Column("in_reply_to", sa.String(length=36), server_default="", nullable=False),
        sa.Column("failed", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("expires_at", UtcTimestamp(), nullable=True),
        sa.Column("groups", sa.Integer(), server_default="0", nullable=False),
    ):
        op.add_column("messages", column)
    _partial("ix_messages_unheard", "messages", ["id"], "groups = 0")


def _deliveries() -> None:
    op.create_table(
        "deliveries",
        sa.Column("id", BigInteger, nullable=False),
        sa.Column("message_id", sa.String(length=36), nullable=False),
        sa.Column("group_name", sa.String(length=63), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("claims", sa.Integer(), server_default="0", nullable=False),
        sa.Column("forgiven", sa.Integer(), server_default="0", nullable=False),
        sa.Column("due_at", UtcTimestamp(), nullable=False),
        sa.Column("expires_at", UtcTimestamp(), nullable=True),
        sa.Column("consumer_id", sa.String(length=36), nullable=True),
        sa.Column("leased_until", UtcTimestamp(), nullable=True),
        sa.Column("settled_at", UtcTimestamp(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "state IN ('waiting', 'claimed', 'acknowledged', 'dead', 'expired')",
            name=op.f("ck_deliveries_state"),
        ),
        sa.ForeignKeyConstraint(
            ["message_id"], ["messages.id"], name=op.f("fk_deliveries_message_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deliveries")),
        sa.UniqueConstraint(
            "message_id", "group_name", name=op.f("uq_deliveries_message_id_group_name")
        ),
    )
    for name, columns, state in (
        ("ix_deliveries_waiting", ["group_name", "due_at", "id"], "waiting"),
        ("ix_deliveries_claimed", ["group_name", "leased_until"], "claimed"),
        ("ix_deliveries_dead", ["group_name", "id"], "dead"),
    ):
        _partial(name, "deliveries", columns, f"state = '{state}'")


def _partial(name: str, table: str, columns: list[str], where: str) -> None:
    condition = sa.text(where)
    op.create_index(
        name, table, columns, unique=False, sqlite_where=condition, postgresql_where=condition
    )


def _subscriptions() -> None:
    op.create_table(
        "subscriptions",
        sa.Column("group_name", sa.String(length=63), nullable=False),
        sa.Column("pattern", sa.Text(), nullable=False),
        sa.Column("created_at", UtcTimestamp(), nullable=False),
        sa.Column("expires_at", UtcTimestamp(), nullable=True),
        sa.PrimaryKeyConstraint("group_name", "pattern", name=op.f("pk_subscriptions")),
    )


def _actors() -> None:
    op.create_table(
        "actors",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("group_name", sa.String(length=63), nullable=False),
        sa.Column("topics", sa.JSON(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("process_started", sa.Float(precision=53), nullable=False),
        sa.Column("machine", sa.Text(), nullable=True),
        sa.Column("started_at", UtcTimestamp(), nullable=False),
        sa.Column("heartbeat_at", UtcTimestamp(), nullable=False),
        sa.Column("ended_at", UtcTimestamp(), nullable=True),
        sa.Column("in_work", sa.Integer(), server_default="0", nullable=False),
        sa.Column("handled", BigInteger, server_default="0", nullable=False),
        sa.Column("failed", BigInteger, server_default="0", nullable=False),
        sa.Column("restarts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("last_error_at", UtcTimestamp(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_actors")),
    )
