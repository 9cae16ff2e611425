"""What an attempt over hosts is told, and what is written down of it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fieldlab.domain.noise import Noise
from fieldlab.domain.sites import Health
from fieldlab.execution.remote.care import Held
from fieldlab.execution.remote.surroundings import FOLDER
from fieldlab.execution.remote.trouble import HostTrouble
from fieldlab.execution.runners import one_line
from fieldlab.ports.executor import Step
from fieldlab.ports.host import Host
from fieldlab.ports.tool import Process, Tool

#: a host that was checked less long ago needs no other check, s
FRESH_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """One attempt: what to run, on which hosts, and how."""

    tool: Tool
    held: Held
    point: dict[str, Any]
    repeat: int
    fingerprint: str
    number: int
    #: the attempt's folder here
    folder: Path
    #: folder of the definition
    here: str
    #: files and folders beside the definition that go to every host
    send: tuple[str, ...] = ()
    #: longest time that the processes may take, s; 0: what the tool says
    limit_s: float = 0.0
    noise: Noise = field(default_factory=Noise)
    #: hosts whose kernel has netem
    netem: frozenset[str] = frozenset()
    metrics: bool = False
    #: packs a folder into a file beside it, and removes it
    pack: Callable[[Path], Path] | None = None

    @property
    def mark(self) -> str:
        """Marks its processes and its folders on the hosts."""
        return f"{self.fingerprint}-{self.number}"

    @property
    def first(self) -> str:
        """The host of processes that name none."""
        return next(iter(self.held.hosts))

    def out(self, host: Host) -> str:
        """Name the attempt's folder on a host."""
        return f"{host.spec.directory}/{FOLDER}/{self.mark}"

    def outputs(self, host: str) -> Path:
        """Name the folder here for what comes back from a host."""
        outputs = self.folder / "outputs"
        return outputs / host if len(self.held.hosts) > 1 else outputs

    def printed(self, process: Process, name: str) -> Path:
        """Name the file here for an output of a process."""
        return self.folder / (f"{process.name}.{name}" if process.name else name)


@dataclass(slots=True)
class Contact:
    """What is known of a host's connection, kept from attempt to attempt."""

    #: monotonic, s
    checked: float = float("-inf")
    pings: int = 0
    ssh_checks: int = 0
    boot_id: str = ""
    #: what the last look found, until it is written down
    health: Health | None = None
    #: how far its clock is ahead of ours, s
    offset_s: float = 0.0

    @property
    def is_fresh(self) -> bool:
        """Whether it was made sure a moment ago that the host answers."""
        return time.monotonic() - self.checked < FRESH_S


Contacts = Mapping[str, Contact]


class Diary:
    """Writes down what is done, step by step."""

    def __init__(self) -> None:
        self.steps: list[Step] = []

    @asynccontextmanager
    async def step(self, name: str) -> AsyncIterator[list[str]]:
        """Write a step down with its duration; what is put into the list is its note."""
        began, clock = time.time(), time.monotonic()
        notes: list[str] = []
        try:
            yield notes
        except BaseException as error:
            said = str(error) if isinstance(error, HostTrouble) else one_line(error)
            notes.append(f"failed: {said}")
            raise
        finally:
            self.steps.append(Step(name, began, time.monotonic() - clock, "; ".join(notes)))
