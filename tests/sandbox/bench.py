"""Looking at a sandbox from outside: by ssh, by ping, at the machine's processes."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from fieldlab.sandbox import Sandbox
from fieldlab.sandbox.folder import started_ticks
from tests.waiting import PATIENCE_S, wait_until


def ssh(sandbox: Sandbox, host: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command on a host with the `ssh` program."""
    argv = ["ssh", "-F", str(sandbox.ssh_config), host, *words]
    return subprocess.run(
        argv,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=PATIENCE_S,
        check=False,
    )


def said(done: subprocess.CompletedProcess[str]) -> str:
    """Give what a command printed; it must have succeeded."""
    assert done.returncode == 0, done
    return done.stdout.strip()


@dataclass(frozen=True, slots=True)
class Pings:
    """What came of several pings."""

    answered: int
    duplicates: int
    #: fastest round trip, ms; infinite if none was answered
    fastest_ms: float
    times_ms: Sequence[float]


def ping(sandbox: Sandbox, source: str, target: str, count: int = 3) -> Pings:
    """Let a host ping another, or the machine ping a host if ``source`` is empty."""
    argv = ["ping", "-n", "-c", str(count), "-i", "0.01", "-W", "0.3", sandbox.host(target).address]
    if source:
        text = sandbox.run(source, argv).stdout
    elif sandbox.status().rootless:
        pytest.skip("only root's machine is in the hosts' network: run the tests as root")
    else:
        text = subprocess.run(argv, capture_output=True, text=True, check=False).stdout
    times = [float(found) for found in re.findall(r"time=([\d.]+) ms", text)]
    found = re.search(r"(\d+) received(?:, \+(\d+) duplicates)?", text)
    assert found, text
    duplicates = int(found[2] or 0)
    return Pings(int(found[1]), duplicates, min(times, default=float("inf")), times)


def await_state(sandbox: Sandbox, host: str, state: str) -> None:
    """Wait until a host is in a state."""
    wait_until(lambda: sandbox.host(host).state == state, f"{host} is {state}")


def processes_of(sandbox: Sandbox) -> list[psutil.Process]:
    """List all processes that a sandbox consists of."""
    hosts = [psutil.Process(host.pid) for host in sandbox.hosts if host.pid]
    supervisor = hosts[0].parent()
    assert supervisor is not None
    return [supervisor, *supervisor.children(recursive=True)]


def await_nothing(processes: Sequence[psutil.Process], gateway: str, folder: Path) -> None:
    """Wait until neither processes nor the network nor files of a sandbox are left."""

    def left() -> list[int]:
        return [each.pid for each in processes if started_ticks(each.pid) is not None]

    wait_until(lambda: not left(), "no process is left")
    uplink = Path("/sys/class/net", f"fieldlab{gateway.split('.')[2]}")
    wait_until(lambda: not uplink.exists(), f"{uplink} is gone")
    wait_until(lambda: not folder.exists(), f"{folder} is gone")
