"""Processes that the supervisor forks: what they let go of, and asking them for something."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
from collections.abc import Callable, Collection
from pathlib import Path
from typing import NoReturn

from fieldlab.domain.errors import SandboxError
from fieldlab.sandbox import kernel


def become_child(kept: Collection[int]) -> None:
    """Let go, after a fork, of the parent's descriptors and of its ways with signals."""
    for each in list(Path("/proc/self/fd").iterdir()):
        if int(each.name) > 2 and int(each.name) not in kept:
            with contextlib.suppress(OSError):
                os.close(int(each.name))
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)


def fork_first_process(run: Callable[[], NoReturn]) -> int:
    """Fork the first process of a new process namespace; give its number.

    This process becomes its parent only when it has collected the one between, which the kernel
    needs: a process that makes a namespace isn't in it, and can make just one. It must be what
    orphans go to (see :func:`fieldlab.sandbox.kernel.adopt_orphans`).
    """
    reading, writing = os.pipe()
    between = os.fork()
    if between == 0:
        try:
            kernel.unshare(kernel.NEW_PIDS)
            first = os.fork()
            if first == 0:
                run()
            os.write(writing, str(first).encode())
        finally:
            os._exit(0)
    os.close(writing)
    os.waitpid(between, 0)
    text = os.read(reading, 20)
    os.close(reading)
    if not text:
        raise SandboxError("The kernel allows no process namespace")
    return int(text)


class Child:
    """A forked process, which takes orders over a socket and answers each with a line."""

    def __init__(self, pid: int, orders: socket.socket, what: str) -> None:
        self.pid = pid
        #: readable once the process has ended
        self.descriptor = os.pidfd_open(pid)
        self._orders = orders
        self._what = what
        self._status: int | None = None

    def order(self, text: str, timeout_s: float) -> None:
        """Send an order, and wait until it is done.

        Raises
        ------
        SandboxError
            The process has ended or doesn't answer.
        """
        try:
            self._orders.sendall(text.encode() + b"\n")
        except OSError as error:
            raise SandboxError(f"{self._what} has ended: {error}") from error
        self.await_answer(timeout_s)

    def await_answer(self, timeout_s: float) -> None:
        """Wait for the next line from the process.

        Raises
        ------
        SandboxError
            None came; the process may have ended.
        """
        self._orders.settimeout(timeout_s)
        try:
            said = self._orders.recv(64)
        except TimeoutError:
            raise SandboxError(f"{self._what} doesn't answer within {timeout_s:g} s") from None
        except OSError as error:
            raise SandboxError(f"{self._what} has ended: {error}") from error
        if not said:
            raise SandboxError(f"{self._what} has ended")

    def has_answered(self) -> bool:
        """Whether a line is there to be read."""
        return bool(select.select([self._orders], [], [], 0)[0])

    def is_alive(self) -> bool:
        """Whether it runs."""
        return self._status is None and not select.select([self.descriptor], [], [], 0)[0]

    def kill(self, by: signal.Signals = signal.SIGKILL) -> None:
        """Send it a signal; it isn't collected yet, so its number is its own."""
        if self._status is None:
            signal.pidfd_send_signal(self.descriptor, by)

    def wait(self, timeout_s: float) -> int | None:
        """Collect it once it has ended; give its exit code, below 0 for a signal; None: it runs."""
        if self._status is None:
            if not select.select([self.descriptor], [], [], timeout_s)[0]:
                return None
            self._status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self._status

    def close(self) -> None:
        """Let go of its descriptors."""
        self._orders.close()
        os.close(self.descriptor)
