"""Parameters whose values stand in a tool's options instead of the space."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from fieldlab.domain.errors import BadInput, Problem, nearest
from fieldlab.domain.ids import Point, Value
from fieldlab.domain.stating import FaultOf, StatedSpace, value_problems
from fieldlab.workflows.options import Options
from fieldlab.workflows.perftest.measures import RESULTS
from fieldlab.workflows.perftest.parameters import PARAMETERS, fault_of


def fixed_parameters(read: Options, fault_of: FaultOf = fault_of) -> Point:
    """Read the parameters that have one value for every point."""
    found: Point = {}
    for name in PARAMETERS:
        if name in read:
            if fault := fault_of(name, read.get(name)):
                read.note(fault, "Write one value; several belong in the space", name)
            else:
                found[name] = read.get(name)
    return found


def result_problems(names: Collection[str], results: Collection[str], tool: str) -> list[Problem]:
    """Find parameters that are called like a result: both would be one column."""
    return [
        Problem(
            what=f"The parameter '{name}' is called like a result of {tool}",
            remedy="Rename it, for instance loss instead of loss_percent",
            key=("space",),
        )
        for name in names
        if name in results
    ]


def check_parameters(
    names: Collection[str], fixed: Mapping[str, Value], needed: Collection[str], tool: str
) -> None:
    """Refuse parameters that lack one, or have one that is called like a result.

    Raises
    ------
    BadInput
        With the parameter of the space that was probably meant, or should be renamed.
    """
    if problems := _name_problems(names, fixed, needed, tool):
        raise BadInput.of(problems)


def check_space(
    space: StatedSpace,
    fixed: Mapping[str, Value],
    needed: Collection[str],
    tool: str,
    fault: FaultOf = fault_of,
) -> None:
    """Refuse a space that lacks a parameter, or has values that no test can have.

    Raises
    ------
    BadInput
        ``problems`` has everything, each with its key.
    """
    problems = _name_problems(space, fixed, needed, tool)
    for name in PARAMETERS:
        problems += value_problems(space, name, fault)
    if problems:
        raise BadInput.of(problems)


def _name_problems(
    names: Collection[str], fixed: Mapping[str, Value], needed: Collection[str], tool: str
) -> list[Problem]:
    problems = result_problems(names, RESULTS, tool)
    missing = [name for name in needed if name not in names and name not in fixed]
    if missing:
        others = [name for name in names if name not in needed]
        hints = [hint for name in missing if (hint := nearest(name, others))]
        what = f"{tool} needs {', '.join(missing)}, which the space doesn't have"
        remedy = " ".join(hints) or (
            f"Add it to the space, or as a fixed value: {tool}: {{{missing[0]}: …}}"
        )
        problems.append(Problem(what=what, remedy=remedy, key=("tool", tool)))
    return problems
