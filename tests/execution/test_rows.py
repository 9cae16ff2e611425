"""What a trial returns, and which row becomes of it."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import json
import math
import pathlib
import types
import uuid
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldlab.domain.errors import BadResult
from fieldlab.execution.rows import Shaper, rows_of
from fieldlab.ports.executor import Shape


class Colour(enum.Enum):
    RED = "red"
    NONE = None


class Level(enum.IntEnum):
    HIGH = 3


@dataclasses.dataclass
class Measured:
    y: float
    parts: list[int]


class Pair(NamedTuple):
    a: int
    b: int


class Text(str):
    """A text with a class of its own."""


def shaped(returned: Any, **point: Any) -> list[dict[str, Any]]:
    """Give the rows that are recorded, checked against the types that are announced."""
    shaper = Shaper()
    rows = []
    for row in rows_of(returned):
        index, values = shaper.shaped(point, row)
        names, announced = shaper.shapes[index]
        kinds = {"boolean": bool, "integer": int, "real": float, "text": str}
        for value, kind in zip(values, announced, strict=True):
            assert value is None or type(value) is kinds[kind]
        rows.append(dict(zip(names, values, strict=True)))
    return rows


def kind_of(value: object) -> str:
    return type(value).__name__


def value_of(returned: object) -> Any:
    [row] = shaped({"y": returned})
    return row["y"]


@pytest.mark.parametrize(
    ("returned", "rows"),
    [
        (None, [{"x": 1}]),
        ({}, [{"x": 1}]),
        ({"y": 2}, [{"x": 1, "y": 2}]),
        ([], []),
        ([{"y": 2}, {"z": "a"}], [{"x": 1, "y": 2}, {"x": 1, "z": "a"}]),
        (({"y": 2},), [{"x": 1, "y": 2}]),
        (Measured(2.5, [1, 2]), [{"x": 1, "y": 2.5, "parts": "[1, 2]"}]),
        ([Measured(2.5, [])], [{"x": 1, "y": 2.5, "parts": "[]"}]),
        (types.MappingProxyType({"y": 2}), [{"x": 1, "y": 2}]),
        (collections.OrderedDict(y=2), [{"x": 1, "y": 2}]),
        (2.5, [{"x": 1, "value": 2.5}]),
        ("text", [{"x": 1, "value": "text"}]),
        (True, [{"x": 1, "value": True}]),
        (np.float64(2.5), [{"x": 1, "value": 2.5}]),
        (np.array([1, 2]), [{"x": 1, "value": "[1, 2]"}]),
        (pd.DataFrame({"y": [1, 2]}), [{"x": 1, "y": 1}, {"x": 1, "y": 2}]),
        (pd.DataFrame({"x": [1], "y": [math.nan]}), [{"x": 1, "y": None}]),
        (pd.DataFrame({"y": []}), []),
        ({"x": 1, "y": 2}, [{"x": 1, "y": 2}]),
        ({"x": 1.0, "y": 2}, [{"x": 1, "y": 2}]),
        ({"x": np.int8(1)}, [{"x": 1}]),
    ],
)  # fmt: skip
def test_what_is_returned_becomes_rows(returned: object, rows: list[dict[str, Any]]) -> None:
    assert shaped(returned, x=1) == rows


@pytest.mark.parametrize(
    ("value", "recorded"),
    [
        (math.nan, None),
        (math.inf, math.inf),
        (-math.inf, -math.inf),
        (np.float32(0.5), 0.5),
        (np.float16("nan"), None),
        (np.int64(-3), -3),
        (np.uint64(2**63 - 1), 2**63 - 1),
        (np.bool_(True), True),
        (np.str_("a"), "a"),
        (np.array(2.5), 2.5),
        (np.array([[1.0, math.nan]]), "[[1.0, null]]"),
        (np.datetime64("2026-01-31T12:00"), "2026-01-31T12:00:00"),
        (np.datetime64("NaT"), None),
        (pd.NaT, None),
        (pd.NA, None),
        (pd.Timestamp("2026-01-31T12:00:00Z"), "2026-01-31T12:00:00+00:00"),
        (pd.Timedelta("90s"), 90.0),
        (pd.Series([1, 2]), "[1, 2]"),
        (decimal.Decimal("2.5"), 2.5),
        (decimal.Decimal("NaN"), None),
        (Colour.RED, "red"),
        (Colour.NONE, None),
        (Level.HIGH, 3),
        (Text("a"), "a"),
        (pathlib.Path("/a/b"), "/a/b"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (datetime.datetime(2026, 1, 31, 12, tzinfo=datetime.UTC), "2026-01-31T12:00:00+00:00"),
        (datetime.date(2026, 1, 31), "2026-01-31"),
        (datetime.time(12), "12:00:00"),
        (datetime.timedelta(minutes=1), 60.0),
        ([1, [2.5, "a"], None], '[1, [2.5, "a"], null]'),
        ((1, 2), "[1, 2]"),
        (range(3), "[0, 1, 2]"),
        (Pair(1, 2), "[1, 2]"),
        (collections.deque([1]), "[1]"),
        ({"a": {"b": math.nan}, 3: True}, '{"a": {"b": null}, "3": true}'),
        ({"a": np.array([1, 2]), "b": np.float32("nan")}, '{"a": [1, 2], "b": null}'),
        ({"a": range(2), "b": Colour.RED}, '{"a": [0, 1], "b": "red"}'),
        (["\ud800"], '["\\ud800"]'),
        (2**63 - 1, 2**63 - 1),
        (-(2**63), -(2**63)),
        ("žluťoučký 🐎", "žluťoučký 🐎"),
        ("", ""),
    ],
    ids=kind_of,
)
def test_values_become_what_a_column_holds(value: object, recorded: object) -> None:
    found = value_of(value)
    assert found == recorded
    assert type(found) is type(recorded)


class Unwilling:
    """Pretends to be a number of numpy, and breaks."""

    ndim = 0

    def item(self) -> object:
        raise RuntimeError("no")


CYCLE: list[object] = []
CYCLE.append(CYCLE)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (b"bytes", "builtins.bytes, which can't be recorded.*write other things to a file"),
        (bytearray(b"b"), "bytearray"),
        (object(), "builtins.object"),
        (1j, "complex"),
        (np.complex128(1j), "complex"),
        ((each for each in [1]), "generator"),
        ({1, 2}, "set"),
        (lambda: 1, "function"),
        (Measured, "type"),
        (2**63, "9223372036854775808 of more than 64 bits.*as a float or as text"),
        (-(2**63) - 1, "64 bits"),
        (10**5000, "an integer of more than 64 bits"),
        (np.uint64(2**64 - 1), "64 bits"),
        ("a\0b", "NUL"),
        ("\ud800", r"'\\ud800', half of a character.*errors='replace'"),
        (pathlib.Path("caf\udce9"), "half of a character"),
        ([object()], "builtins.object"),
        ([b""], "bytes"),
        (CYCLE, "JSON"),
        ([10**5000], "JSON"),
    ],
    ids=kind_of,
)
def test_values_that_cannot_be_recorded_are_explained(value: object, why: str) -> None:
    with pytest.raises(BadResult, match=why) as caught:
        value_of(value)
    assert caught.value.remedy or caught.value.what.endswith("JSON")


@pytest.mark.parametrize(
    ("returned", "why"),
    [
        ([1, 2], "Row 0 of the returned list is a int, not a mapping.*list of dicts"),
        ([{"y": 1}, None], "Row 1 of the returned list is a NoneType"),
        ([[{"y": 1}]], "Row 0 of the returned list is a list"),
        ({1: 2}, "called 1.*Names of results are text"),
        ({1: np.float64(2)}, "called 1"),
        ({("a", "b"): 2}, r"called \('a', 'b'\)"),
        ({None: 2}, "called None"),
        ({"x": 2}, "Result 'x' is 2, but the parameter of that name is 1.*another name"),
        ({"x": "1"}, "'x' is '1', but"),
        ([{"y": 1}, {"x": np.float64(1.5)}], "'x' is 1.5, but"),
        (pd.DataFrame([[1, 2]]), "called 0"),
    ],
    ids=kind_of,
)
def test_results_that_are_no_rows_are_explained(returned: object, why: str) -> None:
    with pytest.raises(BadResult, match=why):
        shaped(returned, x=1)


def test_rows_alike_share_one_shape() -> None:
    shaper = Shaper()
    values: list[Any] = [1.0, 2.0, np.float32(3), 1, None]
    shapes = [shaper.shaped({"x": 1}, {"y": value})[0] for value in values]
    shapes.append(shaper.shaped({"x": 1}, {"z": 1.0})[0])
    assert shapes == [0, 0, 0, 1, 2, 3]
    assert shaper.shapes[0] == Shape(("x", "y"), ("integer", "real"))
    assert shaper.shapes[2] == Shape(("x", "y"), ("integer", ""))


PLAIN = st.none() | st.booleans() | st.floats() | st.integers() | st.text(st.characters())
ANY = st.recursive(
    PLAIN | st.binary() | st.dates() | st.decimals() | st.complex_numbers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(returned=st.dictionaries(st.text(st.characters(), max_size=5), ANY, max_size=4))
def test_anything_is_recorded_or_refused(returned: dict[str, Any]) -> None:
    try:
        [row] = shaped(returned)
    except BadResult:
        return
    assert list(row) == list(returned)
    for value in row.values():
        if isinstance(value, str):
            value.encode()
            assert "\0" not in value
        assert not (isinstance(value, float) and math.isnan(value))
        assert not (isinstance(value, int) and abs(value) > 2**63)
    json.dumps(row)
