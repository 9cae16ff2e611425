"""Ids that sort by time, and fingerprints that depend on content alone."""

from __future__ import annotations

import json
import random
import re
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldlab.domain.ids import (
    FINGERPRINT_DIGITS,
    Value,
    canonical,
    digest,
    fingerprint,
    fingerprint_of,
    uuid7,
)

values: st.SearchStrategy[Value] = st.one_of(
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(),
    st.none(),
)
points = st.dictionaries(st.text(max_size=8), values, max_size=5)


def test_ids_are_uuids_of_version_7() -> None:
    before = time.time_ns() // 1_000_000
    parsed = uuid.UUID(uuid7())
    after = time.time_ns() // 1_000_000
    assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)
    assert before <= parsed.int >> 80 <= after
    assert re.fullmatch(
        r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", uuid7()
    )


def test_ids_of_later_milliseconds_sort_later() -> None:
    first = uuid7()
    until = time.time_ns() // 1_000_000 + 2
    while time.time_ns() // 1_000_000 < until:
        pass
    assert uuid7() > first


def test_ids_never_repeat() -> None:
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: uuid7(), range(20_000)))
    assert len(set(made)) == len(made)


@given(points, st.randoms())
def test_the_order_of_parameters_does_not_matter(
    point: dict[str, Value], order: random.Random
) -> None:
    items = list(point.items())
    order.shuffle(items)
    assert fingerprint(dict(items), 1) == fingerprint(point, 1)


@given(st.integers(-(2**53) + 1, 2**53 - 1))
def test_a_whole_number_is_the_same_however_it_was_written(number: int) -> None:
    assert fingerprint({"x": number}, 1) == fingerprint({"x": float(number)}, 1)


@given(points, points)
def test_other_content_has_another_fingerprint(
    one: dict[str, Value], two: dict[str, Value]
) -> None:
    assert (fingerprint(one, 1) == fingerprint(two, 1)) == (canonical(one) == canonical(two))


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (True, 1),
        (False, 0),
        (0, None),
        (1, "1"),
        (0.1, 0.1 + 2**-56),
        (2**53, 2**53 + 1),
        ("a", "A"),
        ("", None),
        ("é", "e\u0301"),
    ],
    ids=repr,
)
def test_values_that_differ_are_told_apart(one: Value, two: Value) -> None:
    assert fingerprint({"x": one}, 1) != fingerprint({"x": two}, 1)


def test_repeats_and_names_are_part_of_it() -> None:
    prints = {
        fingerprint({"x": 1}, 1),
        fingerprint({"x": 1}, 2),
        fingerprint({"y": 1}, 1),
        fingerprint({"x": 1, "y": None}, 1),
        fingerprint({}, 1),
    }
    assert len(prints) == 5


def test_fingerprints_stay_the_same_for_ever() -> None:
    """Databases hold them: a change would run every trial of every lab again."""
    assert fingerprint({"rho": 0.1, "delta": 0.5}, 1) == "31409e88e79beeebcf2a"
    assert (
        fingerprint({"mode": "größe", "on": True, "n": 3, "none": None}, 2)
        == "6271cd314ad3629d698a"
    )
    assert digest(["function", {"function": "probe:measure"}]) == "6993331ca08ee74e7726"


@given(points, st.integers(1, 100))
def test_a_fingerprint_of_canonical_text_is_that_of_its_point(
    point: dict[str, Value], repeat: int
) -> None:
    found = fingerprint(point, repeat)
    assert fingerprint_of(canonical(point), repeat) == found
    assert len(found) == FINGERPRINT_DIGITS
    assert set(found) <= set("0123456789abcdef")


@given(points)
def test_canonical_text_reads_back(point: dict[str, Value]) -> None:
    text = canonical(point)
    assert json.loads(text) == point
    assert canonical(json.loads(text)) == text


@given(
    st.recursive(
        values,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    )
)
def test_nested_content_has_a_digest_too(content: object) -> None:
    assert digest(content) == digest(json.loads(canonical(content)))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")], ids=repr)
def test_what_json_cannot_say_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        fingerprint({"x": value}, 1)


def test_tuples_are_lists_and_keys_are_text() -> None:
    assert canonical({"a": (1, 2.0), 3: None}) == '{"3":null,"a":[1,2]}'
