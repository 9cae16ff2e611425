"""Taking over from engines that died or were stopped: nothing that they held stays held."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from fieldlab.domain.trials import STOPPED, AttemptState, CampaignState, FailureClass, TrialState
from fieldlab.ports.store import Campaign
from fieldlab.store import tables
from fieldlab.store.campaigns import add_counts, lock_campaign
from fieldlab.store.holding import free_hosts
from fieldlab.store.transitions import ATTEMPTS, CAMPAIGNS, TRIALS, Cause, advance_all, remark


def recover(
    connection: sa.Connection, campaign_id: int, engine_ids: Sequence[str], *, stopped: bool = False
) -> int:
    """Write engines out, free their leases and queue what they were running; how much that was.

    Parameters
    ----------
    stopped
        Somebody stopped the engines: what they were running hasn't failed, and is tried again
        however often that is.
    """
    why = "its engine was stopped" if stopped else "its engine died"
    engines, leases = tables.engines, tables.leases
    campaign = lock_campaign(connection, campaign_id)
    lost = 0
    for engine_id in engine_ids:
        cause = Cause(actor=engine_id, reason=why)
        taken = connection.execute(
            sa.update(engines)
            .where(engines.c.id == engine_id, engines.c.ended_at.is_(None))
            .values(ended_at=cause.at)
        )
        if taken.rowcount:
            connection.execute(
                sa.update(leases).where(leases.c.engine_id == engine_id).values(engine_id=None)
            )
            free_hosts(connection, engine_id)
            sequence = campaign.attempts + lost
            taken_over = _lose_attempts(connection, campaign, cause, sequence, stopped=stopped)
            lost += taken_over
            if not stopped:
                why_told = Cause(actor=engine_id, reason=_death(connection, engine_id, taken_over))
                remark(connection, CAMPAIGNS, campaign_id, campaign.state, why_told)
    add_counts(connection, campaign_id, attempts=lost)
    return lost


def _death(connection: sa.Connection, engine_id: str, lost: int) -> str:
    """Say for the journal which process died, and what was lost with it."""
    engines = tables.engines
    engine = connection.execute(
        sa.select(engines.c.host, engines.c.pid).where(engines.c.id == engine_id)
    ).one()
    running = f"; {lost} running attempts were lost with it" if lost else ""
    return f"process {engine.pid} on {engine.host} died and was taken over from{running}"


def _lose_attempts(
    connection: sa.Connection, campaign: Campaign, cause: Cause, sequence: int, *, stopped: bool
) -> int:
    """End what an engine was running: the trials are tried again, within the policy's limit."""
    attempts, trials = tables.attempts, tables.trials
    counted = 0 if stopped else 1
    rows = connection.execute(
        sa.select(attempts.c.trial_id, attempts.c.number, trials.c.used, trials.c.lost)
        .join_from(attempts, trials)
        .where(
            attempts.c.campaign_id == campaign.id,
            attempts.c.engine_id == cause.actor,
            tables.in_state(attempts, AttemptState.RUNNING),
        )
    ).all()
    cancelled = campaign.state is CampaignState.CANCELLED
    retries = campaign.definition.retry.retries
    groups: dict[TrialState, list[tuple[Any, ...]]] = defaultdict(list)
    for row in rows:
        again = retries(FailureClass.INFRASTRUCTURE, row.used, row.lost + counted)
        target = TrialState.QUEUED if again else TrialState.FAILED
        target = TrialState.CANCELLED if cancelled else target
        groups[target].append((row.trial_id, row.lost + counted, None))
    for target, steps in groups.items():
        columns = ("id", "lost", "due_at")
        won = advance_all(connection, TRIALS, TrialState.RUNNING, target, cause, columns, steps)
        if target is not TrialState.QUEUED:
            add_counts(connection, campaign.id, **{target.value: len(won)})
    state = AttemptState.CANCELLED if cancelled else AttemptState.LOST
    status = STOPPED if stopped and not cancelled else state.value
    failure = None if stopped or cancelled else FailureClass.INFRASTRUCTURE
    advance_all(
        connection,
        ATTEMPTS,
        AttemptState.RUNNING,
        state,
        cause,
        ("trial_id", "number", "sequence", "status", "failure", "ended_at", "error"),
        [
            (row.trial_id, row.number, n, status, failure, cause.at, cause.reason)
            for n, row in enumerate(rows, sequence + 1)
        ],
    )
    return len(rows)
