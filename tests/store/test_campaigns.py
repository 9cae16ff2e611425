"""Campaigns: how they come about, change state, take failed trials up again, and finish."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import sqlalchemy as sa

from fieldlab.app.custody import Custody
from fieldlab.domain.definition import ToolSpec
from fieldlab.domain.errors import IllegalTransition, UnknownName
from fieldlab.domain.lifecycle import Lifecycle
from fieldlab.domain.policies import RetryPolicy
from fieldlab.domain.trials import ATTEMPT, CAMPAIGN, TRIAL, CampaignState, TrialState
from fieldlab.ports.store import Campaign
from fieldlab.store import bus_tables, tables
from fieldlab.store.sql_store import SqlStore
from fieldlab.store.transitions import CAMPAIGNS, Cause, advance
from tests.store import books
from tests.store.staging import (
    HandEngine,
    created,
    definition,
    read,
    results_of,
    running,
    topics,
    trials_of,
)


def test_the_same_definition_is_the_same_campaign(store: SqlStore) -> None:
    first = created(store)
    assert (first.name, first.state, first.cursor) == ("probe.1", CampaignState.CREATED, 0)
    assert created(store) == first
    assert store.campaigns() == [first]


def test_running_again_takes_over_a_changed_policy(store: SqlStore) -> None:
    first = created(store, definition(attempts=1))
    again = created(store, definition(attempts=5))
    assert again.id == first.id
    assert again.definition.retry == RetryPolicy(attempts=5)


def test_a_changed_space_is_a_further_campaign(store: SqlStore) -> None:
    first = created(store, definition(points=10))
    finer = created(store, definition(points=20), positions=20)
    assert (finer.number, finer.version, finer.name) == (2, 1, "probe.2")
    assert finer.experiment_id == first.experiment_id
    assert not finer.shares_trials
    running(store, definition(points=20), positions=20)
    HandEngine(store, store.campaign(finer.id)).acquire()
    assert store.campaign(first.id).shares_trials


def test_a_changed_tool_is_a_new_version_with_a_table_of_its_own(store: SqlStore) -> None:
    first = running(store, definition())
    engine = HandEngine(store, first)
    engine.acquire()
    engine.end(0, results=[{"y": 1.5}])
    engine.record()
    second = running(store, definition(function="probe:better"))
    assert (second.name, second.version, second.number) == ("probe.v2.1", 2, 1)
    assert second.experiment_id != first.experiment_id
    engine = HandEngine(store, second)
    engine.acquire()
    engine.end(0, results=[{"y": "now text"}])
    engine.record()
    assert [row["y"] for row in results_of(store, first)] == [1.5]
    assert [row["y"] for row in results_of(store, second)] == ["now text"]


def test_going_back_to_an_earlier_tool_goes_on_with_its_version(store: SqlStore) -> None:
    first = created(store, definition())
    created(store, definition(function="probe:better"))
    assert created(store, definition()).id == first.id


def test_names_that_differ_in_punctuation_have_tables_of_their_own(store: SqlStore) -> None:
    names = ("a-b", "a_b", "A-B")
    campaigns = [running(store, definition(name)) for name in names]
    for number, campaign in enumerate(campaigns):
        engine = HandEngine(store, campaign)
        engine.acquire()
        engine.end(0, results=[{"y": float(number)}])
        engine.record()
    assert [[row["y"] for row in results_of(store, each)] for each in campaigns] == [[0], [1], [2]]


def test_the_longest_names_have_tables_of_their_own(store: SqlStore) -> None:
    for name in ("e" * 63, "e" * 62 + "f"):
        engine = HandEngine(store, running(store, definition(name)))
        engine.acquire()
        engine.end(0)
        assert engine.record().succeeded == 1


def test_several_processes_make_one_campaign(store: SqlStore) -> None:
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: created(store), range(8)))
    assert {each.id for each in made} == {made[0].id}
    assert len(store.campaigns()) == 1


def test_an_unknown_project_is_named_with_the_nearest(store: SqlStore) -> None:
    with store.database.begin() as connection:
        row = {"name": "middleware", "created_at": 0.0}
        connection.execute(sa.insert(tables.projects).values(row))
    with pytest.raises(UnknownName, match=r"no project 'midleware'.*'middleware'"):
        created(store, definition(project="midleware"))
    assert store.campaigns() == []
    assert created(store, definition(project="middleware")).id


def test_campaigns_are_found_by_name(store: SqlStore) -> None:
    first = created(store, definition())
    second = created(store, definition(points=20))
    other = created(store, definition(function="probe:better"))
    assert store.find("probe.1") == first
    assert store.find("probe.2") == second
    assert store.find("probe.v2.1") == other
    assert store.find("probe") == other
    for wrong, hint in (("prode", "probe"), ("probe.3", "probe.2"), ("probe.v2.2", "probe.v2.1")):
        with pytest.raises(UnknownName, match=f"Did you mean '{hint}'"):
            store.find(wrong)


def test_states_follow_the_lifecycle(store: SqlStore) -> None:
    campaign = created(store)

    def go(state: CampaignState) -> Campaign:
        return store.change_state(campaign.id, state, by="ada", why="because")

    with pytest.raises(IllegalTransition, match="from 'created' to 'paused'; allowed: 'running'"):
        go(CampaignState.PAUSED)
    assert store.campaign(campaign.id) == campaign
    started = go(CampaignState.RUNNING)
    assert started.started_at is not None
    assert go(CampaignState.PAUSED).note == "because"
    again = go(CampaignState.RUNNING)
    assert again.started_at == started.started_at
    cancelled = go(CampaignState.CANCELLED)
    assert cancelled.ended_at is not None
    assert go(CampaignState.RUNNING).ended_at is None
    with pytest.raises(IllegalTransition, match="by engine, not by researcher"):
        go(CampaignState.TRIPPED)
    books.check(store, campaign.id)


def test_people_are_told_where_a_campaign_stops_and_of_nothing_else(store: SqlStore) -> None:
    campaign = running(store, definition(consecutive_failures=2))
    engine = HandEngine(store, campaign)
    engine.acquire()
    engine.begin(0)
    engine.end(0, 1)
    engine.record()
    assert topics(store) == []
    store.change_state(campaign.id, CampaignState.PAUSED, by="ada", why="lunch")
    store.change_state(campaign.id, CampaignState.RUNNING, by="ada", why="")
    engine.fail(2, 3)
    engine.record()
    store.change_state(campaign.id, CampaignState.RUNNING, by="ada", why="")
    engine.end(*range(4, 10))
    engine.record()
    assert store.finish(campaign.id)
    store.change_state(campaign.id, CampaignState.RUNNING, by="ada", why="")
    store.change_state(campaign.id, CampaignState.CANCELLED, by="ada", why="enough")
    assert topics(store) == [
        "campaign.paused",
        "campaign.tripped",
        "campaign.finished",
        "campaign.cancelled",
    ]
    [body] = [
        row["body"] for row in read(store, sa.select(bus_tables.messages)) if "enough" in str(row)
    ]
    assert body == {
        "entity": "campaign",
        "from": "running",
        "id": campaign.id,
        "state": "cancelled",
        "by": "ada",
        "reason": "enough",
    }


def test_cancelling_cancels_what_waits(store: SqlStore) -> None:
    campaign = running(store, definition(attempts=2, delay_s=60))
    engine = HandEngine(store, campaign)
    engine.acquire()
    engine.begin(5)
    engine.fail(0, 1)
    engine.end(2)
    engine.record()
    store.change_state(campaign.id, CampaignState.CANCELLED, by="ada", why="")
    states = {position: row["state"] for position, row in trials_of(store, campaign).items()}
    assert states == {0: "cancelled", 1: "cancelled", 2: "succeeded", 5: "running"}
    books.check(store, campaign.id)


def test_failed_and_cancelled_trials_are_taken_up_again(store: SqlStore) -> None:
    campaign = running(store, definition(attempts=1))
    engine = HandEngine(store, campaign)
    engine.acquire()
    engine.fail(0, 1, 2)
    engine.end(*range(3, 10))
    engine.record()
    assert store.finish(campaign.id)
    assert store.requeue(campaign.id, [TrialState.FAILED], by="ada") == 3
    assert store.requeue(campaign.id, [TrialState.FAILED], by="ada") == 0
    assert store.campaign(campaign.id).failed == 0
    books.check(store, campaign.id)
    store.change_state(campaign.id, CampaignState.RUNNING, by="ada", why="")
    assert not store.finish(campaign.id)
    work = engine.acquire()
    assert [(each.position, each.number) for each in work.retries] == [(0, 2), (1, 2), (2, 2)]
    engine.end(0, 1)
    engine.fail(2)
    campaign = engine.record()
    assert (campaign.succeeded, campaign.failed, campaign.attempts) == (9, 1, 13)
    assert store.finish(campaign.id)
    books.check(store, campaign.id)


def test_trials_that_are_taken_up_again_have_all_their_tries(store: SqlStore) -> None:
    engine = HandEngine(store, running(store, definition(attempts=2)))
    engine.acquire(1)
    for _ in range(2):
        engine.fail(0)
        engine.record()
        engine.acquire(0)
    assert trials_of(store, engine.campaign)[0]["state"] == "failed"
    store.requeue(engine.campaign.id, [TrialState.FAILED], by="ada")
    for expected in ("queued", "failed"):
        engine.acquire(0)
        engine.fail(0)
        engine.record()
        assert trials_of(store, engine.campaign)[0]["state"] == expected
    books.check(store, engine.campaign.id)


def test_a_retry_runs_the_trial_that_failed(store: SqlStore) -> None:
    """The same position means another point in another campaign of the experiment."""
    first = running(store, definition(points=10))
    old = HandEngine(store, first)
    old.acquire()
    old.fail(7)
    old.end(*(each for each in range(10) if each != 7))
    old.record()
    assert store.finish(first.id)
    second = running(store, definition(points=20), positions=20)
    new = HandEngine(store, second, shift=5)
    store.requeue(second.id, [TrialState.FAILED], by="ada")
    work = new.acquire(positions=20)
    for retry in work.retries:
        [trial] = read(store, sa.select(tables.trials).where(tables.trials.c.id == retry.trial_id))
        assert trial["parameters"] == f'{{"x":{retry.position + new.shift}}}'
    leased = {each for lease in work.leases for each in range(lease.start, lease.stop)}
    assert leased == set(range(20)), "a retry of another campaign must not hide a position"


def test_a_campaign_finishes_when_nothing_is_left(store: SqlStore) -> None:
    campaign = created(store)
    assert not store.finish(campaign.id)
    running(store)
    engine = HandEngine(store, campaign)
    assert not store.finish(campaign.id), "positions are left"
    engine.acquire()
    assert not store.finish(campaign.id), "a lease is out"
    engine.begin(0)
    engine.end(*range(1, 10))
    engine.record()
    assert not store.finish(campaign.id), "a trial runs"
    engine.end(0)
    assert engine.record().state is CampaignState.RUNNING
    assert store.finish(campaign.id)
    finished = store.campaign(campaign.id)
    assert finished.state is CampaignState.FINISHED
    assert finished.ended_at is not None
    assert store.finish(campaign.id), "saying it twice changes nothing"
    assert topics(store) == ["campaign.finished"]
    books.check(store, campaign.id)


def test_a_queued_retry_keeps_a_campaign_open(store: SqlStore) -> None:
    engine = HandEngine(store, running(store, definition(attempts=2, delay_s=60)))
    engine.acquire()
    engine.fail(0)
    engine.end(*range(1, 10))
    engine.record()
    assert not store.finish(engine.campaign.id)


def test_a_paused_campaign_does_not_finish(store: SqlStore) -> None:
    engine = HandEngine(store, running(store))
    engine.acquire()
    store.change_state(engine.campaign.id, CampaignState.PAUSED, by="ada", why="")
    engine.end(*range(10))
    engine.record()
    assert not store.finish(engine.campaign.id)
    assert store.campaign(engine.campaign.id).state is CampaignState.PAUSED


def test_a_campaign_without_end_never_finishes(store: SqlStore) -> None:
    campaign = running(store, positions=None)
    engine = HandEngine(store, campaign)
    engine.acquire(3)
    engine.end(0, 1, 2)
    engine.record()
    assert not store.finish(campaign.id)
    assert store.campaign(campaign.id).total is None


@pytest.mark.parametrize(
    ("table", "lifecycle"), [("trials", TRIAL), ("attempts", ATTEMPT), ("campaigns", CAMPAIGN)]
)
def test_the_database_itself_keeps_undeclared_states_out(
    store: SqlStore, table: str, lifecycle: Lifecycle
) -> None:
    engine = HandEngine(store, running(store))
    engine.acquire()
    engine.end(0)
    engine.record()
    change = sa.text(f"UPDATE {table} SET state = :state")
    with store.database.engine.connect() as connection:
        for wrong in ("bogus", "Running", ""):
            with pytest.raises(sa.exc.IntegrityError), connection.begin():
                connection.execute(change, {"state": wrong})
        for state in lifecycle.states:
            with connection.begin() as transaction:
                connection.execute(change, {"state": state})
                transaction.rollback()


def test_a_transaction_that_fails_leaves_no_trace(store: SqlStore) -> None:
    campaign = running(store)
    before = [read(store, sa.select(table)) for table in (tables.events, bus_tables.messages)]

    def finish_and_fail() -> None:
        with store.database.begin() as connection:
            advance(
                connection,
                CAMPAIGNS,
                campaign.id,
                CampaignState.RUNNING,
                CampaignState.FINISHED,
                Cause(actor="engine"),
            )
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        finish_and_fail()
    assert [
        read(store, sa.select(table)) for table in (tables.events, bus_tables.messages)
    ] == before
    assert store.campaign(campaign.id).state is CampaignState.RUNNING


def test_the_definition_comes_back_as_it_was_written(store: SqlStore) -> None:
    defined = replace(
        definition(description="Größe → 1", attempts=3),
        tool=ToolSpec(kind="command", options={"argv": ["echo", "%s", "{x}"], "deep": {"a": [1]}}),
        timeout_s=2.5,
    )
    assert created(store, defined).definition == defined


def test_a_campaign_that_was_cancelled_meanwhile_is_not_set_running(store: SqlStore) -> None:
    seen = created(store)
    store.change_state(seen.id, CampaignState.CANCELLED, by="ada", why="a mistake")
    assert Custody(store).set_running(seen).state is CampaignState.CANCELLED
    taken_up_again = Custody(store).set_running(store.campaign(seen.id))
    assert taken_up_again.state is CampaignState.RUNNING
    assert Custody(store).set_running(seen).state is CampaignState.RUNNING
