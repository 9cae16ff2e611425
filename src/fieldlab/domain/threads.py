"""Calling what blocks, in threads that no process waits for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import TypeVar

T = TypeVar("T")


async def in_daemon_thread(call: Callable[[], T]) -> T:
    """Make a call in a thread of its own and wait for it.

    Unlike those of :func:`asyncio.to_thread`, there are as many as it takes, and one that never
    comes back keeps no other call waiting and no process from ending.
    """
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()

    def run() -> None:
        try:
            outcome = call()
        except BaseException as error:  # noqa: BLE001 - whoever waits gets it
            future.set_exception(error)
        else:
            future.set_result(outcome)

    Thread(target=run, name="fieldlab-handler", daemon=True).start()
    return await asyncio.wrap_future(future)
