"""Waiting for what others bring about: other processes, threads, tasks."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Callable

#: how long a test waits for something that must happen, s
PATIENCE_S = 60.0
#: nothing tells of what other processes do: so often it is looked, s
LOOK_S = 0.01


def wait_until(
    holds: Callable[[], object],
    what: str,
    process: subprocess.Popen[str] | None = None,
) -> None:
    """Wait until something holds, as long as the ``process`` that brings it about runs.

    Raises
    ------
    AssertionError
        It doesn't within PATIENCE_S, or the process has ended before.
    """
    end = time.monotonic() + PATIENCE_S
    while not holds():
        if process is not None and process.poll() is not None:
            raise AssertionError(f"ended before {what}: {process.communicate()}")
        assert time.monotonic() < end, f"waited in vain: {what}"
        time.sleep(LOOK_S)


async def until(holds: Callable[[], object], what: str) -> None:
    """Wait until something holds, while the other tasks go on.

    Raises
    ------
    AssertionError
        It doesn't within PATIENCE_S.
    """
    end = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end, f"waited in vain: {what}"
        await asyncio.sleep(LOOK_S)
