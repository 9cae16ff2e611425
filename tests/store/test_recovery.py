"""Taking over from engines that died, and cancelling what runs."""

from __future__ import annotations

import time

import pytest

from fieldlab.domain.trials import AttemptState, CampaignState
from fieldlab.ports.store import Campaign
from fieldlab.store import queries
from fieldlab.store.sql_store import SqlStore
from tests.store import books
from tests.store.staging import (
    HandEngine,
    attempts_of,
    definition,
    results_of,
    running,
    trials_of,
)


def states(store: SqlStore, campaign: Campaign) -> dict[int, str]:
    return {position: row["state"] for position, row in trials_of(store, campaign).items()}


def test_what_died_is_tried_again(store: SqlStore) -> None:
    campaign = running(store)
    dead = HandEngine(store, campaign)
    dead.acquire()
    dead.begin(0, 1)
    dead.end(2)
    dead.record()
    assert store.recover(campaign.id, [dead.id]) == 2
    assert store.recover(campaign.id, [dead.id]) == 0, "once is enough"
    assert states(store, campaign) == {0: "queued", 1: "queued", 2: "succeeded"}
    lost = [row for row in attempts_of(store, campaign) if row["state"] == AttemptState.LOST]
    assert {(row["status"], row["failure"]) for row in lost} == {("lost", "infrastructure")}
    assert [row["error"] for row in lost] == ["its engine died"] * 2
    assert store.campaign(campaign.id).attempts == 3
    books.check(store, campaign.id)
    heir = HandEngine(store, campaign)
    assert [(each.position, each.number) for each in heir.acquire().retries] == [(0, 2), (1, 2)]
    heir.end(*list(heir.held))
    assert heir.record().succeeded == 10
    assert store.finish(campaign.id)
    books.check(store, campaign.id)


def test_the_journal_says_that_a_process_died_and_what_it_cost(store: SqlStore) -> None:
    campaign = running(store)
    dead, stopped = HandEngine(store, campaign), HandEngine(store, campaign)
    dead.acquire()
    dead.begin(0, 1)
    [pid] = [
        each.engine.pid for each in store.live_engines(campaign.id) if each.engine.id == dead.id
    ]
    store.recover(campaign.id, [dead.id])
    store.recover(campaign.id, [dead.id])
    store.retire(campaign.id, stopped.id)
    with store.database.read() as connection:
        events = queries.events_of(connection, "campaign", campaign.id)
    [death] = [each for each in events if each.source == each.target]
    assert (death.source, death.actor) == ("running", dead.id)
    assert death.reason == (
        f"process {pid} on bench died and was taken over from; 2 running attempts were lost with it"
    )
    books.check(store, campaign.id)


def test_the_rate_is_that_since_engines_work_on_the_campaign(store: SqlStore) -> None:
    campaign = running(store)
    first = HandEngine(store, campaign)
    first.acquire(2)
    first.end(0, 1)
    for outcomes in first.ended:  # an hour ago, before a pause
        [record] = outcomes.records
        outcomes.records[0] = record._replace(
            started=record.started - 3600, ended=record.ended - 3600
        )
    first.record()
    store.retire(campaign.id, first.id)
    second = HandEngine(store, campaign)
    second.acquire(2)
    second.end(2, 3)
    now = time.time() + 10
    for number, outcomes in enumerate(second.ended):
        [record] = outcomes.records
        outcomes.records[0] = record._replace(started=now, ended=now + 4 * number)
    second.record()
    with store.database.read() as connection:
        found = queries.activity(connection, store.campaign(campaign.id))
    assert found.rate == pytest.approx(0.25)


def test_an_engine_that_stops_queues_what_it_was_running(store: SqlStore) -> None:
    campaign = running(store)
    engine = HandEngine(store, campaign)
    engine.acquire()
    engine.begin(0)
    store.retire(campaign.id, engine.id)
    store.retire(campaign.id, engine.id)
    assert states(store, campaign) == {0: "queued"}
    assert not store.live_engines(campaign.id)
    [stopped] = attempts_of(store, campaign)
    assert (stopped["state"], stopped["status"], stopped["failure"]) == ("lost", "stopped", None)
    with store.database.read() as connection:
        assert queries.newest_attempts(connection, campaign, limit=9)
        assert not queries.newest_attempts(connection, campaign, limit=9, failed=True)
    books.check(store, campaign.id)


def test_a_trial_that_kills_its_engines_fails_at_last(store: SqlStore) -> None:
    campaign = running(store, definition(infrastructure_attempts=2))
    for number in (1, 2, 3):
        engine = HandEngine(store, campaign)
        engine.acquire()
        if number == 1:
            engine.begin(0)
        assert store.recover(campaign.id, [engine.id]) == 1
        assert states(store, campaign)[0] == ("queued" if number < 3 else "failed")
    assert store.campaign(campaign.id).failed == 1
    books.check(store, campaign.id)


def test_what_ran_when_a_campaign_was_cancelled_is_cancelled(store: SqlStore) -> None:
    campaign = running(store)
    engine = HandEngine(store, campaign)
    engine.acquire()
    engine.begin(0, 1)
    store.change_state(campaign.id, CampaignState.CANCELLED, by="ada", why="")
    engine.end(1)
    engine.record()
    store.retire(campaign.id, engine.id)
    assert states(store, campaign) == {0: "cancelled", 1: "succeeded"}
    [cancelled] = [row for row in attempts_of(store, campaign) if row["state"] == "cancelled"]
    assert cancelled["number"] == 1
    assert store.campaign(campaign.id).cancelled == 1
    books.check(store, campaign.id)


def test_a_failure_after_the_cancellation_is_not_queued_again(store: SqlStore) -> None:
    campaign = running(store, definition(attempts=3))
    engine = HandEngine(store, campaign)
    engine.acquire()
    engine.begin(0)
    store.change_state(campaign.id, CampaignState.CANCELLED, by="ada", why="")
    engine.fail(0)
    engine.record()
    store.retire(campaign.id, engine.id)
    assert "queued" not in states(store, campaign).values()
    books.check(store, campaign.id)


def test_a_late_record_of_a_trial_that_was_taken_over_changes_nothing(store: SqlStore) -> None:
    campaign = running(store)
    slow, heir = HandEngine(store, campaign), HandEngine(store, campaign)
    slow.acquire()
    slow.begin(0)
    store.recover(campaign.id, [slow.id])
    heir.acquire()
    assert heir.held[0].number == 2
    slow.end(0, results=[{"y": 1.0}])
    slow.record()
    assert states(store, campaign)[0] == "running"
    heir.end(0, results=[{"y": 2.0}])
    heir.record()
    assert [row["y"] for row in results_of(store, campaign)] == [2.0]
    books.check(store, campaign.id)
