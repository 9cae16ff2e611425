"""Recording how attempts ended, once each, whatever happens in between."""

from __future__ import annotations

import copy
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from fieldlab.domain.errors import StoreError
from fieldlab.domain.ids import Value
from fieldlab.domain.trials import CampaignState, FailureClass, TrialState
from fieldlab.ports.store import Campaign
from fieldlab.store import tables
from fieldlab.store.database import Database
from fieldlab.store.sql_store import SqlStore
from tests.store import books
from tests.store.staging import (
    HandEngine,
    attempts_of,
    definition,
    outcomes,
    read,
    results_of,
    running,
    trials_of,
)

INFRASTRUCTURE = FailureClass.INFRASTRUCTURE


def states(store: SqlStore, campaign: Campaign) -> dict[int, str]:
    return {position: row["state"] for position, row in trials_of(store, campaign).items()}


def test_one_commit_records_trials_attempts_results_events_and_counts(store: SqlStore) -> None:
    engine = HandEngine(store, running(store))
    engine.acquire()
    engine.end(0, 1, 2)
    engine.fail(3, status="exit code 3")
    campaign = engine.record()
    assert (campaign.succeeded, campaign.failed, campaign.attempts) == (3, 1, 4)
    assert states(store, campaign) == {0: "succeeded", 1: "succeeded", 2: "succeeded", 3: "failed"}
    attempts = attempts_of(store, campaign)
    assert [row["sequence"] for row in attempts] == [1, 2, 3, 4]
    assert [row["status"] for row in attempts] == ["success", "success", "success", "exit code 3"]
    assert [row["failure"] for row in attempts] == [None, None, None, "experiment"]
    assert all(row["started_at"] < row["ended_at"] for row in attempts)
    assert [(row["x"], row["y"]) for row in results_of(store, campaign)] == [
        (0, 0.0),
        (1, 1.5),
        (2, 3.0),
    ]
    books.check(store, campaign.id)


def test_the_sequence_goes_on_from_commit_to_commit(store: SqlStore) -> None:
    campaign = running(store)
    one, two = HandEngine(store, campaign), HandEngine(store, campaign)
    one.acquire(5)
    two.acquire(5)
    for engine, position in ((one, 4), (two, 9), (one, 0), (two, 5)):
        engine.end(position)
        engine.record()
    ended = list(store.ended_attempts(campaign.id, 0))
    assert [each.parameters for each in ended] == [f'{{"x":{n}}}' for n in (4, 9, 0, 5)]
    assert [each.parameters for each in store.ended_attempts(campaign.id, 3)] == ['{"x":5}']
    assert not list(store.ended_attempts(campaign.id, 4))


def test_engines_that_record_at_the_same_time_do_not_share_sequence_numbers(
    database_url: str,
) -> None:
    stores = [SqlStore(Database(database_url)) for _ in range(3)]
    campaign = running(stores[0], definition(attempts=2), positions=90)
    gate = threading.Barrier(3, timeout=30)

    def work(store: SqlStore) -> None:
        engine = HandEngine(store, campaign)
        [lease] = engine.acquire(30).leases
        gate.wait()
        for position in range(lease.start, lease.stop, 2):
            engine.end(position)
            engine.fail(position + 1)
            engine.record()

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(work, stores))
    recorded = stores[0].campaign(campaign.id)
    assert (recorded.succeeded, recorded.attempts) == (45, 90)
    books.check(stores[0], campaign.id)
    for store in stores:
        store.database.close()


@pytest.mark.parametrize("times", [2, 3])
def test_recording_again_after_a_lost_answer_changes_nothing(store: SqlStore, times: int) -> None:
    engine = HandEngine(store, running(store, definition(attempts=2, consecutive_failures=9)))
    engine.acquire()
    engine.begin(0, 1, 2)
    engine.exclude(9)
    engine.skip(8)
    engine.end(0, 3, *range(4, 8))
    engine.fail(1)
    engine.fail(2, failure=INFRASTRUCTURE)
    recording = engine.recording()
    assert recording.finished
    first = store.record(engine.campaign.id, engine.id, copy.deepcopy(recording))
    assert (first.excluded, first.skipped, first.attempts) == (1, 1, 8)
    journal = read(store, sa.select(tables.events))
    for _ in range(times - 1):
        again = store.record(engine.campaign.id, engine.id, copy.deepcopy(recording))
        assert again == first
    assert read(store, sa.select(tables.events)) == journal
    books.check(store, engine.campaign.id)


def test_a_used_up_lease_goes_and_its_counts_are_taken_over_once(store: SqlStore) -> None:
    engine = HandEngine(store, running(store))
    engine.acquire()
    engine.exclude(0, 1)
    engine.skip(2)
    engine.end(*range(3, 10))
    campaign = engine.record()
    assert (campaign.excluded, campaign.skipped, campaign.done, campaign.total) == (2, 1, 8, 8)
    assert not read(store, sa.select(tables.leases))


def test_a_lease_that_was_taken_over_counts_for_the_heir_alone(store: SqlStore) -> None:
    campaign = running(store)
    slow, heir = HandEngine(store, campaign), HandEngine(store, campaign)
    slow.acquire()
    store.recover(campaign.id, [slow.id])
    heir.acquire()
    slow.exclude(0)
    slow.end(*range(1, 10))
    assert slow.record().excluded == 0
    heir.exclude(0)
    heir.end(*range(1, 10))
    recorded = heir.record()
    assert (recorded.excluded, recorded.succeeded, recorded.attempts) == (1, 9, 9)
    assert store.finish(campaign.id)
    books.check(store, campaign.id)


def test_a_trial_that_somebody_else_recorded_is_left_as_it_is(store: SqlStore) -> None:
    campaign = running(store)
    slow, heir = HandEngine(store, campaign), HandEngine(store, campaign)
    slow.acquire()
    store.recover(campaign.id, [slow.id])
    heir.acquire()
    heir.end(0, results=[{"y": 1.0}])
    heir.record()
    slow.end(0, 1, results=[{"y": 2.0}])
    recorded = slow.record()
    assert (recorded.succeeded, recorded.attempts) == (2, 2)
    assert [(row["x"], row["y"]) for row in results_of(store, campaign)] == [(0, 1.0), (1, 2.0)]
    books.check(store, campaign.id)


def test_a_trial_that_another_campaign_ran_meanwhile_counts_as_skipped(store: SqlStore) -> None:
    one = HandEngine(store, running(store, definition(points=10)))
    two = HandEngine(store, running(store, definition(points=20), positions=10), shift=5)
    one.acquire()
    two.acquire()
    one.end(*range(10))
    one.record()
    two.end(*range(10))
    recorded = two.record()
    assert (recorded.succeeded, recorded.skipped, recorded.done) == (5, 5, 10)
    assert len(results_of(store, recorded)) == 15
    books.check(store, recorded.id)


def test_a_failed_trial_has_as_many_tries_as_the_policy_says(store: SqlStore) -> None:
    engine = HandEngine(store, running(store, definition(attempts=3)))
    engine.acquire()
    for number in (1, 2, 3):
        engine.fail(0)
        campaign = engine.record()
        assert states(store, campaign)[0] == ("queued" if number < 3 else "failed")
        assert [each.number for each in engine.acquire(0).retries] == [2, 3][number - 1 : number]
    campaign = store.campaign(engine.campaign.id)
    assert (campaign.failed, campaign.attempts) == (1, 3)
    assert trials_of(store, campaign)[0]["used"] == 3
    books.check(store, campaign.id)


def test_the_infrastructure_has_tries_of_its_own(store: SqlStore) -> None:
    engine = HandEngine(store, running(store, definition(attempts=2, infrastructure_attempts=2)))
    engine.acquire()
    engine.fail(0, failure=INFRASTRUCTURE)
    engine.record()
    for failure in (FailureClass.EXPERIMENT, INFRASTRUCTURE):
        engine.acquire(0)
        engine.fail(0, failure=failure)
        assert states(store, engine.record())[0] == "queued"
    trial = trials_of(store, engine.campaign)[0]
    assert (trial["used"], trial["lost"], trial["attempts"]) == (1, 2, 3)
    engine.acquire(0)
    engine.fail(0, failure=INFRASTRUCTURE)
    assert states(store, engine.record())[0] == "failed"
    books.check(store, engine.campaign.id)


def test_a_retry_that_succeeds_is_a_success(store: SqlStore) -> None:
    engine = HandEngine(store, running(store, definition(attempts=2)))
    engine.acquire()
    engine.fail(0)
    engine.record()
    engine.acquire(0)
    engine.end(0, results=[{"y": 8.0}])
    campaign = engine.record()
    assert (campaign.succeeded, campaign.failed, campaign.attempts) == (1, 0, 2)
    [row] = results_of(store, campaign)
    assert (row["y"], row["attempt"]) == (8.0, 2)
    books.check(store, campaign.id)


def test_results_of_an_attempt_that_failed_are_not_kept(store: SqlStore) -> None:
    engine = HandEngine(store, running(store, definition(attempts=2)))
    engine.acquire()
    trial_id = engine.held[0].trial_id
    half = outcomes(
        {"x": 0}, [{"y": 1.0}], position=0, state="failed", status="bad data", failure="verdict"
    )
    recording = engine.recording()
    recording.outcomes, recording.trial_ids = [half], {0: trial_id}
    store.record(engine.campaign.id, engine.id, recording)
    engine.acquire(0)
    engine.end(0, results=[{"y": 2.0}])
    engine.record()
    assert [row["y"] for row in results_of(store, engine.campaign)] == [2.0]
    books.check(store, engine.campaign.id)


def test_a_begun_trial_is_running_and_then_ends(store: SqlStore) -> None:
    engine = HandEngine(store, running(store))
    engine.acquire()
    assert engine.begin(2, 3) == {2, 3}
    assert states(store, engine.campaign) == {2: "running", 3: "running"}
    [two, _] = attempts_of(store, engine.campaign)
    assert (two["state"], two["engine_id"], two["sequence"]) == ("running", engine.id, None)
    engine.end(2)
    engine.fail(3)
    campaign = engine.record()
    assert states(store, campaign) == {2: "succeeded", 3: "failed"}
    books.check(store, campaign.id)


def test_beginning_again_after_a_lost_answer_says_that_it_runs(store: SqlStore) -> None:
    """Otherwise the engine would record it as if it had not begun, and its result would be lost."""
    engine = HandEngine(store, running(store))
    engine.acquire()
    engine.begin(2)
    assert engine.begin(2) == {2}
    engine.end(2)
    assert engine.record().succeeded == 1
    books.check(store, engine.campaign.id)


def test_beginning_comes_too_late_where_another_campaign_recorded(store: SqlStore) -> None:
    one = HandEngine(store, running(store, definition(points=10)))
    two = HandEngine(store, running(store, definition(points=20)), shift=8)
    one.acquire()
    two.acquire()
    one.end(8)
    one.begin(9)
    one.record()
    assert two.begin(0, 1, 2) == {2}
    books.check(store, one.campaign.id)
    books.check(store, two.campaign.id)


def test_the_guard_trips_after_so_many_failures_in_a_row(store: SqlStore) -> None:
    engine = HandEngine(store, running(store, definition(consecutive_failures=3)))
    engine.acquire()
    engine.fail(0, 1)
    assert engine.record().consecutive_failures == 2
    engine.end(2)
    assert engine.record().consecutive_failures == 0
    engine.fail(3, 4)
    assert engine.record().state is CampaignState.RUNNING
    engine.fail(5, status="exit code 9")
    tripped = engine.record()
    assert tripped.state is CampaignState.TRIPPED
    assert "3 attempts failed in a row" in tripped.note
    assert "exit code 9" in tripped.note
    engine.fail(6)
    assert engine.record().state is CampaignState.TRIPPED, "what still runs is recorded"
    again = store.change_state(tripped.id, CampaignState.RUNNING, by="ada", why="fixed it")
    assert (again.consecutive_failures, again.note) == (0, "fixed it")
    books.check(store, tripped.id)


def test_the_guard_names_the_failure_and_not_a_success_that_came_after(store: SqlStore) -> None:
    engine = HandEngine(store, running(store, definition(consecutive_failures=2)))
    engine.acquire()
    engine.fail(0, 1, status="exit code 9")
    engine.end(2)
    tripped = engine.record()
    assert tripped.state is CampaignState.TRIPPED
    assert "exit code 9" in tripped.note
    assert "success" not in tripped.note


def test_retries_count_for_the_guard_as_well(store: SqlStore) -> None:
    engine = HandEngine(store, running(store, definition(attempts=5, consecutive_failures=3)))
    engine.acquire()
    for _ in range(3):
        engine.fail(0)
        engine.record()
        engine.acquire(0)
    assert store.campaign(engine.campaign.id).state is CampaignState.TRIPPED


def test_a_result_that_does_not_fit_fails_its_trial_alone(store: SqlStore) -> None:
    engine = HandEngine(store, running(store))
    engine.acquire()
    engine.end(0, results=[{"y": 1.0}])
    engine.record()
    engine.end(1, results=[{"y": "text"}])
    engine.end(2, results=[{"y": 2.0}])
    campaign = engine.record()
    assert states(store, campaign) == {0: "succeeded", 1: "failed", 2: "succeeded"}
    [refused] = [row for row in attempts_of(store, campaign) if row["state"] == "failed"]
    assert (refused["status"], refused["failure"]) == ("bad result", "verdict")
    assert "'y' changes type: it has been real so far and is text now" in refused["error"]
    books.check(store, campaign.id)


def test_several_rows_and_no_row(store: SqlStore) -> None:
    engine = HandEngine(store, running(store))
    engine.acquire()
    engine.end(0, results=[{"y": 1.0}, {"z": True}, {"y": 2.0, "w": None}])
    campaign = engine.record()
    rows = [(row["row"], row["y"], row.get("z"), row["w"]) for row in results_of(store, campaign)]
    assert rows == [(0, 1.0, None, None), (1, None, True, None), (2, 2.0, None, None)]


@pytest.mark.parametrize(
    "text",
    ["a\0b", "cut \ud800 off", "%s {x} ' \" :name", "\N{SNOWMAN}" * 9, "line\r\nline\n"],
    ids=["NUL", "surrogate", "placeholders", "unicode", "lines"],
)
def test_any_error_text_can_be_recorded(store: SqlStore, text: str) -> None:
    engine = HandEngine(store, running(store))
    engine.acquire()
    engine.end(0, state=TrialState.FAILED, status=text, error=f"before {text} after")
    campaign = engine.record()
    [row] = attempts_of(store, campaign)
    assert row["error"].startswith("before ")
    assert row["error"].endswith(" after")


def test_a_recording_that_fails_leaves_nothing_half_done(store: SqlStore) -> None:
    engine = HandEngine(store, running(store))
    engine.acquire()
    engine.end(0)
    engine.record()
    before = store.campaign(engine.campaign.id)
    with store.database.begin() as connection:
        # stands for any failure half-way
        connection.execute(sa.text("ALTER TABLE messages RENAME TO gone"))
        connection.execute(sa.text(f"ALTER TABLE {_results(store, before)} RENAME TO elsewhere"))
    engine.end(1, 2, results=[{"new": 1}])
    with pytest.raises(StoreError):
        engine.record()
    assert store.campaign(before.id) == before
    assert set(trials_of(store, before)) == {0}
    assert len(attempts_of(store, before)) == 1


def _results(store: SqlStore, campaign: Campaign) -> str:
    experiments = tables.experiments
    [row] = read(
        store,
        sa.select(experiments.c.results_table).where(experiments.c.id == campaign.experiment_id),
    )
    return str(row["results_table"])


@pytest.mark.parametrize("count", [1, 499, 500, 501, 1203])
def test_known_trials_are_told_from_unknown(store: SqlStore, count: int) -> None:
    engine = HandEngine(store, running(store, positions=count))
    engine.acquire(count)
    engine.end(*range(count))
    engine.record()
    trials = trials_of(store, engine.campaign)
    prints = [trials[position]["fingerprint"] for position in range(count)]
    asked = [*prints, "0" * 20, "not there"]
    assert store.known(engine.campaign.experiment_id, asked) == set(prints)
    assert store.known(engine.campaign.experiment_id + 1, asked) == set()
    assert store.known(engine.campaign.experiment_id, []) == set()


VALUES: Sequence[Value] = (
    True,
    False,
    0,
    -(2**63),
    2**63 - 1,
    0.1,
    -0.0,
    5e-324,
    1.7976931348623157e308,
    float("inf"),
    float("-inf"),
    "",
    "%s ' \" \\ ; -- :x {y}",
    "Größe \N{SNOWMAN} \N{GRINNING FACE}",
    "x" * 100_000,
    None,
)


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:12])
def test_values_come_back_as_they_were(store: SqlStore, value: Value) -> None:
    engine = HandEngine(store, running(store))
    engine.acquire()
    engine.end(0, results=[{"y": value}])
    [row] = results_of(store, engine.record())
    assert row["y"] == value
    assert type(row["y"]) is type(value)
