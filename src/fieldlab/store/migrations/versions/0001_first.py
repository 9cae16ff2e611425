"""The first tables."""

import sqlalchemy as sa
from alembic import op

from fieldlab.store.tables import BigInteger, UtcTimestamp

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    for create in (
        _counters,
        _events,
        _experimenters,
        _funding,
        _messages,
        _projects,
        _experiments,
        _campaigns,
        _result_columns,
        _engines,
        _trials,
        _attempts,
        _leases,
    ):
        create()
    op.execute("INSERT INTO counters (name, value) VALUES ('trials', 0)")


def _counters() -> None:
    op.create_table(
        "counters",
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("value", BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_counters")),
    )


def _events() -> None:
    op.create_table(
        "events",
        sa.Column("id", BigInteger, nullable=False),
        sa.Column("at", UtcTimestamp(), nullable=False),
        sa.Column("entity", sa.String(length=16), nullable=False),
        sa.Column("entity_id", BigInteger, nullable=False),
        sa.Column("source", sa.String(length=32), nullable=False),
        sa.Column("target", sa.String(length=32), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
    )
    op.create_index("ix_events_entity_entity_id", "events", ["entity", "entity_id"], unique=False)


def _experimenters() -> None:
    op.create_table(
        "experimenters",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("full_name", sa.Text(), nullable=True),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("git_account", sa.Text(), nullable=True),
        sa.Column("gcp_account", sa.Text(), nullable=True),
        sa.Column("aws_account", sa.Text(), nullable=True),
        sa.Column("cluster_account", sa.Text(), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("created_at", UtcTimestamp(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_experimenters")),
        sa.UniqueConstraint("name", name=op.f("uq_experimenters_name")),
    )


def _funding() -> None:
    op.create_table(
        "funding",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("agency", sa.Text(), nullable=True),
        sa.Column("award", sa.Text(), nullable=True),
        sa.Column("accounts", sa.Text(), nullable=True),
        sa.Column("budget", sa.Numeric(precision=14, scale=2), nullable=True),
        sa.Column("currency", sa.String(length=3), nullable=True),
        sa.Column("starts_on", sa.Date(), nullable=True),
        sa.Column("ends_on", sa.Date(), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("created_at", UtcTimestamp(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_funding")),
        sa.UniqueConstraint("name", name=op.f("uq_funding_name")),
    )


def _messages() -> None:
    op.create_table(
        "messages",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("created_at", UtcTimestamp(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_messages")),
    )


def _projects() -> None:
    op.create_table(
        "projects",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("title", sa.Text(), nullable=True),
        sa.Column("funding_id", sa.Integer(), nullable=True),
        sa.Column("parent_id", sa.Integer(), nullable=True),
        sa.Column("repository", sa.Text(), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("created_at", UtcTimestamp(), nullable=False),
        sa.ForeignKeyConstraint(
            ["funding_id"], ["funding.id"], name=op.f("fk_projects_funding_id")
        ),
        sa.ForeignKeyConstraint(["parent_id"], ["projects.id"], name=op.f("fk_projects_parent_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_projects")),
        sa.UniqueConstraint("name", name=op.f("uq_projects_name")),
    )


def _experiments() -> None:
    op.create_table(
        "experiments",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("identity", sa.String(length=20), nullable=False),
        sa.Column("results_table", sa.String(length=63), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("code_link", sa.Text(), nullable=True),
        sa.Column("commit", sa.String(length=64), nullable=True),
        sa.Column("environment", sa.Text(), nullable=True),
        sa.Column("cluster", sa.Text(), nullable=True),
        sa.Column("project_id", sa.Integer(), nullable=True),
        sa.Column("experimenter_id", sa.Integer(), nullable=True),
        sa.Column("funding_id", sa.Integer(), nullable=True),
        sa.Column("created_at", UtcTimestamp(), nullable=False),
        sa.ForeignKeyConstraint(
            ["experimenter_id"], ["experimenters.id"], name=op.f("fk_experiments_experimenter_id")
        ),
        sa.ForeignKeyConstraint(
            ["funding_id"], ["funding.id"], name=op.f("fk_experiments_funding_id")
        ),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_experiments_project_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_experiments")),
        sa.UniqueConstraint("name", "identity", name=op.f("uq_experiments_name_identity")),
        sa.UniqueConstraint("name", "version", name=op.f("uq_experiments_name_version")),
        sa.UniqueConstraint("results_table", name=op.f("uq_experiments_results_table")),
    )


def _campaigns() -> None:
    op.create_table(
        "campaigns",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("experiment_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("definition", sa.JSON(), nullable=False),
        sa.Column("definition_digest", sa.String(length=20), nullable=False),
        sa.Column("cursor", BigInteger, server_default="0", nullable=False),
        sa.Column("positions", BigInteger, nullable=True),
        sa.Column("wanted", BigInteger, nullable=True),
        sa.Column("succeeded", BigInteger, server_default="0", nullable=False),
        sa.Column("failed", BigInteger, server_default="0", nullable=False),
        sa.Column("cancelled", BigInteger, server_default="0", nullable=False),
        sa.Column("skipped", BigInteger, server_default="0", nullable=False),
        sa.Column("excluded", BigInteger, server_default="0", nullable=False),
        sa.Column("attempts", BigInteger, server_default="0", nullable=False),
        sa.Column("consecutive_failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("note", sa.Text(), server_default="", nullable=False),
        sa.Column("created_at", UtcTimestamp(), nullable=False),
        sa.Column("started_at", UtcTimestamp(), nullable=True),
        sa.Column("ended_at", UtcTimestamp(), nullable=True),
        sa.CheckConstraint(
            "state IN ('created', 'running', 'paused', 'tripped', 'finished', 'cancelled')",
            name=op.f("ck_campaigns_state"),
        ),
        sa.ForeignKeyConstraint(
            ["experiment_id"], ["experiments.id"], name=op.f("fk_campaigns_experiment_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_campaigns")),
        sa.UniqueConstraint(
            "experiment_id", "number", name=op.f("uq_campaigns_experiment_id_number")
        ),
    )


def _result_columns() -> None:
    op.create_table(
        "result_columns",
        sa.Column("experiment_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("type", sa.String(length=16), nullable=True),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["experiment_id"], ["experiments.id"], name=op.f("fk_result_columns_experiment_id")
        ),
        sa.PrimaryKeyConstraint("experiment_id", "name", name=op.f("pk_result_columns")),
    )


def _engines() -> None:
    op.create_table(
        "engines",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("campaign_id", sa.Integer(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("process_started", sa.Float(precision=53), nullable=False),
        sa.Column("slots", sa.Integer(), nullable=False),
        sa.Column("started_at", UtcTimestamp(), nullable=False),
        sa.Column("heartbeat_at", UtcTimestamp(), nullable=False),
        sa.Column("ended_at", UtcTimestamp(), nullable=True),
        sa.ForeignKeyConstraint(
            ["campaign_id"], ["campaigns.id"], name=op.f("fk_engines_campaign_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_engines")),
    )
    op.create_index(op.f("ix_engines_campaign_id"), "engines", ["campaign_id"], unique=False)


def _trials() -> None:
    op.create_table(
        "trials",
        sa.Column("id", BigInteger, autoincrement=False, nullable=False),
        sa.Column("experiment_id", sa.Integer(), nullable=False),
        sa.Column("campaign_id", sa.Integer(), nullable=False),
        sa.Column("position", BigInteger, nullable=False),
        sa.Column("repeat", sa.Integer(), nullable=False),
        sa.Column("fingerprint", sa.String(length=20), nullable=False),
        sa.Column("parameters", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("used", sa.Integer(), nullable=False),
        sa.Column("lost", sa.Integer(), nullable=False),
        sa.Column("due_at", UtcTimestamp(), nullable=True),
        sa.CheckConstraint(
            "state IN ('planned', 'queued', 'running', 'succeeded', 'failed', 'cancelled')",
            name=op.f("ck_trials_state"),
        ),
        sa.ForeignKeyConstraint(
            ["campaign_id"], ["campaigns.id"], name=op.f("fk_trials_campaign_id")
        ),
        sa.ForeignKeyConstraint(
            ["experiment_id"], ["experiments.id"], name=op.f("fk_trials_experiment_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_trials")),
        sa.UniqueConstraint(
            "experiment_id", "fingerprint", name=op.f("uq_trials_experiment_id_fingerprint")
        ),
    )
    op.create_index(
        "ix_trials_campaign_id_position", "trials", ["campaign_id", "position"], unique=False
    )
    op.create_index(
        "ix_trials_unfinished",
        "trials",
        ["campaign_id", "state"],
        unique=False,
        sqlite_where=sa.text("state <> 'succeeded'"),
        postgresql_where=sa.text("state <> 'succeeded'"),
    )


def _attempts() -> None:
    op.create_table(
        "attempts",
        sa.Column("trial_id", BigInteger, autoincrement=False, nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("campaign_id", sa.Integer(), nullable=False),
        sa.Column("sequence", BigInteger, nullable=True),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("status", sa.Text(), nullable=True),
        sa.Column("failure", sa.String(length=16), nullable=True),
        sa.Column("started_at", UtcTimestamp(), nullable=False),
        sa.Column("ended_at", UtcTimestamp(), nullable=True),
        sa.Column("engine_id", sa.String(length=36), nullable=True),
        sa.Column("exit_code", sa.Integer(), nullable=True),
        sa.Column("pings", sa.Integer(), server_default="0", nullable=False),
        sa.Column("ssh_checks", sa.Integer(), server_default="0", nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "state IN ('new', 'running', 'succeeded', 'failed', 'lost', 'cancelled')",
            name=op.f("ck_attempts_state"),
        ),
        sa.ForeignKeyConstraint(
            ["campaign_id"], ["campaigns.id"], name=op.f("fk_attempts_campaign_id")
        ),
        sa.ForeignKeyConstraint(["trial_id"], ["trials.id"], name=op.f("fk_attempts_trial_id")),
        sa.PrimaryKeyConstraint("trial_id", "number", name=op.f("pk_attempts")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_attempts_campaign_id_sequence", "attempts", ["campaign_id", "sequence"], unique=True
    )
    op.create_index(
        "ix_attempts_running",
        "attempts",
        ["campaign_id", "engine_id"],
        unique=False,
        sqlite_where=sa.text("state = 'running'"),
        postgresql_where=sa.text("state = 'running'"),
    )


def _leases() -> None:
    op.create_table(
        "leases",
        sa.Column("id", BigInteger, nullable=False),
        sa.Column("campaign_id", sa.Integer(), nullable=False),
        sa.Column("start", BigInteger, nullable=False),
        sa.Column("stop", BigInteger, nullable=False),
        sa.Column("first_id", BigInteger, nullable=False),
        sa.Column("engine_id", sa.String(length=36), nullable=True),
        sa.ForeignKeyConstraint(
            ["campaign_id"], ["campaigns.id"], name=op.f("fk_leases_campaign_id")
        ),
        sa.ForeignKeyConstraint(["engine_id"], ["engines.id"], name=op.f("fk_leases_engine_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_leases")),
    )
    op.create_index(op.f("ix_leases_campaign_id"), "leases", ["campaign_id"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_leases_campaign_id"), table_name="leases")
    op.drop_table("leases")
    op.drop_index(
        "ix_attempts_running",
        table_name="attempts",
        sqlite_where=sa.text("state = 'running'"),
        postgresql_where=sa.text("state = 'running'"),
    )
    op.drop_index("ix_attempts_campaign_id_sequence", table_name="attempts")
    op.drop_table("attempts")
    op.drop_index(
        "ix_trials_unfinished",
        table_name="trials",
        sqlite_where=sa.text("state <> 'succeeded'"),
        postgresql_where=sa.text("state <> 'succeeded'"),
    )
    op.drop_index("ix_trials_campaign_id_position", table_name="trials")
    op.drop_table("trials")
    op.drop_index(op.f("ix_engines_campaign_id"), table_name="engines")
    op.drop_table("engines")
    op.drop_table("result_columns")
    op.drop_table("campaigns")
    op.drop_table("experiments")
    op.drop_table("projects")
    op.drop_table("messages")
    op.drop_table("funding")
    op.drop_table("experimenters")
    op.drop_index("ix_events_entity_entity_id", table_name="events")
    op.drop_table("events")
    op.drop_table("counters")
