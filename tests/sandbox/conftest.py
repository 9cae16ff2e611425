"""A sandbox that the tests of a file share, without faults at the start of each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fieldlab.sandbox import Sandbox
from fieldlab.sandbox.fixtures import require_sandbox, sandbox_fixture

sandbox_of_file = sandbox_fixture(3, roles=["pub", "sub"], disk="16M", reboot_s=0.3)


@pytest.fixture
def bench(sandbox_of_file: Sandbox) -> Iterator[Sandbox]:
    """Have three hosts, h1 to h3."""
    sandbox_of_file.clear()
    yield sandbox_of_file
    sandbox_of_file.clear()


@pytest.fixture
def can_run() -> None:
    """Skip what needs a sandbox of its own where none can run."""
    require_sandbox()
