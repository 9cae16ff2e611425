"""What an expression may say, and how one that can't be used is answered."""

from __future__ import annotations

import time

import pytest

from fieldlab.domain.errors import BadExpression
from fieldlab.domain.expressions import Expression
from fieldlab.domain.ids import Point

NAMES = ("size", "pubs", "reliable", "mode")
POINT: Point = {"size": 100, "pubs": 4, "reliable": False, "mode": "fast"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pubs > 3 and not reliable", True),
        ("pubs > 3 and reliable", False),
        ("1 < pubs <= 4 < size", True),
        ("1 < pubs < 4 < size", False),
        ("mode in ['slow', 'fast']", True),
        ("mode not in ('slow', 'fast')", False),
        ("size == 10 ** 2 and size % 7 == 2 and size // 7 == 14 and -size < 0", True),
        ("size / 8 == 12.5", True),
        ("(pubs if reliable else size) == 100", True),
        ("max(pubs, size) - min(pubs, size) == abs(-96)", True),
        ("len(mode) == 4 and int('7') == 7 and float('0.5') == 0.5", True),
        ("round(size / 3, 1) == 33.3 and round(2.6) == 3", True),
        ("reliable == false and true != null", True),
        ("reliable == False and True != None", True),
        ("mode == 'fast'\n  or size > 1000", True),
        ("  pubs == 4 ", True),
    ],
)
def test_an_expression_decides_for_a_point(text: str, expected: bool) -> None:
    assert Expression.parse(text, NAMES)(POINT) is expected


def test_an_expression_tells_which_parameters_it_mentions() -> None:
    expression = Expression.parse("pubs > 3 and (not reliable or pubs < 9)", NAMES)
    assert expression.names == {"pubs", "reliable"}
    assert expression.text == "pubs > 3 and (not reliable or pubs < 9)"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"),
        ("pups > 3", "Did you mean 'pubs'?"),
        ("mode == fast", "A string needs quotes: 'fast'"),
        ("pubs > 3 && reliable", "Write 'and', 'or' and 'not'"),
        ("pubs > 3 || reliable", "Write 'and', 'or' and 'not'"),
        ("!reliable", "Write 'and', 'or' and 'not'"),
        ("pubs > 3 & reliable", "Write 'and' and 'or'"),
        ("pubs = 3", "Write '==' to compare"),
        ("mode is 'fast'", "Write '==' or '!='"),
        ("pubs >> 3", "'>>' is not allowed"),
        ("pubs >", "character"),
        ("mode.upper() == 'FAST'", "a dot after a name"),
        ("__import__('os').system('true')", "is not allowed"),
        ("().__class__", "a dot after a name"),
        ("mode[0] == 'f'", "picking an element"),
        ("[x for x in (1, 2)]", "a loop"),
        ("(lambda: 1)()", "a lambda"),
        ("open('f')", "calling 'open' is not allowed"),
        ("max(1, 2, key=abs) > 1", "no named arguments"),
        ("f'{mode}' == 'fast'", "an f-string"),
        ("b'a' == mode", "a bytes is not allowed"),
        ("1j == pubs", "a complex is not allowed"),
        ("pubs > 1; pubs", "character"),
        ("pubs\0 > 1", "null"),
        ("not " * 400 + "reliable", "nested too deeply"),
        ("(" * 150 + "1" + ")" * 150 + " + (" * 3, "character"),
        ("pubs > 1 or " * 200 + "reliable", "2000 are allowed"),
    ],
)
def test_an_expression_that_says_too_much_is_refused(text: str, said: str) -> None:
    with pytest.raises(BadExpression) as caught:
        Expression.parse(text, NAMES)
    assert said in str(caught.value)


def test_the_place_of_a_mistake_is_counted_in_characters() -> None:
    with pytest.raises(BadExpression, match='character 16, at "rho > 1"'):
        Expression.parse("mode == 'ä' or rho > 1", ["mode"])


@pytest.mark.parametrize(
    "text",
    [
        "9**9**9 > 1",
        "2 ** 100000 > 1",
        "(2 ** 900) ** 900 > 1",
        "'a' * 1000000000 == mode",
        "[1] * 1000000000 == mode",
        "'%1000000000d' % size == mode",
        "round(size, -1000000000) > 1",
        "(0 - 8) ** 0.5 > 1",
        "1.0e300 ** 3 > 1",
    ],
)
def test_no_expression_takes_long_or_much_memory(text: str) -> None:
    started = time.perf_counter()
    with pytest.raises(BadExpression):
        Expression.parse(text, NAMES)(POINT)
    assert time.perf_counter() - started < 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("mode < 1", "mode='fast'"),
        ("size / (pubs - 4) > 1", "division by zero"),
        ("size", "it gives a int, which is neither true nor false"),
        ("reliable or size", "neither true nor false"),
        ("len(size) > 1", "size=100"),
        ("int(mode) > 1", "invalid literal"),
    ],
)
def test_values_that_do_not_fit_are_named(text: str, said: str) -> None:
    expression = Expression.parse(text, NAMES)
    with pytest.raises(BadExpression) as caught:
        expression(POINT)
    assert said in str(caught.value)
    assert text in str(caught.value)
