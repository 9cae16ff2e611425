"""Read models: what the command line and notebooks show. Nothing here writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa

from fieldlab.domain.errors import UnknownName
from fieldlab.domain.trials import AttemptState, TrialState
from fieldlab.ports.store import Campaign
from fieldlab.store import provenances, tables

#: hexadecimal digits of a fingerprint that are enough to look a trial up
SHORTEST_FINGERPRINT = 4
#: kinds of failures that are told apart in a campaign's state
MOST_KINDS = 5


class FailureCount(NamedTuple):
    """Failed trials whose last attempts ended alike: with the same type of exception, say."""

    #: what their statuses share: all of it, or what stands before the first colon
    title: str
    number: int
    #: sequence number of the last attempt that ended so
    newest: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """What goes on in a campaign besides what its own row says."""

    running: int
    queued: int
    #: rate of the newest attempts since engines work on it, 1/s; 0 when there are too few
    rate: float
    #: how failed trials ended, the most frequent kinds first
    failures: Sequence[FailureCount]


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptView:
    """One attempt, as people look at it."""

    fingerprint: str
    repeat: int
    #: canonical JSON of the point
    parameters: str
    number: int
    state: str
    status: str | None
    failure: str | None
    started_at: datetime
    ended_at: datetime | None
    exit_code: int | None
    error: str | None
    engine_id: str | None
    #: where it ran, who started that, and the code: None where nobody knows
    host: str | None
    user: str | None
    commit: str | None
    dirty: bool | None
    #: names of the hosts that it ran on, separated by commas; None: where its engine ran
    hosts: str | None
    #: JSON of what was done on them, step by step
    steps: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventView:
    """One entry of the journal."""

    at: datetime
    entity: str
    source: str
    target: str
    actor: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialView:
    """One trial with its history."""

    id: int
    position: int
    repeat: int
    fingerprint: str
    parameters: str
    state: TrialState
    due_at: datetime | None
    campaign_id: int
    attempts: tuple[AttemptView, ...]
    events: tuple[EventView, ...]


_ATTEMPTS = sa.select(
    tables.trials.c.fingerprint,
    tables.trials.c.repeat,
    tables.trials.c.parameters,
    *(
        tables.attempts.c[name]
        for name in (
            "number",
            "state",
            "status",
            "failure",
            "started_at",
            "ended_at",
            "exit_code",
            "error",
            "engine_id",
            "hosts",
            "steps",
        )
    ),
    *provenances.WHENCE,
).select_from(provenances.with_origin(tables.attempts.join(tables.trials)))


def activity(connection: sa.Connection, campaign: Campaign) -> Activity:
    """Look at what a campaign is doing, in time that doesn't grow with its trials."""
    attempts, trials = tables.attempts, tables.trials
    queued = connection.scalar(
        sa.select(sa.func.count()).where(
            trials.c.campaign_id == campaign.id, tables.in_state(trials, TrialState.QUEUED)
        )
    )
    running = connection.scalar(
        sa.select(sa.func.count()).where(
            attempts.c.campaign_id == campaign.id, tables.in_state(attempts, AttemptState.RUNNING)
        )
    )
    engines = tables.engines
    # since those that work on it now began: before that it may have paused for days
    since = (
        sa.select(sa.func.min(engines.c.started_at))
        .where(engines.c.campaign_id == campaign.id, engines.c.ended_at.is_(None))
        .scalar_subquery()
    )
    newest = (
        sa.select(attempts.c.ended_at)
        .where(
            attempts.c.campaign_id == campaign.id,
            attempts.c.sequence.is_not(None),
            attempts.c.ended_at >= since,
        )
        .order_by(attempts.c.sequence.desc())
        .limit(1000)
        .subquery()
    )
    count, first, last = connection.execute(
        sa.select(
            sa.func.count(),
            sa.func.min(newest.c.ended_at, type_=tables.UtcTimestamp),
            sa.func.max(newest.c.ended_at, type_=tables.UtcTimestamp),
        )
    ).one()
    span = (last - first).total_seconds() if count > 1 else 0.0
    return Activity(
        running=running or 0,
        queued=queued or 0,
        rate=(count - 1) / span if span > 0 else 0.0,
        failures=failure_counts(connection, campaign, limit=MOST_KINDS),
    )


def failure_counts(
    connection: sa.Connection, campaign: Campaign, *, limit: int
) -> list[FailureCount]:
    """Count how a campaign's failed trials ended, kind by kind, the most frequent first."""
    attempts, trials = tables.attempts, tables.trials
    status = sa.func.coalesce(attempts.c.status, "")
    find = sa.func.instr if connection.dialect.name == "sqlite" else sa.func.strpos
    query = (
        sa.select(
            # before its first colon: the type of an error, without its message
            sa.func.substr(status, 1, find(status + ":", ":") - 1).label("kind"),
            sa.func.count().label("number"),
            sa.func.min(status).label("first"),
            sa.func.max(status).label("last"),
            sa.func.max(attempts.c.sequence).label("newest"),
        )
        .join_from(trials, attempts, tables.IS_LAST_ATTEMPT)
        .where(trials.c.campaign_id == campaign.id, tables.in_state(trials, TrialState.FAILED))
        .group_by("kind")
        .order_by(sa.desc("number"), "kind")
        .limit(limit)
    )
    return [
        FailureCount(row.first if row.first == row.last else row.kind, row.number, row.newest)
        for row in connection.execute(query).all()
    ]


def failed_trials(connection: sa.Connection, campaign: Campaign) -> list[tuple[str, int]]:
    """List a campaign's failed trials: the point as canonical JSON, and the repeat."""
    trials = tables.trials
    rows = connection.execute(
        sa.select(trials.c.parameters, trials.c.repeat).where(
            trials.c.campaign_id == campaign.id, tables.in_state(trials, TrialState.FAILED)
        )
    )
    return [(row.parameters, row.repeat) for row in rows]


def point_counts(connection: sa.Connection, campaign: Campaign) -> list[tuple[str, str, int]]:
    """Count the trials of a campaign's experiment: the point as canonical JSON, state, how many."""
    trials = tables.trials
    query = (
        sa.select(trials.c.parameters, trials.c.state, sa.func.count())
        .where(trials.c.experiment_id == campaign.experiment_id)
        .group_by(trials.c.parameters, trials.c.state)
    )
    return [(parameters, state, number) for parameters, state, number in connection.execute(query)]


def running_attempts(
    connection: sa.Connection, campaign: Campaign, *, limit: int
) -> list[AttemptView]:
    """List the attempts that run, the longest first; the time doesn't grow with the others."""
    attempts = tables.attempts
    query = (
        _ATTEMPTS.where(
            attempts.c.campaign_id == campaign.id, tables.in_state(attempts, AttemptState.RUNNING)
        )
        .order_by(attempts.c.started_at)
        .limit(limit)
    )
    return [AttemptView(**row) for row in connection.execute(query).mappings()]


def ended_attempts(
    connection: sa.Connection, campaign: Campaign, *, limit: int, failed: bool = False
) -> list[AttemptView]:
    """List the attempts that ended last, the newest first; or only those that failed.

    The time doesn't grow with the number of attempts (but with that of good ones, if only failed
    ones are wanted).
    """
    attempts = tables.attempts
    query = _ATTEMPTS.where(attempts.c.campaign_id == campaign.id, attempts.c.sequence.is_not(None))
    if failed:  # what was lost because somebody stopped it has no class of failure
        query = query.where(
            attempts.c.state.in_((AttemptState.FAILED, AttemptState.LOST)),
            attempts.c.failure.is_not(None),
        )
    query = query.order_by(attempts.c.sequence.desc()).limit(limit)
    return [AttemptView(**row) for row in connection.execute(query).mappings()]


def newest_attempts(
    connection: sa.Connection, campaign: Campaign, *, limit: int, failed: bool = False
) -> list[AttemptView]:
    """List the attempts that run, then those that ended last; or only those that failed."""
    running = [] if failed else running_attempts(connection, campaign, limit=limit)
    left = limit - len(running)
    return running + ended_attempts(connection, campaign, limit=left, failed=failed)


def find_trial(connection: sa.Connection, campaign: Campaign, which: str) -> TrialView | None:
    """Find a trial by the first digits of its fingerprint; None if nothing has touched it.

    Raises
    ------
    UnknownName
        The digits fit several trials.
    """
    trials = tables.trials
    found = connection.execute(
        sa.select(trials)
        .where(
            trials.c.experiment_id == campaign.experiment_id,
            trials.c.fingerprint >= which,
            trials.c.fingerprint < which + "g",  # the next letter after the digits
        )
        .limit(2)
    ).all()
    if not found:
        return None
    if len(found) > 1:
        raise UnknownName(
            f"Several trials' fingerprints begin with '{which}'",
            remedy=f"Give more digits: {found[0].fingerprint} or {found[1].fingerprint}",
        )
    row = found[0]
    attempts = tables.attempts
    history = connection.execute(
        _ATTEMPTS.where(attempts.c.trial_id == row.id).order_by(attempts.c.number)
    ).mappings()
    return TrialView(
        id=row.id,
        position=row.position,
        repeat=row.repeat,
        fingerprint=row.fingerprint,
        parameters=row.parameters,
        state=TrialState(row.state),
        due_at=row.due_at,
        campaign_id=row.campaign_id,
        attempts=tuple(AttemptView(**each) for each in history),
        events=events_of(connection, "trial", row.id),
    )


def events_of(connection: sa.Connection, entity: str, entity_id: int) -> tuple[EventView, ...]:
    """Read the journal of one trial or campaign, the oldest first."""
    events = tables.events
    rows = connection.execute(
        sa.select(
            *(events.c[name] for name in ("at", "entity", "source", "target", "actor", "reason"))
        )
        .where(events.c.entity == entity, events.c.entity_id == entity_id)
        .order_by(events.c.id)
    )
    return tuple(EventView(**row) for row in rows.mappings())
