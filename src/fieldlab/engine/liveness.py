"""Which engines and actors are alive: this process, and the signs of others."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psutil

from fieldlab.domain.ids import uuid7
from fieldlab.domain.provenance import Provenance, without_credentials
from fieldlab.ports.store import CampaignStore, Engine, EngineSign

#: an engine says that it lives this often, s
HEARTBEAT_S = 2.0
#: one that has been silent for so long is taken for dead, s
SILENCE_S = 30.0
#: start times of one process, asked twice, differ by less, s
_SAME_START_S = 1.0


class Located(Protocol):
    """What says of which process it is: an engine, or an actor."""

    @property
    def host(self) -> str: ...

    @property
    def pid(self) -> int: ...

    @property
    def process_started(self) -> float:
        """See :func:`start_of`; tells it from later ones of the same number."""
        ...

    @property
    def machine(self) -> str:
        """See :func:`this_machine`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A process of a machine, see :class:`Located`."""

    host: str
    pid: int
    process_started: float
    machine: str


def this_machine() -> str:
    """Name the kernel that runs, and the process numbers that it shows to this process.

    A host's name doesn't tell that much: containers can share one, each with numbers of its own.

    Returns
    -------
    str
        The random id of the kernel's start and the number of the PID namespace (Linux), or nothing.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def this_place() -> Place:
    """Say where this process runs."""
    pid = os.getpid()
    return Place(
        host=socket.gethostname(),
        pid=pid,
        process_started=start_of(pid),
        machine=this_machine(),
    )


def this_engine(
    slots: int, *, user: str = "", provenance: Provenance | None = None, engine_id: str = ""
) -> Engine:
    """Describe the engine that this process is about to be."""
    here = this_place()
    return Engine(
        id=engine_id or uuid7(),
        host=here.host,
        pid=here.pid,
        process_started=here.process_started,
        slots=slots,
        machine=here.machine,
        user=user,
        command_line=tuple(_plain(without_credentials(word)) for word in sys.orig_argv),
        directory=_folder(),
        provenance=provenance,
    )


def _folder() -> str:
    try:
        return _plain(str(Path.cwd()))
    except FileNotFoundError:  # somebody deleted it
        return ""


def _plain(text: str) -> str:
    """Replace bytes that aren't text in this machine's encoding: no database would take them."""
    return text.encode(errors="surrogateescape").decode(errors="replace")


def is_dead(sign: EngineSign) -> bool:
    """Whether an engine can be taken over from."""
    return is_gone(sign.engine, sign.silent_s)


def is_gone(place: Located, silent_s: float) -> bool:
    """Whether a process that gives signs of life has ended.

    On this machine the process table tells at once; on another machine, or in another container, it
    has to be silent for a while.
    """
    elsewhere = place.machine != this_machine() if place.machine else False
    if elsewhere or place.host != socket.gethostname():
        return silent_s > SILENCE_S
    try:
        same = abs(start_of(place.pid) - place.process_started) < _SAME_START_S
        return not same or psutil.Process(place.pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
    except psutil.AccessDenied:
        return silent_s > SILENCE_S


def start_of(pid: int) -> float:
    """Tell when a process began, in s: since the machine started (Linux), or Unix time.

    Since the start of the machine, because a clock that is set must not make a process another one.

    Raises
    ------
    psutil.NoSuchProcess
        There is no such process.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return psutil.Process(pid).create_time()
    # proc(5): the 22nd field, counted behind the program's name, which may hold anything
    return int(stat.rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")


def dead_engines(signs: Iterable[EngineSign]) -> list[str]:
    """List the ids of those that can be taken over from."""
    return [sign.engine.id for sign in signs if is_dead(sign)]


def take_over(store: CampaignStore, campaign_id: int) -> None:
    """Free what dead engines of a campaign held."""
    dead = dead_engines(store.live_engines(campaign_id))
    if dead:
        store.recover(campaign_id, dead)
