"""Fixtures for pytest: ``pytest_plugins = ["fieldlab.sandbox.fixtures"]`` gives ``sandbox``.

A test that needs other hosts makes a fixture of its own::

    bench = sandbox_fixture(hosts=2, roles=["pub", "sub"])

Each process of pytest-xdist has its own sandbox. All of it ends with that process, even if that is
killed. Where a sandbox can't run, tests are skipped and say what is missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest

from fieldlab.sandbox import needs
from fieldlab.sandbox.handle import Sandbox

#: so many hosts has the sandbox that tests share
_HOSTS = 4


def require_sandbox() -> None:
    """Skip the test where a sandbox can't run."""
    what, remedy = needs.missing()
    if what:
        pytest.skip(f"{what}: {remedy}")


def sandbox_fixture(
    hosts: int = _HOSTS,
    *,
    roles: Sequence[str] = (),
    disk: str = "256M",
    reboot_s: float = 3.0,
    shared: Sequence[Path] = (),
    scope: Literal["session", "package", "module", "class", "function"] = "module",
) -> Any:
    """Make a fixture of a sandbox; see :meth:`fieldlab.sandbox.Sandbox.up`."""

    @pytest.fixture(scope=scope)
    def made() -> Iterator[Sandbox]:
        require_sandbox()
        with Sandbox.up(hosts, roles=roles, disk=disk, reboot_s=reboot_s, shared=shared) as sandbox:
            yield sandbox

    return made


sandbox_of_session = sandbox_fixture(scope="session")


@pytest.fixture
def sandbox(sandbox_of_session: Sandbox) -> Iterator[Sandbox]:
    """Have four hosts, h1 to h4; faults are cleared after each test, what lies on disks stays."""
    sandbox_of_session.clear()
    yield sandbox_of_session
    sandbox_of_session.clear()
