"""Why nothing is recorded of a trial: not in the space, excluded, or not reached yet."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from fieldlab.domain.axes import Axis
from fieldlab.domain.errors import BadExpression, render_key
from fieldlab.domain.exclusions import ExpressionRule, Rule
from fieldlab.domain.ids import Point, Value
from fieldlab.domain.parameters import TrialSequence
from fieldlab.domain.sampling import Drawn
from fieldlab.domain.space_reading import Block, SpaceSpec, read_space
from fieldlab.domain.spaces import Factor, point_key

if TYPE_CHECKING:
    from fieldlab.ports.store import Campaign

#: longest search for a position, s
SEARCH_S = 2.0
#: positions between two looks at the clock
_STRIDE = 512
#: axes up to this size are searched for the nearest value
_SEARCHED_AXIS = 10_000


class Place(StrEnum):
    """Where a trial stands of which nothing is recorded."""

    OUTSIDE = "outside the space"
    NOT_SUBMITTED = "not submitted"
    EXCLUDED = "excluded"
    NOT_DRAWN = "not drawn"
    AHEAD = "not reached yet"
    TAKEN = "taken"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Whereabouts:
    """What can be said about a trial of which nothing is recorded."""

    point: Point
    place: Place
    #: for people
    why: str
    #: counted from 0
    position: int | None = None


def whereabouts(
    campaign: Campaign, sequence: TrialSequence, readings: Sequence[Point], repeat: int
) -> Whereabouts:
    """Say where a trial stands; of several readings, the first that the space can have counts."""
    spec = read_space(campaign.definition.space, [])
    assert spec is not None
    if spec.submitted:
        why = "Nobody has submitted it"
        return Whereabouts(point=readings[0], place=Place.NOT_SUBMITTED, why=why)
    first: Whereabouts | None = None
    for point in readings:
        found = _whereabouts(campaign, sequence, spec, point, repeat)
        if found.place is not Place.OUTSIDE:
            return found
        first = first or found
    assert first is not None
    return first


def _whereabouts(
    campaign: Campaign, sequence: TrialSequence, spec: SpaceSpec, point: Point, repeat: int
) -> Whereabouts:
    reasons: list[str] = []
    rules = _rules_on(spec, point, reasons)
    if rules is None:
        why = reasons[0] if len(spec.blocks) == 1 and reasons else "No block of the space has it"
        return Whereabouts(point=point, place=Place.OUTSIDE, why=why)
    if repeat > spec.repeat:
        times = "once" if spec.repeat == 1 else f"{spec.repeat} times"
        why = f"Every point is run {times}: there is no repeat {repeat}"
        return Whereabouts(point=point, place=Place.OUTSIDE, why=why)
    try:
        for rule in rules:
            if rule(point):
                return Whereabouts(point=point, place=Place.EXCLUDED, why=_describe(rule))
    except BadExpression as error:
        return Whereabouts(point=point, place=Place.UNKNOWN, why=str(error))
    return _searched(campaign, sequence, spec, point, repeat)


def _rules_on(spec: SpaceSpec, point: Point, reasons: list[str]) -> Sequence[Rule] | None:
    """Give the exclusions that a point must pass; None, and the reasons, if no block has it.

    Blocks share no point, but several may list it; then the one that excludes it least counts.
    """
    fitting = [
        [*block.rules, *spec.rules]
        for block in spec.blocks
        if _lists(block.include, point) or _has(block, point, reasons)
    ]
    if _lists(spec.include, point):
        fitting.append(spec.rules)
    if not fitting:
        return None
    return min(fitting, key=lambda rules: sum(_holds(rule, point) for rule in rules))


def is_in_space(spec: SpaceSpec, point: Point, repeat: int) -> bool:
    """Say whether a space has a trial, as far as that is known without drawing its sample."""
    if repeat > spec.repeat or any(set(each.names) != set(point) for each in spec.blocks):
        return False
    rules = _rules_on(spec, point, [])
    return rules is not None and not any(_holds(rule, point) for rule in rules)


def _holds(rule: Rule, point: Point) -> bool:
    try:
        return rule(point)
    except BadExpression:
        return True


def _lists(included: Iterable[Point], point: Point) -> bool:
    wanted = point_key(point)
    return any(point_key(each) == wanted for each in included)


def _has(block: Block, point: Point, reasons: list[str]) -> bool:
    missing = [text for each in block.dimensions if (text := _off(each, point))]
    reasons += missing
    return bool(block.dimensions or not block.include) and not missing


def _off(dimension: Factor | Drawn, point: Point) -> str:
    """Say why a dimension doesn't have the point's value; nothing if it has, or may have."""
    if isinstance(dimension, Drawn) or dimension.places(point):
        return ""
    if len(dimension.names) > 1:
        values = " and ".join(f"{name}={point[name]!r}" for name in dimension.names)
        return f"{values} don't come together"
    name = dimension.names[0]
    near = _nearest_value(dimension.axes[0], point[name])
    return f"{name} has no value {point[name]!r}" + (f"; the nearest is {near!r}" if near else "")


def _nearest_value(axis: Axis, value: Value) -> Value:
    if isinstance(value, bool | str) or value is None or axis.size > _SEARCHED_AXIS:
        return None
    values = (axis[place] for place in range(axis.size))
    numbers = [each for each in values if isinstance(each, int | float)]
    return min(numbers, key=lambda each: abs(each - value), default=None)


def _describe(rule: Rule) -> str:
    if isinstance(rule, ExpressionRule):
        where = f" ({render_key(rule.key)})" if rule.key else ""
        return f'It is excluded by "{rule.expression.text}"{where}'
    return "It is among the points that are listed under exclude"


def _searched(
    campaign: Campaign, sequence: TrialSequence, spec: SpaceSpec, point: Point, repeat: int
) -> Whereabouts:
    looked_at = 0
    until = time.monotonic() + SEARCH_S
    ends = [end for end in (sequence.positions, _last(campaign)) if end is not None]
    end = min(ends) if ends else 1 << 62
    wanted = point_key(point)
    try:
        for position, trial in sequence.run(0, end):
            looked_at += 1
            if (
                trial is not None
                and trial.repeat == repeat
                and trial.parameters == point
                and point_key(trial.parameters) == wanted
            ):
                return _at(campaign, point, position)
            if looked_at % _STRIDE == 0 and time.monotonic() > until:
                break
    except BadExpression:
        pass  # an exclusion that can't decide for another point on the way
    if looked_at == end:
        drawn = spec.sample is not None
        return Whereabouts(
            point=point,
            place=Place.NOT_DRAWN if drawn else Place.UNKNOWN,
            why="The sample doesn't draw it" if drawn else "The sequence doesn't come to it",
        )
    why = f"It isn't among the first {looked_at:,} positions; further was not searched"
    return Whereabouts(point=point, place=Place.UNKNOWN, why=why)


def _last(campaign: Campaign) -> int | None:
    """Where a campaign stops that wants a number of trials, as far as is known by now."""
    return None if campaign.wanted is None else campaign.wanted + campaign.excluded


def _at(campaign: Campaign, point: Point, position: int) -> Whereabouts:
    of = "" if campaign.positions is None else f" of {campaign.positions:,}"
    if position >= campaign.cursor:
        why = f"Position {position + 1:,}{of}; the first {campaign.cursor:,} have been taken"
        return Whereabouts(point=point, place=Place.AHEAD, why=why, position=position)
    why = f"Position {position + 1:,}{of} is in a range that has been taken, and not recorded yet"
    return Whereabouts(point=point, place=Place.TAKEN, why=why, position=position)
