"""Machines that reboot, lose their power, and drop off the network."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest

from fieldlab.app.sites import open_hosts
from fieldlab.domain.commands import Command
from fieldlab.domain.errors import BadInput, HostUnreachable, TransferFailed
from fieldlab.hosts import links, remote_script
from fieldlab.hosts.health import reachability
from fieldlab.ports.host import Host, Sink
from fieldlab.sandbox import Sandbox
from fieldlab.sandbox.fixtures import sandbox_fixture
from tests.waiting import until, wait_until

T = TypeVar("T")

sandbox = sandbox_fixture(hosts=3, roles=["pub", "sub"], disk="64M", reboot_s=1.0)


def play(
    sandbox: Sandbox,
    act: Callable[[dict[str, Host]], Awaitable[T]],
    power_cycle: tuple[str, ...] = (),
    patience_s: float = 15.0,
) -> T:
    site = sandbox.site()
    hosts = tuple(replace(host, power_cycle=power_cycle) for host in site.hosts)
    site = replace(site, hosts=hosts, patience_s=patience_s)

    async def acted() -> T:
        hosts = open_hosts(site)
        try:
            return await act(hosts)
        finally:
            await asyncio.gather(*(host.close() for host in hosts.values()))

    try:
        return asyncio.run(acted())
    finally:
        sandbox.clear()


def alive(sandbox: Sandbox, host: str, word: str) -> bool:
    return sandbox.run(host, ["pgrep", "-f", word]).returncode == 0


def test_a_reboot_is_waited_for_until_another_boot_answers(sandbox: Sandbox) -> None:
    async def act(hosts: dict[str, Host]) -> None:
        before = await hosts["h1"].health()
        other = await hosts["h2"].health()
        assert before.boot_id
        assert before.boot_id != other.boot_id
        began = time.monotonic()
        await hosts["h1"].reboot(limit_s=60)
        assert time.monotonic() - began > 1  # a ping would have been answered at once
        after = await hosts["h1"].health()
        assert after.ok
        assert after.boot_id not in {"", before.boot_id}

    play(sandbox, act)


def test_a_host_that_doesnt_come_back_in_time(sandbox: Sandbox) -> None:
    async def act(hosts: dict[str, Host]) -> None:
        with pytest.raises(HostUnreachable, match=r"'h1' isn't back"):
            await hosts["h1"].reboot(limit_s=0.7)
        with pytest.raises(BadInput, match="power"):
            await hosts["h1"].reboot(limit_s=60, power_cycle=True)

    play(sandbox, act)
    wait_until(lambda: sandbox.host("h1").pid, "it is back")


def test_a_power_cycle_brings_back_a_host_that_is_dead(sandbox: Sandbox) -> None:
    program = (
        "import sys; from pathlib import Path; from fieldlab.sandbox import Sandbox\n"
        "box = Sandbox.at(Path(sys.argv[1])); box.fault('h2', 'dead'); box.clear('h2', 'dead')"
    )
    power_cycle = (sys.executable, "-c", program, str(sandbox.folder))

    async def act(hosts: dict[str, Host]) -> None:
        before = await hosts["h2"].health()
        sandbox.fault("h2", "dead")
        await hosts["h2"].reboot(limit_s=60, power_cycle=True)
        after = await hosts["h2"].health()
        assert after.ok
        assert after.boot_id != before.boot_id

    play(sandbox, act, power_cycle)


def test_a_link_that_is_cut_ends_what_runs_on_both_sides(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """No packet says so: each side finds out by itself. The times are shortened for the test."""
    monkeypatch.setattr(links, "GUARD", remote_script.guard(2))
    monkeypatch.setattr(links, "HEARTBEAT_S", 0.5)
    out = tmp_path / "out"
    command = Command(argv=("sh", "-c", "setsid sleep 4321 & sleep 4321 & echo x; sleep 4321"))

    async def act(hosts: dict[str, Host]) -> None:
        host = hosts["h3"]
        task = asyncio.create_task(host.run(command, Sink(stdout=out), mark="cut.1"))
        await until(lambda: out.exists() and out.read_bytes(), "it runs")
        sandbox.fault("h3", "link")
        with pytest.raises(HostUnreachable):
            await task
        wait_until(lambda: not alive(sandbox, "h3", "sleep 4321"), "it is gone there, too")
        sandbox.clear("h3")
        await host.check()

    play(sandbox, act, patience_s=1.5)


def test_sweeping_any_mark(sandbox: Sandbox) -> None:
    async def act(hosts: dict[str, Host]) -> None:
        leave = (
            "for n in 1 2; do setsid sh -c 'touch /tmp/left$0; exec sleep 5432' $n "
            ">/dev/null 2>&1 & done; "
            "until [ -e /tmp/left1 ] && [ -e /tmp/left2 ]; do sleep 0.01; done"
        )
        await hosts["h1"].run(Command(argv=("sh", "-c", leave)), mark="any.1")
        assert alive(sandbox, "h1", "sleep 5432")
        assert await hosts["h1"].sweep(["another"]) == 0
        assert await hosts["h1"].sweep() == 2
        assert not alive(sandbox, "h1", "sleep 5432")

    play(sandbox, act)


def test_a_full_disk(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"x" * 1_000_000)

    async def act(hosts: dict[str, Host]) -> None:
        sandbox.fault("h1", "full-disk")
        with pytest.raises(TransferFailed, match="h1"):
            await hosts["h1"].send(tmp_path / "data", "/experiments/x/data")
        sandbox.clear("h1")
        await hosts["h1"].send(tmp_path / "data", "/experiments/x/data")

    play(sandbox, act)
    assert sandbox.run("h1", ["ls", "-A", "/experiments/x"]).stdout == "data\n"


def test_who_reaches_whom(sandbox: Sandbox) -> None:
    sandbox.fault("h1", "partition", "h2")
    trips = play(sandbox, reachability)
    apart = {("h1", "h2"), ("h2", "h1")}
    assert {pair for pair, trip in trips.items() if trip is None} == apart
    assert len(trips) == 6
