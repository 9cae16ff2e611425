"""Whole campaigns on one lab, and what its database and spreadsheet say of them afterwards."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fieldlab.app import Lab
from fieldlab.domain.definition import Definition, ExecutorSpec, ToolSpec
from fieldlab.domain.policies import FailureGuard, RetryPolicy
from fieldlab.domain.trials import CampaignState
from fieldlab.engine.sheet import COLUMNS
from fieldlab.ports.store import Campaign
from tests.store import books
from tests.store.staging import attempts_of, results_of, trials_of

OFF = FailureGuard(consecutive_failures=0)
DOUBLE = "def work(x):\n    return {'y': 2 * x}\n"
TEN = {"matrix": {"x": {"range": [1, 10]}}}
#: fails as long as there is a file of that name
BREAKABLE = """
import pathlib
def work(x):
    if pathlib.Path(f"break{x}").exists():
        raise ValueError(f"{x} is broken")
    return {"y": x}
"""


@dataclass(slots=True)
class Bench:
    """A lab in a folder, with definitions that call a function of one file."""

    lab: Lab
    folder: Path

    def define(
        self,
        source: str,
        space: Mapping[str, Any],
        *,
        slots: int = 2,
        retry: RetryPolicy | None = None,
        guard: FailureGuard = OFF,
        timeout_s: float = 0.0,
        tool: ToolSpec | None = None,
    ) -> Definition:
        """Define the experiment `probe`, with ``work`` in study.py unless another tool is given."""
        (self.folder / "study.py").write_text(source)
        return Definition(
            name="probe",
            tool=tool or ToolSpec(kind="function", options={"call": "study.py:work"}),
            space=space,
            executor=ExecutorSpec(slots=slots),
            retry=retry or RetryPolicy(),
            guard=guard,
            timeout_s=timeout_s,
            folder=str(self.folder),
        )

    def finish(self, definition: Definition) -> Campaign:
        """Run a definition's campaign until it is finished; the books must balance."""
        campaign = self.lab.run(self.lab.start(definition)).campaign
        assert campaign.state is CampaignState.FINISHED
        self.check(campaign)
        return campaign

    def check(self, campaign: Campaign) -> None:
        """Fail unless database and spreadsheet tell one story, and nothing is held any more."""
        store = self.lab.store
        books.check(store, campaign.id)
        assert not store.live_engines(campaign.id)
        assert self.sheet(campaign) == self.ended(campaign)

    def trials(self, campaign: Campaign) -> dict[int, dict[str, Any]]:
        """Read the rows of the trials, by position."""
        return trials_of(self.lab.store, campaign)

    def attempts(self, campaign: Campaign) -> list[dict[str, Any]]:
        """Read the rows of the attempts, by trial and number."""
        return attempts_of(self.lab.store, campaign)

    def results(self, campaign: Campaign) -> list[dict[str, Any]]:
        """Read the rows of the experiment's results."""
        return results_of(self.lab.store, campaign)

    def sheet(self, campaign: Campaign) -> list[dict[str, str]]:
        """Read the status spreadsheet."""
        with self.lab.settings.sheet(campaign.name).open(newline="") as file:
            return list(csv.DictReader(file))

    def ended(self, campaign: Campaign) -> list[dict[str, str]]:
        """Read from the database what the spreadsheet should hold, but for the trials' names."""
        sheet = self.sheet(campaign)
        rows = []
        for number, each in enumerate(self.lab.store.ended_attempts(campaign.id, 0)):
            name = sheet[number]["test_name"] if number < len(sheet) else ""
            values = (each.started_at, each.ended_at, name, str(each.pings), str(each.ssh_checks))
            status = " ".join(each.status.split())
            rows.append(dict(zip(COLUMNS, (*values, status, str(each.number)), strict=True)))
        return rows
