"""Trials that tests have an executor run, and what came of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fieldlab.ports.executor import AttemptRecord, Batch, Executor, Outcomes, Setup
from tests.waiting import PATIENCE_S


def function_setup(
    folder: Path,
    source: str,
    space: Mapping[str, Any],
    *,
    call: str = "study.py:work",
    timeout_s: float = 0.0,
    patience: int = 0,
) -> Setup:
    """Write a module beside the definition; describe trials that call a function in it."""
    (folder / "study.py").write_text(source)
    return Setup(
        tool={"kind": "function", "options": {"call": call}},
        space=space,
        folder=str(folder),
        attempts=str(folder / "attempts"),
        timeout_s=timeout_s,
        patience=patience,
    )


def command_setup(
    folder: Path,
    argv: Sequence[str],
    space: Mapping[str, Any],
    *,
    timeout_s: float = 0.0,
    **options: Any,
) -> Setup:
    """Describe trials that run a command."""
    return Setup(
        tool={"kind": "command", "options": {"argv": list(argv), **options}},
        space=space,
        folder=str(folder),
        attempts=str(folder / "attempts"),
        timeout_s=timeout_s,
    )


@dataclass(slots=True)
class Ran:
    """What an executor delivered."""

    records: list[AttemptRecord] = field(default_factory=list)
    #: of each record, in the same order
    rows: list[list[dict[str, Any]]] = field(default_factory=list)
    excluded: int = 0

    def deliver(self, outcomes: Outcomes) -> None:
        """Take outcomes in, as an engine would."""
        self.excluded += outcomes.excluded
        for record in outcomes.records:
            self.records.append(record)
            self.rows.append(
                [
                    dict(zip(outcomes.shapes[shape].names, values, strict=True))
                    for shape, values in record.rows
                ]
            )

    def record(self, position: int) -> AttemptRecord:
        """Give the one record of a position."""
        [found] = [record for record in self.records if record.position == position]
        return found

    def rows_of(self, position: int) -> list[dict[str, Any]]:
        """Give the result rows of a position."""
        [found] = [
            rows
            for record, rows in zip(self.records, self.rows, strict=True)
            if record.position == position
        ]
        return found


@asynccontextmanager
async def started(executor: Executor, setup: Setup) -> AsyncIterator[Executor]:
    """Start an executor, and stop it whatever happens."""
    try:
        await executor.start(setup)
        yield executor
    finally:
        await executor.stop()


def run_batches(executor: Executor, setup: Setup, batches: Sequence[Sequence[int]]) -> Ran:
    """Run batches of positions, as many at a time as there are slots; all must be run."""
    ran = Ran()

    async def run() -> None:
        async with started(executor, setup):
            left = await asyncio.gather(
                *(
                    executor.run(Batch(id=number, positions=positions), ran.deliver)
                    for number, positions in enumerate(batches)
                )
            )
            assert not any(left)

    asyncio.run(asyncio.wait_for(run(), 2 * PATIENCE_S))
    return ran
