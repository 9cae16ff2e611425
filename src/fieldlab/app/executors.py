"""The executors that there are, and what they are told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fieldlab.domain.definition import Definition
from fieldlab.ports.executor import Executor, Setup


def local_executor(slots: int) -> Executor:
    """Make the local executor, with so many workers; 0: one for each processor."""
    from fieldlab.execution.local import LocalExecutor

    return LocalExecutor(slots)


EXECUTORS: dict[str, Callable[[Definition], Executor]] = {
    "local": lambda definition: local_executor(definition.executor.slots)
}


def setup_of(definition: Definition, attempts: Path, functions: Path | None) -> Setup:
    """Say what an executor must know of a definition before its first batch."""
    return Setup(
        tool={"kind": definition.tool.kind, "options": dict(definition.tool.options)},
        space=definition.space,
        folder=definition.folder or str(Path.cwd()),
        attempts=str(attempts),
        functions=str(functions or ""),
        timeout_s=definition.timeout_s,
        patience=definition.guard.consecutive_failures,
    )
