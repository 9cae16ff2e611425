"""Making experiments and their campaigns, and finding the rows that a definition names."""

from __future__ import annotations

import time

import sqlalchemy as sa

from fieldlab.domain.definition import Definition
from fieldlab.domain.errors import BadInput, Problem, UnknownName, nearest
from fieldlab.domain.ids import digest
from fieldlab.domain.kinds import COLUMN_KINDS, parameter_kinds
from fieldlab.domain.lifecycle import Role
from fieldlab.ports.store import Campaign
from fieldlab.store import tables
from fieldlab.store.campaigns import read_campaign
from fieldlab.store.results import ResultsTable, table_name
from fieldlab.store.transitions import CAMPAIGNS, Cause, create

#: kinds of entries that a definition names → their tables
_NAMED = {
    "project": tables.projects,
    "experimenter": tables.experimenters,
    "funding": tables.funding,
}


def require_named(connection: sa.Connection, definition: Definition) -> None:
    """Refuse a definition that names a project, experimenter or funding which isn't there.

    Raises
    ------
    UnknownName
        ``problems`` lists them all; each says how to add it.
    """
    problems: list[Problem] = []
    for kind, table in _NAMED.items():
        try:
            named_row(connection, table, getattr(definition, kind), kind)
        except UnknownName as error:
            problems += error.problems
    if problems:
        raise UnknownName.of(problems)


def ensure_experiment(connection: sa.Connection, definition: Definition) -> int:
    """Find the experiment's version that this tool makes, or write one with its results table."""
    experiments = tables.experiments
    _lock_names(connection)
    require_named(connection, definition)
    versions = connection.execute(
        sa.select(experiments.c.id, experiments.c.identity).where(
            experiments.c.name == definition.name
        )
    ).all()
    for experiment_id, identity in versions:
        if identity == definition.identity:
            return int(experiment_id)
    version = len(versions) + 1
    name = _free_table_name(connection, table_name(definition.name, version))
    created = connection.execute(
        sa.insert(experiments).values(
            name=definition.name,
            version=version,
            identity=definition.identity,
            results_table=name,
            description=definition.description,
            created_at=time.time(),
            **{
                f"{kind}_id": named_row(connection, table, getattr(definition, kind), kind)
                for kind, table in _NAMED.items()
            },
        )
    )
    experiment_id = int(created.inserted_primary_key[0])  # type: ignore[index]
    ResultsTable(experiment_id, name).create(connection)
    return experiment_id


def results_tables(connection: sa.Connection, name: str) -> dict[int, str]:
    """Name the results tables of an experiment, by version; empty if there is no experiment."""
    experiments = tables.experiments
    query = sa.select(experiments.c.version, experiments.c.results_table)
    found = connection.execute(query.where(experiments.c.name == name))
    return {row.version: row.results_table for row in found}


def _lock_names(connection: sa.Connection) -> None:
    """Let one process at a time make experiments. SQLite has a single writer anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.text("LOCK TABLE experiments IN SHARE ROW EXCLUSIVE MODE"))


def _free_table_name(connection: sa.Connection, wanted: str) -> str:
    """Experiments whose names differ in punctuation only (a-b, a_b) get tables of their own."""
    taken = set(connection.scalars(sa.select(tables.experiments.c.results_table)))
    if wanted not in taken:
        return wanted
    return next(name for n in range(2, len(taken) + 3) if (name := f"{wanted}_{n}") not in taken)


def named_row(connection: sa.Connection, table: sa.Table, name: str, kind: str) -> int | None:
    """Find the row that a definition names; an empty name is no row.

    Raises
    ------
    UnknownName
        No such row; the message says how to add it.
    """
    if not name:
        return None
    found = connection.scalar(sa.select(table.c.id).where(table.c.name == name))
    if found is None:
        names = connection.scalars(sa.select(table.c.name)).all()
        hint = nearest(name, names)
        raise UnknownName(
            f"There is no {kind} '{name}'",
            remedy=f"{hint} Add it with `fieldlab {kind} add {name}`".strip(),
            key=(kind,),
        )
    return int(found)


def _require_fitting(connection: sa.Connection, experiment_id: int, definition: Definition) -> None:
    """Refuse parameters of another kind than the results of earlier campaigns hold.

    Raises
    ------
    BadInput
        Their trials would run, and couldn't be recorded.
    """
    columns = tables.result_columns
    recorded = connection.execute(
        sa.select(columns.c.name, columns.c.type).where(
            columns.c.experiment_id == experiment_id, columns.c.type.is_not(None)
        )
    )
    held = {name: COLUMN_KINDS[type_] for name, type_ in recorded}
    problems = [
        Problem(
            what=f"the values of '{name}' are {kind}, but those recorded so far are {held[name]}",
            remedy="Write them alike, rename the parameter, or name another experiment",
            key=("space",),
        )
        for name, kinds in parameter_kinds(definition.space).items()
        for kind in kinds
        if kind != held.get(name, kind)
    ]
    if problems:
        raise BadInput.of(problems)


def ensure_campaign(
    connection: sa.Connection,
    definition: Definition,
    *,
    positions: int | None,
    wanted: int | None,
    actor: str,
) -> Campaign:
    """Find the campaign of exactly this definition, or make one.

    Running a definition twice continues it; a changed one (a finer grid, another sample) makes a
    further campaign of the same experiment, which runs only the trials that are missing.
    """
    campaigns = tables.campaigns
    experiment_id = ensure_experiment(connection, definition)
    _require_fitting(connection, experiment_id, definition)
    content = definition.to_dict()
    fingerprint = digest({key: content[key] for key in ("tool", "space")})
    newest = connection.execute(
        sa.select(campaigns.c.id, campaigns.c.number, campaigns.c.definition_digest)
        .where(campaigns.c.experiment_id == experiment_id)
        .order_by(campaigns.c.number.desc())
        .limit(1)
    ).one_or_none()
    if newest and newest.definition_digest == fingerprint:
        connection.execute(
            sa.update(campaigns).where(campaigns.c.id == newest.id).values(definition=content)
        )
        return read_campaign(connection, newest.id)
    campaign_id = create(
        connection,
        CAMPAIGNS,
        Cause(actor=actor, role=Role.RESEARCHER),
        experiment_id=experiment_id,
        number=newest.number + 1 if newest else 1,
        definition=content,
        definition_digest=fingerprint,
        positions=positions,
        wanted=wanted,
        created_at=time.time(),
    )
    return read_campaign(connection, campaign_id)
