"""Samples: no repetition, the same draws everywhere, and even cover."""

from __future__ import annotations

import collections
import statistics
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldlab.domain.errors import BadInput
from fieldlab.domain.ids import Point
from fieldlab.domain.parameters import TrialSequence, points, sequence_from
from fieldlab.domain.permutation import Permutation
from fieldlab.domain.sampling import LatinHypercube


def first(sequence: TrialSequence, count: int, start: int = 0) -> list[Point]:
    trials = [sequence[position] for position in range(start, start + count)]
    return [trial.parameters for trial in trials if trial is not None]


@given(size=st.integers(1, 5000), seed=st.integers(0, 2**70))
@settings(max_examples=60, deadline=None)
def test_a_permutation_holds_every_element_once(size: int, seed: int) -> None:
    permutation = Permutation(size, seed)
    assert sorted(permutation[index] for index in range(size)) == list(range(size))


@given(size=st.integers(1025, 10**45), seed=st.integers(0, 9))
@settings(max_examples=60, deadline=None)
def test_a_huge_permutation_stays_in_range_and_never_repeats(size: int, seed: int) -> None:
    permutation = Permutation(size, seed)
    indices = {index * (size // 500) for index in range(500)}
    found = {permutation[index] for index in indices}
    assert len(found) == len(indices)
    assert all(0 <= element < size for element in found)


@pytest.mark.parametrize("size", [1000, 1100, 30_000])
def test_a_permutation_shows_no_pattern(size: int) -> None:
    """Where an element goes says nothing about where its neighbour goes."""
    cells: collections.Counter[tuple[int, int]] = collections.Counter()
    draws = 0
    for seed in range(20_000 // 1000):
        permutation = Permutation(size, seed)
        for index in range(999):
            cells[permutation[index] * 8 // size, permutation[index + 1] * 8 // size] += 1
            draws += 1
    expected = draws / 64
    chi_squared = sum((cells[a, b] - expected) ** 2 / expected for a in range(8) for b in range(8))
    # 63 degrees of freedom: above 112 once in 10,000
    assert chi_squared < 112


def test_permutations_are_the_same_in_every_version() -> None:
    assert [Permutation(10, 7)[i] for i in range(10)] == PINNED_SMALL
    assert [Permutation(10**12, 7)[i] for i in range(3)] == PINNED_LARGE
    assert [Permutation(10**30, 7)[i] for i in range(2)] == PINNED_WIDE


def test_a_permutation_is_quick() -> None:
    permutation = Permutation(10**15, 1)
    started = time.perf_counter()
    for index in range(10_000):
        permutation[index]
    assert (time.perf_counter() - started) / 10_000 < 40e-6


@given(
    sizes=st.lists(st.integers(1, 12), min_size=1, max_size=3),
    seed=st.integers(0, 99),
    share=st.floats(0.01, 1),
)
@settings(max_examples=60, deadline=None)
def test_a_sample_draws_without_repetition(sizes: list[int], seed: int, share: float) -> None:
    matrix = {f"p{number}": {"range": [1, size]} for number, size in enumerate(sizes)}
    total = sequence_from({"matrix": matrix}).total
    assert total is not None
    count = max(int(total * share), 1)
    sequence = sequence_from({"matrix": matrix, "sample": {"count": count, "seed": seed}})
    assert sequence.total == count
    drawn = [tuple(point.values()) for point in first(sequence, count)]
    assert len(set(drawn)) == count


def test_a_sample_without_a_count_uses_the_space_up() -> None:
    space = {"matrix": {"a": {"range": [1, 50]}}, "exclude": ["a % 2 == 0"], "sample": {}}
    sequence = sequence_from(space)
    assert sequence.total == 25
    assert sorted(point["a"] for point in first(sequence, 25)) == list(range(1, 51, 2))  # type: ignore[type-var]


def test_a_sample_is_in_random_order_that_its_seed_decides() -> None:
    matrix = {"a": {"range": [1, 10**6]}}
    one, other = (
        [point["a"] for point in first(sequence_from({"matrix": matrix, "sample": sample}), 100)]
        for sample in ({"count": 100, "seed": 1}, {"count": 100, "seed": 2})
    )
    assert one != other
    assert one != sorted(one)  # type: ignore[type-var]
    by_space = sequence_from({"matrix": matrix, "sample": {"count": 100}, "seed": 2})
    assert [point["a"] for point in first(by_space, 100)] == other


def test_a_longer_sample_begins_like_the_shorter_one() -> None:
    matrix = {"a": {"range": [1, 10**6]}, "b": [1, 2, 3]}
    short = sequence_from({"matrix": matrix, "sample": {"count": 20, "seed": 7}})
    long = sequence_from({"matrix": matrix, "sample": {"count": 2000, "seed": 7}})
    assert first(short, 20) == first(long, 20)
    assert first(long, 10, start=10) == first(short, 20)[10:]


MIXED: dict[str, Any] = {
    "matrix": {
        "x": {"uniform": [-1, 3]},
        "rate": {"loguniform": [1e-3, 1e3]},
        "noise": {"normal": [10, 2]},
        "mode": ["a", "b", "c"],
    },
    "zip": [{"n": [1, 2], "m": [10, 20]}],
    "sample": {"seed": 7},
}


def test_continuous_axes_are_drawn_for_ever() -> None:
    sequence = sequence_from({**MIXED, "repeat": 2})
    assert (sequence.total, sequence.positions, sequence.limit) == (None, None, None)
    assert sequence[10**15] is not None
    drawn = first(sequence_from(MIXED), 4000)
    assert all(-1 <= float(point["x"] or 0) <= 3 for point in drawn)
    assert all(1e-3 <= float(point["rate"] or 0) <= 1e3 for point in drawn)
    assert {(point["n"], point["m"]) for point in drawn} == {(1, 10), (2, 20)}
    modes = collections.Counter(point["mode"] for point in drawn)
    assert all(1150 < count < 1520 for count in modes.values())
    noise = [float(point["noise"] or 0) for point in drawn]
    assert abs(statistics.fmean(noise) - 10) < 0.15
    assert abs(statistics.stdev(noise) - 2) < 0.12
    below = sum(float(point["rate"] or 0) < 1 for point in drawn)
    assert 1850 < below < 2150


@pytest.mark.parametrize("method", ["random", "latin-hypercube"])
def test_a_draw_depends_on_nothing_but_its_number(method: str) -> None:
    space = {**MIXED, "sample": {"seed": 7, "count": 500, "method": method}}
    forth, back = sequence_from(space), sequence_from(space)
    backwards = [back[position] for position in reversed(range(500))]
    assert [forth[position] for position in range(500)] == backwards[::-1]
    assert list(points(forth, 100, 105)) == [(at, forth[at]) for at in range(100, 105)]


def test_another_axis_leaves_the_draws_of_the_first_as_they_were() -> None:
    more = {**MIXED, "matrix": {"extra": {"uniform": [0, 1]}, **MIXED["matrix"]}}
    xs = [point["x"] for point in first(sequence_from(MIXED), 20)]
    assert [point["x"] for point in first(sequence_from(more), 20)] == xs


def test_draws_are_the_same_in_every_version() -> None:
    assert first(sequence_from(MIXED), 2) == PINNED_DRAWS


def test_excluded_draws_are_made_up_for() -> None:
    space = {**MIXED, "exclude": ["x < 0"], "sample": {"count": 30}, "repeat": 2}
    sequence = sequence_from(space)
    assert (sequence.streams, sequence.total, sequence.limit) == (True, None, 60)
    assert sequence.positions is None
    assert all(float(point["x"] or 0) >= 0 for point in first(sequence, 200))


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ({"exclude": ["x < 5"]}, "leave out each of the first 10000 draws"),
        ({"order": "shuffled"}, "length is known in advance"),
        ({"include": [{"x": 1, "rate": 1, "noise": 1, "mode": "a", "n": 1, "m": 1}]}, "'include'"),
        ({"sample": {"method": "latin-hypercube"}}, "needs a count"),
        ({"sample": {"method": "sobol"}}, "isn't available here"),
        ({"zip": [{"n": {"uniform": [0, 1]}}]}, "can't be zipped"),
        ({"matrix": {"x": {"uniform": [3, 1]}}}, "less than the second"),
        ({"matrix": {"x": {"loguniform": [0, 1]}}}, "above 0"),
        ({"matrix": {"x": {"normal": [0, 0]}}}, "deviation above 0"),
    ],
)
def test_samples_that_cannot_be_drawn_are_explained(extra: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput) as caught:
        sequence_from({**MIXED, **extra})
    assert said in str(caught.value)


def test_blocks_with_continuous_axes_are_refused() -> None:
    block = {"matrix": {"x": {"uniform": [0, 1]}}}
    with pytest.raises(BadInput, match="'blocks' can't be sampled"):
        sequence_from({"blocks": [block, block], "sample": {"count": 3}})


@given(count=st.integers(1, 300), seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_a_latin_hypercube_has_one_point_in_every_stratum(count: int, seed: int) -> None:
    cube = LatinHypercube(["a", "b", "c"], count, seed)
    drawn = [cube.unit(number) for number in range(count)]
    assert all(0 <= unit < 1 for row in drawn for unit in row)
    for axis in range(3):
        assert sorted(int(row[axis] * count + 1e-9) for row in drawn) == list(range(count))


def test_a_latin_hypercube_covers_as_evenly_as_scipy_does() -> None:
    qmc = pytest.importorskip("scipy.stats.qmc")
    ours, theirs = (
        statistics.fmean(qmc.discrepancy(sample) for sample in samples)
        for samples in (
            [
                [LatinHypercube(["a", "b"], 200, seed).unit(i) for i in range(200)]
                for seed in range(20)
            ],
            [qmc.LatinHypercube(2, rng=seed).random(200) for seed in range(20)],
        )
    )
    assert 0.7 < ours / theirs < 1.4


def test_a_latin_hypercube_over_listed_values_takes_each_as_often() -> None:
    space = {
        "matrix": {"mode": ["a", "b"], "x": {"uniform": [0, 1]}},
        "sample": {"count": 10, "method": "latin-hypercube"},
    }
    drawn = first(sequence_from(space), 10)
    assert collections.Counter(point["mode"] for point in drawn) == {"a": 5, "b": 5}


PINNED_SMALL: list[int] = [5, 7, 4, 9, 3, 2, 0, 1, 6, 8]
PINNED_LARGE: list[int] = [791119575089, 491377763817, 57393461185]
PINNED_WIDE: list[int] = [707221991441221763013281708764, 581242743445187740313577962671]
PINNED_DRAWS: list[Point] = [
    {
        "x": -0.482468281088676,
        "rate": 0.00106026633075482,
        "noise": 7.82669834322854,
        "mode": "b",
        "n": 2,
        "m": 20,
    },
    {
        "x": 0.343135384595999,
        "rate": 4.48288091718021,
        "noise": 6.9575136017867,
        "mode": "a",
        "n": 1,
        "m": 10,
    },
]
