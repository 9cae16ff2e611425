"""Reading the keys of a mapping that a user wrote."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fieldlab.domain.errors import Problem, nearest

#: path of a key, outermost first, as :class:`~fieldlab.domain.errors.Problem` has it
Key = tuple[str | int, ...]


def check_keys(
    data: Mapping[Any, Any], known: Sequence[str], key: Key, problems: list[Problem]
) -> None:
    """Report keys that aren't known, each with the one that was probably meant."""
    problems.extend(
        Problem(
            what=f"there is no key '{name}' here",
            remedy=nearest(str(name), known) or f"Keys: {', '.join(known)}",
            key=(*key, key_part(name)),
        )
        for name in data
        if name not in known
    )


def whole(
    data: Mapping[Any, Any],
    name: str,
    key: Key,
    problems: list[Problem],
    *,
    default: int,
    least: int,
) -> int:
    """Read an integer of at least ``least``."""
    value = data.get(name, default)
    if isinstance(value, int) and not isinstance(value, bool) and value >= least:
        return value
    problems.append(
        Problem(what=f"'{name}' is an integer of at least {least}, not {value!r}", key=(*key, name))
    )
    return default


def one_of(
    data: Mapping[Any, Any],
    name: str,
    known: Sequence[str],
    key: Key,
    problems: list[Problem],
) -> str:
    """Read one of the ``known`` words; the first is the default."""
    value = data.get(name, known[0])
    if value in known:
        return str(value)
    problems.append(
        Problem(
            what=f"there is no {name} {value!r}",
            remedy=nearest(str(value), known) or f"One of: {', '.join(known)}",
            key=(*key, name),
        )
    )
    return known[0]


def entries(
    data: Mapping[Any, Any], name: str, key: Key, problems: list[Problem]
) -> Iterator[tuple[Key, Any]]:
    """Go through the entries of a list, each with its place; a single entry needs no list."""
    listed = data.get(name, ())
    if isinstance(listed, str | Mapping):
        yield (*key, name), listed
    elif isinstance(listed, list | tuple):
        for number, entry in enumerate(listed):
            yield (*key, name, number), entry
    else:
        problems.append(Problem(what=f"'{name}' needs a list", key=(*key, name)))


def key_part(name: object) -> str:
    """Write any key of a mapping as part of a key path."""
    return name if isinstance(name, str) else repr(name)
