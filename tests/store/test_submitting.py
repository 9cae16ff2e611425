"""Points that come one by one, as the store keeps them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fieldlab.domain.errors import IllegalTransition
from fieldlab.domain.parameters import TrialPoint
from fieldlab.domain.trials import CampaignState, TrialState
from fieldlab.ports.store import Campaign
from fieldlab.store.sql_store import SqlStore
from tests.store import books
from tests.store.staging import HandEngine, definition, running, trials_of


def taking(store: SqlStore) -> Campaign:
    defined = replace(definition(), space={"submitted": ["x"]})
    return running(store, defined, positions=None)


def points(*values: float) -> list[TrialPoint]:
    return [TrialPoint({"x": each}, 1) for each in values]


def test_a_submitted_point_is_a_queued_trial(store: SqlStore) -> None:
    campaign = taking(store)
    found = store.submit(campaign.id, points(5, 0.5, 1.0))
    assert [(each.state, each.owner) for each in found] == [(TrialState.QUEUED, "")] * 3
    trials = trials_of(store, campaign)
    assert [each["parameters"] for each in trials.values()] == ['{"x":5}', '{"x":0.5}', '{"x":1.0}']
    assert store.campaign(campaign.id).cursor == 3
    books.check(store, campaign.id)


def test_points_that_are_there_are_not_queued_twice(store: SqlStore) -> None:
    campaign = taking(store)
    first = store.submit(campaign.id, points(1, 1.0, 2))
    again = store.submit(campaign.id, points(2, 3, 1))
    assert first[0] == first[1]
    assert {again[0].trial_id, again[2].trial_id} == {each.trial_id for each in first}
    assert store.campaign(campaign.id).cursor == 3


def test_engines_get_submitted_points_with_their_parameters(store: SqlStore) -> None:
    campaign = taking(store)
    store.submit(campaign.id, points(7.0))
    work = HandEngine(store, campaign).acquire()
    assert not work.leases
    assert [(each.number, each.position, each.trial) for each in work.retries] == [
        (1, 0, TrialPoint({"x": 7.0}, 1))
    ]
    assert isinstance(work.retries[0].trial.parameters["x"], float)  # type: ignore[union-attr]


def test_endings_are_told_of_those_that_have_ended(store: SqlStore) -> None:
    campaign = taking(store)
    ids = [each.trial_id for each in store.submit(campaign.id, points(0, 1, 2))]
    engine = HandEngine(store, campaign)
    engine.acquire(retries=2)
    engine.end(0)
    engine.fail(1)
    engine.record()
    endings = {each.trial_id: each for each in store.endings(campaign.id, ids)}
    assert [endings[each].state for each in ids[:2]] == [TrialState.SUCCEEDED, TrialState.FAILED]
    assert ids[2] not in endings
    assert endings[ids[0]].rows
    assert "x" not in endings[ids[0]].rows[0], "the parameters are left out"
    assert endings[ids[1]].status
    assert not store.endings(campaign.id, [])


def test_a_failed_point_is_queued_again_with_fresh_tries(store: SqlStore) -> None:
    campaign = taking(store)
    store.submit(campaign.id, points(0))
    engine = HandEngine(store, campaign)
    engine.acquire()
    engine.fail(0)
    assert engine.record().failed == 1
    store.submit(campaign.id, points(0))
    assert store.campaign(campaign.id).failed == 0
    assert [each.number for each in engine.acquire().retries] == [2]


def test_only_a_running_campaign_takes_points(store: SqlStore) -> None:
    campaign = taking(store)
    store.change_state(campaign.id, CampaignState.PAUSED, by="tester", why="")
    with pytest.raises(IllegalTransition, match="takes no points"):
        store.submit(campaign.id, points(1))
    assert not trials_of(store, campaign)


def test_it_is_finished_when_nothing_is_queued_and_nobody_else_works_on_it(store: SqlStore) -> None:
    campaign = taking(store)
    first, second = HandEngine(store, campaign), HandEngine(store, campaign)
    store.submit(campaign.id, points(0))
    assert not store.finish(campaign.id, first.id)
    first.acquire()
    first.end(0)
    first.record()
    assert store.finish(campaign.id, second.id)
    assert store.campaign(campaign.id).state is CampaignState.RUNNING, "the first may get more"
    store.retire(campaign.id, first.id)
    assert store.finish(campaign.id, second.id)
    assert store.campaign(campaign.id).state is CampaignState.FINISHED
