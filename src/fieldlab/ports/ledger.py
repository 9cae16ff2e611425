"""Who holds which host, and how hosts stand: shared by all controllers of a lab."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from fieldlab.domain.sites import Health, HostSpec, HostState
from fieldlab.ports.store import EngineSign


@dataclass(frozen=True, slots=True, kw_only=True)
class HostStanding:
    """How a host stands."""

    id: int
    #: see :attr:`fieldlab.domain.sites.HostSpec.identity`
    identity: str
    site: str
    name: str
    state: HostState
    #: why it is in that state, for people
    note: str = ""
    #: failures of the infrastructure in a row that it was part of
    failures: int = 0
    #: engine that holds it; "" if nobody does
    engine_id: str = ""
    #: what it is held for, for people: campaign and trial
    held_for: str = ""
    held_at: datetime | None = None
    #: engine that held it before
    last_engine_id: str = ""
    #: when its power was last cycled
    power_cycled_at: datetime | None = None
    checked_at: datetime | None = None
    health: Health | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Hosts that are asked for, all of them or none."""

    #: random; a call that is made again with it is done once
    token: str
    engine_id: str
    identities: tuple[str, ...]
    #: what for, for people
    purpose: str = ""
    #: let nobody else have those that get free, until all are
    reserve: bool = False
    #: also take hosts in other states than ready, and those that somebody waits for: to look after
    #: them
    any_state: bool = False


class HostLedger(Protocol):
    """Keeps how hosts stand, and who holds them.

    - Every method is one transaction; one that raised a transient error may be called again.
    - A host is held by one engine at a time; what an engine held is free once it is written out.
    """

    def enroll(self, site: str, hosts: Sequence[HostSpec]) -> None:
        """Write hosts down that aren't known yet, ready and free; the others get their names."""
        ...

    def standing(self, identities: Collection[str] | None = None) -> list[HostStanding]:
        """Say how hosts stand, by site and name; all of them if none is named."""
        ...

    def hold(self, hold: Hold) -> bool:
        """Take hosts that are ready and free: all, or none.

        Raises
        ------
        Conflict
            The engine has been written out.
        """
        ...

    def release(self, token: str) -> None:
        """Give back what a hold took or reserved."""
        ...

    def change(
        self, identity: str, expected: HostState, target: HostState, *, by: str, why: str
    ) -> bool:
        """Take a host from one state to another.

        Returns
        -------
        bool
            False, with nothing changed: it is in another state by now, or another engine holds it.
        """
        ...

    def note_power_cycle(self, identity: str) -> None:
        """Write down that a host's power is cycled now."""
        ...

    def observe(self, identity: str, health: Health) -> None:
        """Write down what a look at a host found; a disk that is nearly full now is told."""
        ...

    def count_failure(self, identity: str, *, failed: bool) -> int:
        """Count a failure of the infrastructure, or forget those before; how many in a row."""
        ...

    def remark(self, campaign_id: int, text: str, *, by: str) -> None:
        """Write into a campaign's journal what was done with its hosts."""
        ...

    def holders(self) -> list[tuple[int, EngineSign]]:
        """List engines that hold or have reserved hosts, each with its campaign's id."""
        ...
