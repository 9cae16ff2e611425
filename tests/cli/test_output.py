"""What programs and people read: strict JSON, numbers, rates, progress."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from enum import StrEnum
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldlab.cli.output import counted, to_json
from fieldlab.notebook.progress import left_text, rate_text

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


class _Colour(StrEnum):
    RED = "red"


def _refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is not JSON")


@given(_VALUES)
def test_whatever_is_written_is_strict_json(value: object) -> None:
    json.loads(to_json(value), parse_constant=_refuse)


def test_what_json_cannot_say_has_a_fixed_form() -> None:
    values = [math.nan, math.inf, -math.inf, _Colour.RED, Path("a/b"), Decimal("1.50"), (1,)]
    assert json.loads(to_json(values)) == [
        None, "Infinity", "-Infinity", "red", "a/b", "1.50", [1],
    ]  # fmt: skip


def test_moments_are_in_utc() -> None:
    moment = datetime(2026, 3, 1, 0, 30, tzinfo=timezone(timedelta(hours=1)))
    assert to_json(moment) == '"2026-02-28T23:30:00+00:00"'
    assert to_json(moment.astimezone(UTC)) == to_json(moment)


@pytest.mark.parametrize(
    ("rate", "text"),
    [
        (12345.6, "12,346/s"),
        (2.34, "2.3/s"),
        (0.5, "30/min"),
        (0.02, "1.2/min"),
        (0.001, "3.6/h"),
        (1e-9, "0.0/h"),
    ],
)
def test_rates_are_given_in_a_unit_that_fits(rate: float, text: str) -> None:
    assert rate_text(rate) == text


def test_nouns_follow_their_number() -> None:
    assert counted(1, "trial") == "1 trial"
    assert counted(2000, "trial") == "2,000 trials"
    assert counted(2, "process", "processes") == "2 processes"


def test_time_left_is_not_given_to_the_millisecond() -> None:
    assert left_text(0.01) == "1 s left"
    assert left_text(3725.4) == "1 h 2 min left"
