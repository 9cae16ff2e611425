"""The keeper: the parent of all workers, which sees to it that nothing outlives the engine.

It has a session of its own, so that neither Ctrl-C nor a kill of the engine's group reaches it; it
notices the engine's death by the end of its socket and then kills all descendants. On Linux it
inherits what a dead worker leaves behind. Should the keeper itself be killed, the kernel kills its
workers, and its *guard* inherits and kills what is below them. The guard is the keeper's parent, a
fork that only waits (on Linux); should the guard be killed, the keeper ends everything. Only when
both are killed at once something may be left that was put into another session.

Run as ``python -m fieldlab.execution.keeper FD``; it reads ``{"spawn": argv}`` with the worker's
files and ``{"kill": pid}``, and writes ``{"spawned": pid}`` or ``{"failed": why}``, and
``{"exited": pid, "code": n}``.
"""

from __future__ import annotations

import contextlib
import os
import select
import selectors
import signal
import socket
import subprocess
import sys

from fieldlab.execution.channel import Channel
from fieldlab.execution.processes import (
    adopt_orphans,
    children,
    die_with_parent,
    kill_tree,
    reap_strays,
)

#: files that come with a worker: its socket, its cell, its log
WORKER_FILES = 3
#: how long the guard lets the keeper clean up when the engine is gone, ms
CLEANING_MS = 2_000


class Keeper:
    """Spawns workers, reports their ends, kills what they leave."""

    def __init__(self, engine: Channel) -> None:
        self._engine = engine
        self._workers: set[int] = set()

    def serve(self) -> None:
        """Work until the engine is gone."""
        woken, waker = os.pipe()
        os.set_blocking(waker, False)
        os.set_blocking(woken, False)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        with selectors.DefaultSelector() as selector:
            selector.register(self._engine, selectors.EVENT_READ)
            selector.register(woken, selectors.EVENT_READ)
            while True:
                ready = {key.fd for key, _ in selector.select()}
                if woken in ready:
                    with contextlib.suppress(BlockingIOError):
                        os.read(woken, 4096)
                    self._collect()
                if self._engine.fileno() in ready and not self._obey():
                    return

    def _obey(self) -> bool:
        """Do what the engine asks; False when it is gone."""
        message, files = self._engine.receive_with_files(WORKER_FILES)
        if message is None:
            return False
        if "spawn" in message:
            self._spawn(message["spawn"], files)
        elif message["kill"] in self._workers:
            kill_tree(message["kill"])
        return True

    def _spawn(self, argv: list[str], files: list[int]) -> None:
        ends, log = files[:-1], files[-1]
        try:
            process = subprocess.Popen(
                [*argv, str(os.getpid()), *map(str, ends)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=ends,
                start_new_session=True,
            )
        except OSError as error:
            self._engine.send({"failed": str(error.strerror)})
            return
        finally:
            for descriptor in files:
                os.close(descriptor)
        process.returncode = 0  # collected here, by number: Popen is not to warn about it
        self._workers.add(process.pid)
        self._engine.send({"spawned": process.pid})

    def _collect(self) -> None:
        """Collect the children that have ended; after a worker, kill what it left to the keeper."""
        ended = []
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    break
                if pid in self._workers:
                    self._workers.discard(pid)
                    ended.append((pid, os.waitstatus_to_exitcode(status)))
        if ended:
            for orphan in set(children(os.getpid())) - self._workers:
                kill_tree(orphan)
        for pid, code in ended:
            self._engine.send({"exited": pid, "code": code})

    def end(self) -> None:
        """Kill every worker and whatever is below them."""
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for worker in self._workers:
            kill_tree(worker)
        reap_strays()


def guard(keeper: int, engine: socket.socket) -> None:
    """Wait until the keeper or the engine is gone, then kill whatever is left of them."""
    ended = os.pidfd_open(keeper)
    poll = select.poll()
    poll.register(ended, select.POLLIN)
    poll.register(engine, select.POLLRDHUP)
    if ended not in (descriptor for descriptor, _ in poll.poll()):
        poll.unregister(engine)
        poll.poll(CLEANING_MS)
    kill_tree(keeper)
    reap_strays()


class _GuardGone(Exception):
    """The guard was killed."""


def _end(*_: object) -> None:
    raise _GuardGone


def main() -> None:
    """Run the keeper on the socket whose descriptor is the only argument, below its guard."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    adopt_orphans()
    engine = socket.socket(fileno=int(sys.argv[1]))
    if sys.platform == "linux":
        parent = os.getpid()
        child = os.fork()
        if child:
            guard(child, engine)
            return
        signal.signal(signal.SIGUSR1, _end)
        adopt_orphans()
        die_with_parent(parent, signal.SIGUSR1)
    keeper = Keeper(Channel(engine))
    try:
        with contextlib.suppress(OSError, _GuardGone):
            keeper.serve()
    finally:
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        keeper.end()


if __name__ == "__main__":
    main()
