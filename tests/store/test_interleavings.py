"""Engines that take, run, record, crash and sleep in every order that anybody can think of.

Hypothesis thinks of the orders. After every step the books must balance; in the end, whatever
happened, the campaign can be brought to its end with one set of results for every trial.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
from collections import defaultdict
from collections.abc import Iterator
from typing import ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from fieldlab.domain.errors import Conflict
from fieldlab.domain.trials import CampaignState, FailureClass, TrialState
from fieldlab.ports.store import Campaign
from fieldlab.store.database import Database
from fieldlab.store.sql_store import SqlStore
from tests.store import books
from tests.store.staging import HandEngine, definition, results_of, running, trials_of

POSITIONS = 7
ENGINES = 3

_names = (f"interleaved{number}" for number in itertools.count())
_picks = st.integers(0, 10**6)


class Interleavings(RuleBasedStateMachine):
    """Several engines, each with a connection of its own, on one small campaign."""

    stores: ClassVar[list[SqlStore]]

    @initialize()
    def start(self) -> None:
        self.store = self.stores[-1]
        defined = definition(next(_names), attempts=2, infrastructure_attempts=2)
        self.campaign: Campaign = running(self.store, defined, positions=POSITIONS)
        self.engines: list[HandEngine] = []
        #: engines that were written out while they were alive
        self.asleep: set[str] = set()
        #: what was handed to the store as a trial's result, by position
        self.delivered: dict[int, set[float]] = defaultdict(set)
        self.values = itertools.count(1)

    def some(self, pick: int) -> HandEngine:
        return self.engines[pick % len(self.engines)]

    def awake(self, engine: HandEngine) -> contextlib.AbstractContextManager[object]:
        """Expect that an engine which was taken for dead is told so."""
        if engine.id in self.asleep:
            return pytest.raises(Conflict)
        return contextlib.nullcontext()

    @precondition(lambda self: len(self.engines) < ENGINES)
    @rule()
    def enlist(self) -> None:
        store = self.stores[len(self.engines) % len(self.stores)]
        self.engines.append(HandEngine(store, self.campaign))

    @precondition(lambda self: self.engines)
    @rule(pick=_picks, positions=st.integers(0, 4), retries=st.integers(0, 3))
    def acquire(self, pick: int, positions: int, retries: int) -> None:
        engine = self.some(pick)
        with self.awake(engine):
            engine.acquire(positions, retries)

    @precondition(lambda self: any(each.held for each in self.engines))
    @rule(pick=_picks, which=_picks)
    def begin(self, pick: int, which: int) -> None:
        engine = self.holder(pick)
        first = [at for at, trial in engine.held.items() if not trial.begun and trial.number == 1]
        if first:
            position = first[which % len(first)]
            with self.awake(engine):
                engine.begin(position)

    @precondition(lambda self: any(each.held for each in self.engines))
    @rule(
        pick=_picks,
        which=_picks,
        failure=st.sampled_from(
            [None, None, None, FailureClass.EXPERIMENT, FailureClass.INFRASTRUCTURE]
        ),
    )
    def end(self, pick: int, which: int, failure: FailureClass | None) -> None:
        engine = self.holder(pick)
        position = sorted(engine.held)[which % len(engine.held)]
        if failure is not None:
            engine.fail(position, failure=failure)
            return
        value = float(next(self.values))
        self.delivered[position].add(value)
        engine.end(position, results=[{"y": value}, {"y": value}])

    def holder(self, pick: int) -> HandEngine:
        holders = [each for each in self.engines if each.held]
        return holders[pick % len(holders)]

    @precondition(lambda self: self.engines)
    @rule(pick=_picks, times=st.sampled_from([1, 1, 2]))
    def record(self, pick: int, times: int) -> None:
        engine = self.some(pick)
        recording = engine.recording()
        for _ in range(times):  # the second time because the answer to the first was lost
            engine.store.record(self.campaign.id, engine.id, copy.deepcopy(recording))

    @precondition(lambda self: self.engines)
    @rule(pick=_picks)
    def crash(self, pick: int) -> None:
        engine = self.some(pick)
        self.engines.remove(engine)
        self.store.recover(self.campaign.id, [engine.id])

    @precondition(lambda self: self.engines)
    @rule(pick=_picks)
    def be_taken_for_dead(self, pick: int) -> None:
        engine = self.some(pick)
        self.asleep.add(engine.id)
        self.store.recover(self.campaign.id, [engine.id])

    @precondition(lambda self: self.engines)
    @rule(pick=_picks)
    def retire(self, pick: int) -> None:
        engine = self.some(pick)
        engine.record()
        engine.store.retire(self.campaign.id, engine.id)
        self.engines.remove(engine)

    @rule(stop=st.sampled_from([CampaignState.PAUSED, CampaignState.CANCELLED]))
    def stop_and_go_on(self, stop: CampaignState) -> None:
        state = self.store.campaign(self.campaign.id).state
        if state is CampaignState.RUNNING:
            self.store.change_state(self.campaign.id, stop, by="ada", why="")
        else:
            self.go_on()

    def go_on(self) -> None:
        if self.store.campaign(self.campaign.id).state is not CampaignState.RUNNING:
            self.store.change_state(self.campaign.id, CampaignState.RUNNING, by="ada", why="")

    @rule(states=st.sets(st.sampled_from([TrialState.FAILED, TrialState.CANCELLED]), min_size=1))
    def retry(self, states: set[TrialState]) -> None:
        self.store.requeue(self.campaign.id, sorted(states), by="ada")

    @rule()
    def finish(self) -> None:
        before = self.store.campaign(self.campaign.id)
        if self.store.finish(self.campaign.id) and before.state is CampaignState.RUNNING:
            assert before.cursor == POSITIONS
            assert before.done == POSITIONS

    @invariant()
    def the_books_balance(self) -> None:
        if hasattr(self, "engines"):
            books.check(self.store, self.campaign.id)

    def teardown(self) -> None:
        if not hasattr(self, "engines"):
            return
        for engine in self.engines:
            engine.record()
        self.store.recover(self.campaign.id, [each.id for each in self.engines])
        self.go_on()
        self.store.requeue(self.campaign.id, [TrialState.FAILED, TrialState.CANCELLED], by="ada")
        last = HandEngine(self.store, self.campaign)
        last.acquire()
        for position in list(last.held):
            value = float(next(self.values))
            self.delivered[position].add(value)
            last.end(position, results=[{"y": value}, {"y": value}])
        last.record()
        assert self.store.finish(self.campaign.id)
        books.check(self.store, self.campaign.id)
        trials = trials_of(self.store, self.campaign)
        assert {at: row["state"] for at, row in trials.items()} == dict.fromkeys(
            range(POSITIONS), "succeeded"
        )
        found: dict[int, list[float]] = defaultdict(list)
        for row in results_of(self.store, self.campaign):
            found[row["x"]].append(row["y"])
        for position in range(POSITIONS):
            one, other = found[position]
            assert one == other
            assert one in self.delivered[position]


@pytest.fixture
def stores(database_url: str) -> Iterator[list[SqlStore]]:
    databases = [Database(database_url) for _ in range(2)]
    yield [SqlStore(database) for database in databases]
    for database in databases:
        database.close()


def test_whatever_happens_every_trial_is_recorded_once(stores: list[SqlStore]) -> None:
    machine = type("Bound", (Interleavings,), {"stores": stores})
    run_state_machine_as_test(machine, settings=settings(stateful_step_count=30, max_examples=20))
