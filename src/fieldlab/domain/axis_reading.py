"""Reading one axis of a space, and telling everything that is wrong with it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from fieldlab.domain.axes import (
    Axis,
    Continuous,
    Linspace,
    Logspace,
    LogUniform,
    Normal,
    Uniform,
    Values,
    kept,
    steps,
)
from fieldlab.domain.definition import MOST_COLUMNS, PLACEHOLDERS, RESERVED_COLUMNS
from fieldlab.domain.errors import Problem, nearest
from fieldlab.domain.fields import Key

#: PostgreSQL keeps 63 characters of a column's name, and fieldlab needs a few for itself
LONGEST_NAME = 59
_FORMS = (
    "a list, choice, range, linspace or logspace, or under 'sample' uniform, loguniform, normal"
)


class _Wrong(Exception):
    """An axis can't be used."""

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.remedy = remedy


def read_axis(data: object, key: Key, problems: list[Problem]) -> Axis | Continuous | None:
    """Read an axis as a definition writes it.

    A list holds the values themselves, a single value is a list of one, and a mapping with one key
    says how to compute them:

    - ``choice: [a, b]`` is the list again;
    - ``range: [start, stop]`` or ``[start, stop, step]``: with ``stop`` where it falls on the grid,
      counted in decimals; integers if all of them are;
    - ``linspace: [start, stop, count]``: floats at equal distances, both ends included;
    - ``logspace: [start, stop, count]``: floats in equal ratios between the two *values*, both ends
      included (``numpy.geomspace``, not ``numpy.logspace``);
    - ``uniform: [low, high]``, ``loguniform: [low, high]``, ``normal: [mean, deviation]``:
      continuous, for samples only.

    Returns
    -------
    Axis | Continuous | None
        None when something is wrong; ``problems`` then has one more entry at least.
    """
    listed, place = values_of(data, key)
    fine = [read_value(value, (*place, at), problems) for at, value in enumerate(listed)]
    if not all(fine):
        return None
    try:
        if isinstance(data, Mapping):
            return _computed(data)
        if isinstance(data, list | tuple):
            return _listed(data)
        _check_value(data)
        return _listed([data])
    except _Wrong as wrong:
        problems.append(Problem(what=wrong.what, remedy=wrong.remedy, key=key))
    except OverflowError:
        problems.append(Problem(what="a number is too large for this kind of axis", key=key))
    return None


def values_of(data: object, key: Key) -> tuple[Sequence[Any], Key]:
    """Give the values that an axis lists, and where; none if it computes them."""
    if isinstance(data, Mapping) and set(data) == {"choice"}:
        data, key = data["choice"], (*key, "choice")
    return (data, key) if isinstance(data, list | tuple) else ((), key)


def read_value(value: Any, key: Key, problems: list[Problem]) -> bool:
    """Check a single value of a point; say whether it can be used."""
    try:
        _check_value(value)
    except _Wrong as wrong:
        problems.append(Problem(what=wrong.what, remedy=wrong.remedy, key=key))
        return False
    return True


def check_names(names: Iterable[tuple[str, Key]], problems: list[Problem]) -> None:
    """Check the names of all parameters of a block, each with the place where it is written."""
    seen: dict[str, str] = {}
    places: dict[str, Key] = {}
    for number, (name, key) in enumerate(names, 1):
        if number == MOST_COLUMNS + 1:
            what = f"there are more than {MOST_COLUMNS:,} parameters"
            remedy = "Each is a column of the results; pass the others in a file"
            problems.append(Problem(what=what, remedy=remedy, key=key))
        what, remedy = _wrong_name(name)
        if not what:
            twin = seen.setdefault(name.lower(), name)
            if key != places.setdefault(name.lower(), key):
                what, remedy = _wrong_twin(name, twin)
        if what:
            problems.append(Problem(what=what, remedy=remedy, key=key))


def _wrong_twin(name: str, twin: str) -> tuple[str, str]:
    if name == twin:
        return f"the parameter '{name}' is given twice", "Remove one of them"
    return (
        f"'{name}' and '{twin}' differ only in case",
        "Columns of a results table ignore case; rename one of them",
    )


def _wrong_name(name: object) -> tuple[str, str]:
    if not isinstance(name, str):
        return f"the parameter name {name!r} is not text", "Put it in quotes"
    plain = name.isascii() and name.isidentifier()
    if not plain or len(name) > LONGEST_NAME:
        return (
            f"'{name}' can't name a parameter",
            f"Use letters, digits and _, not a digit first, at most {LONGEST_NAME} characters",
        )
    if name.lower() in RESERVED_COLUMNS or name.lower() in PLACEHOLDERS:
        return f"fieldlab itself uses the name '{name}'", "Call the parameter something else"
    return "", ""


def _check_value(value: object) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise _Wrong(f"the value {value} is not a finite number", "Leave it out or write a string")
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise _Wrong("a value has more than 64 bits", "Write it as text, in quotes")
    if value is None or isinstance(value, bool | int | float | str):
        return
    if isinstance(value, list | tuple | Mapping):
        raise _Wrong(
            f"a value can't be a {'mapping' if isinstance(value, Mapping) else 'list'}",
            "Name the choices with strings and let the trial look them up",
        )
    raise _Wrong(
        f"a value of type {type(value).__name__} can't be recorded",
        "Use a number, a boolean or text, such as the name of what the trial looks up",
    )


def _listed(values: list[Any] | tuple[Any, ...]) -> Values:
    if not values:
        raise _Wrong(
            "the axis has no values, so its product with the others is no trial at all",
            "Give it a value or remove it",
        )
    axis = Values(tuple(values))
    for place, value in enumerate(values):
        first = axis.find(value)
        if first != place:
            raise _Wrong(
                f"the value {value!r} is listed twice (entries {first + 1} and {place + 1})",
                "Remove one; to run every point several times use 'repeat'",
            )
    return axis


def _computed(data: Mapping[Any, Any]) -> Axis | Continuous:
    if len(data) != 1:
        raise _Wrong(f"an axis has one key, not {len(data)}", f"Write {_FORMS}")
    ((form, given),) = data.items()
    if form == "choice":
        if not isinstance(given, list | tuple):
            raise _Wrong("'choice' needs a list of values", "Write choice: [1, 2]")
        return _listed(given)
    reader = _READERS.get(form)
    if reader is None:
        hint = nearest(str(form), ["choice", *map(str, _READERS)])
        raise _Wrong(f"'{form}' is not a kind of axis" + (f"; {hint}" if hint else ""), _FORMS)
    read, usage, counts = reader
    if not isinstance(given, list | tuple) or len(given) not in counts:
        raise _Wrong(f"'{form}' needs {' or '.join(map(str, counts))} numbers", f"Write {usage}")
    for number in given:
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise _Wrong(f"'{form}' needs numbers, not {number!r}", f"Write {usage}")
        _check_value(number)
    return read(*given)


def _range(start: float, stop: float, step: float = 1) -> Axis:
    if step == 0:
        raise _Wrong("the range has a step of 0", "Give it a step that leads to its end")
    if (stop - start) * (1 if step > 0 else -1) < 0:
        raise _Wrong(
            f"the range goes from {start} to {stop} in steps of {step}, the wrong way",
            f"Write range: [{stop}, {start}] or a step of {-step}",
        )
    return _distinct(steps(start, stop, step))


def _linspace(start: float, stop: float, count: float) -> Axis:
    return _distinct(Linspace(float(start), float(stop), _count("linspace", count)))


def _logspace(start: float, stop: float, count: float) -> Axis:
    if start <= 0 or stop <= 0:
        raise _Wrong(
            f"'logspace' runs between two values above 0, not from {start} to {stop}",
            "Give the values themselves, not their exponents",
        )
    return _distinct(Logspace(float(start), float(stop), _count("logspace", count)))


def _count(form: str, count: float) -> int:
    if not isinstance(count, int) or count < 1:
        raise _Wrong(f"'{form}' needs a count of at least 1, not {count}")
    return count


def _distinct(axis: Axis) -> Axis:
    last = axis.size - 1
    if last > 0 and (axis[0] == axis[1] or axis[last - 1] == axis[last]):
        raise _Wrong(
            f"neighbouring values are the same in 15 digits: {axis[0]!r} to {axis[last]!r} "
            f"in {axis.size} values",
            "Take fewer values or a wider span",
        )
    return kept(axis)


def _uniform(low: float, high: float) -> Continuous:
    _check_order("uniform", low, high)
    return Uniform(float(low), float(high))


def _loguniform(low: float, high: float) -> Continuous:
    _check_order("loguniform", low, high)
    if low <= 0:
        raise _Wrong(f"'loguniform' needs two values above 0, not {low}")
    return LogUniform(float(low), float(high))


def _normal(mean: float, deviation: float) -> Continuous:
    if deviation <= 0:
        raise _Wrong(f"'normal' needs a deviation above 0, not {deviation}")
    return Normal(float(mean), float(deviation))


def _check_order(form: str, low: float, high: float) -> None:
    if low >= high:
        raise _Wrong(
            f"'{form}' runs from {low} to {high}; the first must be less than the second",
            f"Write {form}: [low, high]",
        )


_READERS: Mapping[object, tuple[Callable[..., Axis | Continuous], str, tuple[int, ...]]] = {
    "range": (_range, "range: [start, stop] or [start, stop, step]", (2, 3)),
    "linspace": (_linspace, "linspace: [start, stop, count]", (3,)),
    "logspace": (_logspace, "logspace: [start, stop, count]", (3,)),
    "uniform": (_uniform, "uniform: [low, high]", (2,)),
    "loguniform": (_loguniform, "loguniform: [low, high]", (2,)),
    "normal": (_normal, "normal: [mean, deviation]", (2,)),
}
