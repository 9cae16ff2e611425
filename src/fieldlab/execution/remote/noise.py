"""Noise on a host's network: applied for an attempt, checked, and removed whatever happens.

A script on the host applies it and waits; when it is ended, or hears no more from here, it takes
the noise away. So nothing stays when this program is killed, or the connection breaks.
"""

from __future__ import annotations

import ipaddress
import json
from dataclasses import dataclass
from typing import Any

from fieldlab.domain.commands import Command
from fieldlab.domain.errors import BadInput
from fieldlab.domain.noise import Noise
from fieldlab.domain.sites import HostSpec
from fieldlab.ports.host import Host

#: of the queueing discipline that is ours, so that no other is taken for it
HANDLE = "1f1d:"
#: what our table of the packet filter is called, and what stands in a rule of iptables
TABLE, COMMENT = "fieldlab_noise", "fieldlab-noise"
#: how much a token bucket lets through at once, and how long a packet may wait in it
BURST, LATENCY = "32kbit", "400ms"
#: how finely a share of lost packets is told
_SHARES = 1_000_000

# /run forgets at a restart, as the kernel does
_UNDO = """
note=/run/fieldlab-noise.$dev
undo() {
    tc qdisc del dev "$dev" root handle 1f1d: 2>/dev/null
    nft delete table inet fieldlab_noise 2>/dev/null
    iptables -w -S OUTPUT 2>/dev/null | grep -e "--comment fieldlab-noise" | while read -r _ rule
    do iptables -w -D $rule; done
    rm -f "$note"
}
"""

# $1 process whose end ends it, $2 interface, $3 probability of loss or "", $4 the same for the
# packet filter, $5 what isn't lost, then the words of the discipline, if any. iptables serves where
# the packet filter has no random numbers; it knows IPv4 alone. When the connection has broken,
# nobody reads what the shell says of a child that was ended: if it cared for PIPE, that would be
# its end.
_SCRIPT = f"""
watched=$1 dev=$2 loss=$3 share=$4 spared=$5; shift 5
{_UNDO}
lose() {{
    ours="table inet {TABLE}"
    printf "%s\\n" "$ours" "delete $ours" "$ours {{" \
        "chain output {{" "type filter hook output priority 0; policy accept;" "$spared" \
        "oifname \\"$dev\\" $share drop" "}}" "}}" \
        | nft -f - && return
    iptables -w -A OUTPUT -o "$dev" -m statistic --mode random --probability "$loss" \
        -m comment --comment {COMMENT} -j DROP
}}
trap "" PIPE
trap "undo; exit 0" TERM INT HUP
echo $$ > "$note"
fail() {{ undo; exit 9; }}
if [ $# -gt 0 ]; then tc qdisc replace dev "$dev" root handle {HANDLE} "$@" || fail; fi
if [ -n "$loss" ]; then lose || fail; fi
exec >/dev/null 2>&1
while [ -d "/proc/$watched" ]; do sleep 0.5 & wait $!; done
undo
"""

# Runs the script, by sudo if need be: who isn't root can't end what sudo runs, nor can a sweep find
# it, so it watches this shell instead, which can be ended.
_WATCHED = """
how=$1 script=$2; shift 2
set -- env -u FIELDLAB_MARK sh -c "$script" fieldlab-noise $$ "$@"
[ "$how" = root ] || set -- sudo -n "$@"
"$@" & wait $!
"""

# Its own end undoes it; what a kill left is undone here.
_CLEAR = f"""
dev=$1
{_UNDO}
read -r made < "$note" && kill -TERM "$made" && while [ -d "/proc/$made" ]; do sleep 0.05; done
undo
"""


async def clear(host: Host) -> None:
    """Take away noise that is still there although nothing that made it runs any more."""
    device = host.spec.interface
    if not device:
        return
    note = f"/run/fieldlab-noise.{device}"
    there = await host.run(Command(argv=("test", "-e", note), timeout_s=10))
    if there.exit.ok:
        root = (await _login(host)).root
        await host.run(Command(argv=(*root, "sh", "-c", _CLEAR, COMMENT, device), timeout_s=30))


async def can_netem(host: Host) -> bool:
    """Whether the host's kernel has netem; tried on an interface that is made for it."""
    root = (await _login(host)).root
    tried = await host.run(Command(argv=(*root, "sh", "-c", _TRY), timeout_s=10))
    return tried.exit.ok


_TRY = """
link=fltry$$
ip link add "$link" type dummy || exit
tc qdisc add dev "$link" root netem delay 1ms; code=$?
ip link del "$link"
exit $code
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Login:
    """How this program stands on a host."""

    #: words in front of a command that needs to be root
    root: tuple[str, ...]
    #: the packet filter's words for what goes to this program; "" if that isn't known
    spared: str


async def _login(host: Host) -> _Login:
    ran = await host.run(Command(argv=("sh", "-c", 'id -u; echo "$SSH_CONNECTION"'), timeout_s=10))
    who, _, connection = ran.stdout.decode(errors="replace").partition("\n")
    return _Login(root=() if who.strip() == "0" else ("sudo", "-n"), spared=_spared(connection))


def _spared(connection: str) -> str:
    """Write the rule for answers to this program, from sshd's SSH_CONNECTION (ssh(1))."""
    words = connection.split()
    try:
        address, port = ipaddress.ip_address(words[0].partition("%")[0]), int(words[3])
    except (IndexError, ValueError):
        return ""
    family = "ip" if address.version == 4 else "ip6"
    return f"{family} daddr {address} tcp sport {port} accept"


async def command_for(host: Host, noise: Noise, *, netem: bool) -> Command:
    """Make the command that applies noise on a host until it is ended.

    Raises
    ------
    BadInput
        The host can't do it.
    """
    check_can(host.spec, noise, netem=netem)
    loss = share = ""
    if netem:
        words = ("netem", *noise.netem())
    else:
        if noise.loss_percent:
            loss = f"{noise.loss_percent / 100:.6f}"
            lost = round(noise.loss_percent / 100 * _SHARES)
            # the packet filter takes no comparison that is always true
            share = f"numgen random mod {_SHARES} < {lost}" if lost < _SHARES else ""
        words = (
            ("tbf", "rate", noise.rate, "burst", BURST, "latency", LATENCY) if noise.rate else ()
        )
    login = await _login(host)
    given = (host.spec.interface, loss, share, login.spared, *words)
    how = "sudo" if login.root else "root"
    return Command(argv=("sh", "-c", _WATCHED, COMMENT, how, _SCRIPT, *given))


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
        shown = await host.run(Command(argv=("sh", "-c", _SHOW, COMMENT, device), timeout_s=10))
        if not _has_ours(shown.stdout, "netem" if netem else "tbf"):
            return False
    if noise.loss_percent and not netem:
        argv = (*(await _login(host)).root, "sh", "-c", _SEE)
        return (await host.run(Command(argv=argv, timeout_s=10))).exit.ok
    return True


# who isn't root may not have the system's programs on the PATH
_SHOW = 'PATH=$PATH:/usr/sbin:/sbin exec tc -j qdisc show dev "$1"'

_SEE = f"""
nft list table inet {TABLE} >/dev/null 2>&1 && exit
iptables -w -S OUTPUT | grep -q {COMMENT}
"""


def _has_ours(shown: bytes, kind: str) -> bool:
    try:
        found: list[dict[str, Any]] = json.loads(shown or b"[]")
    except ValueError:
        return False
    return any(each.get("kind") == kind and each.get("handle") == HANDLE for each in found)
