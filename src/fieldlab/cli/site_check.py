"""What `site check` finds, and how it is shown."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.text import Text

from fieldlab.app.sites import open_hosts
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

    @property
    def unusable(self) -> list[str]:
        """Hosts that can't be used."""
        return [name for name, health in self.health.items() if not health.ok]

    @property
    def apart(self) -> list[tuple[str, str]]:
        """Pairs of which the first doesn't reach the second."""
        return [pair for pair, trip in self.pairs.items() if trip is None]

    @property
    def ok(self) -> bool:
        """Whether all can be used, and reach each other as far as that was looked at."""
        return not self.unusable and not self.apart


async def look(site: Site, *, pairs: bool) -> Looked:
    """Look at all hosts together."""
    hosts = open_hosts(site)
    try:
        found = await asyncio.gather(*(host.health() for host in hosts.values()))
        health = dict(zip(hosts, found, strict=True))
        well = [host for name, host in hosts.items() if not health[name].ssh_error]
        return Looked(health=health, pairs=await reachability(well) if pairs else {})
    finally:
        await asyncio.gather(*(host.close() for host in hosts.values()))


def complaints(host: HostSpec, health: Health) -> Iterator[str]:
    """Say what is wrong with a host, and what to do."""
    if health.ssh_error:
        yield health.ssh_error
        return
    if health.disk_is_full:
        yield f"The disk is full where {host.directory} lies: nothing can be written; free some"
    if health.folder_error:
        yield health.folder_error
    if health.interface_error:
        yield health.interface_error
    if health.ping_ms is None:
        yield "ssh works but ping doesn't: a firewall, or no `ping` on this machine"
    if health.free_bytes and health.free_bytes < _LITTLE_SPACE:
        yield f"Little space where {host.directory} lies: free some"
    if health.clock_offset_s is not None and abs(health.clock_offset_s) > _CLOCK_OFF_S:
        yield f"Its clock is {health.clock_offset_s:+.1f} s off: start chrony or ntpd on it"
    if health.load is not None and health.load > _BUSY * (health.processors or 1):
        yield f"It is busy: load {health.load:.1f} on {health.processors} processors"
    if not health.versions.get("rsync"):
        yield "No rsync: files go by SFTP, more slowly; `apt-get install rsync`"
    if not health.versions.get("netem"):
        yield "No netem: noise can only be loss and a rate"


def as_document(site: Site, looked: Looked) -> dict[str, Any]:
    """Write what was found for programs."""
    return {
        "site": site.name,
        "ok": looked.ok,
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
    gone = print_fitted(
        columns,
        [_row(host, looked.health[host.name]) for host in site.hosts],
        right=("ping", "disk", "clock", "load"),
        spare=("versions", "roles"),
    )
    if "versions" in gone:
        _show_alike((name, _versions_text(health)) for name, health in looked.health.items())
    _show_alike(
        (host.name, said)
        for host in site.hosts
        for said in complaints(host, looked.health[host.name])
    )
    if looked.pairs:
        _show_pairs(looked)


def _show_alike(said: Iterable[tuple[str, str]]) -> None:
    """Show what is said of hosts, once for all of which the same is said."""
    alike: dict[str, list[str]] = {}
    for name, text in said:
        if text:
            alike.setdefault(text, []).append(name)
    for text, names in alike.items():
        show(f"{', '.join(names)}: {text}")


def _versions_text(health: Health) -> str:
    system = [health.versions.get(each, "") for each in ("system", "kernel")]
    programs = [
        f"{name} {health.versions[name]}"
        for name in ("rsync", "python3")
        if health.versions.get(name)
    ]
    return joined([*system, *programs])


def _row(host: HostSpec, health: Health) -> tuple[str | Text, ...]:
    ping, offset = health.ping_ms, health.clock_offset_s
    return (
        host.name,
        ", ".join(host.roles),
        Text("no answer", style="yellow") if ping is None else f"{ping:.1f} ms",
        Text("failed", style="red") if health.ssh_error else Text("ok", style="green"),
        _space_text(health.free_bytes),
        "" if offset is None else f"{offset:+.3f} s",
        "" if health.load is None else f"{health.load:.2f}/{health.processors}",
        _versions_text(health),
    )


def _space_text(free_bytes: int | None) -> str | Text:
    if free_bytes is None:
        return ""
    if not free_bytes:
        return Text("full", style="red")
    return f"{free_bytes / 1e6:,.0f} MB" if free_bytes < 1e9 else f"{free_bytes / 1e9:,.1f} GB"


def _show_pairs(looked: Looked) -> None:
    names = list(dict.fromkeys(one for one, _ in looked.pairs))
    rows: list[list[str | Text]] = [
        [one, *(_trip(looked, one, other) for other in names)] for one in names
    ]
    print_fitted(("ping from, ms", *names), rows, right=names)
    for one, other in looked.apart:
        show(
            f"{one} doesn't reach {other}: no answer to its pings. Look at cables, routes and "
            f"firewalls between them, and whether {one} has `ping`"
        )


def _trip(looked: Looked, one: str, other: str) -> str | Text:
    if one == other:
        return "–"
    trip = looked.pairs[one, other]
    return Text("none", style="red") if trip is None else f"{trip:.2f}"
