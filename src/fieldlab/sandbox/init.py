"""The first process of a host: mounts its files, runs its ssh server, collects what has ended.

It takes orders from the supervisor over a socket, a line each, and answers each with a line. When
the socket closes, the supervisor is gone: it ends, and with it all processes of the host.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from fieldlab.sandbox import kernel
from fieldlab.sandbox.children import become_child
from fieldlab.sandbox.tree import HostFiles, mount_tree

#: exit codes by which this process says why the host went down
REBOOT = 77
POWEROFF = 78
#: what the supervisor says once it is this process's parent
GO = b"go\n"
#: the ssh server's command line inside
_SSHD = ("/usr/sbin/sshd", "-D", "-E", "/var/log/sshd.log")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#: how long processes may take to end when the host goes down, s
_GRACE_S = 0.2
#: how long an ssh server may take to listen, or to end, s
_PATIENCE_S = 10.0
#: how often to look whether it does, s
_LOOK_S = 0.004

SSHD_SETTINGS = f"""# written by fieldlab
ListenAddress {{address}}
HostKey /etc/ssh/host_key
PubkeyAuthentication yes
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
UsePAM no
UseDNS no
PrintMotd no
PidFile none
AcceptEnv LANG LC_*
SetEnv PATH={_PATH}
Subsystem sftp internal-sftp
MaxStartups 200:30:400
MaxSessions 200
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostStart:
    """What a host's first process needs to know."""

    name: str
    files: HostFiles
    console: Path
    #: descriptor of its network namespace
    network: int


def run(start: HostStart, orders: socket.socket) -> NoReturn:
    """Be the first process of a host, in a process namespace that is new. Never returns."""
    code = 70
    try:
        _leave_everything(start, orders)
        if orders.recv(len(GO)) != GO:
            os._exit(0)
        kernel.die_with_parent(signal.SIGKILL)
        kernel.enter(start.network, kernel.NEW_NETWORK)
        kernel.unshare(kernel.NEW_MOUNTS | kernel.NEW_NAME | kernel.NEW_IPC)
        os.close(start.network)
        socket.sethostname(start.name)
        mount_tree(start.files, start.name)
        code = _Init(orders).serve()
    except BaseException:  # noqa: BLE001 - nobody is above to whom it could go
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _leave_everything(start: HostStart, orders: socket.socket) -> None:
    """Let go of what the supervisor has open."""
    console = os.open(start.console, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(console, 1)
    os.dup2(console, 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    become_child({orders.fileno(), start.network})
    os.setsid()
    os.umask(0o022)


class _Init:
    """The loop of a host's first process."""

    def __init__(self, orders: socket.socket) -> None:
        self._orders = orders
        self._sshd = 0
        self._ending = 0
        self._woken, waker = socket.socketpair()
        self._woken.setblocking(False)
        waker.setblocking(False)
        signal.set_wakeup_fd(waker.fileno())
        self._waker = waker
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self._end_with(REBOOT))
        signal.signal(signal.SIGUSR2, self._end_with(POWEROFF))

    def _end_with(self, code: int) -> Callable[..., None]:
        def handle(*_: object) -> None:
            self._ending = code

        return handle

    def serve(self) -> int:
        """Run the host until it goes down; give this process's exit code."""
        self._start_sshd()
        self._orders.sendall(b"up\n")
        with selectors.DefaultSelector() as selector:
            selector.register(self._orders, selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            while not self._ending:
                ready = {key.fileobj for key, _ in selector.select()}
                if self._woken in ready:
                    with contextlib.suppress(BlockingIOError):
                        self._woken.recv(4096)
                self._collect()
                if self._orders in ready and not self._obey():
                    return 0
        self._end_processes()
        return self._ending

    def _obey(self) -> bool:
        """Do what the supervisor wants; False when it is gone."""
        order = self._orders.recv(64).strip()
        if not order:
            return False
        if order == b"stop-sshd":
            self._stop_sshd()
        elif order == b"start-sshd":
            self._start_sshd()
        self._orders.sendall(b"done\n")
        return True

    def _start_sshd(self) -> None:
        if self._sshd:
            return
        environment = {"PATH": _PATH, "LANG": "C.UTF-8"}
        self._sshd = os.posix_spawn(_SSHD[0], _SSHD, environment, setsid=True)
        end = time.monotonic() + _PATIENCE_S
        while not port_is_listened_to():
            self._collect()
            if not self._sshd or time.monotonic() > end:
                said = Path("/var/log/sshd.log")
                text = said.read_text(errors="replace") if said.exists() else ""
                raise RuntimeError(f"sshd didn't start: {text[-500:]}")
            time.sleep(_LOOK_S)

    def _stop_sshd(self) -> None:
        if not self._sshd:
            return
        os.kill(self._sshd, signal.SIGTERM)
        end = time.monotonic() + _PATIENCE_S
        while self._sshd and time.monotonic() < end:
            self._collect()
            time.sleep(_LOOK_S)

    def _collect(self) -> None:
        """Collect every process that has ended; the first process inherits all orphans."""
        with contextlib.suppress(ChildProcessError):
            while (pid := os.waitpid(-1, os.WNOHANG)[0]) != 0:
                if pid == self._sshd:
                    self._sshd = 0

    def _end_processes(self) -> None:
        """Ask everything to end; what doesn't is killed with this process."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, signal.SIGTERM)
        end = time.monotonic() + _GRACE_S
        with contextlib.suppress(ChildProcessError):
            while time.monotonic() < end:
                if os.waitpid(-1, os.WNOHANG)[0] == 0:
                    time.sleep(_LOOK_S)


def port_is_listened_to() -> bool:
    """Look whether something listens at port 22; to connect would leave a trace in the log."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    rows = [line.split() for line in lines]
    return any(row[1].endswith(":0016") and row[3] == "0A" for row in rows)
