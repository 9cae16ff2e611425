"""Durations are read the way people write them, and written the way people read them."""

from __future__ import annotations

import contextlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldlab.domain.durations import LONGEST_S, format_duration, parse_duration
from fieldlab.domain.errors import BadInput


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (0, 0.0),
        (90, 90.0),
        (0.25, 0.25),
        ("90", 90.0),
        ("90s", 90.0),
        ("5m", 300.0),
        ("5 min", 300.0),
        ("8h", 28_800.0),
        ("1d", 86_400.0),
        ("1h30m", 5_400.0),
        (" 1 h 30 min ", 5_400.0),
        ("1.5 hours", 5_400.0),
        ("250ms", 0.25),
        ("10us", 1e-5),
        ("10 µs", 1e-5),
        (".5s", 0.5),
        ("2D", 172_800.0),
    ],
)
def test_common_spellings_are_read(text: str | float, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty"),
        ("soon", "'soon' is not a duration"),
        ("5 x", "unit 'x'"),
        ("3 secnds", "Did you mean 'seconds'?"),
        ("30m1h", "'h' follows a unit that isn't larger"),
        ("5m5m", "Write each unit once"),
        ("1h30", "'1h30' is not a duration"),
        (-1, "-1 is below 0"),
        ("-1s", "is not a duration"),
        (math.nan, "not between 0 and ten years"),
        (math.inf, "not between 0 and ten years"),
        (10**400, "ten years"),
        ("9" * 50 + "d", "ten years"),
        ("9" * 500, "is not a duration"),
        (True, "True is not a duration"),
        ("٣s", "is not a duration"),
    ],
)
def test_anything_else_is_refused_with_examples(text: str | float, says: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse_duration(text)
    assert says in str(caught.value)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (2.5e-5, "25 µs"),
        (0.25, "250 ms"),
        (0.9999, "1 s"),
        (5, "5 s"),
        (12.34, "12.3 s"),
        (59.99, "1 min"),
        (61, "1 min 1 s"),
        (3599.9, "1 h"),
        (4800, "1 h 20 min"),
        (86_399, "1 d"),
        (100_000, "1 d 4 h"),
        (-4800, "-1 h 20 min"),
        (math.inf, "forever"),
    ],
)
def test_durations_are_written_in_their_two_largest_units(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@given(st.floats(min_value=1e-6, max_value=LONGEST_S))
def test_what_is_written_is_read_back_within_two_units(seconds: float) -> None:
    assert math.isclose(parse_duration(format_duration(seconds)), seconds, rel_tol=0.022)


@given(st.integers(0, 300), st.integers(0, 23), st.integers(0, 59), st.integers(1, 59))
def test_units_add_up(days: int, hours: int, minutes: int, seconds: int) -> None:
    text = f"{days}d{hours}h{minutes}m{seconds}s"
    assert parse_duration(text) == ((days * 24 + hours) * 60 + minutes) * 60 + seconds


@given(st.text(max_size=20))
def test_no_text_does_anything_but_parse_or_explain(text: str) -> None:
    with contextlib.suppress(BadInput):
        assert 0 <= parse_duration(text) <= LONGEST_S
