"""The executors that there are, and what they are told."""

from __future__ import annotations

from collections.abc import Callable

from fieldlab.domain.definition import Definition
from fieldlab.domain.errors import BadInput, Problem, nearest
from fieldlab.ports.executor import Executor, Setup
from fieldlab.settings import Settings, load_settings
from fieldlab.store.database import Database

#: the names of the executors
EXECUTORS = frozenset({"local", "ssh"})


def make_executor(
    settings: Settings, database: Database, definition: Definition, tell: Callable[[str], None]
) -> Executor:
    """Make the executor of a definition.

    Parameters
    ----------
    tell
        Told, in words, what people should know.

    Raises
    ------
    BadInput
        There is none of that name, or no such site.
    """
    require_executor(definition)
    if definition.executor.kind == "ssh":
        from fieldlab.app.benches import remote_executor

        return remote_executor(settings, database, definition, tell)
    return local_executor(definition.executor.slots)


async def check_tool(settings: Settings, definition: Definition, setup: Setup) -> None:
    """Check all that can be checked of a tool before the first trial; nothing else is started.

    Raises
    ------
    BadInput
        Something is wrong with it, or with the site that it is to run on.
    """
    require_executor(definition)
    if definition.executor.kind == "ssh":
        from fieldlab.app.benches import check_remote

        _check_values(setup)
        check_remote(settings, definition, setup)
        return
    executor = local_executor(1)
    try:
        await executor.start(setup)
    finally:
        await executor.stop()


def _check_values(setup: Setup) -> None:
    """Check a tool's options and the values of its space; on this machine a worker does that."""
    from fieldlab.domain.stating import stated_values
    from fieldlab.execution.functions import FUNCTION_KINDS
    from fieldlab.execution.runners import make_tool

    if setup.tool["kind"] not in FUNCTION_KINDS:
        space = stated_values(setup.space)
        make_tool(setup.tool["kind"], setup.tool["options"], setup.timeout_s, space)


def unread_parameters(definition: Definition) -> list[Problem]:
    """Find parameters that neither the tool nor the noise reads, as far as the tool tells.

    None of a tool that can't be made: what is wrong with it is told by whoever checks it.
    """
    from fieldlab.domain.noise import parameters_of
    from fieldlab.domain.stating import stated_values
    from fieldlab.execution.functions import FUNCTION_KINDS
    from fieldlab.execution.runners import find_tool
    from fieldlab.ports.tool import ReadingTool

    kind = definition.tool.kind
    if kind == "command" or kind in FUNCTION_KINDS:
        return []
    try:
        tool = find_tool(kind)(definition.tool.options, definition.timeout_s)
    except Exception:  # noqa: BLE001 - perhaps an installed tool that can't even be imported
        return []
    if not isinstance(tool, ReadingTool):
        return []
    read = {*tool.reads(), *parameters_of(definition.noise)}
    problems = []
    for name, values in stated_values(definition.space).items():
        if name not in read:
            place = next((part[0] for part in values.parts), ()) if values else ()
            what = f"{kind} has no parameter '{name}', so its values change nothing"
            remedy = nearest(name, read) or "Take it out, unless it only labels the results"
            problems.append(Problem(what=what, remedy=remedy, key=place or ("space",)))
    return problems


def slots_of(definition: Definition, settings: Settings | None = None) -> int:
    """Say how many attempts of a definition run at a time.

    Raises
    ------
    BadInput
        It is to run on a site that there isn't, or that can't do it.
    """
    if definition.executor.kind == "ssh":
        from fieldlab.app.benches import remote_slots

        return remote_slots(settings or load_settings(), definition)
    from fieldlab.execution.local import processors

    return definition.executor.slots or processors()


def require_executor(definition: Definition) -> None:
    """Refuse an executor that isn't there."""
    kind = definition.executor.kind
    if kind not in EXECUTORS:
        names = sorted(EXECUTORS)
        raise BadInput(
            f"There is no executor '{kind}'",
            remedy=nearest(kind, names) or f"Executors: {', '.join(names)}",
            key=("executor",),
        )
    if definition.noise and kind == "local":
        raise BadInput(
            "Noise is made on the network of hosts, and the executor is this machine",
            remedy="Name a site: `executor: {ssh: {site: NAME}}`",
            key=("noise",),
        )


def local_executor(slots: int) -> Executor:
    """Make the local executor, with so many workers; 0: one for each processor."""
    from fieldlab.execution.local import LocalExecutor

    return LocalExecutor(slots)
