"""What the hosts of a campaign are looked after with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from fieldlab.domain.sites import Site
from fieldlab.ports.bus import Calls
from fieldlab.ports.host import Host
from fieldlab.ports.ledger import HostLedger

#: folder, in a host's folder for attempts, that all of them are in
FOLDER = ".fieldlab"


class PatientCalls(Calls, Protocol):
    """Calls that are made again and again while the database is away."""

    def hurry(self) -> None:
        """Let no call take long from now on."""
        ...

    def close(self) -> None:
        """Make no more."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Manners:
    """How hosts are looked after; times in s. See the executor's keys of the definition."""

    restart: str = "never"
    restart_after: int = 3
    restart_limit_s: float = 300.0
    power_cycle_after_s: float = 120.0
    lost_after_s: float = 600.0
    wait_s: float = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a bench works with."""

    site: Site
    hosts: Mapping[str, Host]
    ledger: HostLedger
    calls: PatientCalls
    #: frees what dead engines hold
    take_over: Callable[[], None]
    #: told, in words, what people should know
    tell: Callable[[str], None]
    manners: Manners = field(default_factory=Manners)
