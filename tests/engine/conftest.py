"""A lab on either database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fieldlab.app import Lab
from fieldlab.settings import Settings
from tests.engine.campaigning import Bench
from tests.engine.processes import MarkedProcesses


@pytest.fixture
def bench(folder: Path, database_url: str) -> Iterator[Bench]:
    lab = Lab(Settings(home=folder / "lab", database=database_url))
    yield Bench(lab, folder)
    lab.close()


@pytest.fixture
def marked(folder: Path, database_url: str) -> Iterator[MarkedProcesses]:
    """Engines as processes of their own, on the same lab as `bench`."""
    processes = MarkedProcesses(folder / "lab", database_url)
    yield processes
    processes.end()
