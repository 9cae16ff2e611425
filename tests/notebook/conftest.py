"""Labs to read, on either database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fieldlab.app import Lab
from fieldlab.notebook.reading import LabReader
from fieldlab.settings import Settings
from tests.cli.program import end_all


@pytest.fixture(autouse=True)
def _nothing_left_running() -> Iterator[None]:
    """End the programs that a failed test left behind."""
    yield
    end_all()


@pytest.fixture
def lab(folder: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    """Have an empty lab, which programs that are started here use too."""
    monkeypatch.setenv("FIELDLAB_DATABASE", database_url)
    made = Lab(Settings(home=folder / ".fieldlab", database=database_url))
    yield made
    made.close()


@pytest.fixture
def reader(lab: Lab) -> LabReader:
    return LabReader(lab)


@pytest.fixture
def here(folder: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in the folder of a lab on either database, for scripts and commands as well."""
    monkeypatch.setenv("FIELDLAB_HOME", str(folder / "lab"))
    monkeypatch.setenv("FIELDLAB_DATABASE", database_url)
    return folder
