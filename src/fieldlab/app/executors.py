"""The executors that there are, and what they are told."""

from __future__ import annotations

from collections.abc import Callable

from fieldlab.domain.definition import Definition
from fieldlab.domain.errors import BadInput, nearest
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

        check_remote(settings, definition, setup)
        return
    executor = local_executor(1)
    try:
        await executor.start(setup)
    finally:
        await executor.stop()


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
