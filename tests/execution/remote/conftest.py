"""Campaigns on the hosts of a sandbox."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fieldlab.app import Lab
from fieldlab.sandbox import Sandbox
from fieldlab.sandbox.fixtures import sandbox_fixture
from fieldlab.settings import Settings
from tests.execution.remote.rehearsal import Rehearsal

virtual = sandbox_fixture(hosts=3, roles=["pub", "sub"], reboot_s=1.0, scope="session")


@pytest.fixture
def rehearsal(folder: Path, database_url: str, virtual: Sandbox) -> Iterator[Rehearsal]:
    virtual.clear()
    site = replace(virtual.site(), patience_s=3.0)
    settings = Settings(home=folder / "lab", database=database_url, sites={"sandbox": site})
    lab = Lab(settings)
    yield Rehearsal(lab, folder, virtual)
    lab.close()
    virtual.clear()
