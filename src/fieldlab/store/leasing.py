"""Taking work from a campaign: due retries, ranges left behind, new ranges."""

from __future__ import annotations

import json
import time
from typing import Any

import sqlalchemy as sa

from fieldlab.domain.errors import Conflict
from fieldlab.domain.parameters import TrialPoint
from fieldlab.domain.trials import AttemptState, CampaignState, TrialState
from fieldlab.ports.store import Campaign, Lease, Retry, Sifted, Work
from fieldlab.store import tables
from fieldlab.store.campaigns import add_counts, lock_campaign
from fieldlab.store.transitions import ATTEMPTS, TRIALS, Cause, advance_all


def acquire(
    connection: sa.Connection,
    campaign_id: int,
    engine_id: str,
    positions: int,
    retries: int,
    sifted: Sifted | None = None,
) -> Work:
    """Lease new positions and due retries; see :class:`fieldlab.ports.store.CampaignStore`."""
    campaign = lock_campaign(connection, campaign_id)
    require_alive(connection, engine_id)
    if campaign.state is not CampaignState.RUNNING:
        return Work(state=campaign.state)
    due = _take_due(connection, campaign, engine_id, retries)
    if campaign.definition.takes_points:
        return Work(state=campaign.state, retries=due)
    leases = _take_free(connection, campaign_id, engine_id, positions)
    left = positions - sum(lease.stop - lease.start for lease in leases)
    if left > 0 and sifted is not None:
        fresh = _take_sifted(connection, campaign, engine_id, sifted)
    else:
        fresh = _take_fresh(connection, campaign, engine_id, left)
    leases += [fresh] if fresh else []
    return Work(state=campaign.state, leases=leases, retries=due)


def require_alive(connection: sa.Connection, engine_id: str) -> None:
    """Refuse an engine that has been written out: nobody would free what it is given now.

    Raises
    ------
    Conflict
        Another engine took it for dead.
    """
    engines = tables.engines
    alive = sa.exists().where(engines.c.id == engine_id, engines.c.ended_at.is_(None))
    if not connection.scalar(sa.select(alive)):
        raise Conflict(
            "Another engine took this one for dead and has taken over its work",
            remedy="What it had recorded is safe; start it again with `fieldlab resume`",
        )


def was_granted(connection: sa.Connection, engine_id: str, work: Work) -> bool:
    """Say whether work was committed by a call that broke off before it could answer."""
    leases, attempts = tables.leases, tables.attempts
    held = sa.exists().where(
        leases.c.engine_id == engine_id, leases.c.id.in_([lease.id for lease in work.leases])
    )
    run = sa.exists().where(
        attempts.c.engine_id == engine_id,
        tables.in_state(attempts, AttemptState.RUNNING),
        attempts.c.number > 1,
        attempts.c.trial_id.in_([retry.trial_id for retry in work.retries]),
    )
    return bool(connection.scalar(sa.select(held | run)))


def _take_due(
    connection: sa.Connection, campaign: Campaign, engine_id: str, limit: int
) -> list[Retry]:
    trials = tables.trials
    now = time.time()
    points = (trials.c.parameters, trials.c.repeat) if campaign.definition.takes_points else ()
    rows = connection.execute(
        sa.select(trials.c.id, trials.c.position, trials.c.attempts, *points)
        .where(
            trials.c.campaign_id == campaign.id,
            tables.in_state(trials, TrialState.QUEUED),
            sa.or_(trials.c.due_at.is_(None), trials.c.due_at <= now),
        )
        .order_by(trials.c.due_at, trials.c.id)
        .limit(limit)
    ).all()
    cause = Cause(actor=engine_id, at=now)
    won = advance_all(
        connection,
        TRIALS,
        TrialState.QUEUED,
        TrialState.RUNNING,
        cause,
        ("id", "attempts", "due_at"),
        [(row.id, row.attempts + 1, None) for row in rows],
    )
    advance_all(
        connection,
        ATTEMPTS,
        AttemptState.NEW,
        AttemptState.RUNNING,
        cause,
        ("trial_id", "number", "campaign_id", "started_at", "engine_id"),
        [(trial, number, campaign.id, now, engine_id) for trial, number, _ in won],
    )
    places = {row.id: row for row in rows}
    return [
        Retry(
            trial_id=trial,
            position=places[trial].position,
            number=number,
            trial=_point(places[trial]) if points else None,
        )
        for trial, number, _ in won
    ]


def _point(row: sa.Row[Any]) -> TrialPoint:
    return TrialPoint(json.loads(row.parameters), row.repeat)


def _take_free(
    connection: sa.Connection, campaign_id: int, engine_id: str, positions: int
) -> list[Lease]:
    """Take ranges that an engine left behind, with what of them is recorded already."""
    leases, trials = tables.leases, tables.trials
    rows = connection.execute(
        sa.select(leases)
        .where(leases.c.campaign_id == campaign_id, leases.c.engine_id.is_(None))
        .order_by(leases.c.start)
    ).all()
    taken: list[Lease] = []
    for row in rows:
        if positions <= 0:
            break
        recorded = connection.scalars(
            sa.select(trials.c.position).where(
                trials.c.campaign_id == campaign_id,
                trials.c.position >= row.start,
                trials.c.position < row.stop,
            )
        )
        connection.execute(
            sa.update(leases).where(leases.c.id == row.id).values(engine_id=engine_id)
        )
        taken.append(
            Lease(
                id=row.id,
                start=row.start,
                stop=row.stop,
                first_id=row.first_id,
                recorded=frozenset(recorded),
            )
        )
        positions -= row.stop - row.start
    return taken


def _take_fresh(
    connection: sa.Connection, campaign: Campaign, engine_id: str, positions: int
) -> Lease | None:
    ends = [campaign.cursor + positions]
    if campaign.positions is not None:
        ends.append(campaign.positions)
    if campaign.wanted is not None:
        ends.append(campaign.wanted + campaign.excluded)
    start, stop = campaign.cursor, min(ends)
    if stop <= start:
        return None
    return _lease(connection, campaign, engine_id, start, stop)


def _take_sifted(
    connection: sa.Connection, campaign: Campaign, engine_id: str, sifted: Sifted
) -> Lease | None:
    """Take a range that has been looked through; one without a trial to run is only passed."""
    if campaign.cursor != sifted.start:
        return None
    trials = sifted.stop - sifted.excluded
    if campaign.wanted is not None and trials > campaign.wanted + campaign.excluded:
        return None
    add_counts(connection, campaign.id, excluded=sifted.excluded)
    if sifted.positions:
        return _lease(connection, campaign, engine_id, sifted.start, sifted.stop, sifted.excluded)
    add_counts(connection, campaign.id, skipped=sifted.skipped)
    _move_cursor(connection, campaign, sifted.stop)
    return None


def _lease(
    connection: sa.Connection,
    campaign: Campaign,
    engine_id: str,
    start: int,
    stop: int,
    excluded: int = 0,
) -> Lease:
    first_id = reserve_ids(connection, "trials", stop - start)
    _move_cursor(connection, campaign, stop)
    created = connection.execute(
        sa.insert(tables.leases).values(
            campaign_id=campaign.id,
            start=start,
            stop=stop,
            first_id=first_id,
            engine_id=engine_id,
            excluded=excluded,
        )
    )
    lease_id = int(created.inserted_primary_key[0])  # type: ignore[index]
    return Lease(id=lease_id, start=start, stop=stop, first_id=first_id)


def _move_cursor(connection: sa.Connection, campaign: Campaign, stop: int) -> None:
    connection.execute(
        sa.update(tables.campaigns).where(tables.campaigns.c.id == campaign.id).values(cursor=stop)
    )


def reserve_ids(connection: sa.Connection, name: str, count: int) -> int:
    """Reserve ``count`` ids that nobody else gets; the first of them is returned."""
    counters = tables.counters
    grown = connection.execute(
        sa.update(counters)
        .where(counters.c.name == name)
        .values(value=counters.c.value + count)
        .returning(counters.c.value)
    ).scalar_one()
    return int(grown) - count + 1
