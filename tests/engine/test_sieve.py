"""Looking ahead: every position is looked at once, and none is run that need not be."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldlab.domain.errors import BadInput
from fieldlab.domain.parameters import sequence_from
from fieldlab.engine.sieve import Sieve
from fieldlab.ports.store import Sifted

SPARSE: dict[str, Any] = {"matrix": {"x": {"uniform": [0, 1]}}, "exclude": ["x < 0.99"]}


def looks(sieve: Sieve, trials: int, wanted: int | None) -> list[Sifted]:
    """Look until the end, or until as many trials as wanted were found."""
    found: list[Sifted] = []
    at = excluded = 0
    while True:
        most = None if wanted is None else wanted + excluded - at
        sifted = sieve.look(at, trials, most)
        if sifted is None:
            return found
        assert (sifted.start, sifted.stop > at) == (at, True)
        found.append(sifted)
        at, excluded = sifted.stop, excluded + sifted.excluded


@given(
    rule=st.sampled_from(["x % 7 > 0", "x < 300", "x > 20 and x < 390", "x < 0"]),
    recorded=st.sets(st.integers(0, 399)),
    trials=st.integers(1, 50),
    wanted=st.none() | st.integers(0, 100),
)
def test_what_is_neither_excluded_nor_recorded_is_found(
    rule: str, recorded: set[int], trials: int, wanted: int | None
) -> None:
    space = {"matrix": {"x": {"range": [0, 399]}, "y": {"uniform": [0, 1]}}}
    sequence = sequence_from(
        {**space, "exclude": [rule], "sample": {"count": 400, "method": "latin-hypercube"}}
    )
    every = {at: sequence[at] for at in range(400)}
    prints = {at: trial.fingerprint for at, trial in every.items() if trial}
    there = {print_ for at, print_ in prints.items() if at in recorded}

    def known(asked: Collection[str]) -> set[str]:
        return there & set(asked)

    found = looks(Sieve(sequence, known), trials, wanted)
    expected = list(prints)[:wanted]
    assert sum(len(each.positions) + each.skipped for each in found) == len(expected)
    run = [at for each in found for at in each.positions]
    assert run == [at for at in expected if prints[at] not in there]
    assert all(len(each.positions) <= 2 * trials for each in found)
    for each in found:
        inside = range(each.start, each.stop)
        assert each.excluded == sum(at not in prints for at in inside)


def test_the_less_it_finds_the_further_it_looks() -> None:
    sequence = sequence_from({**SPARSE, "sample": {"count": 100, "seed": 3}})
    found = looks(Sieve(sequence, None), 2, 100)
    assert sum(len(each.positions) for each in found) == 100
    assert found[-1].stop > 5_000
    assert len(found) < 100, "it doesn't look at two positions at a time"


def test_what_is_all_to_be_run_is_leased_by_the_handful() -> None:
    """Others are to have their share of trials that take long."""
    sequence = sequence_from({"matrix": {"x": {"range": [0, 999]}}})
    first_half = {trial.fingerprint for at in range(500) if (trial := sequence[at])}
    sieve = Sieve(sequence, lambda asked: first_half & set(asked))
    found = looks(sieve, 2, None)
    assert sum(each.skipped for each in found) == 500
    assert max(len(each.positions) for each in found) <= 4
    assert len([each for each in found if each.start < 500]) < 10


def test_an_undecidable_exclusion_is_met_when_all_before_it_has_been_found() -> None:
    axis = {"range": [0, 99_999]}
    rule = "1 / (y - 20 + x * y % 2) > 7"
    sieve = Sieve(sequence_from({"matrix": {"x": axis, "y": axis}, "exclude": [rule]}), None)
    sifted = sieve.look(0, 30, None)
    assert sifted is not None
    assert list(sifted.positions) == list(range(20))
    with pytest.raises(BadInput, match="can't be decided for x=0, y=20"):
        sieve.look(20, 30, None)
