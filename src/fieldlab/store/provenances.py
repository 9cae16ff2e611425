"""What attempts were made with: a row per state of code and environment, named by engines."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa

from fieldlab.domain.provenance import Code, Environment, Origin, Provenance
from fieldlab.ports.store import Campaign
from fieldlab.store import tables
from fieldlab.store.bulk import insert_rows

_ENVIRONMENT = ("interpreter", "platform", "packages", "lock_file", "lock_sha256")
_CODE = ("repository", "commit", "branch", "dirty", "patch")
_PROCESS = ("host", "user", "command_line", "directory")

#: columns that name the code
CODE = (tables.provenances.c.commit, tables.provenances.c.dirty)
#: columns that say in short where an attempt comes from; see :func:`with_origin`
WHENCE = (
    tables.engines.c.host,
    tables.engines.c.user,
    *CODE,
)


def with_origin(attempts: sa.FromClause) -> sa.Join:
    """Join attempts with their engines and provenances, as far as there are any."""
    engines, provenances = tables.engines, tables.provenances
    return attempts.outerjoin(engines, engines.c.id == tables.attempts.c.engine_id).outerjoin(
        provenances, provenances.c.id == engines.c.provenance_id
    )


def keep(connection: sa.Connection, campaign_id: int, provenance: Provenance | None) -> int | None:
    """Record a provenance, unless the same is there already; its id.

    What an experiment's row doesn't say yet of code, commit and environment is taken from it.
    """
    if provenance is None:
        return None
    row: dict[str, Any] = {
        "digest": provenance.digest,
        **{name: getattr(provenance.code, name, None) for name in _CODE},
        **{name: getattr(provenance.environment, name) for name in _ENVIRONMENT},
    }
    row |= {name: row[name] or None for name in ("commit", "branch", "lock_file", "lock_sha256")}
    row["packages"] = dict(row["packages"])
    provenances = tables.provenances
    insert_rows(connection, provenances, tuple(row), [tuple(row.values())], ignore_existing=True)
    _fill_in(connection, campaign_id, provenance)
    return connection.scalar(
        sa.select(provenances.c.id).where(provenances.c.digest == provenance.digest)
    )


def _fill_in(connection: sa.Connection, campaign_id: int, provenance: Provenance) -> None:
    """Say of an experiment what nobody has said, as its first run shows it."""
    experiments, code = tables.experiments, provenance.code
    known = {
        "code_link": code.repository if code else "",
        "commit": code.commit if code else "",
        "environment": str(provenance.environment),
    }
    mine = (
        sa.select(tables.campaigns.c.experiment_id)
        .where(tables.campaigns.c.id == campaign_id)
        .scalar_subquery()
    )
    for name, value in known.items():
        if value:
            connection.execute(
                sa.update(experiments)
                .where(experiments.c.id == mine, experiments.c[name].is_(None))
                .values({name: value})
            )


def origins_of(connection: sa.Connection, engine_ids: Collection[str]) -> dict[str, Origin]:
    """Say where attempts come from: id of an engine → its origin."""
    return _origins(connection, tables.engines.c.id.in_(engine_ids))


def origins_in(connection: sa.Connection, campaign: Campaign) -> list[Origin]:
    """List the origins of a campaign's attempts, in the order in which its engines began."""
    return list(_origins(connection, tables.engines.c.campaign_id == campaign.id).values())


def _origins(connection: sa.Connection, which: sa.ColumnElement[bool]) -> dict[str, Origin]:
    engines, provenances = tables.engines, tables.provenances
    rows = connection.execute(
        sa.select(
            engines.c.id,
            engines.c.pid,
            *(engines.c[name] for name in _PROCESS),
            *(provenances.c[name] for name in (*_CODE, *_ENVIRONMENT)),
        )
        .join_from(engines, provenances, isouter=True)
        .where(which)
        .order_by(engines.c.started_at, engines.c.id)
    ).mappings()
    return {row["id"]: _origin(row) for row in rows}


def _origin(row: sa.RowMapping) -> Origin:
    provenance = None
    if row["interpreter"] is not None:
        code = {name: row[name] for name in _CODE}
        code |= {name: row[name] or "" for name in ("commit", "branch")}
        environment: dict[str, Any] = {name: row[name] or "" for name in _ENVIRONMENT}
        environment["packages"] = row["packages"]
        provenance = Provenance(
            code=Code(**code) if row["repository"] is not None else None,
            environment=Environment(**environment),
        )
    return Origin(
        host=row["host"],
        pid=row["pid"],
        user=row["user"] or "",
        command_line=tuple(row["command_line"] or ()),
        directory=row["directory"] or "",
        provenance=provenance,
    )
