"""Who does what, why, and who pays: funding, projects, experimenters, links of experiments."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from fieldlab.domain.definition import is_name
from fieldlab.domain.errors import BadInput, UnknownName, nearest
from fieldlab.ports.store import Campaign
from fieldlab.store import tables
from fieldlab.store.bulk import insert_rows
from fieldlab.store.campaigns import read_campaigns
from fieldlab.store.experiments import named_row
from fieldlab.store.registry_fields import KINDS, Kind, read_values

#: one entry: field → value; references are names; a field without a value is None
Entry = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentNode:
    """An experiment's version in the tree of projects."""

    #: with ``.v2`` and so on behind it from the second version on
    name: str
    description: str
    #: names; empty where there is none
    experimenter: str
    funding: str
    campaigns: tuple[Campaign, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectNode:
    """A project in the tree; without a name it holds the experiments that belong to none."""

    name: str
    title: str
    #: its name; empty where there is none
    funding: str
    projects: tuple[ProjectNode, ...]
    experiments: tuple[ExperimentNode, ...]


def add(connection: sa.Connection, kind_name: str, name: str, texts: Mapping[str, str]) -> None:
    """Add an entry.

    Parameters
    ----------
    kind_name
        A key of KINDS.
    texts
        Field → what the user wrote; an empty text is no value.

    Raises
    ------
    BadInput
        The name is taken or can't be a name, or a value can't be used; nothing was added.
    UnknownName
        It refers to something that doesn't exist.
    """
    kind = KINDS[kind_name]
    if not is_name(name):
        raise BadInput(
            f"'{name}' can't be a name",
            remedy="Use letters, digits, _ and -, at most 63, a letter or a digit first",
            key=("name",),
        )
    values = _columns(connection, kind, texts, {})
    columns, row = zip(*{"name": name, **values, "created_at": time.time()}.items(), strict=True)
    if not insert_rows(connection, kind.table, columns, [row], ignore_existing=True):
        raise BadInput(
            f"There is a {kind_name} '{name}' already",
            remedy=f"Change it with `fieldlab {kind_name} edit {name}`, or choose another name",
            key=("name",),
        )


def edit(connection: sa.Connection, kind_name: str, name: str, texts: Mapping[str, str]) -> None:
    """Change some fields of an entry; an empty text takes the value away.

    Raises
    ------
    BadInput
        A value can't be used; nothing was changed.
    UnknownName
        There is no such entry, or it refers to one that doesn't exist.
    """
    kind = KINDS[kind_name]
    if not texts:
        raise BadInput(
            "Nothing to change was given",
            remedy=f"`fieldlab {kind_name} edit --help` lists what can be",
        )
    row_id = _find(connection, kind, name)
    table = kind.table
    before = connection.execute(
        sa.select(*(table.c[each] for each in ("id", *_dates(kind)))).where(table.c.id == row_id)
    )
    values = _columns(connection, kind, texts, dict(before.mappings().one()))
    connection.execute(sa.update(table).where(table.c.id == row_id).values(values))


def entries(connection: sa.Connection, kind_name: str) -> list[Entry]:
    """List every entry of a kind, by name."""
    return _read(connection, KINDS[kind_name], None)


def entry(connection: sa.Connection, kind_name: str, name: str) -> Entry:
    """Read one entry.

    Raises
    ------
    UnknownName
        With the nearest name that exists.
    """
    kind = KINDS[kind_name]
    return _read(connection, kind, _find(connection, kind, name))[0]


def remove(connection: sa.Connection, kind_name: str, name: str) -> None:
    """Remove an entry that nothing refers to.

    Raises
    ------
    BadInput
        Something refers to it; it stays.
    UnknownName
        There is no such entry.
    """
    kind = KINDS[kind_name]
    row_id = _find(connection, kind, name)
    table = kind.table
    # a writer that is about to refer to it waits, and then finds it gone
    connection.execute(sa.select(table.c.id).where(table.c.id == row_id).with_for_update())
    users = _users(connection, kind_name, row_id)
    if users:
        named = [f"{user} '{each}'" for user, names in users.items() for each in names]
        listed = ", ".join(named[:5]) + (f" and {len(named) - 5} more" if len(named) > 5 else "")
        user, first = next((user, names[0]) for user, names in users.items())
        option = next(o for o, target in KINDS[user].references.items() if target == kind_name)
        raise BadInput(
            f"The {kind_name} '{name}' can't be removed: it is used by {listed}",
            remedy=f'Unlink it first, as in `fieldlab {user} edit {first} --{option} ""`',
        )
    connection.execute(sa.delete(table).where(table.c.id == row_id))


def users_of(connection: sa.Connection, kind_name: str, name: str) -> dict[str, list[str]]:
    """List what refers to an entry: kind → names."""
    return _users(connection, kind_name, _find(connection, KINDS[kind_name], name))


def tree(connection: sa.Connection) -> tuple[ProjectNode, ...]:
    """Read the tree of projects, their experiments and the experiments' campaigns."""
    projects, experiments = tables.projects, tables.experiments
    payers, people = (_names(connection, each) for each in (tables.funding, tables.experimenters))
    runs: dict[int, list[Campaign]] = {}
    for campaign in read_campaigns(connection):
        runs.setdefault(campaign.experiment_id, []).append(campaign)
    leaves: dict[int | None, list[ExperimentNode]] = {}
    for row in connection.execute(
        sa.select(experiments).order_by(experiments.c.name, experiments.c.version)
    ):
        node = ExperimentNode(
            name=_versioned(row.name, row.version),
            description=row.description or "",
            experimenter=people.get(row.experimenter_id, ""),
            funding=payers.get(row.funding_id, ""),
            campaigns=tuple(runs.get(row.id, ())),
        )
        leaves.setdefault(row.project_id, []).append(node)
    children: dict[int | None, list[sa.Row[Any]]] = {}
    for row in connection.execute(sa.select(projects).order_by(projects.c.name)):
        children.setdefault(row.parent_id, []).append(row)

    def node_of(row: sa.Row[Any]) -> ProjectNode:
        return ProjectNode(
            name=row.name,
            title=row.title or "",
            funding=payers.get(row.funding_id, ""),
            projects=tuple(node_of(each) for each in children.get(row.id, ())),
            experiments=tuple(leaves.get(row.id, ())),
        )

    roots = [node_of(row) for row in children.get(None, ())]
    if None in leaves:
        stray = tuple(leaves[None])
        roots.append(ProjectNode(name="", title="", funding="", projects=(), experiments=stray))
    return tuple(roots)


def _names(connection: sa.Connection, table: sa.Table) -> dict[int, str]:
    return {row.id: row.name for row in connection.execute(sa.select(table.c.id, table.c.name))}


def _columns(
    connection: sa.Connection, kind: Kind, texts: Mapping[str, str], before: Mapping[str, Any]
) -> Entry:
    """Read what was said about an entry as values of its columns."""
    plain = {field: text for field, text in texts.items() if field in kind.readers}
    values = read_values(kind, plain)
    _check_dates({**before, **values})
    for field, target in kind.references.items():
        if field in texts:
            values[f"{field}_id"] = named_row(
                connection, KINDS[target].table, texts[field].strip(), target
            )
    if values.get("parent_id") is not None and "id" in before:
        _check_parent(connection, before["id"], values["parent_id"])
    return values


def _dates(kind: Kind) -> list[str]:
    return [name for name in ("starts_on", "ends_on") if name in kind.readers]


def _check_dates(values: Mapping[str, Any]) -> None:
    start, end = values.get("starts_on"), values.get("ends_on")
    if start is not None and end is not None and end < start:
        raise BadInput(
            f"It ends on {end}, before it starts on {start}",
            remedy="Give a start that is not after the end",
            key=("ends_on",),
        )


def _check_parent(connection: sa.Connection, project: int, parent: int) -> None:
    """Refuse a parent that is the project itself or one of those below it."""
    projects = tables.projects
    rows = connection.execute(
        sa.select(projects.c.id, projects.c.parent_id, projects.c.name).with_for_update()
    ).all()
    parents = {row.id: row.parent_id for row in rows}
    names = {row.id: row.name for row in rows}
    above: int | None = parent
    while above is not None:
        if above == project:
            below = "itself" if parent == project else f"'{names[parent]}', which lies below it"
            raise BadInput(
                f"The project '{names[project]}' can't lie below {below}",
                remedy="Choose another parent; `fieldlab project tree` shows them",
                key=("parent",),
            )
        above = parents[above]


def _find(connection: sa.Connection, kind: Kind, name: str) -> int:
    if kind.name == "experiment":
        return _find_experiment(connection, name)
    table = kind.table
    found = connection.scalar(sa.select(table.c.id).where(table.c.name == name))
    if found is None:
        known = connection.scalars(sa.select(table.c.name)).all()
        raise _unknown(kind.name, name, known)
    return int(found)


def _find_experiment(connection: sa.Connection, name: str) -> int:
    """Find an experiment by ``name`` (its newest version) or ``name.v2``."""
    experiments = tables.experiments
    rows = connection.execute(
        sa.select(experiments.c.id, experiments.c.name, experiments.c.version)
        .where(experiments.c.name == name.partition(".")[0])
        .order_by(experiments.c.version.desc())
    ).all()
    version = re.fullmatch(r"[^.]+\.v(\d{1,9})", name, re.ASCII)
    for row in rows:
        if name == row.name or (version and int(version[1]) == row.version):
            return int(row.id)
    known: Iterable[str] = [_versioned(row.name, row.version) for row in rows]
    raise _unknown(
        "experiment", name, known or connection.scalars(sa.select(experiments.c.name).distinct())
    )


def _unknown(kind: str, name: str, known: Iterable[str]) -> UnknownName:
    hint = nearest(name, known)
    return UnknownName(
        f"There is no {kind} '{name}'",
        remedy=hint[:1].upper() + hint[1:] or f"`fieldlab {kind} list` shows those that exist",
        key=("name",),
    )


def _versioned(name: str, version: int) -> str:
    return name if version == 1 else f"{name}.v{version}"


def _users(connection: sa.Connection, kind_name: str, row_id: int) -> dict[str, list[str]]:
    users: dict[str, list[str]] = {}
    for user, kind in KINDS.items():
        columns = [f"{field}_id" for field, to in kind.references.items() if to == kind_name]
        if not columns:
            continue
        table = kind.table
        version = table.c.version if user == "experiment" else sa.literal(1)
        rows = connection.execute(
            sa.select(table.c.name, version)
            .where(sa.or_(*(table.c[each] == row_id for each in columns)))
            .order_by(table.c.name, version)
        ).all()
        if rows:
            users[user] = [_versioned(name, version) for name, version in rows]
    return users


def _read(connection: sa.Connection, kind: Kind, row_id: int | None) -> list[Entry]:
    table = kind.table
    source: sa.FromClause = table
    columns: list[sa.ColumnElement[Any]] = [table.c.name]
    if kind.name == "experiment":
        columns += [table.c.version, table.c.results_table, *_counts()]
    for field in kind.readers:
        # as text: SQLite would give it back as a float
        exact = field == "budget"
        columns.append(sa.cast(table.c.budget, sa.Text).label(field) if exact else table.c[field])
    for field, target in kind.references.items():
        other = KINDS[target].table.alias(f"its_{field}")
        source = source.outerjoin(other, table.c[f"{field}_id"] == other.c.id)
        columns.append(other.c.name.label(field))
    query = sa.select(*columns, table.c.created_at).select_from(source)
    query = query.order_by(table.c.name, table.c.version if "version" in table.c else table.c.id)
    if row_id is not None:
        query = query.where(table.c.id == row_id)
    return [_entry(dict(row)) for row in connection.execute(query).mappings()]


def _entry(row: Entry) -> Entry:
    if row.get("budget") is not None:
        row["budget"] = Decimal(row["budget"]).quantize(Decimal("0.01"))
    if "version" in row:
        row["name"] = _versioned(row["name"], row["version"])
    return row


def _counts() -> list[sa.ColumnElement[Any]]:
    """Count an experiment's campaigns, and the trials of which something is recorded."""
    campaigns = tables.campaigns
    mine = campaigns.c.experiment_id == tables.experiments.c.id
    ended = campaigns.c.succeeded + campaigns.c.failed + campaigns.c.cancelled
    return [
        sa.select(sa.func.count()).select_from(campaigns).where(mine).scalar_subquery()
        .label("campaigns"),
        sa.select(sa.cast(sa.func.coalesce(sa.func.sum(ended), 0), tables.BigInteger))
        .where(mine).scalar_subquery().label("trials"),
    ]  # fmt: skip
