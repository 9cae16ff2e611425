"""The troupe: actors that each run in a process of their own, started again when they end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from tenacity import retry_if_result, wait_random_exponential
from tenacity.asyncio import AsyncRetrying

from fieldlab.domain.commands import Command, ExitStatus
from fieldlab.domain.waiting import wait_at_most

#: a process that ran so long was sound: it is started again at once, s
SOUND_S = 30.0
#: longest wait before one that keeps ending is started again, s
LONGEST_WAIT_S = 30.0


class Run(Protocol):
    """Runs a command to its end, see :func:`fieldlab.execution.processes.run_command`."""

    def __call__(
        self,
        command: Command,
        stdout: Path,
        stderr: Path,
        on_start: Callable[[int], None],
        *,
        alone: bool,
    ) -> ExitStatus: ...


@dataclass(slots=True, eq=False)
class Part:
    """One process of a troupe."""

    name: str
    #: the command that plays it, given how often it has been started again
    command: Callable[[int], Command]
    restarts: int = 0
    #: process group; 0 while there is none
    group: int = 0
    folder: Path = field(default_factory=Path)


class Troupe:
    """Runs processes until it is told to stop; one that ends before is started again.

    Parameters
    ----------
    folder
        Where the output of the processes goes: a folder per part, two files per start.
    tell
        Told, in words, what ends.
    """

    def __init__(
        self, parts: Sequence[Part], folder: Path, run: Run, tell: Callable[[str], None]
    ) -> None:
        self._parts = parts
        self._folder = folder
        self._run_command = run
        self._tell = tell
        self._draining = asyncio.Event()
        self._threads = ThreadPoolExecutor(len(parts), thread_name_prefix="fieldlab-part")

    async def run(self) -> None:
        """Run until :meth:`drain` or :meth:`stop`; afterwards no process is left."""
        try:
            await asyncio.gather(*map(self._tend, self._parts))
        finally:
            self.stop()
            self._threads.shutdown()

    def drain(self) -> None:
        """Ask the processes to finish what they are doing, and start none again."""
        self._draining.set()
        for part in self._parts:
            self._signal(part, signal.SIGTERM)

    def stop(self) -> None:
        """End the processes at once."""
        self._draining.set()
        for part in self._parts:
            self._signal(part, signal.SIGKILL)

    @staticmethod
    def _signal(part: Part, number: signal.Signals) -> None:
        if part.group:
            with contextlib.suppress(ProcessLookupError):
                os.kill(part.group, number)

    async def _tend(self, part: Part) -> None:
        part.folder = self._folder / part.name
        part.folder.mkdir(parents=True, exist_ok=True)
        while not self._draining.is_set():
            # each series of short lives has its own growing waits
            await AsyncRetrying(
                retry=retry_if_result(self._is_unsound),
                wait=wait_random_exponential(multiplier=0.5, max=LONGEST_WAIT_S),
                sleep=self._sleep,
            )(self._play, part)

    def _is_unsound(self, status: ExitStatus | None) -> bool:
        return status is not None and not self._draining.is_set() and status.duration_s < SOUND_S

    async def _play(self, part: Part) -> ExitStatus | None:
        """Run a part's process to its end; None if it isn't to be started any more."""
        if self._draining.is_set():
            return None

        def started(group: int) -> None:
            part.group = group
            if group and self._draining.is_set():
                self._signal(part, signal.SIGTERM)

        stamp = time.strftime("%Y%m%dT%H%M%S")
        stdout = part.folder / f"{stamp}-{part.restarts}.stdout"
        command = part.command(part.restarts)
        status = await asyncio.get_running_loop().run_in_executor(
            self._threads,
            lambda: self._run_command(
                command, stdout, stdout.with_suffix(".stderr"), started, alone=False
            ),
        )
        if not self._draining.is_set():
            part.restarts += 1
            self._tell(f"{part.name} ended ({status}) and is started again; see {part.folder}")
        return status

    async def _sleep(self, seconds: float) -> None:
        await wait_at_most(seconds, self._draining)
