"""Looking at machines: ping, what they say of themselves, and whether they reach each other."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Mapping, Sequence

import tenacity

from fieldlab.domain.commands import Command
from fieldlab.domain.errors import FieldlabError, sentences
from fieldlab.domain.sites import Health, HostSpec
from fieldlab.hosts.channels import Conversation
from fieldlab.hosts.links import Links
from fieldlab.hosts.remote_script import folder_name
from fieldlab.ports.host import Host

#: an answer to a ping is waited for so long, s
_PING_S = 1
#: pings that one machine sends at the same time
_PAIRS_AT_ONCE = 8
#: tries of one machine to reach another one: a packet may be lost
_PAIR_TRIES = 3
_ROUND_TRIP = re.compile(r"time[=<]([0-9.]+) ?ms")
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)+[^\s,;]*|[0-9]+")

#: makes the folder as a command does, and one in it, as attempts do
_TRY_FOLDER = (
    'fl_e=$( { umask 077; mkdir -p -- "$fl_d" && mkdir -- "$fl_d/.fieldlab-look-$$" && '
    'rmdir -- "$fl_d/.fieldlab-look-$$"; } 2>&1 ) || echo "folder $fl_e"; '
)
#: a namespace's own interfaces are in /proc/net/dev; `ip` knows other names of them, too
_TRY_INTERFACE = (
    'fl_n=; while read -r fl_x fl_y; do case $fl_x in *:*) fl_n="$fl_n ${fl_x%%:*}";; esac; '
    'done </proc/net/dev; case "$fl_n " in *" $fl_i "*) ;; '
    '*) [ -z "$fl_i" ] || ip link show dev "$fl_i" >/dev/null 2>&1 || '
    "echo interface there are$fl_n;; esac; "
)
#: two lines name the folder and the interface, in octal; it answers in lines "word rest"
LOOK = (
    "exec /bin/sh -c 'IFS= read -r fl_d; IFS= read -r fl_i; echo clock $(date +%s.%N); "
    'fl_d=$(printf %b. "$fl_d"); fl_d=${fl_d%.}; fl_i=$(printf %b. "$fl_i"); fl_i=${fl_i%.}; '
    "PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin; "
    f"{_TRY_FOLDER}{_TRY_INTERFACE}"
    "read -r fl_l fl_x </proc/loadavg && echo load $fl_l; "
    "echo processors $(nproc 2>/dev/null || getconf _NPROCESSORS_ONLN); "
    'until [ -e "$fl_d" ]; do case $fl_d in */*) fl_d=${fl_d%/*}; fl_d=${fl_d:-/};; '
    "*) fl_d=.;; esac; done; "
    'echo disk $(df -Pk -- "$fl_d" | tail -n 1); '
    "echo kernel $(uname -r); "
    '[ -r /etc/os-release ] && ( . /etc/os-release; echo system "$PRETTY_NAME" ); '
    "echo rsync $(rsync --version 2>/dev/null | head -n 1); "
    "echo python3 $(python3 --version 2>/dev/null); "
    "echo setsid $(command -v setsid); "
    "fl_n=; if command -v tc >/dev/null; then "
    "[ -d /sys/module/sch_netem ] || modprobe -nq sch_netem 2>/dev/null && fl_n=yes; fi; "
    "echo netem $fl_n'"
)
_VERSIONS = ("kernel", "system", "rsync", "python3", "setsid", "netem")
#: of these only the number counts
_NUMBERED = frozenset({"rsync", "python3"})


async def ping(address: str, tries: int) -> tuple[int, float | None]:
    """Ping an address from here; see :meth:`fieldlab.ports.host.Host.ping`."""
    if shutil.which("ping") is None:
        return 0, None
    retrying = tenacity.AsyncRetrying(
        stop=tenacity.stop_after_attempt(max(tries, 1)),
        retry=tenacity.retry_if_result(lambda trip: trip is None),
        retry_error_callback=lambda _: None,
    )
    trip: float | None = await retrying(_ping_once, address)
    return int(retrying.statistics["attempt_number"]), trip


async def _ping_once(address: str) -> float | None:
    process = await asyncio.create_subprocess_exec(
        *ping_argv(address),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(_PING_S + 4):  # a name server may take its time
            said, _ = await process.communicate()
    except BaseException as error:
        if process.returncode is None:
            process.kill()
            await process.wait()
        if isinstance(error, TimeoutError):
            return None
        raise
    return _round_trip(said) if process.returncode == 0 else None


def ping_argv(address: str) -> tuple[str, ...]:
    """Write the command of one ping."""
    return ("ping", "-c", "1", "-W", str(_PING_S), "-n", "--", address)


def _round_trip(said: bytes) -> float | None:
    found = _ROUND_TRIP.search(said.decode(errors="replace"))
    return float(found[1]) if found else None


async def look(spec: HostSpec, links: Links) -> Health:
    """Look at a host; see :meth:`fieldlab.ports.host.Host.health`."""
    pinging = asyncio.ensure_future(ping(spec.address, 3))
    try:
        try:
            talk = await links.ask(LOOK, look_lines(spec))
        except FieldlabError as error:
            return Health(ping_ms=(await pinging)[1], ssh_error=str(error))
        return _health(spec, talk, links.boot_id, (await pinging)[1])
    finally:
        pinging.cancel()


def look_lines(spec: HostSpec) -> bytes:
    """Say to :data:`LOOK` what to look at."""
    texts = folder_name(spec.directory), spec.interface
    lines = [b"".join(b"\\0%03o" % byte for byte in text.encode()) for text in texts]
    return b"".join(line + b"\n" for line in lines)


def _free_bytes(said: str) -> int | None:
    """Read a line of `df`; what has no blocks at all, such as /proc, doesn't say."""
    _, blocks, _, free, *_ = [*said.split(), "", "", "", ""]
    return int(free) * 1024 if free.isdigit() and blocks != "0" else None


def _folder_error(spec: HostSpec, said: str | None) -> str:
    if said is None:
        return ""
    return sentences(
        f"No folder can be made in {spec.directory}: {said or 'nobody says why'}",
        "Correct `directory` of the host, or give its user the right to make it",
    )


def _interface_error(spec: HostSpec, said: str | None) -> str:
    if said is None:
        return ""
    return sentences(
        f"It has no interface '{spec.interface}'; {said}", "Correct `interface` of the host"
    )


def _health(spec: HostSpec, talk: Conversation, boot_id: str, ping_ms: float | None) -> Health:
    said: dict[str, str] = {}
    for line in talk.stdout.kept.decode(errors="replace").splitlines():
        word, _, rest = line.partition(" ")
        said.setdefault(word, rest.strip())
    clock, load, processors = (said.get(each, "") for each in ("clock", "load", "processors"))
    middle = (talk.asked + talk.first_heard) / 2
    return Health(
        ping_ms=ping_ms,
        folder_error=_folder_error(spec, said.get("folder")),
        interface_error=_interface_error(spec, said.get("interface")),
        boot_id=boot_id,
        free_bytes=_free_bytes(said.get("disk", "")),
        clock_offset_s=float(clock) - middle if re.fullmatch(r"[0-9.]+", clock) else None,
        load=float(load) if re.fullmatch(r"[0-9.]+", load) else None,
        processors=int(processors) if processors.isdigit() else None,
        versions={name: _version(name, said.get(name, "")) for name in _VERSIONS},
    )


def _version(name: str, text: str) -> str:
    found = _NUMBER.search(text) if name in _NUMBERED else None
    return found[0] if found else text


async def reachability(
    hosts: Mapping[str, Host] | Sequence[Host],
) -> dict[tuple[str, str], float | None]:
    """Ping each host from each other one.

    Returns
    -------
    dict
        (name of the one that pings, name of the other) → round trip in ms, None: no answer.
    """
    all_hosts = list(hosts.values() if isinstance(hosts, Mapping) else hosts)
    pairs = [(a, b) for a in all_hosts for b in all_hosts if a is not b]
    turns = {host.spec.name: asyncio.Semaphore(_PAIRS_AT_ONCE) for host in all_hosts}

    async def one(a: Host, b: Host) -> float | None:
        async with turns[a.spec.name]:
            for _ in range(_PAIR_TRIES):
                if (trip := await _from_there(a, b.spec)) is not None:
                    return trip
            return None

    trips = await asyncio.gather(*(one(a, b) for a, b in pairs))
    return {(a.spec.name, b.spec.name): trip for (a, b), trip in zip(pairs, trips, strict=True)}


async def _from_there(host: Host, other: HostSpec) -> float | None:
    try:
        ran = await host.run(Command(argv=ping_argv(other.address), timeout_s=_PING_S + 4))
    except FieldlabError:
        return None
    return _round_trip(ran.stdout) if ran.exit.ok else None
