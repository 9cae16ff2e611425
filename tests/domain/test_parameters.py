"""Spaces: order, joining, leaving out, and size without memory."""

from __future__ import annotations

import itertools
import time
import tracemalloc
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldlab.domain import filtering
from fieldlab.domain.errors import BadInput
from fieldlab.domain.expressions import Expression
from fieldlab.domain.ids import Point, fingerprint
from fieldlab.domain.parameters import (
    Grid,
    ParameterSpace,
    TrialPoint,
    TrialSequence,
    points,
    sequence_from,
)
from fieldlab.domain.spaces import Factor, point_key


def visited(sequence: TrialSequence) -> list[Point]:
    """All points of a sequence in order, whether it streams or not."""
    assert sequence.positions is not None
    trials = [sequence[position] for position in range(sequence.positions)]
    return [trial.parameters for trial in trials if trial is not None]


def axis(data: Any) -> list[Any]:
    return [point["a"] for point in visited(sequence_from({"matrix": {"a": data}}))]


def problems_of(space: Mapping[str, Any]) -> list[str]:
    with pytest.raises(BadInput) as caught:
        sequence_from(space)
    return [str(problem) for problem in caught.value.problems]


def test_a_matrix_goes_through_every_combination_with_the_last_axis_fastest() -> None:
    sequence = sequence_from({"matrix": {"size": [100, 1024], "reliable": [True, False], "n": 7}})
    assert sequence.names == ("size", "reliable", "n")
    assert visited(sequence) == [
        {"size": size, "reliable": reliable, "n": 7}
        for size in (100, 1024)
        for reliable in (True, False)
    ]
    assert (sequence.total, sequence.positions, sequence.streams) == (4, 4, False)


def test_zipped_axes_move_in_step_and_multiply_with_the_matrix() -> None:
    space = {"matrix": {"a": [1, 2]}, "zip": [{"b": [10, 20], "c": ["x", "x"]}, {"d": [5, 6]}]}
    assert [tuple(point.values()) for point in visited(sequence_from(space))] == [
        (a, b, "x", d) for a in (1, 2) for b in (10, 20) for d in (5, 6)
    ]


def test_a_space_with_nothing_in_it_is_one_trial() -> None:
    assert list(points(sequence_from({}), 0, 9)) == [(0, TrialPoint({}, 1))]
    assert sequence_from({"repeat": 3}).total == 3


def test_repeats_follow_each_other_and_are_counted_from_1() -> None:
    sequence = sequence_from({"matrix": {"a": [1, 2]}, "repeat": 3})
    assert [sequence[at] for at in range(6)] == [
        TrialPoint({"a": value}, repeat) for value in (1, 2) for repeat in (1, 2, 3)
    ]
    with pytest.raises(IndexError):
        sequence[6]
    with pytest.raises(IndexError):
        sequence[-1]


@pytest.mark.parametrize(
    ("data", "values"),
    [
        ({"range": [1, 5]}, [1, 2, 3, 4, 5]),
        ({"range": [1, 6, 2]}, [1, 3, 5]),
        ({"range": [5, 1, -2]}, [5, 3, 1]),
        ({"range": [3, 3]}, [3]),
        ({"range": [0, 1, 0.1]}, [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]),
        ({"range": [-0.002, 0.002, 0.001]}, [-0.002, -0.001, 0, 0.001, 0.002]),
        ({"linspace": [0, 1, 5]}, [0, 0.25, 0.5, 0.75, 1]),
        ({"linspace": [1, 0, 3]}, [1, 0.5, 0]),
        ({"linspace": [2, 5, 1]}, [2]),
        ({"logspace": [1, 1000, 4]}, [1, 10, 100, 1000]),
        ({"logspace": [1e-3, 1e3, 7]}, [0.001, 0.01, 0.1, 1, 10, 100, 1000]),
        ({"range": [0, 1, 0.3333333333333333]}, [0, 0.333333333333333, 0.666666666666667, 1]),
        ({"logspace": [1e-300, 1e300, 3]}, [1e-300, 1, 1e300]),
        ({"choice": ["x", None, True]}, ["x", None, True]),
        ([1, True, 2.5], [1, True, 2.5]),
        ("one", ["one"]),
    ],
)
def test_axes(data: Any, values: list[Any]) -> None:
    assert axis(data) == values


def test_integer_ranges_stay_integers() -> None:
    assert all(type(value) is int for value in axis({"range": [1, 3]}))
    assert all(type(value) is float for value in axis({"range": [1, 3, 0.5]}))


def test_axes_agree_with_numpy() -> None:
    numpy = pytest.importorskip("numpy")
    assert axis({"linspace": [0.1, 7.3, 1501]}) == pytest.approx(numpy.linspace(0.1, 7.3, 1501))
    assert axis({"logspace": [0.1, 73, 1501]}) == pytest.approx(
        numpy.geomspace(0.1, 73, 1501), rel=1e-13
    )


@given(
    start=st.integers(-50, 50),
    count=st.integers(1, 1200),
    step=st.sampled_from([1, 3, -2, 0.1, 0.25, -0.3]),
)
@settings(max_examples=60, deadline=None)
def test_every_value_of_a_computed_axis_is_found_again(start: int, count: int, step: float) -> None:
    values = axis({"range": [start, start + (count - 1) * step + step / 10, step]})
    assert len(values) == count
    grid = sequence_from(
        {
            "blocks": [
                {"matrix": {"a": {"range": [start, start + (count - 1) * step, step]}}},
                {"matrix": {"a": values}},
            ]
        }
    )
    assert grid.total == count


def test_grids_of_several_resolutions_share_their_common_points() -> None:
    coarse = {"matrix": {"x": {"linspace": [0, 1, 11]}, "y": {"range": [0, 1, 0.1]}}}
    fine = {"matrix": {"y": {"range": [0, 1, 0.05]}, "x": {"linspace": [0, 1, 21]}}}
    found = visited(sequence_from({"blocks": [coarse, fine]}))
    assert len(found) == 21 * 21
    assert len({point_key(point) for point in found}) == 21 * 21


def test_included_points_come_last_and_not_twice() -> None:
    space = {
        "matrix": {"a": [1, 2], "b": [1, 2]},
        "include": [{"b": 9, "a": 1}, {"a": 2, "b": 2}, {"a": 1.0, "b": 9.0}],
        "exclude": [{"a": 2, "b": 2}],
    }
    assert visited(sequence_from(space)) == [
        {"a": 1, "b": 1},
        {"a": 1, "b": 2},
        {"a": 2, "b": 1},
        {"a": 1, "b": 9},
    ]


def test_a_space_can_be_a_list_of_points() -> None:
    space = {"include": [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}, {"a": 3, "b": "y"}]}
    assert sequence_from(space).names == ("a", "b")
    kept = sequence_from({**space, "exclude": ["b == 'y' and a > 2"], "repeat": 2})
    assert [point["a"] for point in visited(kept)] == [1, 1, 2, 2]


def test_true_and_one_are_different_values() -> None:
    space = {"matrix": {"a": [1, True, 0, False]}, "exclude": [{"a": 1}, {"a": False}]}
    assert [type(point["a"]) for point in visited(sequence_from(space))] == [bool, int]


def test_an_exclusion_guards_a_later_one() -> None:
    space = {"matrix": {"n": [4, 8], "d": [0, 2]}, "exclude": ["d == 0", "n / d > 3"]}
    assert visited(sequence_from(space)) == [{"n": 4, "d": 2}]


def test_an_exclusion_that_cannot_decide_matters_unless_another_leaves_the_point_out() -> None:
    space = {
        "matrix": {"d": [0, 2], "n": [4], "m": [1]},
        "exclude": ["n / d > 3", "m == 1 and d == 0"],
    }
    assert visited(sequence_from(space)) == [{"d": 2, "n": 4, "m": 1}]
    wider = {**space, "matrix": {"d": [0, 2], "n": [4], "m": [1, 2]}}
    assert "space.exclude[0]" in problems_of(wider)[0]
    assert "division by zero" in problems_of(wider)[0]


def test_long_zipped_axes_are_joined_without_writing_them_down() -> None:
    long = {"a": {"range": [1, 10**9]}, "b": {"range": [0, 10**9 - 1]}}
    sequence = sequence_from({"blocks": [{"zip": long}, {"matrix": {"a": [1, 5], "b": [4, 7]}}]})
    assert sequence.total == 10**9 + 3


AXES = st.lists(st.integers(0, 3), min_size=1, max_size=4, unique=True)
EXPRESSIONS = st.sampled_from(
    ["a > 2", "a + b == 3", "a == c", "b < c", "a > 1 and c > 1", "d != b", "a * b * c * d == 0"]
)
PARTIAL = st.dictionaries(st.sampled_from("abcd"), st.integers(0, 3), min_size=1, max_size=4)
FULL = st.fixed_dictionaries({name: st.integers(0, 4) for name in "abcd"})


@st.composite
def blocks(draw: st.DrawFn) -> dict[str, Any]:
    order = draw(st.permutations("abcd"))
    matrix = {name: draw(AXES) for name in order[:2]}
    length = draw(st.integers(1, 4))
    rows = draw(
        st.lists(
            st.tuples(st.integers(0, 3), st.integers(0, 3)),
            min_size=length,
            max_size=length,
            unique=True,
        )
    )
    group = {order[2]: [row[0] for row in rows], order[3]: [row[1] for row in rows]}
    return {
        "matrix": matrix,
        "zip": [group],
        "include": draw(st.lists(FULL, max_size=2)),
        "exclude": draw(st.lists(st.one_of(EXPRESSIONS, PARTIAL), max_size=3)),
    }


def brute_force(block: Mapping[str, Any], exclude: list[Any]) -> list[Point]:
    (group,) = block["zip"]
    rows = [dict(zip(group, row, strict=True)) for row in zip(*group.values(), strict=True)]
    found: list[Point] = [
        {**dict(zip(block["matrix"], values, strict=True)), **row}
        for values in itertools.product(*block["matrix"].values())
        for row in rows
    ]
    found += block["include"]
    for rule in [*block["exclude"], *exclude]:
        if isinstance(rule, str):
            expression = Expression.parse(rule, "abcd")
            found = [point for point in found if not expression(point)]
        else:
            found = [point for point in found if not rule.items() <= point.items()]
    return found


def without_repetition(found: list[Point]) -> list[Point]:
    once: list[Point] = []
    for point in found:
        if point not in once:
            once.append(point)
    return once


@given(
    parts=st.lists(blocks(), min_size=1, max_size=3),
    exclude=st.lists(st.one_of(EXPRESSIONS, PARTIAL), max_size=2),
    streams=st.booleans(),
)
@settings(max_examples=300, deadline=None)
def test_spaces_are_what_going_through_everything_gives(
    parts: list[dict[str, Any]], exclude: list[Any], streams: bool
) -> None:
    expected = without_repetition(
        [point for block in parts for point in brute_force(block, exclude)]
    )
    space = {"blocks": parts, "exclude": exclude}
    with pytest.MonkeyPatch.context() as patch:
        if streams:
            patch.setattr(filtering, "COUNTED_COMBINATIONS", 1)
        try:
            sequence = sequence_from(space)
        except BadInput as error:
            assert (expected, "leave out every one" in str(error)) == ([], True)  # noqa: PT017
            return
    assert visited(sequence) == expected
    assert sequence.streams or sequence.total == len(expected)
    if not sequence.streams:
        batch = [trial for _, trial in points(sequence, 1, 7)]
        assert batch == [sequence[at] for at in range(1, min(7, len(expected)))]


@given(
    sizes=st.lists(st.integers(1, 6), min_size=1, max_size=4),
    repeat=st.integers(1, 3),
    start=st.integers(0, 50),
    length=st.integers(0, 50),
    shuffled=st.booleans(),
)
@settings(max_examples=100, deadline=None)
def test_a_slice_is_what_indexing_gives(
    sizes: list[int], repeat: int, start: int, length: int, shuffled: bool
) -> None:
    space = {
        "matrix": {f"p{number}": {"range": [1, size]} for number, size in enumerate(sizes)},
        "repeat": repeat,
        "order": "shuffled" if shuffled else "sequential",
    }
    sequence = sequence_from(space)
    assert sequence.total is not None
    stop = min(start + length, sequence.total)
    assert list(points(sequence, start, start + length)) == [
        (position, sequence[position]) for position in range(start, stop)
    ]


def test_a_shuffled_space_has_every_trial_once() -> None:
    space = {"matrix": {"a": {"range": [1, 2000]}}, "repeat": 2, "order": "shuffled"}
    one, other = sequence_from(space), sequence_from({**space, "seed": 1})
    trials = [one[at] for at in range(4000)]
    found = sorted((t.parameters["a"], t.repeat) for t in trials if t)
    assert found == [(value, repeat) for value in range(1, 2001) for repeat in (1, 2)]
    assert trials[:50] != [other[at] for at in range(50)]
    assert trials[:50] == [sequence_from(space)[at] for at in range(50)]


def test_a_fingerprint_ignores_the_order_of_parameters() -> None:
    one = sequence_from({"matrix": {"a": [1], "b": [2.0]}})[0]
    other = sequence_from({"matrix": {"b": [2], "a": [1]}})[0]
    assert one is not None
    assert other is not None
    assert one.fingerprint == other.fingerprint == fingerprint({"a": 1, "b": 2}, 1)


LONG = {"range": [1, 100_000]}
#: 10^15 points, of which 10^5 are stopped one by one and one of five by an expression
HUGE = {
    "matrix": {"a": LONG, "b": LONG, "c": LONG, "mode": ["x", "y", "z"], "on": [True, False]},
    "exclude": ["mode == 'x' and not on", {"a": 7}, {"a": 9, "b": 9, "c": 9}],
}


@pytest.mark.parametrize(
    "extra",
    [{}, {"sample": {"count": 10**9, "seed": 3}}, {"order": "shuffled", "repeat": 3}],
    ids=["sequential", "sample", "shuffled"],
)
def test_a_huge_space_costs_no_time_and_no_memory(extra: dict[str, Any]) -> None:
    sequence_from({"matrix": {"a": [1]}})
    tracemalloc.start()
    started = time.perf_counter()
    sequence = sequence_from({**HUGE, **extra})
    total = sequence.total
    assert total is not None
    middle = [sequence[total // 2 + step] for step in range(100)]
    took = time.perf_counter() - started
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000
    assert took < 1
    assert None not in middle
    if not extra:
        assert total == (10**5 - 1) * 10**10 * 5 - 5


def test_a_million_long_axes_are_joined_by_a_shorter_one() -> None:
    coarse = {"matrix": {"a": {"range": [0, 10**12, 10**9]}, "b": [1, 2]}}
    fine = {"matrix": {"a": {"range": [1, 10**12]}, "b": [2]}}
    sequence = sequence_from({"blocks": [coarse, fine]})
    assert sequence.total == 1001 * 2 + 10**12 - 1000


def test_exclusions_over_too_many_combinations_are_decided_while_running() -> None:
    space = {"matrix": {"a": LONG, "b": LONG}, "exclude": ["(a + b) % 2 == 0"]}
    sequence = sequence_from(space)
    assert (sequence.streams, sequence.total, sequence.positions) == (True, None, 10**10)
    assert sequence[0] is None
    assert sequence[1] == TrialPoint({"a": 1, "b": 2}, 1)
    limited = sequence_from({**space, "sample": {"count": 40, "seed": 1}, "repeat": 2})
    assert (limited.limit, limited.positions) == (80, 2 * 10**10)


def test_spaces_know_what_they_contain() -> None:
    from fieldlab.domain.axes import Values

    grid: ParameterSpace = Grid([Factor(("a",), (Values((1, 2)),))])
    assert {"a": 2.0} in grid
    assert {"a": True} not in grid
    assert {"a": 1, "b": 1} not in grid
    assert len(grid) == 2
    assert grid.fingerprint(1) == fingerprint({"a": 2}, 1)


def test_indexing_a_grid_is_quick() -> None:
    sequence = sequence_from({"matrix": {"a": LONG, "b": [1, 2, 3], "c": [True, False]}})
    started = time.perf_counter()
    for position in range(20_000):
        sequence[position]
    assert (time.perf_counter() - started) / 20_000 < 20e-6


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ({"matrx": {}}, "space.matrx: there is no key 'matrx' here. Did you mean 'matrix'?"),
        ({"matrix": {}}, "space.matrix: 'matrix' needs a mapping"),
        ({"matrix": {"a": []}}, "space.matrix.a: the axis has no values, so its product"),
        ({"matrix": {"a": {"range": [5, 1]}}}, "the wrong way. Write range: [1, 5]"),
        ({"matrix": {"a": {"range": [1, 5, -1]}}}, "the wrong way"),
        ({"matrix": {"a": {"range": [1, 5, 0]}}}, "a step of 0"),
        ({"matrix": {"a": {"range": [1]}}}, "'range' needs 2 or 3 numbers"),
        ({"matrix": {"a": {"range": [1, "x"]}}}, "'range' needs numbers, not 'x'"),
        ({"matrix": {"a": {"range": [0, 1e308, 1e-320]}}}, "space.matrix.a: "),
        ({"matrix": {"a": {"linspace": [0, 1, 0]}}}, "a count of at least 1"),
        ({"matrix": {"a": {"linspace": [1, 1, 3]}}}, "neighbouring values are the same"),
        ({"matrix": {"a": {"logspace": [0, 1, 3]}}}, "two values above 0"),
        ({"matrix": {"a": {"logspase": [1, 2, 3]}}}, "Did you mean 'logspace'?"),
        ({"matrix": {"a": [1, 2, 1.0]}}, "the value 1.0 is listed twice (entries 1 and 3)"),
        ({"matrix": {"a": [float("nan")]}}, "nan is not a finite number"),
        ({"matrix": {"a": [float("inf")]}}, "inf is not a finite number"),
        ({"matrix": {"a": [[1, 2]]}}, "a value can't be a list"),
        ({"matrix": {"a": [{"b": 1}]}}, "a value can't be a mapping"),
        ({"matrix": {"a": {1, 2}}}, "a value of type set can't be recorded"),
        ({"matrix": {"repeat": [1]}}, "fieldlab itself uses the name 'repeat'"),
        ({"matrix": {"Out": [1]}}, "fieldlab itself uses the name 'Out'"),
        ({"matrix": {"a-b": [1]}}, "'a-b' can't name a parameter"),
        ({"matrix": {"1a": [1]}}, "can't name a parameter"),
        ({"matrix": {"x" * 60: [1]}}, "can't name a parameter"),
        ({"matrix": {7: [1]}}, "the parameter name 7 is not text"),
        ({"matrix": {"N": [1], "n": [2]}}, "space.matrix.n: 'n' and 'N' differ only in case"),
        ({"matrix": {"a": [1]}, "zip": [{"a": [1]}]}, "space.zip[0].a: the parameter 'a' is given"),
        ({"zip": [{"a": [1, 2], "b": [1, 2, 3]}]}, "'a' has 2, 'b' has 3"),
        ({"zip": [{"a": [1, 1], "b": [2, 2]}]}, "entries 1 and 2 of the zipped axes are the same"),
        ({"matrix": {"a": [1, 2]}, "exclude": ["a > 0"]}, "every one of the 2 points"),
        ({"matrix": {"a": [1, 2]}, "exclude": ["a >"]}, 'space.exclude[0]: "a >" can\'t be read'),
        ({"matrix": {"alpha": [1]}, "exclude": ["alpa > 1"]}, "Did you mean 'alpha'?"),
        ({"matrix": {"alpha": [1]}, "exclude": [{"alpa": 1}]}, "Did you mean 'alpha'?"),
        ({"matrix": {"a": ["x"]}, "exclude": ["a > 1"]}, 'space.exclude[0]: "a > 1" can\'t be dec'),
        ({"matrix": {"a": [1]}, "exclude": [{"a": [1, 2]}]}, '"a in [1, 2]"'),
        ({"matrix": {"a": [1]}, "exclude": [7]}, "neither an expression nor a point"),
        ({"matrix": {"a": [1]}, "exclude": [{}]}, "neither an expression nor a point"),
        ({"matrix": {"a": [1]}, "include": [{"b": 1}]}, "it lacks a and it has b besides"),
        ({"include": [{"a": 1}, {"a": 1, "b": 2}]}, "space.include[1]: not the parameters"),
        ({"matrix": {"a": {"uniform": [0, 1]}}}, "space.matrix.a: the axis 'a' is continuous"),
        ({"matrix": {"a": [1]}, "sample": {"count": 2}}, "asks for 2 points; the space has 1"),
        ({"matrix": {"a": [1]}, "sample": {"count": 0}}, "space.sample.count: 'count' is an int"),
        ({"matrix": {"a": [1]}, "sample": {"method": "sobl"}}, "Did you mean 'sobol'?"),
        ({"matrix": {"a": [1]}, "repeat": 0}, "space.repeat: 'repeat' is an integer of at least 1"),
        ({"matrix": {"a": [1]}, "repeat": True}, "space.repeat"),
        ({"matrix": {"a": [1]}, "order": "shufled"}, "Did you mean 'shuffled'?"),
        ({"sample": {"count": 2}}, "there is nothing to sample"),
        ({"exclude": ["a > 1"]}, "there is nothing to exclude"),
        ({"blocks": []}, "'blocks' needs a list of blocks"),
        ({"blocks": [{}]}, "space.blocks[0]: the block has no axes"),
        ({"blocks": [{"matrix": {"a": [1]}}], "matrix": {"a": [1]}}, "can't stand beside 'blocks'"),
        (
            {"blocks": [{"matrix": {"a": [1]}}, {"matrix": {"b": [1]}}]},
            "space.blocks[1]: not the parameters of the first block: it lacks a and it has b",
        ),
    ],
)
def test_bad_spaces_are_explained(space: dict[str, Any], said: str) -> None:
    assert any(said in problem for problem in problems_of(space)), problems_of(space)


def test_a_space_that_is_no_mapping_is_explained() -> None:
    assert "not a mapping" in problems_of([1, 2])[0]  # type: ignore[arg-type]


def test_all_problems_are_told_at_once() -> None:
    space = {
        "matrix": {"a": [], "b": {"range": [2, 1]}, "row": [1]},
        "zip": [{"c": [1], "d": [1, 2]}],
        "repeat": 0,
        "colour": 1,
    }
    assert len(problems_of(space)) == 6
