"""The network of a sandbox: a bridge in a namespace of its own, and a cable for each host.

Everything lies in namespaces that only the sandbox's processes hold: when they are gone, the kernel
removes it. In the machine's own network there is one end of one cable, the uplink. Its name,
``fieldlab17``, says which of the networks 10.77.0.0/24 to 10.77.255.0/24 is taken, and the kernel
lets only one sandbox make it.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from fieldlab.domain.errors import SandboxError
from fieldlab.sandbox import kernel

BRIDGE = "switch"
_UPLINK = "fieldlab"
_NETWORKS = 256
#: what the kernel's tools may take, s
_PATIENCE_S = 20.0
#: what the kernel may take to tell a host of its cable, s
_NOTICED_S = 5.0
#: nothing tells when it has: so often it is looked, s
_LOOK_S = 0.005


def port(place: int) -> str:
    """Name the end of a host's cable at the bridge."""
    return f"p{place}"


def run(argv: Sequence[str], text: str = "") -> str:
    """Run one of the network's tools; give what it printed.

    Raises
    ------
    SandboxError
        It failed; the message shows the command and what it said.
    """
    try:
        done = subprocess.run(
            argv, input=text, capture_output=True, text=True, timeout=_PATIENCE_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SandboxError(f"'{argv[0]}' can't be used: {error}") from error
    if done.returncode != 0:
        said = done.stderr.strip() or done.stdout.strip()
        raise SandboxError(f"`{' '.join(argv)}` failed with exit code {done.returncode}: {said}")
    return done.stdout


def batch(lines: Sequence[str]) -> None:
    """Run several commands of `ip` in one process."""
    run(["ip", "-batch", "-"], "\n".join(lines) + "\n")


def open_namespace() -> int:
    """Make a network namespace; give a descriptor that holds it. This process stays where it is."""
    here = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        kernel.unshare(kernel.NEW_NETWORK)
        made = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        kernel.enter(here, kernel.NEW_NETWORK)
    finally:
        os.close(here)
    return made


def make_switch() -> None:
    """Make the bridge, in this process's network namespace."""
    for each in ("all", "default"):
        with contextlib.suppress(OSError):  # without IPv6 in the kernel there is nothing to switch
            Path(f"/proc/sys/net/ipv6/conf/{each}/disable_ipv6").write_text("1")
    batch(
        [
            "link set lo up",
            f"link add {BRIDGE} type bridge forward_delay 0 mcast_snooping 0",
            f"link set {BRIDGE} up",
        ]
    )


def claim_network(outside: int) -> tuple[int, str]:
    """Join the bridge and the machine's own network; give the network's number and the uplink.

    Parameters
    ----------
    outside
        Descriptor of the machine's own network namespace.

    Raises
    ------
    SandboxError
        Every network is taken.
    """
    taken = _routes(outside)
    inside = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    here = f"/proc/{os.getpid()}/fd/{inside}"
    for number in range(_NETWORKS):
        if any(each.overlaps(ipaddress.ip_network(f"10.77.{number}.0/24")) for each in taken):
            continue
        name = f"{_UPLINK}{number}"
        try:
            with kernel.network_of(outside):
                run(
                    [
                        "ip",
                        "link",
                        "add",
                        name,
                        "type",
                        "veth",
                        "peer",
                        "name",
                        "uplink",
                        "netns",
                        here,
                    ]
                )
        except SandboxError as error:
            if "exists" in str(error):
                continue  # another sandbox was quicker
            raise
        _set_uplink(name, f"10.77.{number}.1", outside)
        return number, name
    raise SandboxError(
        "All networks from 10.77.0.0/24 to 10.77.255.0/24 are taken",
        remedy="Take sandboxes down that nobody needs: `fieldlab sandbox down`",
    )


def _set_uplink(name: str, address: str, outside: int) -> None:
    try:
        batch([f"link set uplink master {BRIDGE} up"])
        with kernel.network_of(outside):
            batch([f"addr add {address}/24 dev {name}", f"link set {name} up"])
    except SandboxError:
        release_network(name, outside)
        raise


def _routes(outside: int) -> list[ipaddress.IPv4Network]:
    """List where the machine's routes go."""
    with kernel.network_of(outside):
        routes = json.loads(run(["ip", "-json", "route", "show", "table", "all"]) or "[]")
    ranges = [_range(str(route.get("dst", ""))) for route in routes]
    return [each for each in ranges if each is not None]


def _range(text: str) -> ipaddress.IPv4Network | None:
    """Read where a route goes; None for the default route, which goes everywhere."""
    try:
        found = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None
    return found if isinstance(found, ipaddress.IPv4Network) and found.prefixlen else None


def release_network(uplink: str, outside: int) -> None:
    """Remove the uplink at once; the kernel would do it a little later."""
    with kernel.network_of(outside), contextlib.suppress(SandboxError):
        run(["ip", "link", "del", uplink])


def take_address(address: str) -> None:
    """Give the bridge itself the machine's address, where nothing leads outside."""
    batch([f"addr add {address}/24 dev {BRIDGE}"])


def connect_hosts(namespaces: Sequence[int], addresses: Sequence[str]) -> None:
    """Give each host a cable to the bridge, and its address."""
    us = os.getpid()
    lines = []
    for place, namespace in enumerate(namespaces):
        theirs = f"/proc/{us}/fd/{namespace}"
        lines += [
            f"link add {port(place)} type veth peer name eth0 netns {theirs}",
            f"link set {port(place)} master {BRIDGE} up",
        ]
    batch(lines)
    for namespace, address in zip(namespaces, addresses, strict=True):
        with kernel.network_of(namespace):
            batch(
                [
                    "link set lo up",
                    f"addr add {address}/24 brd + dev eth0",
                    "link set eth0 up",
                    "route add 224.0.0.0/4 dev eth0",
                ]
            )


def forget_neighbours(namespaces: Sequence[int], uplink: str, outside: int) -> None:
    """Let all ask anew which host has an address, who may have asked in vain a moment ago."""
    for namespace in namespaces:
        with kernel.network_of(namespace), contextlib.suppress(SandboxError):
            run(["ip", "neighbour", "flush", "dev", "eth0"])
    if uplink:
        with kernel.network_of(outside), contextlib.suppress(SandboxError):
            run(["ip", "neighbour", "flush", "dev", uplink])


def set_link(name: str, *, up: bool) -> None:
    """Plug a cable in at the bridge, or pull it out."""
    run(["ip", "link", "set", name, "up" if up else "down"])


def await_link(namespace: int, *, up: bool) -> bool:
    """Wait until a host has noticed that its cable is plugged in or out; False if it doesn't.

    The kernel tells the host a little later, and drops packets until then.
    """
    end = time.monotonic() + _NOTICED_S
    with kernel.network_of(namespace):
        while True:
            (shown,) = json.loads(run(["ip", "-json", "link", "show", "eth0"]))
            if (shown["operstate"] == "UP") == up:
                return True
            if time.monotonic() > end:
                return False
            time.sleep(_LOOK_S)
