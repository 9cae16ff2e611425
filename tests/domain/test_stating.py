"""What a space states of its parameters' values, and where."""

from __future__ import annotations

import time
from typing import Any

import pytest

from fieldlab.domain.stating import stated_values, value_problems


@pytest.mark.parametrize(
    ("space", "stated"),
    [
        ({"matrix": {"a": [1, 2]}}, [(1, "matrix.a.0"), (2, "matrix.a.1")]),
        ({"matrix": {"a": 3}}, [(3, "matrix.a")]),
        ({"matrix": {"a": {"choice": ["x"]}}}, [("x", "matrix.a.choice.0")]),
        ({"zip": [{"b": [0], "a": [5]}]}, [(5, "zip.0.a.0")]),
        ({"include": [{"a": 6}, {"a": 7}]}, [(6, "include.0.a"), (7, "include.1.a")]),
        ({"blocks": [{"matrix": {"a": [8]}}]}, [(8, "blocks.0.matrix.a.0")]),
        ({"matrix": {"a": {"range": [1, 2]}}}, [(1, "matrix.a"), (2, "matrix.a")]),
        ({"matrix": {"a": {"uniform": [1, 2]}}, "sample": {"count": 3}}, None),
        ({"submitted": ["a"]}, None),
    ],
)
def test_values_are_told_with_their_place(space: dict[str, Any], stated: Any) -> None:
    found = stated_values(space)["a"]
    shown = found and [(value, ".".join(map(str, key[1:]))) for value, key in found]
    assert shown == stated


def test_of_a_huge_axis_only_a_few_values_are_looked_at() -> None:
    began = time.perf_counter()
    (values,) = stated_values({"matrix": {"a": {"range": [0, 10**15]}}}).values()
    assert [value for value, _ in values or ()] == [0, 1, 5 * 10**14, 10**15]
    assert time.perf_counter() - began < 0.1


def test_wrong_values_are_told_once_for_each_place_and_not_without_end() -> None:
    space = stated_values(
        {"matrix": {"a": {"range": [-9, 9]}, "b": list(range(-100, 0)), "c": [1]}}
    )

    def fault_of(name: str, value: object) -> str:
        return f"{name} is {value}" if isinstance(value, int) and value < 0 else ""

    assert [str(each) for each in value_problems(space, "a", fault_of)] == [
        "space.matrix.a: a is -9. Change it, or take it out"
    ]
    assert len(value_problems(space, "b", fault_of)) == 10
    assert value_problems(space, "c", fault_of) == value_problems(space, "d", fault_of) == []
