"""Campaigns on virtual hosts, and what is true of them and of the hosts afterwards."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from fieldlab.app import Ended, Lab
from fieldlab.domain.definition import Definition, ExecutorSpec, ToolSpec
from fieldlab.domain.policies import FailureGuard, RetryPolicy
from fieldlab.ports.ledger import HostStanding
from fieldlab.ports.store import Campaign
from fieldlab.sandbox import Sandbox
from fieldlab.store.holding import SqlHostLedger
from tests.store import books
from tests.store.staging import attempts_of, results_of
from tests.waiting import wait_until

TEN = {"matrix": {"x": {"range": [1, 10]}}}
#: writes a file beside what it prints, and takes as long as the point says
WRITES = ["sh", "-c", "echo {x} > {out}/file; sleep {s}; printf 'y=%s\\n' {x}"]
READ = {"format": "regex", "values": {"y": "y=(.+)"}, "file": ""}


@dataclass(slots=True)
class Rehearsal:
    """A lab whose site is a sandbox."""

    lab: Lab
    folder: Path
    sandbox: Sandbox
    #: what people were told
    told: list[str] = field(default_factory=list)

    def define(
        self,
        argv: list[str],
        space: Mapping[str, Any] | None = None,
        *,
        name: str = "probe",
        tool: ToolSpec | None = None,
        retry: RetryPolicy | None = None,
        guard: int = 0,
        timeout_s: float = 0.0,
        noise: Mapping[str, Any] | None = None,
        read: Mapping[str, Any] | None = None,
        slots: int = 0,
        **executor: Any,
    ) -> Definition:
        """Define an experiment that runs a command on the sandbox's hosts."""
        options = {"argv": argv, "read": read}
        return Definition(
            name=name,
            tool=tool or ToolSpec(kind="command", options=options),
            space=space or TEN,
            executor=ExecutorSpec(kind="ssh", slots=slots, options={"site": "sandbox", **executor}),
            retry=retry or RetryPolicy(),
            guard=FailureGuard(consecutive_failures=guard),
            timeout_s=timeout_s,
            noise=noise or {},
            folder=str(self.folder),
        )

    def run(self, definition: Definition, **how: Any) -> Ended:
        """Run a definition's campaign; the books must balance, and the hosts be clean."""
        ended = self.lab.run(self.lab.start(definition), on_trouble=self.told.append, **how)
        self.check(ended.campaign)
        return ended

    def begin(self, definition: Definition) -> Begun:
        """Begin to run a definition's campaign in the background."""
        return Begun(self, self.lab.start(definition))

    def check(self, campaign: Campaign) -> None:
        """Fail unless the database is sound, nothing is held, and nothing is left on any host."""
        books.check(self.lab.store, campaign.id)
        assert not self.lab.store.live_engines(campaign.id)
        assert [each.name for each in self.standing() if each.engine_id] == []
        for host in self.sandbox.hosts:
            if host.state == "up":
                wait_until(partial(self._is_clean, host.name), "nothing is left there")

    def _is_clean(self, host: str) -> bool:
        return not self.left_on(host)

    def runs_on(self, host: str) -> bool:
        """Whether something of fieldlab runs on a host."""
        return any("/proc/" in each for each in self.left_on(host))

    def left_on(self, host: str) -> list[str]:
        """List what of fieldlab runs or lies on a host."""
        argv = ["sh", "-c", "grep -lz ^FIELDLAB_MARK= /proc/[0-9]*/environ 2>/dev/null; ls -A"
                " /experiments/.fieldlab 2>/dev/null; true"]  # fmt: skip
        ran = self.sandbox.run(host, argv)
        return ran.stdout.split()

    def standing(self) -> list[HostStanding]:
        """Say how the hosts stand."""
        return SqlHostLedger(self.lab.database).standing()

    def attempts(self, campaign: Campaign) -> list[dict[str, Any]]:
        """Read the rows of the attempts, with their steps read."""
        return [
            {**row, "steps": json.loads(row["steps"] or "[]")}
            for row in attempts_of(self.lab.store, campaign)
        ]

    def results(self, campaign: Campaign) -> list[dict[str, Any]]:
        """Read the rows of the experiment's results."""
        return results_of(self.lab.store, campaign)


class Begun:
    """A campaign that runs in a thread."""

    def __init__(self, rehearsal: Rehearsal, campaign: Campaign) -> None:
        self._rehearsal = rehearsal
        self.campaign = campaign
        self.thread = rehearsal.lab.launch(campaign, on_trouble=rehearsal.told.append)

    def until(self, holds: Callable[[Campaign], object], what: str) -> None:
        """Wait until something is true of the campaign."""
        store = self._rehearsal.lab.store
        wait_until(lambda: holds(store.campaign(self.campaign.id)), what)

    def until_told(self, word: str) -> None:
        """Wait until people were told something with this word."""
        wait_until(lambda: any(word in each for each in self._rehearsal.told), f"told of {word}")

    def until_on(self, host: str) -> None:
        """Wait until something runs on a host."""
        wait_until(partial(self._rehearsal.runs_on, host), f"something runs on {host}")

    def end(self) -> Ended:
        """Wait for its end."""
        done: list[Ended] = []
        waiter = threading.Thread(target=lambda: done.append(self.thread.wait()), daemon=True)
        waiter.start()
        waiter.join(90)
        assert done, f"it doesn't end; told: {self._rehearsal.told}"
        self._rehearsal.check(done[0].campaign)
        return done[0]
