"""The decorator that marks a function as what a trial runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

F = TypeVar("F", bound=Callable[..., object])

#: the attribute that the decorator sets
MARK = "__fieldlab_tool__"


def tool(function: F) -> F:
    """Mark the one function of a file that an experiment runs, so that the file alone names it.

    The function stays as it is. It takes the parameters as keywords and returns a dict, a list of
    dicts or a DataFrame; with a parameter ``repeat`` it also gets the number of the repeat.
    """
    setattr(function, MARK, True)
    return function
