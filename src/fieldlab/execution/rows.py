"""From what a trial returns to rows that a database takes: names, types, plain values."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import json
import math
import os
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from fieldlab.domain.errors import BadResult
from fieldlab.domain.ids import Point
from fieldlab.ports.executor import Shape

#: the column of a result that has no name of its own
ANONYMOUS = "value"

_TYPES: dict[type, str] = {bool: "boolean", int: "integer", float: "real", str: "text"}
_MISSING = type(None)
_SMALLEST, _LARGEST = -(2**63), 2**63 - 1


def rows_of(result: object) -> list[dict[str, Any]]:
    """Read what a function returned as rows of named values.

    A mapping or a dataclass is one row; a list of them, or a DataFrame (pandas, polars), is
    several (a named index becomes a column); a Series is one row; None is one row without results;
    any other single value is called ``value``.

    Raises
    ------
    BadResult
        A list holds something that isn't a row.
    """
    if isinstance(result, dict):
        return [result]
    if result is None:
        return [{}]
    if dataclasses.is_dataclass(result) and not isinstance(result, type):
        return [dataclasses.asdict(result)]
    if isinstance(result, Mapping):
        return [dict(result)]
    if hasattr(result, "to_dicts"):
        return list(result.to_dicts())
    if hasattr(result, "to_dict"):
        return _pandas_rows(result)
    if isinstance(result, list | tuple):
        return [_row(each, place) for place, each in enumerate(result)]
    return [{ANONYMOUS: result}]


def _pandas_rows(result: Any) -> list[dict[str, Any]]:
    """Read a DataFrame, a named index among its columns, or a Series as one row."""
    if not hasattr(result, "columns"):
        return [dict(result.to_dict())]
    names = getattr(getattr(result, "index", None), "names", ())
    named = any(name is not None for name in names)
    return list((result.reset_index() if named else result).to_dict("records"))


def _row(each: object, place: int) -> dict[str, Any]:
    if isinstance(each, Mapping):
        return dict(each)
    if dataclasses.is_dataclass(each) and not isinstance(each, type):
        return dataclasses.asdict(each)
    raise BadResult(
        f"Row {place} of the returned list is a {type(each).__name__}, not a mapping",
        remedy="Return a dict, a list of dicts or a DataFrame",
    )


class Shaper:
    """Gives rows their shape, and remembers the shapes of one batch."""

    def __init__(self) -> None:
        self.shapes: list[Shape] = []
        self._seen: dict[tuple[tuple[str, ...], tuple[type, ...]], int] = {}
        self._indexes: dict[Shape, int] = {}

    def shaped(self, point: Point, row: dict[str, Any]) -> tuple[int, list[Any]]:
        """Add the parameters to a row and give the index of its shape, with its values.

        Raises
        ------
        BadResult
            A value can't be recorded, or contradicts the parameter of the same name.
        """
        apart = point.keys().isdisjoint(row)
        full = {**point, **row} if apart else _merged(point, row)
        values = [_checked(value) for value in full.values()]
        key = (tuple(full), tuple(map(type, values)))
        index = self._seen.get(key)
        if index is None:
            if not all(kind in _TYPES or kind is _MISSING for kind in key[1]):
                plain = {name: _plain(name, value) for name, value in full.items()}
                return self.shaped({}, plain)
            index = self._seen[key] = self._index(key[0], values)
        return index, values

    def forget_after(self, count: int) -> None:
        """Forget all shapes but the first ``count``: those of a trial that can't be recorded."""
        if len(self.shapes) > count:
            del self.shapes[count:]
            self._seen = {key: index for key, index in self._seen.items() if index < count}
            self._indexes = {
                shape: index for shape, index in self._indexes.items() if index < count
            }

    def _index(self, names: tuple[str, ...], values: list[Any]) -> int:
        types = tuple(_TYPES.get(type(value), "") for value in values)
        for name in names:
            if type(name) is not str:
                raise BadResult(f"A result is called {name!r}", remedy="Names of results are text")
        shape = Shape(names, types)
        if shape not in self._indexes:
            self._indexes[shape] = len(self.shapes)
            self.shapes.append(shape)
        return self._indexes[shape]


def _merged(point: Point, row: dict[str, Any]) -> dict[str, Any]:
    """Join parameters and results where the results repeat parameters, as a DataFrame may."""
    for name in point.keys() & row.keys():
        returned = _plain(name, row[name])
        if returned != point[name]:
            raise BadResult(
                f"Result '{name}' is {returned!r}, but the parameter of that name is"
                f" {point[name]!r}",
                remedy="Give the result another name",
            )
    return {**point, **{name: value for name, value in row.items() if name not in point}}


def _checked(value: Any) -> Any:
    if type(value) is float:
        return None if math.isnan(value) else value  # a missing value
    if type(value) is int and not _SMALLEST <= value <= _LARGEST:
        raise BadResult(
            f"A result is {value if abs(value) < 10**30 else 'an integer'} of more than 64 bits",
            remedy="Return it as a float or as text",
        )
    if type(value) is str and not (value.isascii() and "\0" not in value):
        _check_text(value)
    return value


def _check_text(value: str) -> None:
    if "\0" in value:
        raise BadResult("A result contains a NUL character", remedy="Leave it out")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise BadResult(
            f"A result contains {value[error.start]!r}, half of a character",
            remedy="Return text.encode(errors='replace').decode() instead",
        ) from None


def _plain(name: object, value: Any) -> Any:  # noqa: PLR0911 - a return for each kind
    """Turn a value into one of the four types that a column can have."""
    kind = type(value)
    if kind in _TYPES or value is None:
        return value
    if isinstance(value, enum.Enum):
        return _plain(name, value.value)
    for base in (bool, int, float, str):
        if isinstance(value, base):
            return base(value)
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if isinstance(value, decimal.Decimal):
        return None if value.is_nan() else float(value)
    if isinstance(value, uuid.UUID | os.PathLike):
        return str(value) if isinstance(value, uuid.UUID) else os.fsdecode(value)
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        return _plain(name, value.item())
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, Mapping | Sequence) and not isinstance(value, bytes | bytearray):
        return _as_json(name, value)
    raise BadResult(
        f"Result '{name}' is a {kind.__module__}.{kind.__qualname__}, which can't be recorded",
        remedy="Return numbers, text, true/false, lists or mappings of them; write other things"
        " to a file and return its path",
    )


def _as_json(name: object, value: object) -> str:
    def default(each: Any) -> Any:
        many = each.tolist() if hasattr(each, "tolist") else each
        if isinstance(many, Sequence) and not isinstance(many, bytes | bytearray):
            return _finite(list(many))
        return _finite(_plain(name, many))

    try:
        return json.dumps(_finite(value), default=default, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise BadResult(
            f"Result '{name}' can't be written as JSON: {error}",
            remedy="Return numbers, text, true/false, or lists and mappings of them",
        ) from error


def _finite(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return value
