"""Small campaigns, and engines whose every step the test takes by hand."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from fieldlab.domain.definition import Definition, ToolSpec
from fieldlab.domain.ids import canonical, fingerprint, uuid7
from fieldlab.domain.policies import FailureGuard, RetryPolicy
from fieldlab.domain.trials import CampaignState, FailureClass, TrialState
from fieldlab.ports.executor import AttemptRecord, Outcomes, Running, Shape
from fieldlab.ports.store import Campaign, Engine, Lease, Recording, Work
from fieldlab.store import bus_tables, tables
from fieldlab.store.sql_store import SqlStore

#: types of result values, as an executor names them
TYPES = {bool: "boolean", int: "integer", float: "real", str: "text", type(None): ""}

_starts = itertools.count(1)


def definition(
    name: str = "probe",
    *,
    points: int = 10,
    function: str = "probe:measure",
    attempts: int = 1,
    infrastructure_attempts: int = 10,
    delay_s: float = 0.0,
    consecutive_failures: int = 0,
    description: str = "",
    project: str = "",
) -> Definition:
    """Define an experiment with one parameter, x = 0, 1, 2 …"""
    return Definition(
        name=name,
        tool=ToolSpec(kind="function", options={"function": function}),
        space={"matrix": {"x": {"range": [0, points - 1]}}},
        retry=RetryPolicy(
            attempts=attempts, infrastructure_attempts=infrastructure_attempts, delay_s=delay_s
        ),
        guard=FailureGuard(consecutive_failures=consecutive_failures),
        description=description,
        project=project,
    )


def created(
    store: SqlStore,
    defined: Definition | None = None,
    *,
    positions: int | None = 10,
    wanted: int | None = None,
) -> Campaign:
    """Make a campaign that nobody has started."""
    return store.ensure_campaign(
        defined or definition(points=positions or 10),
        positions=positions,
        wanted=wanted,
        actor="tester",
    )


def running(
    store: SqlStore,
    defined: Definition | None = None,
    *,
    positions: int | None = 10,
    wanted: int | None = None,
) -> Campaign:
    """Make a campaign whose trials engines may take."""
    campaign = created(store, defined, positions=positions, wanted=wanted)
    if campaign.state is CampaignState.RUNNING:
        return campaign
    return store.change_state(campaign.id, CampaignState.RUNNING, by="tester", why="")


@dataclass(slots=True)
class HeldTrial:
    """A trial that an engine may run."""

    trial_id: int
    number: int
    begun: bool


@dataclass(slots=True)
class HandEngine:
    """An engine that does only what the test tells it, and may forget or repeat itself.

    A trial's point is ``{"x": position + shift}``, so campaigns with different shifts overlap.
    """

    store: SqlStore
    campaign: Campaign
    shift: int = 0
    id: str = field(default_factory=uuid7)
    held: dict[int, HeldTrial] = field(default_factory=dict)
    leases: dict[int, Lease] = field(default_factory=dict)
    open: dict[int, set[int]] = field(default_factory=dict)
    excluded: dict[int, int] = field(default_factory=dict)
    skipped: dict[int, int] = field(default_factory=dict)
    ended: list[Outcomes] = field(default_factory=list)
    _ids: dict[int, int] = field(default_factory=dict)
    _begun: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.store.enlist(
            self.campaign.id,
            Engine(id=self.id, host="bench", pid=next(_starts), process_started=1.5, slots=2),
        )

    def acquire(self, positions: int = 100, retries: int = 100) -> Work:
        """Take work and remember it."""
        work = self.store.acquire(self.campaign.id, self.id, positions, retries)
        for lease in work.leases:
            self.leases[lease.id] = lease
            self.open[lease.id] = set(range(lease.start, lease.stop)) - lease.recorded
            for position in self.open[lease.id]:
                trial_id = lease.first_id + position - lease.start
                self.held[position] = HeldTrial(trial_id, 1, False)
        for retry in work.retries:
            self.held[retry.position] = HeldTrial(retry.trial_id, retry.number, True)
        return work

    def begin(self, *positions: int) -> set[int]:
        """Say that first attempts run; the positions that the store has as running now."""
        running = [
            (
                Running(batch=1, position=each, number=1, started=time.time()),
                self.held[each].trial_id,
                fingerprint(self.point(each), 1),
                canonical(self.point(each)),
                1,
            )
            for each in positions
        ]
        begun = self.store.begin(self.campaign.id, self.id, running)
        there = {each for each in positions if self.held[each].trial_id in begun}
        for each in there:
            self.held[each].begun = True
        return there

    def point(self, position: int) -> dict[str, Any]:
        """Say which parameters the trial at a position has."""
        return {"x": position + self.shift}

    def end(
        self,
        *positions: int,
        state: TrialState = TrialState.SUCCEEDED,
        failure: FailureClass | None = None,
        status: str = "",
        error: str = "",
        results: Sequence[Mapping[str, Any]] | None = None,
    ) -> None:
        """Let attempts end; :meth:`record` will record them."""
        if state is TrialState.FAILED and failure is None:
            failure = FailureClass.EXPERIMENT
        for position in positions:
            trial = self.held.pop(position)
            self._ids[position] = trial.trial_id
            if trial.begun:
                self._begun.add(trial.trial_id)
            for lease_id, left in self.open.items():
                lease = self.leases[lease_id]
                if lease.first_id + position - lease.start == trial.trial_id:
                    left.discard(position)
            rows = results if results is not None else [{"y": position * 1.5}]
            self.ended.append(
                outcomes(
                    self.point(position),
                    [] if state is TrialState.FAILED else rows,
                    position=position,
                    number=trial.number,
                    state=state.value,
                    status=status or ("success" if state is TrialState.SUCCEEDED else "ValueError"),
                    failure=failure.value if failure else "",
                    error=error,
                )
            )

    def fail(
        self, *positions: int, failure: FailureClass = FailureClass.EXPERIMENT, status: str = ""
    ) -> None:
        """Let attempts fail."""
        self.end(*positions, state=TrialState.FAILED, failure=failure, status=status)

    def exclude(self, *positions: int) -> None:
        """Find that the space excludes positions."""
        for position in positions:
            self._leave_out(position, self.excluded)

    def skip(self, *positions: int) -> None:
        """Find that an earlier campaign has run positions."""
        for position in positions:
            self._leave_out(position, self.skipped)

    def _leave_out(self, position: int, counts: dict[int, int]) -> None:
        del self.held[position]
        for lease_id, left in self.open.items():
            if position in left:
                left.discard(position)
                counts[lease_id] = counts.get(lease_id, 0) + 1

    def recording(self) -> Recording:
        """Gather what has ended, with the leases that are used up."""
        recording = Recording(
            outcomes=self.ended, trial_ids=dict(self._ids), begun=set(self._begun)
        )
        for lease_id in [lease_id for lease_id, left in self.open.items() if not left]:
            del self.open[lease_id], self.leases[lease_id]
            counts = (self.excluded.pop(lease_id, 0), self.skipped.pop(lease_id, 0))
            recording.finished[lease_id] = counts
        self.ended, self._ids, self._begun = [], {}, set()
        return recording

    def record(self) -> Campaign:
        """Record what has ended."""
        return self.store.record(self.campaign.id, self.id, self.recording())


def outcomes(
    point: Mapping[str, Any],
    results: Iterable[Mapping[str, Any]],
    *,
    position: int,
    number: int = 1,
    state: str = "succeeded",
    status: str = "success",
    failure: str = "",
    error: str = "",
    exit_code: int | None = None,
) -> Outcomes:
    """Write one ended attempt the way an executor delivers it."""
    shapes: list[Shape] = []
    rows: list[tuple[int, Sequence[Any]]] = []
    for result in results:
        full = {**point, **result}
        shape = Shape(tuple(full), tuple(TYPES[type(value)] for value in full.values()))
        if shape not in shapes:
            shapes.append(shape)
        rows.append((shapes.index(shape), list(full.values())))
    now = time.time()
    record = AttemptRecord(
        position=position,
        repeat=1,
        fingerprint=fingerprint(point, 1),
        parameters=canonical(point),
        number=number,
        started=now - 0.001,
        ended=now,
        state=state,
        status=status,
        failure=failure,
        exit_code=exit_code,
        error=error,
        rows=rows,
    )
    return Outcomes(batch=1, shapes=shapes, records=[record], parameters=frozenset(point))


def read(store: SqlStore, query: sa.Select[Any]) -> list[dict[str, Any]]:
    """Run a query; its rows as dictionaries."""
    with store.database.read() as connection:
        return [dict(row) for row in connection.execute(query).mappings()]


def trials_of(store: SqlStore, campaign: Campaign) -> dict[int, dict[str, Any]]:
    """Read the rows of a campaign's trials, by position."""
    trials = tables.trials
    query = sa.select(trials).where(trials.c.campaign_id == campaign.id)
    return {row["position"]: row for row in read(store, query)}


def attempts_of(store: SqlStore, campaign: Campaign) -> list[dict[str, Any]]:
    """Read the rows of a campaign's attempts, by trial and number."""
    attempts = tables.attempts
    query = sa.select(attempts).where(attempts.c.campaign_id == campaign.id)
    return read(store, query.order_by(attempts.c.trial_id, attempts.c.number))


def results_of(store: SqlStore, campaign: Campaign) -> list[dict[str, Any]]:
    """Read the rows of the results table of a campaign's experiment."""
    from fieldlab.store import sql_store

    with store.database.read() as connection:
        query = sql_store.results_of(connection, campaign).select(connection)
        return [dict(row) for row in connection.execute(query).mappings()]


def topics(store: SqlStore) -> list[str]:
    """Read which messages have been sent, the oldest first."""
    messages = bus_tables.messages
    query = sa.select(messages.c.topic).order_by(messages.c.created_at, messages.c.id)
    return [row["topic"] for row in read(store, query)]
