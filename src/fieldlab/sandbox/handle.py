"""A sandbox as Python sees it: up, harmed, healed, down."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from fieldlab.domain.errors import BadInput, SandboxError
from fieldlab.domain.sites import Site
from fieldlab.sandbox import access, control, launching, needs
from fieldlab.sandbox.faults import check_host, parse_size, read_fault, read_kind
from fieldlab.sandbox.folder import Folder, Plan, PlannedHost, Standing

#: so many hosts at most: each takes memory and addresses
MOST_HOSTS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxHost:
    """A host as it stands.

    Attributes
    ----------
    name
        What it is called: h1, h2 …
    address
        Its IPv4 address, the same for all hosts and for the machine.
    state
        "up", "starting", "rebooting" or "off".
    roles
        What it is for.
    faults
        What is wrong with it, as in "loss 20%".
    pid
        Number of its first process on the machine; 0 if it is down.
    """

    name: str
    address: str
    state: str
    roles: tuple[str, ...]
    faults: tuple[str, ...]
    pid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxStatus:
    """How a sandbox stands.

    Attributes
    ----------
    hosts
        All hosts, in order.
    shaped_by
        By what traffic is shaped: "netem", or "packet filter, tbf and relay".
    rootless
        Whether it is in a user namespace: then its addresses are reached only through its
        ``ssh_config``.
    """

    hosts: tuple[SandboxHost, ...]
    shaped_by: str
    rootless: bool


class Sandbox:
    """Virtual hosts on this machine, each with its own network, ssh server, files and processes.

    Make one with :meth:`up`, or find one with :meth:`at`. As a context manager it is taken down at
    the end.
    """

    def __init__(self, folder: Path) -> None:
        self._files = Folder(folder)
        standing = self._files.read_standing()
        if standing is None or not launching.is_up(standing):
            raise BadInput(
                f"No sandbox is up in {self._files.path}", remedy="`fieldlab sandbox up` makes one"
            )
        self._standing: Standing = standing
        self._plan = self._files.read_plan()

    @classmethod
    def up(
        cls,
        hosts: int = 4,
        *,
        folder: Path | None = None,
        roles: Sequence[str] = (),
        disk: str = "256M",
        reboot_s: float = 3.0,
        shared: Sequence[Path] = (),
        outlives: bool = False,
    ) -> Self:
        """Make hosts called h1, h2 …; return when each has its ssh server.

        Parameters
        ----------
        folder
            Where its files go; a temporary one if absent.
        roles
            Dealt out in turn; a host without one has none.
        disk
            Size of each host's disk, such as "256M". It is in memory, and takes what is used.
        reboot_s
            How long a host is down that was told to reboot, s.
        shared
            Folders of this machine that all hosts see at the same place, as an NFS share.
        outlives
            Whether it goes on when this process ends; else it ends with it, however it ends.

        Raises
        ------
        BadInput
            A value can't be used, or a sandbox is up in that folder already.
        SandboxError
            This machine can't have one; the message says why. Nothing is left behind.
        """
        plan = Plan(
            hosts=_planned(hosts, roles),
            disk_bytes=parse_size(disk),
            reboot_s=reboot_s,
            shared=_checked(shared),
            owner=0 if outlives else os.getpid(),
        )
        needs.require()
        files = Folder(folder or Path(tempfile.mkdtemp(prefix="fieldlab-sandbox-")))
        lock = launching.claim(files)
        launching.launch(files, plan, lock)
        return cls(files.path)

    @classmethod
    def at(cls, folder: Path) -> Self:
        """Find the sandbox that is up in a folder.

        Raises
        ------
        BadInput
            There is none.
        """
        return cls(folder)

    @property
    def folder(self) -> Path:
        """Where its files are: ``id``, ``known_hosts``, ``ssh_config``, ``site.toml``, ``log``."""
        return self._files.path

    @property
    def ssh_config(self) -> Path:
        """For `ssh -F`, which then knows the hosts by their names."""
        return self._files.ssh_config

    @property
    def known_hosts(self) -> Path:
        """The hosts' keys."""
        return self._files.known_hosts

    @property
    def key(self) -> Path:
        """The private key with which root logs in."""
        return self._files.key

    @property
    def gateway(self) -> str:
        """The machine's own address in the hosts' network."""
        return self._standing.gateway

    @property
    def hosts(self) -> tuple[SandboxHost, ...]:
        """The hosts as they stand now."""
        return self.status().hosts

    def host(self, name: str) -> SandboxHost:
        """Give one host as it stands now.

        Raises
        ------
        BadInput
            There is none of that name.
        """
        check_host(name, self._plan.names)
        return next(host for host in self.hosts if host.name == name)

    def status(self) -> SandboxStatus:
        """Say how everything stands."""
        said = self._ask({"do": "status"})
        hosts = tuple(
            SandboxHost(**{**host, "roles": tuple(host["roles"]), "faults": tuple(host["faults"])})
            for host in said["hosts"]
        )
        return SandboxStatus(hosts=hosts, shaped_by=said["shaped_by"], rootless=said["rootless"])

    def site(self, name: str = access.SITE) -> Site:
        """Describe the hosts as a site, for executors and tools."""
        return access.make_site(self._files, self._plan, self._standing, name)

    def fault(self, host: str, kind: str, value: str | float = "") -> None:
        """Let something go wrong; when this returns, it has.

        Parameters
        ----------
        kind
            link, loss, delay, jitter, duplication, rate, partition, sshd, full-disk, reboot, dead.
        value
            What the kind needs: "20%", "50ms", "5mbit", for a partition the other host's name.
            Times act on each direction, so that a round trip takes twice as long.

        Raises
        ------
        BadInput
            The host or kind isn't known, or the value doesn't fit.
        SandboxError
            It didn't take hold, or can't be had here.
        """
        fault = read_fault(host, kind, value, self._plan.names)
        self._ask({"do": "fault", "fault": fault.document()})

    def clear(self, host: str = "", kind: str = "") -> None:
        """Take faults away: of a host or all, of a kind or all. A host that is down starts.

        Raises
        ------
        BadInput
            The host or kind isn't known.
        SandboxError
            It can't be done.
        """
        names = [check_host(host, self._plan.names)] if host else self._plan.names
        self._ask({"do": "clear", "hosts": names, "kind": read_kind(kind).value if kind else ""})

    def run(
        self,
        host: str,
        argv: Sequence[str],
        *,
        text: str | None = None,
        timeout_s: float | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command on a host without ssh, as root; also when its network is cut.

        Parameters
        ----------
        text
            What the command reads on its standard input.

        Raises
        ------
        BadInput
            There is no such host.
        SandboxError
            The host is down.
        """
        pid = self.host(host).pid
        if not pid:
            raise SandboxError(f"{host} is down", remedy=f"`fieldlab sandbox clear {host}`")
        return launching.run([*launching.entering(self._standing, pid), *argv], text, timeout_s)

    def down(self) -> None:
        """Take it down: nothing of it is left. Once it is down, this does nothing."""
        take_down(self._files.path)

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        return control.ask(self._files.control, request)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.down()


def _planned(count: int, roles: Sequence[str]) -> tuple[PlannedHost, ...]:
    """Name the hosts, and deal the roles out in turn."""
    if not 1 <= count <= MOST_HOSTS:
        raise BadInput(f"A sandbox has 1 to {MOST_HOSTS} hosts, not {count}")
    dealt = [(roles[n % len(roles)],) if roles else () for n in range(count)]
    return tuple(PlannedHost(name=f"h{n + 1}", roles=dealt[n]) for n in range(count))


def _checked(shared: Sequence[Path]) -> tuple[str, ...]:
    """Refuse to share what is no folder."""
    for each in shared:
        if not each.is_dir():
            raise BadInput(f"{each} is no folder", remedy="Share folders that exist")
    return tuple(str(each.absolute()) for each in shared)


def take_down(folder: Path) -> bool:
    """Take down what is up in a folder, and remove what a killed sandbox has left there.

    Returns
    -------
    bool
        Whether there was anything.

    Raises
    ------
    SandboxError
        Something doesn't end.
    """
    files = Folder(folder)
    if not files.path.is_dir() or files.is_strange():
        return False
    found = any(files.path.iterdir())
    launching.clean(files)
    files.remove()
    return found
