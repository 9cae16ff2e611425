"""Sites and their hosts: which machines there are, how they are reached, what they are for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from fieldlab.domain.lifecycle import Lifecycle, Role

#: stands for all hosts of a role where their number is asked for
ALL = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSpec:
    """One machine: how it is reached and what it is for."""

    name: str
    #: host name or IP address; what a name in ``~/.ssh/config`` says of it counts as well
    address: str
    port: int = 22
    #: "" leaves it to ``~/.ssh/config``
    user: str = ""
    #: path of a private key; "" leaves it to ``~/.ssh/config`` and the agent
    key: str = ""
    roles: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    #: folder on the machine in which attempts get theirs
    directory: str = "/tmp/fieldlab"  # noqa: S108 - a folder of that name is made there, mode 700
    #: network interface that experiments use, as in "eth0"
    interface: str = ""
    #: run here, not there, to take its power away and give it back: an argument vector
    power_cycle: tuple[str, ...] = ()
    #: machine to go through, as in ``ssh -J``: "user@gate:22"
    jump: str = ""

    @property
    def identity(self) -> str:
        """What makes it the same machine for every controller: ``address:port``."""
        return f"{self.address}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A location with machines."""

    name: str
    hosts: tuple[HostSpec, ...]
    #: file of host keys; "" is ``~/.ssh/known_hosts``
    known_hosts: str = ""
    #: file to read instead of ``~/.ssh/config``; "" reads that
    ssh_config: str = ""
    #: a host that hasn't answered for so long is away, s
    patience_s: float = 15.0
    #: file that describes it, for what is said of it
    file: str = field(default="", compare=False)

    def with_role(self, role: str) -> Sequence[HostSpec]:
        """List the hosts that a role can be given to; "" is any."""
        return [host for host in self.hosts if not role or role in host.roles]


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What a look at a host found."""

    #: round trip of the ping that was answered, ms; None: no answer
    ping_ms: float | None = None
    #: why ssh can't be used; "" if it can
    ssh_error: str = ""
    #: why no folder can be made in the host's own; "" if one can
    folder_error: str = ""
    #: why its interface can't be used; "" if it can
    interface_error: str = ""
    #: identifies this boot; "" where the machine doesn't say
    boot_id: str = ""
    #: free on the disk of the host's folder, bytes
    free_bytes: int | None = None
    #: how far its clock is ahead of ours, s
    clock_offset_s: float | None = None
    #: load average over a minute, and processors
    load: float | None = None
    processors: int | None = None
    #: kernel, system and programs → version; "" for a program that isn't there
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether trials can run there."""
        errors = self.ssh_error, self.folder_error, self.interface_error
        return not any(errors) and not self.disk_is_full

    @property
    def disk_is_full(self) -> bool:
        """Whether nothing more can be written there."""
        return self.free_bytes == 0


class HostState(StrEnum):
    """Where a host stands."""

    READY = "ready"
    #: it failed a trial: it is probed, and not used until it answers
    QUARANTINED = "quarantined"
    RESTARTING = "restarting"
    #: it hasn't answered for so long that people were told; it is still probed
    LOST = "lost"


_ENGINE = frozenset({Role.ENGINE})
_PEOPLE = frozenset({Role.ENGINE, Role.OPERATOR, Role.RESEARCHER})

HOST = Lifecycle(
    entity="host",
    initial=HostState.READY,
    states=tuple(HostState),
    final=frozenset(),
    transitions={
        (HostState.READY, HostState.QUARANTINED): _PEOPLE,
        (HostState.READY, HostState.RESTARTING): _PEOPLE,
        (HostState.QUARANTINED, HostState.READY): _PEOPLE,
        (HostState.QUARANTINED, HostState.RESTARTING): _PEOPLE,
        (HostState.QUARANTINED, HostState.LOST): _ENGINE,
        (HostState.RESTARTING, HostState.READY): _PEOPLE,
        (HostState.RESTARTING, HostState.QUARANTINED): _PEOPLE,
        (HostState.RESTARTING, HostState.LOST): _ENGINE,
        (HostState.LOST, HostState.READY): _PEOPLE,
        (HostState.LOST, HostState.RESTARTING): _PEOPLE,
    },
    publishes={
        HostState.QUARANTINED: "host.quarantined",
        HostState.LOST: "host.lost",
        HostState.READY: "host.ready",
    },
)
