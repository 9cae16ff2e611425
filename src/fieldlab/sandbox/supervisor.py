"""The process that holds a sandbox: when it ends, however it ends, nothing of the sandbox is left.

It is started by :class:`fieldlab.sandbox.Sandbox` as ``python -m fieldlab.sandbox.supervisor``. All
namespaces and mounts belong to it and to its children, and its children are killed with it.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

from fieldlab.domain.errors import FieldlabError
from fieldlab.sandbox import access, control, kernel
from fieldlab.sandbox.cluster import Cluster
from fieldlab.sandbox.folder import Folder
from fieldlab.sandbox.needs import search_path
from fieldlab.sandbox.virtual_host import Power

#: who asks must have asked within this time, s
_REQUEST_S = 5.0


class Supervisor:
    """The loop: orders come in, hosts go down and come back, the owner may be gone."""

    def __init__(self, folder: Folder, cluster: Cluster, owner: int | None) -> None:
        self._cluster = cluster
        self._owner = owner
        self._ending = False
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with control.short_path(folder.control) as name:
            self._listener.bind(name)
        self._listener.listen(16)
        self._woken, self._waker = socket.socketpair()
        for each in (self._woken, self._waker):
            each.setblocking(False)
        signal.set_wakeup_fd(self._waker.fileno())
        signal.signal(signal.SIGTERM, self._end)

    def _end(self, *_: object) -> None:
        self._ending = True

    def serve(self) -> None:
        """Go on until told to end, or until the owner has ended."""
        while not self._ending:
            with selectors.DefaultSelector() as selector:
                selector.register(self._listener, selectors.EVENT_READ)
                selector.register(self._woken, selectors.EVENT_READ)
                if self._owner is not None:
                    selector.register(self._owner, selectors.EVENT_READ)
                for descriptor in self._cluster.descriptors:
                    selector.register(descriptor, selectors.EVENT_READ)
                ready = {key.fileobj for key, _ in selector.select(self._pause())}
            if self._owner in ready:
                return
            if self._woken in ready:
                with contextlib.suppress(BlockingIOError):
                    self._woken.recv(4096)
            self._cluster.look_after()
            if self._listener in ready:
                self._answer()

    def _pause(self) -> float | None:
        """Say for how long nothing is to be done, s; None: until something happens."""
        hosts = self._cluster.hosts.values()
        if any(host.power is Power.STARTING for host in hosts):
            return 0.02
        times = [host.back_at for host in hosts if host.back_at is not None]
        return max(0.0, min(times) - time.monotonic()) if times else None

    def _answer(self) -> None:
        connection, _ = self._listener.accept()
        with connection:
            connection.settimeout(_REQUEST_S)
            try:
                answer = self._do(control.receive(connection))
            except FieldlabError as error:
                answer = {"error": error.what, "remedy": error.remedy}
            except (OSError, ValueError, KeyError) as error:
                answer = {"error": f"{type(error).__name__}: {error}"}
            with contextlib.suppress(OSError):  # who asked is gone
                connection.sendall(control.encode(answer))

    def _do(self, request: dict[str, Any]) -> dict[str, Any]:
        match request["do"]:
            case "fault":
                return self._cluster.inject(request["fault"])
            case "clear":
                return self._cluster.clear(request["hosts"], request["kind"])
            case "status":
                return self._cluster.status()
            case other:
                raise ValueError(f"unknown order '{other}'")


def main(argv: list[str]) -> int:
    """Hold the sandbox of a folder; tell through a descriptor when it is up, or why it isn't."""
    folder, told = Folder(Path(argv[1])), int(argv[2])
    os.environ["PATH"] = search_path()
    os.set_inheritable(told, False)
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    kernel.adopt_orphans()
    cluster, supervisor, said = None, None, b""
    try:
        plan = folder.read_plan()
        owner = os.pidfd_open(plan.owner) if plan.owner else None
        if plan.owner and os.getppid() != plan.owner:
            return 0
        cluster = Cluster(folder, plan, rootless="--rootless" in argv)
        supervisor = Supervisor(folder, cluster, owner)
        access.write_access(folder, plan, cluster.start())
        said = control.encode({})
    except FieldlabError as error:
        said = control.encode({"error": error.what, "remedy": error.remedy})
    except OSError as error:
        said = control.encode({"error": f"The kernel refuses: {error}", "remedy": _REFUSED})
    finally:
        os.write(told, said or control.encode({"error": "It failed; see its log"}))
        os.close(told)
    try:
        if supervisor is not None and "error" not in said.decode():
            supervisor.serve()
    finally:
        if cluster is not None:
            cluster.end()
        folder.remove()
    return 0


_REFUSED = "A container needs the right to make namespaces; `fieldlab doctor` says what is missing"


if __name__ == "__main__":
    # signals are to end this process only in order
    kernel.name_process("fieldlab-sandbox")
    sys.exit(main(sys.argv))
