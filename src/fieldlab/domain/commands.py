"""Processes as data: an argument vector, never a shell string."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One process to start."""

    argv: tuple[str, ...]
    #: added to the environment that the process inherits
    environment: Mapping[str, str] = field(default_factory=dict)
    directory: str = "."
    #: 0 has no limit
    timeout_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitStatus:
    """How a process ended."""

    #: exit code, or the negative number of the signal that ended it
    code: int
    duration_s: float = 0.0
    timed_out: bool = False

    @property
    def ok(self) -> bool:
        """Whether it ended by itself with exit code 0."""
        return self.code == 0 and not self.timed_out

    def __str__(self) -> str:
        if self.timed_out:
            return f"stopped at its time limit after {self.duration_s:.1f} s"
        return describe_exit(self.code)


def describe_exit(code: int) -> str:
    """Say in words how a process ended: ``exit code 3``, ``killed by SIGSEGV``."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
