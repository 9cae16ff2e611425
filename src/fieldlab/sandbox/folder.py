"""The folder of a sandbox: what lies where in it, and its plan."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

#: the first three numbers of the addresses, but for the third
_NETWORK = "10.77"
#: the number of the first host in its network
_FIRST_HOST = 11
#: where the machine itself is in the network
GATEWAY_NUMBER = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedHost:
    """One host to be."""

    name: str
    roles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a sandbox is to be."""

    hosts: tuple[PlannedHost, ...]
    disk_bytes: int
    #: how long `reboot` keeps a host down, s
    reboot_s: float
    #: folders of the machine that all hosts see at the same place, as an NFS share
    shared: tuple[str, ...] = ()
    #: process whose end is that of the sandbox; 0: none
    owner: int = 0

    def to_json(self) -> str:
        """Write it down."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """Read what :meth:`to_json` wrote."""
        data: Mapping[str, Any] = json.loads(text)
        hosts = tuple(
            PlannedHost(name=each["name"], roles=tuple(each["roles"])) for each in data["hosts"]
        )
        return cls(**{**data, "hosts": hosts, "shared": tuple(data["shared"])})

    @property
    def names(self) -> list[str]:
        """List the hosts' names."""
        return [host.name for host in self.hosts]


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What must be known to find a sandbox again: written by its supervisor."""

    supervisor: int
    #: see :func:`started_ticks`
    started_ticks: int
    #: third number of the addresses
    network: int
    #: the machine's own interface to the network; "" in a user namespace
    uplink: str
    #: whether all of it is in a user namespace
    rootless: bool

    def address(self, place: int) -> str:
        """Give the address of the host that is the ``place``-th, from 0."""
        return f"{_NETWORK}.{self.network}.{_FIRST_HOST + place}"

    @property
    def gateway(self) -> str:
        """The machine's own address in the network."""
        return f"{_NETWORK}.{self.network}.{GATEWAY_NUMBER}"


def started_ticks(pid: int) -> int | None:
    """Say when a process was started, in the kernel's ticks since it booted; None: it has ended.

    With it, a process is told from a later one of the same number (proc_pid_stat(5), field 22).
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # the name, in parentheses, may hold spaces
    state, *fields = text.rpartition(")")[2].split()
    return None if state in "ZX" else int(fields[18])


class Folder:
    """The paths of a sandbox."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.plan = self.path / "plan.json"
        self.standing = self.path / "state.json"
        self.lock = self.path / "lock"
        self.control = self.path / "control"
        self.log = self.path / "log"
        self.key = self.path / "id"
        self.known_hosts = self.path / "known_hosts"
        self.ssh_config = self.path / "ssh_config"
        self.site = self.path / "site.toml"
        #: what every host begins with
        self.tree = self.path / "tree"
        self._hosts = self.path / "hosts"

    def disk(self, host: str) -> Path:
        """Name where a host's disk is mounted; nobody sees it but the sandbox's own processes."""
        return self._hosts / host / "disk"

    def host_key(self, host: str) -> Path:
        """Name the file of a host's private key."""
        return self._hosts / host / "key"

    def boot_id(self, host: str) -> Path:
        """Name the file that says which boot this is."""
        return self._hosts / host / "boot_id"

    def console(self, host: str) -> Path:
        """Name the log of a host's start."""
        return self._hosts / host / "console"

    def prepare(self, plan: Plan) -> None:
        """Make the folders, closed to others."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.tree.mkdir()
        for name in plan.names:
            self.disk(name).mkdir(parents=True)
        self.plan.write_text(plan.to_json())

    def read_plan(self) -> Plan:
        """Read what the sandbox is to be."""
        return Plan.from_json(self.plan.read_text())

    def read_standing(self) -> Standing | None:
        """Read where the sandbox is; None if that was never written."""
        try:
            return Standing(**json.loads(self.standing.read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def write_standing(self, standing: Standing) -> None:
        """Say where the sandbox is, in one step."""
        draft = self.standing.with_suffix(".new")
        draft.write_text(json.dumps(asdict(standing)))
        draft.replace(self.standing)

    def is_strange(self) -> bool:
        """Whether something lies there that no sandbox has made."""
        if not self.path.is_dir():
            return os.path.lexists(self.path)
        return any(self.path.iterdir()) and not (self.plan.exists() or self.lock.exists())

    def empty(self) -> None:
        """Remove what a sandbox has made, but for the lock."""
        for folder in (self.tree, self._hosts):
            shutil.rmtree(folder, ignore_errors=True)
        public = self.key.with_suffix(".pub")
        drafts = (self.standing.with_suffix(".new"),)
        files = (self.control, self.log, self.key, public, self.known_hosts, self.ssh_config)
        for file in (*files, *drafts, self.site, self.standing, self.plan):
            file.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove what a sandbox has made, and the folder if nothing else is in it."""
        self.empty()
        self.lock.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.path.rmdir()
