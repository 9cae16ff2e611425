"""What makes a function the same program: its source, and the plain values that it carries."""

from __future__ import annotations

import functools
from collections.abc import Callable

from fieldlab.notebook.shipping import callee_of


def source(function: Callable[..., object]) -> str:
    options = callee_of(function).tool.options
    return str(options["source"])


def multiplier(factor: object) -> Callable[..., object]:
    def multiply(x: int) -> object:
        return x, factor

    return multiply


def test_equal_functions_are_one_and_changed_ones_are_not() -> None:
    assert source(multiplier(2)) == source(multiplier(2))
    assert source(multiplier(2)) != source(multiplier(3))
    assert source(multiplier(max)) == source(multiplier(min)), "only plain values are seen"


def test_a_function_inside_a_closure_counts() -> None:
    assert source(multiplier(multiplier(1))) != source(multiplier(multiplier(2)))


def test_partial_applications_differ_by_what_they_fix() -> None:
    def power(x: int, exponent: int) -> int:
        return int(x**exponent)

    two, three = (functools.partial(power, exponent=n) for n in (2, 3))
    assert source(two) != source(three)
    assert source(two) == source(functools.partial(power, exponent=2))


def test_a_default_counts() -> None:
    def made(default: int) -> Callable[..., object]:
        def function(x: int, y: int = default) -> int:
            return x + y

        return function

    assert source(made(1)) != source(made(2))


def test_of_a_lambda_only_its_own_expression_counts() -> None:
    first = [lambda x: x + 1, "matrix of one"][0]
    second = [lambda x: x + 1, "matrix of another size"][0]
    third = [lambda x: x + 2, "matrix of one"][0]
    assert callable(first)
    assert callable(second)
    assert callable(third)
    assert source(first) == source(second) != source(third)


def test_several_lambdas_of_a_line_are_told_apart() -> None:
    one, two = (lambda x: x + 1), (lambda x: x + 2)
    assert source(one) != source(two)


def test_a_recursive_function_has_an_identity() -> None:
    def factorial(n: int) -> int:
        return 1 if n < 2 else n * factorial(n - 1)

    assert source(factorial) == source(factorial)


def test_functions_of_modules_are_named() -> None:
    tool = callee_of(multiplier).tool
    assert tool.kind == "function"
    assert tool.options == {"call": "tests.notebook.test_shipping:multiplier"}
    assert callee_of(max).tool.kind == "shipped", "nobody could look at its signature by name"
