"""Points that come one by one: queueing them as trials, and telling how trials ended."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from fieldlab.domain.errors import IllegalTransition
from fieldlab.domain.lifecycle import Role
from fieldlab.domain.parameters import TrialPoint
from fieldlab.domain.trials import CampaignState, TrialState
from fieldlab.ports.store import Campaign, Ending, Submitted
from fieldlab.store import tables
from fieldlab.store.bulk import chunks
from fieldlab.store.campaigns import add_counts, read_campaign
from fieldlab.store.leasing import reserve_ids
from fieldlab.store.results import ResultsTable
from fieldlab.store.transitions import TRIALS, Cause, advance_all

_BIRTH = (
    "id", "experiment_id", "campaign_id", "position", "repeat", "fingerprint", "parameters",
    "attempts", "used", "lost", "due_at",
)  # fmt: skip
_ENDED = (TrialState.SUCCEEDED, TrialState.FAILED, TrialState.CANCELLED)
#: queued again when they are submitted again
_AGAIN = (TrialState.FAILED, TrialState.CANCELLED)


def submit(
    connection: sa.Connection, campaign: Campaign, points: Sequence[TrialPoint]
) -> list[Submitted]:
    """Queue points; see :class:`fieldlab.ports.store.CampaignStore`. The campaign is locked."""
    if campaign.state is not CampaignState.RUNNING:
        raise IllegalTransition(
            f"{campaign.name} is {campaign.state} and takes no points",
            remedy=f"Go on with `fieldlab resume {campaign.name}`, or open the session again",
        )
    wanted = {point.fingerprint: point for point in points}
    known = _read(connection, campaign, wanted)
    fresh = [print_ for print_ in wanted if print_ not in known]
    if fresh:
        _queue(connection, campaign, {print_: wanted[print_] for print_ in fresh})
    _queue_again(connection, campaign, known.values())
    found = _read(connection, campaign, wanted)
    return [found[point.fingerprint] for point in points]


def _read(
    connection: sa.Connection, campaign: Campaign, wanted: Collection[str]
) -> dict[str, Submitted]:
    """Find the trials that there are, by fingerprint."""
    trials = tables.trials
    query = sa.select(
        trials.c.fingerprint, trials.c.id, trials.c.state, trials.c.campaign_id
    ).where(trials.c.experiment_id == campaign.experiment_id)
    rows = [
        row
        for some in chunks(list(wanted))
        for row in connection.execute(query.where(trials.c.fingerprint.in_(some)))
    ]
    others = {row.campaign_id for row in rows} - {campaign.id}
    names = {each: read_campaign(connection, each).name for each in others}
    return {
        row.fingerprint: Submitted(row.id, TrialState(row.state), names.get(row.campaign_id, ""))
        for row in rows
    }


def _queue(connection: sa.Connection, campaign: Campaign, points: Mapping[str, TrialPoint]) -> None:
    """Queue new trials, behind those that the campaign has been given so far."""
    first_id = reserve_ids(connection, "trials", len(points))
    rows = [
        (
            first_id + n, campaign.experiment_id, campaign.id, campaign.cursor + n, point.repeat,
            print_, _written(point), 0, 0, 0, None,
        )
        for n, (print_, point) in enumerate(points.items())
    ]  # fmt: skip
    cause = Cause(actor="session", reason="its point was submitted")
    advance_all(connection, TRIALS, TrialState.PLANNED, TrialState.QUEUED, cause, _BIRTH, rows)
    connection.execute(
        sa.update(tables.campaigns)
        .where(tables.campaigns.c.id == campaign.id)
        .values(cursor=campaign.cursor + len(points))
    )


def _written(point: TrialPoint) -> str:
    """Write a point as JSON; not canonical, in which 1.0 would become the integer 1."""
    return json.dumps(point.parameters, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _queue_again(
    connection: sa.Connection, campaign: Campaign, known: Collection[Submitted]
) -> None:
    cause = Cause(actor="session", role=Role.RESEARCHER, reason="its point was submitted once more")
    for state in _AGAIN:
        rows = [
            (each.trial_id, 0, 0, None) for each in known if each.state is state and not each.owner
        ]
        columns = ("id", "used", "lost", "due_at")
        won = advance_all(connection, TRIALS, state, TrialState.QUEUED, cause, columns, rows)
        add_counts(connection, campaign.id, **{state.value: -len(won)})


def endings(
    connection: sa.Connection, results: ResultsTable, trial_ids: Collection[int]
) -> list[Ending]:
    """Say how trials ended; those that haven't are left out."""
    trials, attempts = tables.trials, tables.attempts
    query = sa.select(
        trials.c.id, trials.c.state, trials.c.attempts, attempts.c.status, attempts.c.error
    ).join_from(
        trials,
        attempts,
        tables.IS_LAST_ATTEMPT,
        isouter=True,
    )
    ended = [
        row
        for some in chunks(list(trial_ids))
        for row in connection.execute(
            query.where(trials.c.id.in_(some), trials.c.state.in_(_ENDED))
        )
    ]
    good = [row.id for row in ended if row.state == TrialState.SUCCEEDED]
    rows: dict[int, list[dict[str, Any]]] = results.rows_of(connection, good) if good else {}
    return [
        Ending(
            trial_id=row.id,
            state=TrialState(row.state),
            attempts=row.attempts,
            status=row.status or "",
            error=row.error or "",
            rows=rows.get(row.id, ()),
        )
        for row in ended
    ]
