"""What executors are told of a definition."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fieldlab.domain.definition import Definition
from fieldlab.ports.executor import Setup


def setup_of(definition: Definition, attempts: Path, functions: Path | None, **known: Any) -> Setup:
    """Say what an executor must know of a definition before its first batch."""
    return Setup(
        tool={"kind": definition.tool.kind, "options": dict(definition.tool.options)},
        space=definition.space,
        folder=definition.folder or str(Path.cwd()),
        attempts=str(attempts),
        functions=str(functions or ""),
        timeout_s=definition.timeout_s,
        patience=definition.guard.consecutive_failures,
        **known,
    )
