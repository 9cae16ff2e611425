"""What must hold in any database at any moment: the books balance."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

import sqlalchemy as sa

from fieldlab.domain.lifecycle import Lifecycle
from fieldlab.domain.trials import CAMPAIGN, TRIAL, AttemptState, TrialState
from fieldlab.ports.store import Campaign
from fieldlab.store import tables
from fieldlab.store.sql_store import SqlStore
from tests.store.staging import attempts_of, read, results_of, trials_of


def check(store: SqlStore, campaign_id: int) -> None:
    """Fail unless everything that the database says of a campaign agrees with the rest of it."""
    campaign = store.campaign(campaign_id)
    trials = {row["id"]: row for row in trials_of(store, campaign).values()}
    attempts: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in attempts_of(store, campaign):
        attempts[row["trial_id"]].append(row)
    _check_counts(campaign, trials, attempts)
    for trial in trials.values():
        _check_attempts(trial, attempts[trial["id"]])
    _check_results(store, campaign, trials)
    check_journal(store, TRIAL, {each: row["state"] for each, row in trials.items()})
    check_journal(store, CAMPAIGN, {campaign_id: campaign.state})


def _check_counts(
    campaign: Campaign,
    trials: dict[int, dict[str, Any]],
    attempts: dict[int, list[dict[str, Any]]],
) -> None:
    states = Counter(row["state"] for row in trials.values())
    counted = (campaign.succeeded, campaign.failed, campaign.cancelled)
    assert counted == (states["succeeded"], states["failed"], states["cancelled"])
    ended = [row["sequence"] for rows in attempts.values() for row in rows if row["sequence"]]
    assert sorted(ended) == list(range(1, len(ended) + 1)), "the sequence has gaps or doubles"
    assert campaign.attempts == len(ended)


def _check_attempts(trial: dict[str, Any], attempts: list[dict[str, Any]]) -> None:
    numbers = [row["number"] for row in attempts]
    assert numbers == list(range(1, trial["attempts"] + 1)), "attempts are missing or doubled"
    for row in attempts:
        runs = row["state"] == AttemptState.RUNNING
        assert runs == (row["sequence"] is None) == (row["ended_at"] is None)
        last = row["number"] == trial["attempts"]
        assert runs == (last and trial["state"] == TrialState.RUNNING)
        won = row["state"] == AttemptState.SUCCEEDED
        assert won == (last and trial["state"] == TrialState.SUCCEEDED)


def _check_results(store: SqlStore, campaign: Campaign, trials: dict[int, dict[str, Any]]) -> None:
    """Every trial that succeeded has one set of results, and no other trial has any."""
    rows: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in results_of(store, campaign):
        if row["campaign_id"] == campaign.id:
            rows[row["trial_id"]].append(row)
    won = {each for each, row in trials.items() if row["state"] == TrialState.SUCCEEDED}
    assert set(rows) == won
    for trial_id, of_trial in rows.items():
        assert [row["row"] for row in of_trial] == list(range(len(of_trial)))
        assert {row["attempt"] for row in of_trial} == {trials[trial_id]["attempts"]}


def check_journal(store: SqlStore, lifecycle: Lifecycle, states: dict[int, str]) -> None:
    """Every step starts where the one before ended, is declared, and leads to where the row is."""
    events = tables.events
    query = sa.select(events).where(events.c.entity == lifecycle.entity).order_by(events.c.id)
    at = dict.fromkeys(states, lifecycle.initial)
    for event in read(store, query):
        entity = event["entity_id"]
        if entity not in states or not event["source"]:
            continue
        assert event["source"] == at[entity], f"{lifecycle.entity} {entity} jumped"
        if event["source"] == event["target"]:
            assert event["reason"], "a remark without words"
            continue
        assert (event["source"], event["target"]) in lifecycle.transitions
        at[entity] = event["target"]
    assert at == states
