"""Arithmetic for expressions that can't take long or need much memory."""

from __future__ import annotations

from typing import Any

from fieldlab.domain.errors import BadExpression

#: largest result of a power of integers, in bits, and largest exponent
LARGEST_POWER_BITS = 10_000
LARGEST_EXPONENT = 1000


def _numbers(left: Any, right: Any, sign: str) -> None:
    if not isinstance(left, int | float) or not isinstance(right, int | float):
        raise BadExpression(
            f"'{sign}' needs two numbers, not {type(left).__name__} and {type(right).__name__}"
        )


def multiplied(left: Any, right: Any) -> Any:
    """Multiply two numbers; anything else could be multiplied up to any length."""
    _numbers(left, right, "*")
    return left * right


def remainder(left: Any, right: Any) -> Any:
    """Divide with a remainder."""
    # A string on the left would be a format, which can ask for any width.
    _numbers(left, right, "%")
    return left % right


def power(left: Any, right: Any) -> Any:
    """Raise to a power that is quickly done."""
    _numbers(left, right, "**")
    bits = left.bit_length() if isinstance(left, int) else 1
    if abs(right) > LARGEST_EXPONENT or bits * abs(right) > LARGEST_POWER_BITS:
        raise BadExpression(f"the power is too large; exponents go up to {LARGEST_EXPONENT}")
    if left < 0 and right != int(right):
        raise BadExpression("a negative number has no such power")
    return left**right


def rounded(number: Any, digits: Any = 0) -> Any:
    """Round to some digits, or to an integer."""
    if not isinstance(digits, int) or abs(digits) > 400:
        raise BadExpression("'round' takes a number and a count of digits of at most 400")
    _numbers(number, digits, "round")
    return round(number, digits) if digits else round(number)
