"""Doing something with a host, in an event loop of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from fieldlab.hosts.ssh import SshHost
from tests.sshd import Sshd

T = TypeVar("T")


def play(server: Sshd, act: Callable[[SshHost], Awaitable[T]], **changes: object) -> T:
    """Open the host, do something with it, and close it."""

    async def acted() -> T:
        host = SshHost(server.spec(**changes), server.site())
        try:
            return await act(host)
        finally:
            await host.close()

    return asyncio.run(acted())
