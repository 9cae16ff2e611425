"""Which engines are alive: this process as an engine, and the signs of others."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from pathlib import Path

import psutil

from fieldlab.domain.ids import uuid7
from fieldlab.ports.store import CampaignStore, Engine, EngineSign

#: an engine says that it lives this often, s
HEARTBEAT_S = 2.0
#: one that has been silent for so long is taken for dead, s
SILENCE_S = 30.0
#: start times of one process, asked twice, differ by less, s
_SAME_START_S = 1.0


def this_engine(slots: int) -> Engine:
    """Describe the engine that this process is about to be."""
    return Engine(
        id=uuid7(),
        host=socket.gethostname(),
        pid=os.getpid(),
        process_started=start_of(os.getpid()),
        slots=slots,
    )


def is_dead(sign: EngineSign) -> bool:
    """Whether an engine can be taken over from.

    On this machine the process table tells at once; another machine's engine has to be silent for
    a while.
    """
    engine = sign.engine
    if engine.host != socket.gethostname():
        return sign.silent_s > SILENCE_S
    try:
        same = abs(start_of(engine.pid) - engine.process_started) < _SAME_START_S
        return not same or psutil.Process(engine.pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
    except psutil.AccessDenied:
        return sign.silent_s > SILENCE_S


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
