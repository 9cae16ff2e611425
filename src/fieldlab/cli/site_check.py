"""What `site check` finds, and how it is shown."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.text import Text

from fieldlab.app.sites import open_hosts
from fieldlab.cli.machines import size_text
from fieldlab.cli.output import joined, show
from fieldlab.cli.tables import print_fitted
from fieldlab.domain.sites import Health, HostSpec, Site
from fieldlab.hosts.health import reachability

#: less free space than this is warned of, bytes
_LITTLE_SPACE = 200_000_000
#: a clock that is off by more than this is warned of, s
_CLOCK_OFF_S = 0.5
#: a load above so many for each processor is warned of
_BUSY = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What a look at a site found."""

    #: host → what it says
    health: Mapping[str, Health]
    #: (from, to) → round trip in ms, None: no answer
    pairs: Mapping[tuple[str, str], float | None] = field(default_factory=dict)


async def look(site: Site, *, pairs: bool) -> Looked:
    """Look at all hosts together."""
    hosts = open_hosts(site)
    try:
        found = await asyncio.gather(*(host.health() for host in hosts.values()))
        health = dict(zip(hosts, found, strict=True))
        well = [host for name, host in hosts.items() if health[name].ok]
        return Looked(health=health, pairs=await reachability(well) if pairs else {})
    finally:
        await asyncio.gather(*(host.close() for host in hosts.values()))


def complaints(host: HostSpec, health: Health) -> Iterator[str]:
    """Say what is wrong with a host, and what to do."""
    if health.ssh_error:
        yield health.ssh_error
        return
    if health.ping_ms is None:
        yield "ssh works but ping doesn't: a firewall, or no `ping` on this machine"
    if health.free_bytes is not None and health.free_bytes < _LITTLE_SPACE:
        yield f"Little space where {host.directory} lies: free some"
    if health.clock_offset_s is not None and abs(health.clock_offset_s) > _CLOCK_OFF_S:
        yield f"Its clock is {health.clock_offset_s:+.1f} s off: start chrony or ntpd on it"
    if health.load is not None and health.load > _BUSY * (health.processors or 1):
        yield f"It is busy: load {health.load:.1f} on {health.processors} processors"
    if not health.versions.get("rsync"):
        yield "No rsync: files go by SFTP, more slowly; `apt-get install rsync`"


def as_document(site: Site, looked: Looked) -> dict[str, Any]:
    """Write what was found for programs."""
    return {
        "site": site.name,
        "ok": all(each.ok for each in looked.health.values()),
        "hosts": [
            {
                "host": host.name,
                "address": host.identity,
                "roles": host.roles,
                "tags": host.tags,
                "ok": looked.health[host.name].ok,
                **asdict(looked.health[host.name]),
                "wrong": list(complaints(host, looked.health[host.name])),
            }
            for host in site.hosts
        ],
        "pairs": [
            {"from": one, "to": other, "ping_ms": trip}
            for (one, other), trip in looked.pairs.items()
        ],
    }


def show_table(site: Site, looked: Looked) -> None:
    """Show what was found, a line to a host, and what is wrong below."""
    columns = ("host", "roles", "ping", "ssh", "disk", "clock", "load", "versions")
    print_fitted(
        columns,
        [_row(host, looked.health[host.name]) for host in site.hosts],
        right=("ping", "disk", "clock", "load"),
        spare=("versions", "roles"),
    )
    for host in site.hosts:
        for said in complaints(host, looked.health[host.name]):
            show(f"{host.name}: {said}")
    if looked.pairs:
        _show_pairs(looked)


def _row(host: HostSpec, health: Health) -> tuple[str | Text, ...]:
    system = [health.versions.get(each, "") for each in ("system", "kernel")]
    programs = [
        f"{name} {health.versions[name]}"
        for name in ("rsync", "python3")
        if health.versions.get(name)
    ]
    ping, offset = health.ping_ms, health.clock_offset_s
    return (
        host.name,
        ", ".join(host.roles),
        Text("no answer", style="yellow") if ping is None else f"{ping:.1f} ms",
        Text("ok", style="green") if health.ok else Text("failed", style="red"),
        "" if health.free_bytes is None else size_text(health.free_bytes, 1),
        "" if offset is None else f"{offset:+.3f} s",
        "" if health.load is None else f"{health.load:.2f}/{health.processors}",
        joined([*system, *programs]),
    )


def _show_pairs(looked: Looked) -> None:
    names = list(dict.fromkeys(one for one, _ in looked.pairs))
    rows: list[list[str | Text]] = [
        [one, *(_trip(looked, one, other) for other in names)] for one in names
    ]
    print_fitted(("ping from, ms", *names), rows, right=names)


def _trip(looked: Looked, one: str, other: str) -> str | Text:
    if one == other:
        return "–"
    trip = looked.pairs[one, other]
    return Text("none", style="red") if trip is None else f"{trip:.2f}"
