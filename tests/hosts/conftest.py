"""Machines for the tests of hosts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sshd import Sshd, require_programs


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Sshd]:
    """Have a server of one's own, to cut and to change."""
    require_programs()
    server = Sshd(tmp_path / "sshd")
    server.start()
    yield server
    server.stop()
