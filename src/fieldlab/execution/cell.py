"""What a worker is doing right now, in memory that it shares with its engine.

The engine reads it when a worker has died (which trial was it running?) and once in a while to
record long trials as running and to keep their time limit. No message could tell as much: a worker
that crashes sends none, and one per trial would cost more than a small trial does.
"""

from __future__ import annotations

import mmap
import os
import struct
import tempfile
from time import monotonic  # bound here: a function under test may replace time.monotonic

_TRIAL = struct.Struct("=qdd")
_GROUP = struct.Struct("=q")
_FLAG_AT = _TRIAL.size + _GROUP.size
_LARGEST_PID = 2**31
#: no trial runs
IDLE = -1


class Cell:
    """One page of shared memory: the trial's place in its batch, its start, its process group."""

    def __init__(self, descriptor: int) -> None:
        self._memory = mmap.mmap(descriptor, mmap.PAGESIZE)

    @classmethod
    def create(cls) -> tuple[Cell, int]:
        """Make a cell; the descriptor of its file is for the worker."""
        with tempfile.TemporaryFile() as file:
            file.truncate(mmap.PAGESIZE)
            descriptor = os.dup(file.fileno())
        cell = cls(descriptor)
        cell.leave()
        return cell, descriptor

    def enter(self, ordinal: int, started: float) -> None:
        """Say which trial of the batch begins, and when (Unix time, s)."""
        _TRIAL.pack_into(self._memory, 0, ordinal, started, monotonic())

    def leave(self) -> None:
        """Say that no trial runs."""
        _TRIAL.pack_into(self._memory, 0, IDLE, 0.0, 0.0)

    def trial(self) -> tuple[int, float]:
        """Read the place of the running trial in its batch (or IDLE), and when it began."""
        ordinal, started, _ = _TRIAL.unpack_from(self._memory, 0)
        return ordinal, started

    def running_s(self) -> float:
        """Tell how long the trial has been running, however the clock was set; 0 if none runs."""
        ordinal, _, since = _TRIAL.unpack_from(self._memory, 0)
        return 0.0 if ordinal == IDLE else monotonic() - since

    @property
    def group(self) -> int:
        """The process group of the command that runs, or 0."""
        number: int = _GROUP.unpack_from(self._memory, _TRIAL.size)[0]
        return number if 1 < number < _LARGEST_PID else 0  # a trial can have written anything

    @group.setter
    def group(self, number: int) -> None:
        _GROUP.pack_into(self._memory, _TRIAL.size, number)

    @property
    def draining(self) -> bool:
        """Whether the worker is to start no further trial."""
        return self._memory[_FLAG_AT] != 0

    @draining.setter
    def draining(self, wanted: bool) -> None:
        self._memory[_FLAG_AT] = int(wanted)

    def close(self) -> None:
        """Give the memory back."""
        self._memory.close()
