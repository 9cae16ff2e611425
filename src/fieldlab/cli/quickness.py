"""Answering sooner: typer's converters of options and arguments are made when they are needed.

typer builds them with pydantic, whose import takes a quarter of the time of a command like
`status`. But text needs no conversion, and neither does an option that wasn't given.
"""

from __future__ import annotations

from typing import Any

#: where typer keeps a parameter's converter; if it keeps it elsewhere one day, nothing is gained
_PLACE = "_runtime_param"


class _Converter:
    """Stands in for typer's own converter until there is a value that needs it."""

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        """Give the value in the parameter's type."""
        several = param.multiple or param.nargs == -1
        if value is None:
            return () if several else None
        if isinstance(value, str) and param.type_descriptor.annotation is str and not several:
            return value
        setattr(param, _PLACE, None)
        return param.get_runtime_param().coerce(value, param=param, ctx=ctx)


def quicken(command: Any, ctx: Any) -> None:
    """Let a command, and all commands of a group, convert no more than they have to."""
    for inner in getattr(command, "commands", {}).values():
        quicken(inner, ctx)
    for param in command.get_params(ctx):
        if hasattr(param, _PLACE) and hasattr(param, "get_runtime_param"):
            setattr(param, _PLACE, _Converter())
