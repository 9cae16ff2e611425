"""Cutting leases into batches: every position once, whatever is handed back, and no memory kept."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldlab.domain.ids import fingerprint
from fieldlab.domain.parameters import sequence_from
from fieldlab.domain.policies import FailureGuard
from fieldlab.engine.backlog import BATCH_S, GROWTH, LARGEST_BATCH, LEASE_S, Backlog, Pace
from fieldlab.ports.executor import AttemptRecord, Batch, Outcomes, Running
from fieldlab.ports.store import Lease, Recording, Retry

SEQUENCE = sequence_from({"matrix": {"x": {"range": [0, 9_999]}}})


def record(position: int, number: int = 1, seconds: float = 0.001) -> AttemptRecord:
    return AttemptRecord(
        position=position,
        repeat=1,
        fingerprint=fingerprint({"x": position}, 1),
        parameters=f'{{"x":{position}}}',
        number=number,
        started=1000.0,
        ended=1000.0 + seconds,
        state="succeeded",
        status="success",
        failure="",
        exit_code=None,
        error="",
        rows=(),
    )


def ran(batch: Batch, ordinals: Collection[int], excluded: int = 0) -> Outcomes:
    """Deliver the trials at some places of a batch."""
    records = [record(batch.positions[each], batch.number(each)) for each in sorted(ordinals)]
    return Outcomes(batch=batch.id, shapes=[], records=records, excluded=excluded)


def lease(start: int, stop: int, recorded: Collection[int] = (), number: int = 1) -> Lease:
    return Lease(
        id=number, start=start, stop=stop, first_id=1000 + start, recorded=frozenset(recorded)
    )


def entries(backlog: Backlog) -> int:
    """Count what a backlog remembers, in all its containers."""
    kept = (getattr(backlog, name) for name in Backlog.__dataclass_fields__)
    return sum(len(each) for each in kept if hasattr(each, "__len__") and each is not SEQUENCE)


@given(data=st.data())
def test_every_position_is_run_once(data: st.DataObject) -> None:
    draw = data.draw
    backlog = Backlog(SEQUENCE)
    expected: set[int] = set()
    recorded_before: set[int] = set()
    start = 0
    for number in range(1, draw(st.integers(1, 4)) + 1):
        stop = start + draw(st.integers(1, 30))
        recorded = draw(st.sets(st.integers(start, stop - 1)))
        expected |= set(range(start, stop))
        recorded_before |= recorded
        backlog.add_lease(lease(start, stop, recorded, number), None)
        start = stop
    retries = draw(st.sets(st.integers(5000, 5020), max_size=5))
    backlog.add_retries(
        [Retry(trial_id=at * 10, position=at, number=2 + at % 3) for at in sorted(retries)]
    )
    seen: Counter[int] = Counter()
    finished: Counter[int] = Counter()
    excluded = counted = 0
    while backlog or backlog.has_used_up:
        batch = backlog.next_batch(draw(st.integers(1, 12)), draw(st.integers(1, 4)))
        recording = Recording()
        if batch is not None:
            places = range(len(batch.positions))
            unrun = draw(st.sets(st.sampled_from(places), max_size=len(places) - 1))
            # positions of retries are never excluded: they have been run before
            out = set() if batch.numbers else draw(st.sets(st.sampled_from(places))) - unrun
            done = set(places) - unrun - out
            excluded += len(out)
            recording = backlog.recording([ran(batch, done, len(out))])
            check_ids(recording, batch)
            seen.update(batch.positions[each] for each in done | out)
            if unrun:
                backlog.hand_back(batch, sorted(unrun))
            backlog.forget(batch)
        else:
            recording = backlog.recording([])
        backlog.recorded(recording)
        finished.update(recording.finished.keys())
        counted += sum(each[0] for each in recording.finished.values())
    assert seen == Counter((expected - recorded_before) | retries)
    assert set(finished.values()) == {1}, "each lease is used up once"
    assert counted == excluded
    assert not backlog.has_leases
    assert entries(backlog) == 0


def check_ids(recording: Recording, batch: Batch) -> None:
    for outcomes in recording.outcomes:
        for each in outcomes.records:
            retried = bool(batch.numbers)
            expected = each.position * 10 if retried else 1000 + each.position
            assert recording.trial_ids[each.position] == expected
            assert (expected in recording.begun) == retried
            assert each.number == (2 + each.position % 3 if retried else 1)


def test_what_the_store_knows_is_skipped_and_what_is_excluded_is_counted() -> None:
    space: dict[str, Any] = {
        "matrix": {"x": {"range": [0, 99]}},
        "exclude": ["x % 10 == 3"],
        "sample": {"count": 50, "seed": 1},
    }
    sequence = sequence_from(space)
    trials = {at: sequence[at] for at in range(20)}
    there = {trial.fingerprint for at, trial in trials.items() if trial and at % 2}
    asked: list[Collection[str]] = []

    def known(prints: Collection[str]) -> set[str]:
        asked.append(prints)
        return there & set(prints)

    backlog = Backlog(sequence)
    backlog.add_lease(lease(0, 20), known)
    positions: list[int] = []
    finished: dict[int, tuple[int, int]] = {}
    while batch := backlog.next_batch(7, 1):
        positions += batch.positions
        recording = backlog.recording([ran(batch, range(len(batch.positions)))])
        finished |= recording.finished
        backlog.forget(batch)
    absent = [at for at, trial in trials.items() if trial is None]
    new = [at for at, trial in trials.items() if trial and trial.fingerprint not in there]
    assert positions == new
    assert finished == {1: (len(absent), 20 - len(absent) - len(new))}
    assert len(asked) == 1, "one question for the whole lease"


@pytest.mark.parametrize("recorded", [False, True])
def test_a_lease_without_anything_to_do_is_used_up_at_once(recorded: bool) -> None:
    backlog = Backlog(SEQUENCE)
    if recorded:
        backlog.add_lease(lease(0, 3, {0, 1, 2}), None)
    else:
        backlog.add_lease(lease(0, 3), set)
    assert not backlog
    assert backlog.has_used_up
    assert backlog.recording([]).finished == {1: (0, 0 if recorded else 3)}
    assert not backlog.has_leases


def test_retries_come_before_new_trials() -> None:
    backlog = Backlog(SEQUENCE)
    backlog.add_lease(lease(0, 4), None)
    backlog.add_retries([Retry(trial_id=70, position=700, number=3)])
    first, second = backlog.next_batch(2, 1), backlog.next_batch(2, 1)
    assert first is not None
    assert second is not None
    assert (list(first.positions), list(first.numbers)) == ([700], [3])
    assert list(second.positions) == [0, 1]


def test_the_last_positions_are_shared_among_the_slots() -> None:
    backlog = Backlog(SEQUENCE)
    backlog.add_lease(lease(0, 8), None)
    sizes = []
    while batch := backlog.next_batch(100, 4):
        sizes.append(len(batch.positions))
    assert sum(sizes) == 8
    assert len(sizes) >= 4


def test_what_was_handed_back_comes_first() -> None:
    backlog = Backlog(SEQUENCE)
    backlog.add_lease(lease(0, 100), None)
    batch = backlog.next_batch(5, 1)
    assert batch is not None
    backlog.hand_back(batch, [3, 4])
    again = backlog.next_batch(5, 1)
    assert again is not None
    assert list(again.positions) == [3, 4]


def test_retries_that_were_handed_back_come_first_and_in_their_order() -> None:
    backlog = Backlog(SEQUENCE)
    backlog.add_retries([Retry(trial_id=at, position=at, number=at) for at in range(2, 8)])
    batch = backlog.next_batch(4, 1)
    assert batch is not None
    backlog.hand_back(batch, [1, 3])
    again = backlog.next_batch(9, 1)
    assert again is not None
    assert list(again.positions) == list(again.numbers) == [3, 5, 6, 7]


def test_a_trial_that_is_known_to_run_is_recorded_as_begun() -> None:
    backlog = Backlog(SEQUENCE)
    backlog.add_lease(lease(0, 2), None)
    batch = backlog.next_batch(2, 1)
    assert batch is not None
    backlog.begun.add(backlog.trial_id(batch.id, 1))
    recording = backlog.recording([ran(batch, {0, 1})])
    assert recording.begun == {1001}
    backlog.recorded(recording)
    assert backlog.begun == set()


def test_only_trials_that_have_run_for_a_while_are_to_be_recorded_as_running() -> None:
    backlog = Backlog(SEQUENCE)
    backlog.add_lease(lease(0, 4), None)
    backlog.add_retries([Retry(trial_id=70, position=700, number=2)])
    retries, batch = backlog.next_batch(4, 1), backlog.next_batch(4, 1)
    assert retries is not None
    assert batch is not None
    now = time.time()
    begun = {0: now - 9, 1: now - 8, 2: now - 0.1}
    running = [
        Running(batch=batch.id, position=at, number=1, started=started)
        for at, started in begun.items()
    ]
    running.append(Running(batch=retries.id, position=700, number=2, started=now - 9))
    backlog.begun.add(1001)
    [(each, trial_id, print_, parameters, repeat)] = backlog.unrecorded(running, 1.0)
    assert (each.position, trial_id, parameters, repeat) == (0, 1000, '{"x":0}', 1)
    assert print_ == fingerprint({"x": 0}, 1)


def test_memory_does_not_grow_with_the_trials_that_were_run() -> None:
    backlog = Backlog(SEQUENCE)
    most = 0
    for number in range(1, 1001):
        start = (number - 1) * 10
        backlog.add_lease(lease(start, start + 10, number=number), None)
        while batch := backlog.next_batch(4, 2):
            most = max(most, entries(backlog))
            backlog.recorded(backlog.recording([ran(batch, range(len(batch.positions)))]))
            backlog.forget(batch)
    assert most <= 4
    assert entries(backlog) == 0


def paced(durations: Sequence[float]) -> Pace:
    pace = Pace(FailureGuard())
    for seconds in durations:
        pace.batch(2)
        records = [record(0, seconds=seconds)]
        pace.learn(Outcomes(batch=1, shapes=[], records=records))
    return pace


def test_the_first_batch_is_a_single_trial() -> None:
    assert Pace(FailureGuard()).batch(2) == 1
    assert Pace(FailureGuard()).lease(6) == 6


def test_slow_trials_go_one_by_one() -> None:
    pace = paced([2.0] * 5)
    assert pace.batch(2) == 1
    assert pace.lease(4) == 4
    assert pace.under_way(4) == 4


def test_near_the_guards_limit_batches_are_small() -> None:
    pace = paced([1e-4] * 9)
    assert pace.batch(2) > 100
    failed = record(0, seconds=1e-4)._replace(failure="experiment")
    for _ in range(8):
        pace.learn(Outcomes(batch=1, shapes=[], records=[failed]))
        assert pace.batch(2) <= 2


def test_batches_of_fast_trials_grow_step_by_step() -> None:
    pace = paced([1e-5])
    sizes = [pace.batch(2) for _ in range(8)]
    assert sizes[-1] == LARGEST_BATCH
    assert all(
        later <= GROWTH * earlier for earlier, later in zip([1, *sizes], sizes, strict=False)
    )


@given(st.lists(st.floats(0, 1e6), max_size=20), st.integers(1, 256))
def test_batches_and_leases_stay_within_their_bounds(durations: list[float], slots: int) -> None:
    pace = paced(durations)
    assert 1 <= pace.batch(2) <= LARGEST_BATCH
    assert slots <= pace.lease(slots) <= slots * LARGEST_BATCH * LEASE_S / BATCH_S


def test_a_batch_that_is_all_excluded_lets_the_next_be_larger() -> None:
    pace = Pace(FailureGuard())
    for _ in range(5):
        pace.learn(Outcomes(batch=1, shapes=[], records=[], excluded=1))
    pace.learn(Outcomes(batch=1, shapes=[], records=[record(0, seconds=1e-6)]))
    assert pace.batch(2) > 1000


def test_a_clock_that_was_set_back_does_no_harm() -> None:
    assert paced([-5.0, -5.0]).batch(2) >= 1
