"""Machines for the tests: sshd here."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from fieldlab.hosts.ssh import SshHost
from tests.hosts.sshd import Sshd, require_programs

T = TypeVar("T")


@pytest.fixture(scope="session")
def shared_sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """Share a server among tests that leave it as it is."""
    require_programs()
    server = Sshd(tmp_path_factory.mktemp("sshd") / "server")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Sshd]:
    """Have a server of one's own, to cut and to change."""
    require_programs()
    server = Sshd(tmp_path / "sshd")
    server.start()
    yield server
    server.stop()


def play(server: Sshd, act: Callable[[SshHost], Awaitable[T]], **changes: object) -> T:
    """Open the host, do something with it, and close it."""

    async def acted() -> T:
        host = SshHost(server.spec(**changes), server.site())
        try:
            return await act(host)
        finally:
            await host.close()

    return asyncio.run(acted())
