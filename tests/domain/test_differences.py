"""Differences between documents: complete, minimal, and the same from both sides."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldlab.domain.differences import (
    ABSENT,
    Difference,
    Several,
    differences,
    same,
    together,
)

values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats() | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("xyz"), inner, max_size=3),
    max_leaves=8,
)
documents = st.dictionaries(st.text("klm", max_size=2), values, max_size=4)


def applied(document: dict[str, Any], found: list[Difference]) -> dict[str, Any]:
    """Change a document as the differences say."""
    changed = copy.deepcopy(document)
    for each in found:
        inside = changed
        for name in each.key[:-1]:
            inside = inside[name]
        if each.b is ABSENT:
            del inside[each.key[-1]]
        else:
            inside[each.key[-1]] = each.b
    return changed


@given(documents, documents)
def test_applying_the_differences_to_one_gives_the_other(
    a: dict[str, Any], b: dict[str, Any]
) -> None:
    assert same(applied(a, differences(a, b)), b)


@given(documents)
def test_a_document_does_not_differ_from_itself(a: dict[str, Any]) -> None:
    assert differences(a, copy.deepcopy(a)) == []


@given(documents, documents)
def test_the_other_way_round_the_same_keys_differ(a: dict[str, Any], b: dict[str, Any]) -> None:
    there = {each.key for each in differences(a, b)}
    assert there == {each.key for each in differences(b, a)}


@given(documents, st.integers(1, 3))
def test_equal_documents_together_are_one(a: dict[str, Any], times: int) -> None:
    assert differences(together([a] * times), a) == []


@pytest.mark.parametrize(
    ("a", "b", "equal"),
    [
        (1, 1.0, True),
        (1, True, False),
        (0, False, False),
        (math.nan, math.nan, True),
        ([1, 2], (1, 2), True),
        ([1, True], [1, 1], False),
        ({"a": [math.nan]}, {"a": [math.nan]}, True),
        ({"a": 1}, {"b": 1}, False),
        ("1", 1, False),
        (None, ABSENT, False),
        ({}, ABSENT, False),
    ],
)
def test_what_is_the_same_content(a: object, b: object, equal: bool) -> None:
    assert same(a, b) is equal
    assert same(b, a) is equal


def test_values_that_differ_in_one_of_several_documents_are_all_there() -> None:
    both = together([{"x": {"y": 1, "z": 0}}, {"x": {"y": 2, "z": 0}}, {"x": {"y": 1, "z": 0}}])
    assert both == {"x": {"y": Several((1, 2)), "z": 0}}
    assert differences(both, {"x": {"y": 1, "z": 0}}) == [
        Difference(key=("x", "y"), a=Several((1, 2)), b=1)
    ]
    assert together([{"x": 1}, {}]) == {"x": Several((1, ABSENT))}
    assert together([]) == {}
