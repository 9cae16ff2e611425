"""The engine's side of its processes: the keeper, and the workers that it spawns."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fieldlab.domain.errors import BadInput, ExecutionError, Problem
from fieldlab.execution.cell import Cell
from fieldlab.execution.channel import Message, encode, receive
from fieldlab.execution.processes import kill_group, kill_tree

#: how long a new process may take to say that it is there, s; importing a user's module counts
START_S = 120.0
#: how long the keeper may take to report the end of a worker whose socket has closed, s
REPORT_S = 5.0
#: end status of a trial that has spoilt its worker's messages
BROKEN = "broken messages"
#: what a worker's messages are about, each by the key that they have
KINDS = {"ready", "problems", "outcomes", "ended"}
#: how long the keeper may take to end everything when the engine is done with it, s
CLEANING_S = 5.0
#: stands for the number of a worker that a dying keeper didn't spawn
GONE = 0


class KeeperGone(ExecutionError):
    """The keeper died, and whatever it kept; another try starts another."""


_GONE = "The keeper of the worker processes is gone"
_LIMITS = "Raise the limit (see `ulimit -a`), or use fewer slots (`--slots`)"


@dataclass(slots=True, eq=False)
class WorkerHandle:
    """A worker as the engine sees it."""

    pid: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    cell: Cell
    #: its exit code, once the keeper has reported it; None when the keeper is gone too
    exit: asyncio.Future[int | None]
    #: why the engine ends it, as an end status; empty while it doesn't
    condemned: str = ""

    async def send(self, message: Message) -> None:
        """Send a message; a worker that is gone is noticed by :meth:`receive`."""
        with contextlib.suppress(ConnectionError):
            self.writer.write(encode(message))
            await self.writer.drain()

    async def receive(self) -> Message | None:
        """Wait for a message; None when the worker is gone, or can't be understood any more."""
        with contextlib.suppress(ValueError):
            message = await receive(self.reader)
            if message is None or _is_sound(message):
                return message
        self.condemned = self.condemned or BROKEN
        return None

    async def ended(self) -> int | None:
        """Wait for the exit code of a worker whose socket has closed."""
        await asyncio.wait([self.exit], timeout=REPORT_S)
        return self.exit.result() if self.exit.done() else None

    def bury(self) -> None:
        """Give back what belonged to a dead worker, and kill what it was running."""
        if self.cell.group:
            kill_group(self.cell.group)
            # the worker of a command ends by itself, after what left the group
        elif self.exit.done() and self.exit.result() is None:
            # the keeper would have seen to that
            kill_tree(self.pid)
            kill_group(self.pid)
        self.writer.close()


def _is_sound(message: Message) -> bool:
    """Whether a message is one of a worker's: a trial can have written anything."""
    problems = message.get("problems", [])
    return (
        bool(message.keys() & KINDS)
        and isinstance(problems, list)
        and all(isinstance(each, list) and len(each) == 3 for each in problems)
        and all(isinstance(each[1], list) for each in problems)
    )


def refuse(answer: Message) -> None:
    """Raise what a worker says is wrong with the definition, if that is its answer.

    Raises
    ------
    BadInput
        The tool can't be used, or an exclusion can't decide for a point.
    """
    if "problems" in answer:
        raise BadInput.of(
            Problem(what=what, key=tuple(key), remedy=remedy)
            for what, key, remedy in answer["problems"]
        )


@dataclass(slots=True, eq=False)
class Crew:
    """The keeper and its workers.

    Parameters
    ----------
    setup
        The workers' first message.
    log
        Where they write what functions print.
    environment
        Added to the workers' environment.
    on_keeper_gone
        Called when the keeper has died, and all workers with it.
    """

    setup: Message
    log: Path
    environment: dict[str, str]
    on_keeper_gone: Callable[[], None] = lambda: None
    _keeper: subprocess.Popen[bytes] | None = None
    _channel: socket.socket | None = None
    _reports: asyncio.Task[None] | None = None
    #: number of each new worker, or why there is none
    _spawned: asyncio.Queue[int | str] = field(default_factory=asyncio.Queue)
    _workers: dict[int, WorkerHandle] = field(default_factory=dict)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def hire(self) -> WorkerHandle:
        """Start a worker and wait until it is ready.

        Raises
        ------
        BadInput
            The tool can't be used.
        KeeperGone
            The keeper died meanwhile.
        ExecutionError
            The worker died, or took too long, or can't be started.
        """
        worker = await self._spawn()
        try:
            await self._introduce(worker)
        except BaseException:
            worker.writer.close()
            raise
        return worker

    async def _introduce(self, worker: WorkerHandle) -> None:
        """Send the setup, and wait until the worker is ready."""
        await worker.send(self.setup)
        try:
            async with asyncio.timeout(START_S):
                answer = await worker.receive()
        except TimeoutError:
            await self.dismiss(worker)
            raise ExecutionError(
                f"A worker wasn't ready after {START_S:.0f} s",
                remedy=f"See what it printed in {self.log}",
            ) from None
        if answer is None:
            code = await worker.ended()
            if code is None and not worker.condemned:
                raise KeeperGone(_GONE)
            raise ExecutionError(
                f"A worker died while it started ({code=})",
                remedy=f"See what it printed in {self.log}",
            )
        refuse(answer)

    async def _spawn(self) -> WorkerHandle:
        async with self._turn:
            try:
                return await self._spawn_one()
            except ConnectionError as error:
                raise KeeperGone(_GONE) from error
            except TimeoutError as error:
                raise ExecutionError(
                    f"The keeper of the worker processes hasn't answered for {START_S:.0f} s"
                ) from error
            except OSError as error:
                raise ExecutionError(
                    f"A worker process can't be started: {error.strerror}", remedy=_LIMITS
                ) from error

    async def _spawn_one(self) -> WorkerHandle:
        if self._keeper is None or self._keeper.poll() is not None:
            await self._start_keeper()
        ours, theirs = socket.socketpair()
        try:
            cell = await self._send_files(theirs)
            async with asyncio.timeout(START_S):
                pid = await self._spawned.get()
            if pid == GONE:
                raise ConnectionError
            if isinstance(pid, str):
                raise OSError(0, pid)
        except BaseException:
            ours.close()
            raise
        reader, writer = await asyncio.open_connection(sock=ours, limit=1 << 20)
        gone: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        worker = WorkerHandle(pid=pid, reader=reader, writer=writer, cell=cell, exit=gone)
        self._workers[pid] = worker
        return worker

    async def _send_files(self, theirs: socket.socket) -> Cell:
        """Ask the keeper for a worker that has this end of a socket pair, a cell and the log."""
        argv = [sys.executable, "-P", "-m", "fieldlab.execution.worker"]
        with theirs, self.log.open("ab") as log:
            cell, cell_fd = Cell.create()
            try:
                files = [theirs.fileno(), cell_fd, log.fileno()]
                await asyncio.to_thread(self._ask, {"spawn": argv}, files)
            finally:
                os.close(cell_fd)
        return cell

    def _ask(self, message: Message, files: list[int]) -> None:
        assert self._channel is not None
        self._channel.setblocking(True)
        socket.send_fds(self._channel, [encode(message)], files)

    async def _start_keeper(self) -> None:
        if self._reports is not None:
            await self._reports  # of the one before: it closes the books on its workers
        if self._channel is not None:
            self._channel.close()
        self._channel, theirs = socket.socketpair()
        self._keeper = await asyncio.to_thread(self._start_process, theirs)
        self._spawned = asyncio.Queue()
        reader, _writer = await asyncio.open_connection(sock=self._channel.dup())
        self._reports = asyncio.create_task(self._follow(reader, _writer))

    def _start_process(self, theirs: socket.socket) -> subprocess.Popen[bytes]:
        with theirs, self.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-P", "-m", "fieldlab.execution.keeper", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.environment},
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )

    async def _follow(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take the keeper's reports until it is gone."""
        while (report := await receive(reader)) is not None:
            if "spawned" in report:
                self._spawned.put_nowait(report["spawned"])
            elif "failed" in report:
                self._spawned.put_nowait(str(report["failed"]))
            elif worker := self._workers.pop(report["exited"], None):
                self._ended(worker, report["code"])
        writer.close()
        self._spawned.put_nowait(GONE)
        if self._workers:
            self.on_keeper_gone()
        for worker in self._workers.values():
            self._ended(worker, None)
        self._workers.clear()

    def _ended(self, worker: WorkerHandle, code: int | None) -> None:
        if not worker.exit.done():
            worker.exit.set_result(code)
        # something that it forked may hold its socket open: don't wait for that
        asyncio.get_running_loop().call_later(0.2, worker.reader.feed_eof)

    async def dismiss(self, worker: WorkerHandle) -> None:
        """Kill a worker with everything below it."""
        with contextlib.suppress(OSError):
            await asyncio.to_thread(self._ask, {"kill": worker.pid}, [])

    async def close(self, patience_s: float) -> None:
        """End every worker, politely for so long, then by force; afterwards nothing runs."""
        workers = list(self._workers.values())
        if patience_s > 0:
            for worker in workers:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(worker.pid, signal.SIGTERM)
            waits: list[Any] = [worker.exit for worker in workers]
            if waits:
                await asyncio.wait(waits, timeout=patience_s)
        if self._channel is not None:
            with contextlib.suppress(OSError):  # the keeper is gone
                self._channel.shutdown(socket.SHUT_RDWR)
            self._channel.close()
            self._channel = None
        if self._keeper is not None:
            await asyncio.to_thread(_wait_or_kill, self._keeper)
        if self._reports is not None:
            await self._reports
        for worker in workers:
            worker.bury()


def _wait_or_kill(keeper: subprocess.Popen[bytes]) -> None:
    """Wait until the keeper has ended everything; one that is suspended never does."""
    try:
        keeper.wait(CLEANING_S)
    except subprocess.TimeoutExpired:
        kill_tree(keeper.pid)
        keeper.wait()
