"""Machines as people watch them: their health, and who holds them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from fieldlab.cli.output import joined
from fieldlab.domain.sites import Health, HostState

if TYPE_CHECKING:
    from rich.text import Text

    from fieldlab.ports.ledger import HostStanding

_COLOURS = {
    HostState.READY: "green",
    HostState.QUARANTINED: "yellow",
    HostState.RESTARTING: "yellow",
    HostState.LOST: "red",
}
#: a clock that is off by less is right, s
_RIGHT_S = 1.0


def size_text(size_bytes: int, digits: int = 0) -> str:
    """Write a size in GB, with so many digits after the point; below 1 GB in MB."""
    if size_bytes < 10**9:
        return f"{size_bytes / 1e6:,.0f} MB"
    return f"{size_bytes / 1e9:,.{digits}f} GB"


def health_text(host: HostStanding) -> str:
    """Say how a machine fares: ``ping 0.4 ms, load 0.3/8, 12 GB free``.

    How fast one answers that isn't ready, and how busy it is, was before, and isn't said.
    """
    health = host.health or Health()
    if host.state is not HostState.READY:
        health = replace(health, ping_ms=None, load=None)
    load = "" if health.load is None else f"load {health.load:.1f}"
    if load and health.processors:
        load += f"/{health.processors}"
    off = health.clock_offset_s
    return joined(
        [
            "" if health.ping_ms is None else f"ping {health.ping_ms:.3g} ms",
            load,
            "" if health.free_bytes is None else f"{size_text(health.free_bytes)} free",
            "" if off is None or abs(off) < _RIGHT_S else f"clock {off:+.0f} s",
        ]
    )


def machine_lines(hosts: Sequence[HostStanding]) -> list[Text]:
    """Draw the machines, a line each: what is most wanted stands to the left."""
    from rich.text import Text

    if not hosts:
        return []
    sites = {host.site for host in hosts}
    names = [f"{each.site}/{each.name}" if len(sites) > 1 else each.name for each in hosts]
    width = max(map(len, names))
    state_width = max(len(each.state) for each in hosts)
    holders = [each.held_for or "free" for each in hosts]
    holder_width = max(map(len, holders))
    return [
        Text.assemble(
            (f"{name:<{width}}  ", ""),
            (f"{host.state:<{state_width}}  ", _COLOURS.get(host.state, "")),
            (f"{holder:<{holder_width}}  ", "" if host.held_for else "dim"),
            (joined([host.note, health_text(host)]), "dim"),
        )
        for name, host, holder in zip(names, hosts, holders, strict=True)
    ]


def machine_document(host: HostStanding) -> dict[str, Any]:
    """Write a machine for programs."""
    return asdict(host)
