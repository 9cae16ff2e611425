"""Reading the points and expressions that a space names one by one: ``include``, ``exclude``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fieldlab.domain.axis_reading import read_value
from fieldlab.domain.errors import BadExpression, Problem, nearest
from fieldlab.domain.exclusions import ExpressionRule, PointsRule, Rule
from fieldlab.domain.expressions import Expression
from fieldlab.domain.fields import Key, entries, key_part
from fieldlab.domain.ids import Point


def read_include(
    data: Mapping[Any, Any], names: Sequence[str], key: Key, problems: list[Problem]
) -> list[Point]:
    """Read extra points; without axes the first one says which parameters there are."""
    points: list[Point] = []
    for place, entry in entries(data, "include", key, problems):
        if not isinstance(entry, Mapping) or not entry:
            problems.append(Problem(what="an included point is a mapping", key=place))
            continue
        fine = [read_value(value, (*place, key_part(at)), problems) for at, value in entry.items()]
        wanted = names or (list(points[0]) if points else list(entry))
        if all(fine) and check_same_names(entry, wanted, place, "the space", problems):
            points.append(dict(entry))
    return points


def read_exclude(
    data: Mapping[Any, Any], names: Sequence[str], key: Key, problems: list[Problem]
) -> list[Rule]:
    """Read expressions and (partial) points to leave out."""
    rules: list[Rule] = []
    points: list[Point] = []
    for place, entry in entries(data, "exclude", key, problems):
        if isinstance(entry, str):
            try:
                rules.append(ExpressionRule(Expression.parse(entry, names), place))
            except BadExpression as error:
                problems.append(Problem(what=error.what, remedy=error.remedy, key=place))
        elif isinstance(entry, Mapping) and entry:
            if _check_partial(entry, names, place, problems):
                points.append(dict(entry))
        else:
            problems.append(
                Problem(
                    what=f"{entry!r} is neither an expression nor a point",
                    remedy='Write exclude: ["size > 100", {size: 10, pubs: 1}]',
                    key=place,
                )
            )
    return [*rules, PointsRule(points)] if points else rules


def _check_partial(
    point: Mapping[Any, Any], names: Sequence[str], key: Key, problems: list[Problem]
) -> bool:
    before = len(problems)
    for name, value in point.items():
        if name not in names:
            hint = nearest(str(name), names)
            problems.append(
                Problem(
                    what=f"there is no parameter '{name}'",
                    remedy=hint or f"Parameters: {', '.join(names)}",
                    key=(*key, key_part(name)),
                )
            )
        elif isinstance(value, list | tuple):
            problems.append(
                Problem(
                    what="a point has one value per parameter",
                    remedy=f'Write it as an expression: "{name} in {list(value)}"',
                    key=(*key, name),
                )
            )
        else:
            read_value(value, (*key, name), problems)
    return len(problems) == before


def check_same_names(
    found: Mapping[Any, Any] | Sequence[str],
    wanted: Sequence[str],
    key: Key,
    than: str,
    problems: list[Problem],
) -> bool:
    """Report a point or block that lacks parameters or has others besides."""
    lacking = [name for name in wanted if name not in found]
    extra = [str(name) for name in found if name not in wanted]
    parts = [f"it lacks {', '.join(lacking)}"] if lacking else []
    parts += [f"it has {', '.join(extra)} besides"] if extra else []
    if parts:
        problems.append(
            Problem(
                what=f"not the parameters of {than}: {' and '.join(parts)}",
                remedy=f"Give exactly these: {', '.join(wanted)}",
                key=key,
            )
        )
    return not parts
