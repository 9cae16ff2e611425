"""Parsing Python's syntax in one thread at a time.

CPython 3.11 counts how deep it is in a tree for all threads together, and trips over that.
"""

from __future__ import annotations

import ast
from threading import Lock

_TURN = Lock()


def parse_module(text: str) -> ast.Module:
    """Parse a module as :func:`ast.parse` does, and raise what it raises."""
    with _TURN:
        return ast.parse(text)


def parse_expression(text: str) -> ast.Expression:
    """Parse an expression as :func:`ast.parse` does, and raise what it raises."""
    with _TURN:
        return ast.parse(text, mode="eval")
