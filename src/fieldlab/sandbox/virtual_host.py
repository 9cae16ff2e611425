"""One virtual host, as its supervisor has it: its power, its disk, and the faults that it has."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import time
import uuid
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from fieldlab.domain.errors import SandboxError
from fieldlab.sandbox import init, kernel, network
from fieldlab.sandbox.children import Child, fork_first_process
from fieldlab.sandbox.init import HostStart
from fieldlab.sandbox.shaping import Shape, Shaper
from fieldlab.sandbox.tree import HostFiles

#: what a host may take to start, or its processes to end, s
PATIENCE_S = 20.0
#: the file that fills a disk; it lies outside of what the host sees
_FILLER = "filler"
#: disks are filled in steps of this size, then of a page, bytes
_STEPS = (1 << 20, 4096)


class Power(StrEnum):
    """Whether a host runs."""

    UP = "up"
    STARTING = "starting"
    #: it comes back by itself
    REBOOTING = "rebooting"
    #: it doesn't
    OFF = "off"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a host is put together from."""

    name: str
    place: int
    address: str
    #: descriptor of its network namespace
    network: int
    files: HostFiles
    console: Path


class VirtualHost:
    """A host that can be started, stopped and harmed."""

    def __init__(self, parts: Parts, *, netem: bool, reboot_s: float) -> None:
        self.name = parts.name
        self.address = parts.address
        self.shape = Shape()
        self.power = Power.OFF
        #: when it is to start again, on the monotonic clock, s
        self.back_at: float | None = None
        self.link_is_down = False
        self.sshd_is_stopped = False
        self.disk_is_full = False
        self.shaper = Shaper(parts.place, parts.network, netem=netem)
        self._parts = parts
        self._reboot_s = reboot_s
        self._init: Child | None = None

    @property
    def pid(self) -> int:
        """Number of its first process; 0 if it is down."""
        return self._init.pid if self._init else 0

    @property
    def descriptors(self) -> list[int]:
        """Descriptors that become readable when one of its processes ends that are looked after."""
        return [*([self._init.descriptor] if self._init else []), *self.shaper.descriptors]

    def start(self) -> None:
        """Switch it on; it is up only after :meth:`await_start`."""
        if self._init is not None:
            return
        parts = self._parts
        parts.files.boot_id.write_text(f"{uuid.uuid4()}\n")
        ours, theirs = socket.socketpair()
        begin = HostStart(
            name=self.name, files=parts.files, console=parts.console, network=parts.network
        )
        pid = fork_first_process(lambda: init.run(begin, theirs))
        theirs.close()
        self._init = Child(pid, ours, self.name)
        ours.sendall(init.GO)
        self.power, self.back_at, self.sshd_is_stopped = Power.STARTING, None, False
        self._plug()

    def await_start(self) -> None:
        """Wait until its ssh server listens.

        Raises
        ------
        SandboxError
            It doesn't; the message has the end of its console.
        """
        if self.power is not Power.STARTING or self._init is None:
            return
        try:
            self._init.await_answer(PATIENCE_S)
        except SandboxError as error:
            self.cut_power()
            text = self._parts.console.read_text(errors="replace").strip()
            raise SandboxError(f"{self.name} didn't start: {error}. {text[-800:]}") from error
        self.power = Power.UP

    def has_started(self) -> bool:
        """Whether a start that is under way has come to an end."""
        return self.power is Power.STARTING and self._init is not None and self._init.has_answered()

    def notice_end(self) -> None:
        """Collect the first process if it has ended; plan the start after a reboot."""
        code = self._init.wait(0) if self._init else None
        if code is None:
            return
        # the kernel's own reboot() ends a first process with SIGHUP, its power-off with SIGINT
        again = code in (init.REBOOT, -signal.SIGHUP)
        self._went_down(self._reboot_s if again else None)

    def _went_down(self, back_after_s: float | None) -> None:
        if self._init is not None:
            self._init.close()
            self._init = None
        network.set_link(network.port(self._parts.place), up=False)
        if back_after_s is None:
            self.power, self.back_at = Power.OFF, None
        else:
            self.power, self.back_at = Power.REBOOTING, time.monotonic() + back_after_s

    def reboot(self, down_s: float) -> None:
        """Let it go down in order, and start again after so long."""
        if self._init is None:
            raise SandboxError(f"{self.name} is down already", remedy="Clear that first")
        self.await_start()
        self._init.kill(signal.SIGTERM)
        if self._init.wait(PATIENCE_S) is None:
            self._init.kill()
            self._init.wait(PATIENCE_S)
        self._went_down(down_s)

    def cut_power(self) -> None:
        """Take it down at once: the cable first, so that no connection is closed in order."""
        network.set_link(network.port(self._parts.place), up=False)
        if self._init is not None:
            self._init.kill()
            if self._init.wait(PATIENCE_S) is None:
                raise SandboxError(f"{self.name} doesn't go down")
        self._went_down(None)

    def kill(self) -> None:
        """Kill its processes, for good; nobody is to notice any more."""
        if self._init is not None:
            self._init.kill()
        self.shaper.kill_relay()

    def await_end(self) -> None:
        """Wait until its processes are gone."""
        if self._init is not None:
            self._init.wait(PATIENCE_S)

    def set_link(self, *, down: bool) -> None:
        """Pull the cable out, or plug it in."""
        self.link_is_down = down
        self._plug()

    def _plug(self) -> None:
        if self.power in (Power.OFF, Power.REBOOTING):
            return
        network.set_link(network.port(self._parts.place), up=not self.link_is_down)
        if not network.await_link(self._parts.network, up=not self.link_is_down):
            wanted = "down" if self.link_is_down else "up"
            raise SandboxError(f"The link of {self.name} didn't go {wanted}")

    def set_sshd(self, *, stopped: bool) -> None:
        """Stop its ssh server, or start it; sessions that are open go on."""
        if self.power is Power.STARTING:
            self.await_start()
        if self._init is None:
            raise SandboxError(f"{self.name} is down, and its ssh server with it")
        self._init.order("stop-sshd" if stopped else "start-sshd", PATIENCE_S)
        with kernel.network_of(self._parts.network):
            if init.port_is_listened_to() == stopped:
                raise SandboxError(f"The ssh server of {self.name} didn't change")
        self.sshd_is_stopped = stopped

    def set_full(self, *, full: bool) -> None:
        """Fill its disk, or free what was filled."""
        disk = self._parts.files.disk
        filler = disk / _FILLER
        filler.unlink(missing_ok=True)
        self.disk_is_full = False
        if full:
            _fill(filler)
            if os.statvfs(disk).f_bavail:
                raise SandboxError(f"The disk of {self.name} isn't full")
        self.disk_is_full = full


def _fill(filler: Path) -> None:
    """Take all space of a file system."""
    descriptor = os.open(filler, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        size = 0
        free = os.fstatvfs(descriptor).f_bavail * os.fstatvfs(descriptor).f_frsize
        for step in (max(free, 4096), *_STEPS):
            with contextlib.suppress(OSError):
                while True:
                    os.posix_fallocate(descriptor, size, step)
                    size += step
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
    finally:
        os.close(descriptor)
