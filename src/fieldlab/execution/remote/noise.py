"""Noise on a host's network: applied for an attempt, checked, and removed whatever happens.

A script on the host applies it and waits; when it is ended, or hears no more from here, it takes
the noise away. So nothing stays when this program is killed, or the connection breaks.
"""

from __future__ import annotations

import json
from typing import Any

from fieldlab.domain.commands import Command
from fieldlab.domain.errors import BadInput
from fieldlab.domain.noise import Noise
from fieldlab.domain.sites import HostSpec
from fieldlab.ports.host import Host

#: of the queueing discipline that is ours, so that no other is taken for it
HANDLE = "1f1d:"
COMMENT = "fieldlab-noise"
#: how much a token bucket lets through at once, and how long a packet may wait in it
BURST, LATENCY = "32kbit", "400ms"

# $1 interface, $2 probability of loss or "", then the words of the discipline, if any
_SCRIPT = """
dev=$1 loss=$2; shift 2
undo() {
    tc qdisc del dev "$dev" root handle 1f1d: 2>/dev/null
    [ -z "$loss" ] || iptables -w -D OUTPUT $rule 2>/dev/null
}
rule="-o $dev -m statistic --mode random --probability $loss -m comment --comment fieldlab-noise"
rule="$rule -j DROP"
trap "undo; exit 0" TERM INT HUP
if [ $# -gt 0 ]; then tc qdisc replace dev "$dev" root handle 1f1d: "$@" || exit 9; fi
if [ -n "$loss" ]; then iptables -w -A OUTPUT $rule || { undo; exit 9; }; fi
while :; do sleep 3600 & wait $!; done
"""


async def can_netem(host: Host) -> bool:
    """Whether the host's kernel has netem; tried on an interface that is made for it."""
    tried = await host.run(Command(argv=(*await _as_root(host), "sh", "-c", _TRY), timeout_s=10))
    return tried.exit.ok


_TRY = """
ip link add fieldlab-try type dummy 2>/dev/null || exec tc qdisc add dev lo root netem delay 0ms
tc qdisc add dev fieldlab-try root netem delay 1ms; code=$?
ip link del fieldlab-try
exit $code
"""


async def _as_root(host: Host) -> tuple[str, ...]:
    """Give the words in front of a command that needs to be root."""
    who = await host.run(Command(argv=("id", "-u"), timeout_s=10))
    return () if who.stdout.strip() == b"0" else ("sudo", "-n")


async def command_for(host: Host, noise: Noise, *, netem: bool) -> Command:
    """Make the command that applies noise on a host until it is ended.

    Raises
    ------
    BadInput
        The host can't do it.
    """
    check_can(host.spec, noise, netem=netem)
    loss = ""
    if netem:
        words = ("netem", *noise.netem())
    else:
        loss = f"{noise.loss_percent / 100:.6f}" if noise.loss_percent else ""
        words = (
            ("tbf", "rate", noise.rate, "burst", BURST, "latency", LATENCY) if noise.rate else ()
        )
    root = await _as_root(host)
    return Command(argv=(*root, "sh", "-c", _SCRIPT, COMMENT, host.spec.interface, loss, *words))


def check_can(spec: HostSpec, noise: Noise, *, netem: bool) -> None:
    """Refuse noise that a host can't make.

    Raises
    ------
    BadInput
        With what is missing there.
    """
    if not spec.interface:
        raise BadInput(
            f"The site doesn't say which network interface of {spec.name} experiments use",
            remedy=f"Add it to the host {spec.name}, as `ip link` shows it there:"
            ' interface = "eth0"',
            key=("noise",),
        )
    if not netem and noise.needs_netem:
        raise BadInput(
            f"The kernel of {spec.name} has no netem, and without it there is only loss and a rate",
            remedy="Load it there (modprobe sch_netem, in linux-modules-extra), or leave out delay,"
            " duplication and corruption",
            key=("noise",),
        )


async def is_applied(host: Host, noise: Noise, *, netem: bool) -> bool:
    """Look whether noise has taken hold."""
    device = host.spec.interface
    if netem or noise.rate:
        shown = await host.run(
            Command(argv=("tc", "-j", "qdisc", "show", "dev", device), timeout_s=10)
        )
        if not _has_ours(shown.stdout, "netem" if netem else "tbf"):
            return False
    if noise.loss_percent and not netem:
        argv = (*await _as_root(host), "iptables", "-w", "-S", "OUTPUT")
        rules = await host.run(Command(argv=argv, timeout_s=10))
        return COMMENT.encode() in rules.stdout
    return True


def _has_ours(shown: bytes, kind: str) -> bool:
    try:
        found: list[dict[str, Any]] = json.loads(shown or b"[]")
    except ValueError:
        return False
    return any(each.get("kind") == kind and each.get("handle") == HANDLE for each in found)
