"""Machines as people watch them: their health, and who holds them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from fieldlab.cli.output import joined
from fieldlab.domain.sites import HostState

if TYPE_CHECKING:
    from rich.text import Text

_COLOURS = {
    HostState.READY: "green",
    HostState.QUARANTINED: "yellow",
    HostState.RESTARTING: "yellow",
    HostState.LOST: "red",
}
#: a clock that is off by less is right, s
_RIGHT_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRow:
    """One machine, as of the last look at it."""

    site: str
    name: str
    address: str
    state: str
    #: who uses it, as in "waves.1 3fa9c1d2/1"; "" if nobody
    holder: str = ""
    #: why it is in its state
    note: str = ""
    checked_at: datetime | None = None
    #: as of :class:`fieldlab.domain.sites.Health`
    ping_ms: float | None = None
    free_bytes: int | None = None
    clock_offset_s: float | None = None
    load: float | None = None
    processors: int | None = None


def health_text(host: HostRow) -> str:
    """Say how a machine fares: ``ping 0.4 ms, load 0.3/8, 12 GB free``."""
    load = "" if host.load is None else f"load {host.load:.1f}"
    if load and host.processors:
        load += f"/{host.processors}"
    off = host.clock_offset_s
    return joined(
        [
            "" if host.ping_ms is None else f"ping {host.ping_ms:.3g} ms",
            load,
            "" if host.free_bytes is None else f"{host.free_bytes / 1e9:,.0f} GB free",
            "" if off is None or abs(off) < _RIGHT_S else f"clock {off:+.0f} s",
        ]
    )


def machine_lines(hosts: Sequence[HostRow]) -> list[Text]:
    """Draw the machines, a line each: what is most wanted stands to the left."""
    from rich.text import Text

    if not hosts:
        return []
    sites = {host.site for host in hosts}
    names = [f"{each.site}/{each.name}" if len(sites) > 1 else each.name for each in hosts]
    width = max(map(len, names))
    state_width = max(len(each.state) for each in hosts)
    holders = [each.holder or "free" for each in hosts]
    holder_width = max(map(len, holders))
    return [
        Text.assemble(
            (f"{name:<{width}}  ", ""),
            (f"{host.state:<{state_width}}  ", _COLOURS.get(HostState(host.state), "")),
            (f"{holder:<{holder_width}}  ", "" if host.holder else "dim"),
            (joined([host.note, health_text(host)]), "dim"),
        )
        for name, host, holder in zip(names, hosts, holders, strict=True)
    ]


def machine_document(host: HostRow) -> dict[str, Any]:
    """Write a machine for programs."""
    from dataclasses import asdict

    return asdict(host)
