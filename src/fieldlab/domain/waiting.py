"""Waiting for an event, but not for ever."""

from __future__ import annotations

import asyncio
import contextlib


async def wait_at_most(seconds: float, event: asyncio.Event) -> None:
    """Wait until an event is set, or for so long, s.

    Not by :func:`asyncio.wait_for`, which in Python 3.11 may swallow a cancellation.
    """
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
