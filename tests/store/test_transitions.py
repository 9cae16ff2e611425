"""Compare-and-set under real contention: no step is lost, none is taken twice."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fieldlab.domain.errors import Conflict, IllegalTransition
from fieldlab.domain.ids import canonical, fingerprint
from fieldlab.domain.lifecycle import Role
from fieldlab.domain.trials import CampaignState, TrialState
from fieldlab.ports.store import Campaign
from fieldlab.store import tables
from fieldlab.store.database import Database
from fieldlab.store.sql_store import SqlStore
from fieldlab.store.transitions import CAMPAIGNS, TRIALS, Cause, advance, advance_all
from tests.store import books
from tests.store.staging import created, definition, read, running, topics

_names = (f"race{number}" for number in itertools.count())
_BIRTH = (
    "id", "experiment_id", "campaign_id", "position", "repeat", "fingerprint", "parameters",
    "attempts", "used", "lost", "due_at",
)  # fmt: skip

#: one transaction: the steps that it takes, each with the rows that it wants to move
Step = tuple[TrialState, TrialState, frozenset[int]]


def birth(campaign: Campaign, row_id: int, position: int) -> tuple[object, ...]:
    point = {"x": position}
    return (
        row_id, campaign.experiment_id, campaign.id, position, 1, fingerprint(point, 1),
        canonical(point), 1, 0, 0, None,
    )  # fmt: skip


def cause(actor: str) -> Cause:
    return Cause(actor=actor, role=Role.ADMIN)


def steps(rows: int) -> st.SearchStrategy[list[Step]]:
    pairs = [
        (TrialState.RUNNING, TrialState.QUEUED),
        (TrialState.QUEUED, TrialState.RUNNING),
        (TrialState.RUNNING, TrialState.FAILED),
        (TrialState.FAILED, TrialState.QUEUED),
    ]
    some = st.frozensets(st.integers(0, rows - 1), min_size=1)
    return st.lists(
        st.tuples(st.sampled_from(pairs), some).map(lambda each: (*each[0], each[1])),
        min_size=1,
        max_size=6,
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(plans=st.lists(steps(5), min_size=2, max_size=3))
def test_racing_steps_are_each_taken_once(database: Database, plans: Sequence[list[Step]]) -> None:
    store = SqlStore(database)
    campaign = running(store, definition(next(_names)))
    first = 1 + campaign.id * 1000
    with database.begin() as connection:
        births = [birth(campaign, first + at, at) for at in range(5)]
        advance_all(
            connection,
            TRIALS,
            TrialState.PLANNED,
            TrialState.RUNNING,
            cause("start"),
            _BIRTH,
            births,
        )
    gate = threading.Barrier(len(plans), timeout=30)

    def go(number: int) -> Counter[tuple[int, str, str]]:
        taken: Counter[tuple[int, str, str]] = Counter()
        gate.wait()
        for source, target, rows in plans[number]:
            with database.begin() as connection:
                # in one order, so that PostgreSQL never has two wait for each other
                wanted = [(first + at,) for at in sorted(rows)]
                won = advance_all(
                    connection, TRIALS, source, target, cause(str(number)), ("id",), wanted
                )
                assert set(won) <= set(wanted)
            taken.update((row[0], source.value, target.value) for row in won)
        return taken

    with ThreadPoolExecutor(len(plans)) as pool:
        taken: Counter[tuple[int, str, str]] = Counter()
        for each in pool.map(go, range(len(plans))):
            taken.update(each)
    events = read(
        store,
        sa.select(tables.events).where(
            tables.events.c.entity == "trial",
            tables.events.c.entity_id.between(first, first + 4),
            tables.events.c.actor != "start",
        ),
    )
    told = Counter((row["entity_id"], row["source"], row["target"]) for row in events)
    assert told == taken
    trials = read(store, sa.select(tables.trials).where(tables.trials.c.campaign_id == campaign.id))
    books.check_journal(store, TRIALS.lifecycle, {row["id"]: row["state"] for row in trials})


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15)
@given(
    wanted=st.lists(
        st.frozensets(st.integers(0, 9), min_size=1).map(sorted), min_size=2, max_size=4
    )
)
def test_racing_births_of_one_trial_bear_it_once(
    database: Database, wanted: Sequence[list[int]]
) -> None:
    store = SqlStore(database)
    campaign = running(store, definition(next(_names)))
    gate = threading.Barrier(len(wanted), timeout=30)

    def go(number: int) -> list[int]:
        gate.wait()
        with database.begin() as connection:
            first = campaign.id * 1000 + number * 100
            births = [birth(campaign, first + at, at) for at in wanted[number]]
            won = advance_all(
                connection,
                TRIALS,
                TrialState.PLANNED,
                TrialState.SUCCEEDED,
                cause(str(number)),
                _BIRTH,
                births,
            )
        return [row[0] for row in won]

    with ThreadPoolExecutor(len(wanted)) as pool:
        born = [each for some in pool.map(go, range(len(wanted))) for each in some]
    trials = read(store, sa.select(tables.trials).where(tables.trials.c.campaign_id == campaign.id))
    assert sorted(row["id"] for row in trials) == sorted(born)
    positions = sorted(row["position"] for row in trials)
    assert positions == sorted(set().union(*wanted))
    books.check_journal(store, TRIALS.lifecycle, dict.fromkeys(born, TrialState.SUCCEEDED))


def test_one_of_two_people_changes_a_campaign(store: SqlStore) -> None:
    campaign = running(store)
    gate = threading.Barrier(2, timeout=30)

    def go(target: CampaignState) -> str:
        with store.database.begin() as connection:
            gate.wait()
            try:
                advance(
                    connection,
                    CAMPAIGNS,
                    campaign.id,
                    CampaignState.RUNNING,
                    target,
                    Cause(actor=target.value, role=Role.OPERATOR),
                )
            except Conflict as error:
                return str(error)
        return target.value

    if store.database.is_sqlite:  # its writers queue up at BEGIN, so they can't meet at a gate
        gate = threading.Barrier(1)
    with ThreadPoolExecutor(2) as pool:
        ends = list(pool.map(go, (CampaignState.PAUSED, CampaignState.CANCELLED)))
    [lost] = [end for end in ends if "is no longer 'running'" in end]
    ends.remove(lost)
    assert ends == [store.campaign(campaign.id).state]
    assert len(topics(store)) == 1
    books.check(store, campaign.id)


def test_an_illegal_step_says_what_is_allowed_and_does_nothing(store: SqlStore) -> None:
    campaign = created(store)
    with (
        pytest.raises(IllegalTransition, match="allowed: 'running', 'cancelled'"),
        store.database.begin() as connection,
    ):
        advance(
            connection,
            CAMPAIGNS,
            campaign.id,
            CampaignState.CREATED,
            CampaignState.FINISHED,
            cause("ada"),
        )
    assert store.campaign(campaign.id) == campaign
    assert topics(store) == []


def test_rows_that_must_match_are_left_where_they_do_not(store: SqlStore) -> None:
    campaign = running(store)
    with store.database.begin() as connection:
        births = [birth(campaign, 7000 + at, at) for at in range(3)]
        advance_all(
            connection, TRIALS, TrialState.PLANNED, TrialState.RUNNING, cause("a"), _BIRTH, births
        )
        won = advance_all(
            connection,
            TRIALS,
            TrialState.RUNNING,
            TrialState.QUEUED,
            cause("a"),
            ("id", "attempts", "lost"),
            [(7000, 1, 5), (7001, 2, 5), (7002, 1, 6), (7999, 1, 5)],
            match=("attempts",),
        )
    assert [row[0] for row in won] == [7000, 7002]
    trials = {row["id"]: row for row in read(store, sa.select(tables.trials))}
    found = {key: (row["state"], row["lost"]) for key, row in trials.items()}
    assert found == {7000: ("queued", 5), 7001: ("running", 0), 7002: ("queued", 6)}
