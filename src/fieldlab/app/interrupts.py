"""What Ctrl-C and a termination signal do to a long run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol


class Stoppable(Protocol):
    """Something that can end gracefully, or at once."""

    def drain(self) -> None: ...

    def stop(self) -> None: ...


@contextmanager
def interrupts(run: Stoppable, waiting: str, tell: Callable[[str], None]) -> Iterator[list[int]]:
    """Let the first SIGINT or SIGTERM drain a run, and the second stop it.

    Parameters
    ----------
    waiting
        What people are told after the first.
    """
    import asyncio
    import signal

    loop = asyncio.get_running_loop()
    received: list[int] = []

    def interrupt(number: int) -> None:
        received.append(number)
        if len(received) == 1:
            tell(waiting)
            run.drain()
        else:
            run.stop()

    numbers = (signal.SIGINT, signal.SIGTERM)
    for number in numbers:
        loop.add_signal_handler(number, interrupt, number)
    try:
        yield received
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
