"""Trying again, and stopping in time."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldlab.domain.policies import FailureGuard, RetryPolicy
from fieldlab.domain.trials import FailureClass

OWN_FAULT = [FailureClass.EXPERIMENT, FailureClass.VERDICT]


def test_without_a_policy_a_failure_is_final_but_a_lost_machine_is_not() -> None:
    policy = RetryPolicy()
    assert not any(policy.retries(failure, used=1, lost=0) for failure in OWN_FAULT)
    assert policy.retries(FailureClass.INFRASTRUCTURE, used=0, lost=1)


@pytest.mark.parametrize("failure", OWN_FAULT)
def test_a_trial_is_tried_so_often(failure: FailureClass) -> None:
    policy = RetryPolicy(attempts=3)
    assert [policy.retries(failure, used, lost=7) for used in (1, 2, 3, 4)] == [
        True,
        True,
        False,
        False,
    ]


def test_the_infrastructure_uses_up_tries_of_its_own() -> None:
    policy = RetryPolicy(attempts=1, infrastructure_attempts=2)
    lost = FailureClass.INFRASTRUCTURE
    assert [policy.retries(lost, used=9, lost=times) for times in (1, 2, 3)] == [True, True, False]
    assert not RetryPolicy(infrastructure_attempts=0).retries(lost, used=0, lost=1)


def test_delays_grow_up_to_the_longest() -> None:
    policy = RetryPolicy(attempts=9, delay_s=10, backoff=3, longest_delay_s=100)
    assert [policy.delay_before(number) for number in (2, 3, 4, 5)] == [10, 30, 90, 100]


def test_without_a_delay_the_next_try_is_at_once() -> None:
    assert RetryPolicy(backoff=1e9).delay_before(50) == 0


@given(
    delay_s=st.floats(0, 1e6),
    backoff=st.floats(1, 1e4),
    longest_delay_s=st.floats(0, 1e6),
    attempt=st.integers(1, 10**9),
)
def test_no_delay_is_longer_than_the_longest(
    delay_s: float, backoff: float, longest_delay_s: float, attempt: int
) -> None:
    policy = RetryPolicy(delay_s=delay_s, backoff=backoff, longest_delay_s=longest_delay_s)
    delay = policy.delay_before(attempt)
    assert math.isfinite(delay)
    assert 0 <= delay <= longest_delay_s
    assert delay <= policy.delay_before(attempt + 1)


@given(limit=st.integers(1, 1000), failures=st.integers(0, 2000))
def test_the_guard_trips_from_its_limit_on(limit: int, failures: int) -> None:
    assert FailureGuard(consecutive_failures=limit).trips(failures) == (failures >= limit)


@given(st.integers(0, 10**9))
def test_a_guard_of_zero_never_trips(failures: int) -> None:
    assert not FailureGuard(consecutive_failures=0).trips(failures)


def test_nothing_has_failed_yet() -> None:
    assert not FailureGuard().trips(0)
