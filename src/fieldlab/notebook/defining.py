"""From keywords to a definition: the same words as in a file, and the same checks."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fieldlab.domain.errors import BadInput, Problem, nearest
from fieldlab.notebook.shipping import Callee, callee_of

if TYPE_CHECKING:
    from fieldlab.domain.definition import Definition

#: keywords that are parts of the space
SPACE = ("matrix", "zip", "include", "exclude", "blocks", "sample", "repeat", "order", "seed")
#: keywords that are keys of a definition as they are
PLAIN = ("description", "project", "experimenter", "funding", "retry", "guard", "timeout")


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """A definition, and the function that it calls if that has to be shipped."""

    definition: Definition
    callee: Callee | None = None


def described(
    function: Callable[..., object] | str | Path,
    name: str | None,
    slots: int | None,
    words: Mapping[str, Any],
) -> Described:
    """Check what a script says, and make a definition of it.

    Parameters
    ----------
    function
        What each trial calls; or the path of a definition's file, to which only ``slots`` may be
        added.
    words
        The keywords: those of SPACE, or ``space``, and those of PLAIN.

    Raises
    ------
    BadInput
        Something is wrong; ``problems`` has all of it, each with its keyword.
    """
    if isinstance(function, str | Path):
        return _of_file(Path(function), name, slots, words)
    callee = callee_of(function)
    if name is None:
        name = _name_of(callee)
    data: dict[str, Any] = {
        "name": name,
        "space": _space(words),
        **{key: plain(words[key]) for key in PLAIN if key in words},
    }
    if slots is not None:
        data["executor"] = {"local": {"slots": slots}}
    try:
        definition = _defined(data, callee)
    except BadInput as error:
        raise in_keywords(error, spread="space" not in words) from None
    return Described(definition=definition, callee=callee)


def _of_file(
    path: Path, name: str | None, slots: int | None, words: Mapping[str, Any]
) -> Described:
    from fieldlab.app.definitions import load_definition

    given = [*words, *(["name"] if name is not None else [])]
    if given:
        raise BadInput.of(
            Problem(
                what=f"the definition {path} says that already",
                remedy="Change it there, or give a function instead of the file",
                key=(word,),
            )
            for word in given
        )
    definition = load_definition(path)
    if slots is not None:
        definition = replace(definition, executor=replace(definition.executor, slots=slots))
    return Described(definition=definition)


def _defined(data: dict[str, Any], callee: Callee) -> Definition:
    from fieldlab.app.definitions import read_definition

    tool = callee.tool
    named = tool.kind == "function"
    written = {"function": tool.options["call"]} if named else {tool.kind: dict(tool.options)}
    return read_definition({**data, "tool": written}, callee.folder, tool.kind)


def _name_of(callee: Callee) -> str:
    options = callee.tool.options
    full = options.get("function") or options["call"].rpartition(":")[2]
    name = str(full).rpartition(".")[2]
    if not name.isidentifier():
        raise BadInput(
            "a function without a name needs one for its experiment",
            remedy='Add name="waves"',
            key=("name",),
        )
    return name.strip("_") or name


def _space(words: Mapping[str, Any]) -> dict[str, Any]:
    """Gather the space from its keywords."""
    known = (*SPACE, *PLAIN, "space")
    parts = {key: plain(value) for key, value in words.items() if key in SPACE}
    problems = [
        Problem(
            what=f"there is no keyword '{word}'",
            remedy=nearest(word, (*known, "name", "slots")) or f"Keywords: {', '.join(known)}",
            key=(word,),
        )
        for word in words
        if word not in known
    ]
    if "space" in words and parts:
        problems.append(
            Problem(
                what="the space is given twice: as a whole, and in parts",
                remedy=f"Leave out 'space', or {', '.join(parts)}",
                key=("space",),
            )
        )
    if problems:
        raise BadInput.of(problems)
    if "space" not in words:
        return parts
    space = plain(words["space"])
    if not isinstance(space, dict):
        raise BadInput("the space is not a mapping", remedy="Write space={…}", key=("space",))
    return space


def plain(value: Any) -> Any:
    """Turn ranges and numpy's arrays and numbers into lists and numbers; leave the rest."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | range):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):  # an array, a number of numpy's, a Series
        return plain(value.tolist())
    return value


def in_keywords(error: BadInput, *, spread: bool) -> BadInput:
    """Name the keyword of a script where a file would have a key."""
    return type(error).of(replace(each, key=_keyword(each.key, spread)) for each in error.problems)


def _keyword(key: tuple[str | int, ...], spread: bool) -> tuple[str | int, ...]:
    if key[:1] == ("space",) and spread and len(key) > 1:
        return key[1:]
    if key[:1] == ("tool",):
        return ("function",)
    if key[:1] == ("executor",):
        return ("slots",)
    return key


def parameters_of(function: Callable[..., object]) -> list[str]:
    """List the parameters that a function takes by name, for points that come one by one.

    Raises
    ------
    BadInput
        It takes any name, takes one by position only, or doesn't tell.
    """
    hint = 'Name them: parameters=["x", "y"]'
    try:
        accepted = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        raise BadInput("the function doesn't tell its parameters", remedy=hint) from None
    if any(each.kind is each.VAR_KEYWORD for each in accepted):
        raise BadInput("the function takes parameters of any name", remedy=hint)
    for each in accepted:
        if each.kind is each.POSITIONAL_ONLY:
            raise BadInput(
                f"the function's parameter '{each.name}' is positional-only",
                remedy="Wrap it in a function that takes it by name",
            )
    return [
        each.name
        for each in accepted
        if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY) and each.name != "repeat"
    ]
