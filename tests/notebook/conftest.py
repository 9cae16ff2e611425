"""Labs in which something has been recorded, on either database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fieldlab.app import Lab
from fieldlab.settings import Settings


@pytest.fixture
def lab(folder: Path, database_url: str) -> Iterator[Lab]:
    made = Lab(Settings(home=folder / ".fieldlab", database=database_url))
    yield made
    made.close()
