"""Campaigns: reading them, changing their state, trying failed trials again."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Any

import sqlalchemy as sa

from fieldlab.domain.definition import Definition
from fieldlab.domain.errors import Conflict, UnknownName, nearest
from fieldlab.domain.lifecycle import Role
from fieldlab.domain.trials import CAMPAIGN, CampaignState, TrialState
from fieldlab.ports.store import Campaign
from fieldlab.store import tables
from fieldlab.store.transitions import CAMPAIGNS, TRIALS, Cause, advance, advance_all

_OTHER = tables.campaigns.alias("other")
_SUMMARY = (
    sa.select(
        tables.campaigns,
        tables.experiments.c.name.label("experiment"),
        tables.experiments.c.version,
        sa.exists()
        .where(
            _OTHER.c.experiment_id == tables.campaigns.c.experiment_id,
            _OTHER.c.id != tables.campaigns.c.id,
            _OTHER.c.cursor > 0,
        )
        .correlate(tables.campaigns)
        .label("shares_trials"),
    )
    .join_from(tables.campaigns, tables.experiments)
    .order_by(tables.campaigns.c.id)
)


def _campaign(row: sa.RowMapping) -> Campaign:
    same = {
        name: row[name]
        for name in Campaign.__dataclass_fields__
        if name not in ("state", "definition")
    }
    return Campaign(
        state=CampaignState(row["state"]),
        definition=Definition.from_dict(row["definition"]),
        **same,
    )


def read_campaign(connection: sa.Connection, campaign_id: int) -> Campaign:
    """Read one campaign."""
    query = _SUMMARY.where(tables.campaigns.c.id == campaign_id)
    return _campaign(connection.execute(query).mappings().one())


def read_campaigns(connection: sa.Connection) -> list[Campaign]:
    """Read every campaign, the oldest first."""
    return [_campaign(row) for row in connection.execute(_SUMMARY).mappings()]


def find_campaign(connection: sa.Connection, name: str) -> Campaign:
    """Find a campaign by its full name, or the newest of an experiment or of a version of it.

    Raises
    ------
    UnknownName
        With the nearest name that exists.
    """
    experiment = name.partition(".")[0]
    query = _SUMMARY.where(tables.experiments.c.name == experiment)
    found = [_campaign(row) for row in connection.execute(query).mappings()]
    matching = [each for each in found if each.is_called(name)]
    if matching:
        return matching[-1]
    names = connection.scalars(sa.select(tables.experiments.c.name).distinct()).all()
    known = [each.name for each in found] or list(names)
    raise UnknownName(
        f"There is no experiment or campaign '{name}'",
        remedy=nearest(name, known) or "See `fieldlab status` for those that exist",
    )


def change_state(
    connection: sa.Connection,
    campaign_id: int,
    target: CampaignState,
    *,
    by: str,
    why: str,
    expected: CampaignState | None = None,
) -> Campaign:
    """Take a campaign to another state, as the person ``by``; see the port."""
    campaign = lock_campaign(connection, campaign_id)
    if expected is not None and campaign.state is not expected:
        raise Conflict(
            f"Campaign {campaign.name} is {campaign.state} by now, and was {expected}",
            remedy="Look at it again with `fieldlab status`",
        )
    values: dict[str, Any] = {"note": why}
    if target is CampaignState.RUNNING:
        values |= {"consecutive_failures": 0, "ended_at": None}
        if campaign.started_at is None:
            values["started_at"] = time.time()
    if target is CampaignState.CANCELLED:
        values["ended_at"] = time.time()
    cause = Cause(actor=by, role=Role.RESEARCHER, reason=why)
    CAMPAIGN.check(f"Campaign {campaign.name}", campaign.state, target, cause.role)
    advance(connection, CAMPAIGNS, campaign_id, campaign.state, target, cause, **values)
    if target is CampaignState.CANCELLED:
        _cancel_queued(connection, campaign_id, cause)
    return read_campaign(connection, campaign_id)


def finish(connection: sa.Connection, campaign_id: int, engine_id: str) -> bool:
    """Finish a campaign if nothing is left; see :class:`fieldlab.ports.store.CampaignStore`."""
    campaign = lock_campaign(connection, campaign_id)
    if campaign.state is CampaignState.FINISHED:
        return True
    if campaign.state is not CampaignState.RUNNING or _has_left(connection, campaign):
        return False
    engines = tables.engines
    others = sa.exists().where(
        engines.c.campaign_id == campaign_id,
        engines.c.ended_at.is_(None),
        engines.c.id != engine_id,
    )
    if campaign.definition.takes_points and connection.scalar(sa.select(others)):
        return True
    now = time.time()
    cause = Cause(actor="engine", at=now)
    state, target = CampaignState.RUNNING, CampaignState.FINISHED
    advance(connection, CAMPAIGNS, campaign_id, state, target, cause, ended_at=now)
    return True


def _has_left(connection: sa.Connection, campaign: Campaign) -> bool:
    """Whether a campaign has trials that nobody has run."""
    trials, leases = tables.trials, tables.leases
    wanted = None if campaign.wanted is None else campaign.wanted + campaign.excluded
    ends = [end for end in (campaign.positions, wanted) if end is not None]
    if not campaign.definition.takes_points and (not ends or campaign.cursor < min(ends)):
        return True
    held = sa.exists().where(leases.c.campaign_id == campaign.id)
    open_ = sa.exists().where(
        trials.c.campaign_id == campaign.id,
        tables.in_state(trials, TrialState.QUEUED, TrialState.RUNNING),
    )
    return bool(connection.scalar(sa.select(held | open_)))


def requeue(
    connection: sa.Connection, campaign_id: int, states: Collection[TrialState], *, by: str
) -> int:
    """Queue a campaign's failed or cancelled trials again, with all their tries.

    Those of the experiment's other campaigns stay theirs: a position means another point there.

    Returns
    -------
    int
        Trials queued.
    """
    lock_campaign(connection, campaign_id)
    trials = tables.trials
    cause = Cause(actor=by, role=Role.RESEARCHER, reason="to be tried again")
    queued = 0
    for state in states:
        ids = connection.scalars(
            sa.select(trials.c.id).where(
                trials.c.campaign_id == campaign_id, tables.in_state(trials, state)
            )
        ).all()
        steps = [(each, 0, 0, None) for each in ids]
        columns = ("id", "used", "lost", "due_at")
        won = advance_all(connection, TRIALS, state, TrialState.QUEUED, cause, columns, steps)
        queued += len(won)
        add_counts(connection, campaign_id, **{state.value: -len(won)})
    return queued


def _cancel_queued(connection: sa.Connection, campaign_id: int, cause: Cause) -> None:
    trials = tables.trials
    queued = connection.scalars(
        sa.select(trials.c.id).where(
            trials.c.campaign_id == campaign_id, tables.in_state(trials, TrialState.QUEUED)
        )
    ).all()
    won = advance_all(
        connection,
        TRIALS,
        TrialState.QUEUED,
        TrialState.CANCELLED,
        cause,
        ("id",),
        [(each,) for each in queued],
    )
    add_counts(connection, campaign_id, cancelled=len(won))


def add_counts(connection: sa.Connection, campaign_id: int, **counts: int) -> None:
    """Add to a campaign's counters."""
    grown = {name: tables.campaigns.c[name] + n for name, n in counts.items() if n}
    if grown:
        connection.execute(
            sa.update(tables.campaigns).where(tables.campaigns.c.id == campaign_id).values(grown)
        )


def lock_campaign(connection: sa.Connection, campaign_id: int) -> Campaign:
    """Read a campaign and keep others from changing it until the transaction ends."""
    connection.execute(
        sa.select(tables.campaigns.c.id)
        .where(tables.campaigns.c.id == campaign_id)
        .with_for_update()
    )
    return read_campaign(connection, campaign_id)
