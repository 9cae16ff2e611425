"""Recording how attempts ended: one commit for the trials, attempts, results, events and counts."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import sqlalchemy as sa

from fieldlab.domain.trials import AttemptState, CampaignState, FailureClass, TrialState
from fieldlab.ports.executor import AttemptRecord, Circumstances, Outcomes, Running, Shape
from fieldlab.ports.store import Campaign, Recording
from fieldlab.store import tables
from fieldlab.store.bulk import chunks
from fieldlab.store.campaigns import add_counts
from fieldlab.store.results import ResultsTable
from fieldlab.store.transitions import ATTEMPTS, CAMPAIGNS, TRIALS, Cause, advance, advance_all

_BIRTH = (
    "id", "experiment_id", "campaign_id", "position", "repeat", "fingerprint", "parameters",
    "attempts", "used", "lost", "due_at",
)  # fmt: skip
_ENDED = (
    "trial_id", "number", "campaign_id", "sequence", "status", "failure", "started_at",
    "ended_at", "engine_id", "exit_code", "error",
)  # fmt: skip
_WHERE = ("pings", "ssh_checks", "hosts", "steps")
#: number is a match column here, as the trial may be at a later attempt by now
_MOVED = ("id", "attempts", "used", "lost", "due_at")


class _Ended(NamedTuple):
    """A record with what the retry policy makes of it."""

    record: AttemptRecord
    trial_id: int
    shapes: Sequence[Shape]
    #: state of the trial before and after
    expected: str
    target: str
    used: int
    lost: int
    due_at: float | None


@dataclass(slots=True)
class Recorder:
    """Writes one recording in an open transaction."""

    connection: sa.Connection
    campaign: Campaign
    engine_id: str
    results: ResultsTable

    def write(self, recording: Recording) -> None:
        """Write it all: what somebody else has recorded meanwhile is left as it is."""
        ended = self._judged(recording)
        won = self._advance_trials(ended)
        self._write_attempts(won)
        self._write_results(won)
        counts = self._counts(won)
        for lease, (excluded, skipped) in recording.finished.items():
            ended_lease = self._end_lease(lease)
            if ended_lease is not None:
                absent, counted = ended_lease
                counts["excluded"] += excluded - counted
                # what another campaign ran first, some of it only while this one tried it too
                shared = self.campaign.shares_trials
                counts["skipped"] += absent - excluded if shared else skipped
        add_counts(self.connection, self.campaign.id, **counts)
        self._guard(won)

    def _judged(self, recording: Recording) -> list[_Ended]:
        """Refuse rows that don't fit the table, then apply the retry policy."""
        policy = self.campaign.definition.retry
        earlier = self._earlier(recording)
        ended = []
        for outcomes in recording.outcomes:
            refused = self._refused(outcomes)
            for given in outcomes.records:
                record = _with_refusal(given, refused) if refused and given.rows else given
                trial_id = recording.trial_ids[record.position]
                used, lost = earlier.get(trial_id, (0, 0))
                state, due_at = record.state, None
                if state == TrialState.FAILED:
                    infrastructure = record.failure == FailureClass.INFRASTRUCTURE
                    used, lost = used + (not infrastructure), lost + infrastructure
                    again = policy.retries(FailureClass(record.failure), used, lost)
                    if again and self.campaign.state is not CampaignState.CANCELLED:
                        state = TrialState.QUEUED
                        due_at = record.ended + policy.delay_before(record.number + 1)
                begun = trial_id in recording.begun
                expected = TrialState.RUNNING if begun else TrialState.PLANNED
                ended.append(
                    _Ended(record, trial_id, outcomes.shapes, expected, state, used, lost, due_at)
                )
        return ended

    def _earlier(self, recording: Recording) -> dict[int, tuple[int, int]]:
        """Read how often the trials that are not at their first attempt have failed before."""
        trials = tables.trials
        ids = [
            recording.trial_ids[record.position]
            for outcomes in recording.outcomes
            for record in outcomes.records
            if record.number > 1
        ]
        query = sa.select(trials.c.id, trials.c.used, trials.c.lost)
        return {
            row.id: (row.used, row.lost)
            for some in chunks(ids)
            for row in self.connection.execute(query.where(trials.c.id.in_(some)))
        }

    def _refused(self, outcomes: Outcomes) -> dict[int, str]:
        """Adapt the results table to the shapes; say which can't be recorded, and why.

        A record is refused whole: one bad row, and the others leave no column behind.
        """
        found = (self.results.refusal(self.connection, shape) for shape in outcomes.shapes)
        refused = {index: problem for index, problem in enumerate(found) if problem}
        for record in outcomes.records:
            used = {shape for shape, _ in record.rows}
            for index in used if used.isdisjoint(refused) else ():
                shape = outcomes.shapes[index]
                problem = self.results.adapt(self.connection, shape, outcomes.parameters)
                if problem:
                    refused[index] = problem
        return refused

    def _advance_trials(self, ended: Iterable[_Ended]) -> list[_Ended]:
        groups: dict[tuple[str, str], list[_Ended]] = defaultdict(list)
        for each in ended:
            groups[each.expected, each.target].append(each)
        won: list[_Ended] = []
        for (expected, target), members in groups.items():
            cause = Cause(actor=self.engine_id, reason=self._reason(target, members))
            if expected == TrialState.PLANNED:
                rows = [self._birth(each) for each in members]
                taken = advance_all(self.connection, TRIALS, expected, target, cause, _BIRTH, rows)
            else:
                rows = [
                    (each.trial_id, each.record.number, each.used, each.lost, each.due_at)
                    for each in members
                ]
                taken = advance_all(
                    self.connection, TRIALS, expected, target, cause, _MOVED, rows,
                    match=("attempts",),
                )  # fmt: skip
            if len(taken) == len(members):
                won += members
            else:
                ids = {row[0] for row in taken}
                won += [each for each in members if each.trial_id in ids]
        return sorted(won, key=lambda each: each.record.ended)

    def _reason(self, target: str, members: Sequence[_Ended]) -> str:
        if target == TrialState.QUEUED:
            return "the retry policy tries it again"
        if target == TrialState.FAILED:
            if self.campaign.state is CampaignState.CANCELLED:
                return "its campaign was cancelled"
            return f"no tries are left ({self.campaign.definition.retry.attempts} allowed)"
        return ""

    def _birth(self, each: _Ended) -> tuple[Any, ...]:
        record = each.record
        return (
            each.trial_id,
            self.campaign.experiment_id,
            self.campaign.id,
            record.position,
            record.repeat,
            record.fingerprint,
            record.parameters,
            record.number,
            each.used,
            each.lost,
            each.due_at,
        )

    def _write_attempts(self, won: Sequence[_Ended]) -> None:
        groups: dict[tuple[bool, str, bool], list[tuple[Any, ...]]] = defaultdict(list)
        for sequence, each in enumerate(won, self.campaign.attempts + 1):
            record = each.record
            row: tuple[Any, ...] = (
                each.trial_id,
                record.number,
                self.campaign.id,
                sequence,
                _storable(record.status),
                record.failure or None,
                record.started,
                record.ended,
                self.engine_id,
                record.exit_code,
                _storable(record.error) or None,
            )
            elsewhere = record.circumstances is not None
            if record.circumstances is not None:
                row += _where(record.circumstances)
            groups[each.expected == TrialState.RUNNING, record.state, elsewhere].append(row)
        for (begun, state, elsewhere), rows in groups.items():
            expected = AttemptState.RUNNING if begun else AttemptState.NEW
            advance_all(
                self.connection,
                ATTEMPTS,
                expected,
                state,
                Cause(actor=self.engine_id),
                (*_ENDED, *_WHERE) if elsewhere else _ENDED,
                rows,
            )

    def _write_results(self, won: Sequence[_Ended]) -> None:
        groups: dict[Shape, list[tuple[Any, ...]]] = defaultdict(list)
        for each in won:
            record = each.record
            if record.state != AttemptState.SUCCEEDED:
                continue  # a later attempt's rows take their place
            for row, (shape, values) in enumerate(record.rows):
                groups[each.shapes[shape]].append(
                    (
                        each.trial_id,
                        row,
                        self.campaign.id,
                        record.number,
                        record.repeat,
                        record.ended,
                        *values,
                    )
                )
        for columns, rows in groups.items():
            self.results.insert(self.connection, columns, rows)

    def _counts(self, won: Sequence[_Ended]) -> dict[str, int]:
        counts: dict[str, int] = defaultdict(int)
        counts["attempts"] = len(won)
        for each in won:
            if each.target in ("succeeded", "failed", "cancelled"):
                counts[each.target] += 1
        return counts

    def _end_lease(self, lease_id: int) -> tuple[int, int] | None:
        """Count a used-up lease's positions that have no trial here; None if it's not ours.

        The second number is of excluded positions that were counted when it was leased.
        """
        leases, trials = tables.leases, tables.trials
        gone = self.connection.execute(
            sa.delete(leases)
            .where(leases.c.id == lease_id, leases.c.engine_id == self.engine_id)
            .returning(leases.c.start, leases.c.stop, leases.c.excluded)
        ).one_or_none()
        if gone is None:
            return None
        if not self.campaign.shares_trials:
            return 0, gone.excluded
        own = sa.select(sa.func.count()).where(
            trials.c.campaign_id == self.campaign.id,
            trials.c.position >= gone.start,
            trials.c.position < gone.stop,
        )
        return int(gone.stop - gone.start - self.connection.scalar(own)), gone.excluded

    def _guard(self, won: Sequence[_Ended]) -> None:
        """Count failures in a row; trip the guard when they are too many."""
        row = self.campaign.consecutive_failures
        longest = 0
        for each in won:
            row = 0 if each.record.state == AttemptState.SUCCEEDED else row + 1
            longest = max(longest, row)
        if row != self.campaign.consecutive_failures:
            self.connection.execute(
                sa.update(tables.campaigns)
                .where(tables.campaigns.c.id == self.campaign.id)
                .values(consecutive_failures=row)
            )
        guard = self.campaign.definition.guard
        if guard.trips(longest) and self.campaign.state is CampaignState.RUNNING:
            # those that ran beside them may have failed too: the limit is what people know
            note = (
                f"{guard.consecutive_failures} attempts failed in a row"
                f" (the last: {_last_failure(won)})"
            )
            advance(
                self.connection,
                CAMPAIGNS,
                self.campaign.id,
                CampaignState.RUNNING,
                CampaignState.TRIPPED,
                Cause(actor=self.engine_id, reason=note),
                note=note,
            )


def _where(known: Circumstances) -> tuple[int, int, str, str]:
    """Write the circumstances of an attempt as its row has them."""
    steps = [
        {"name": each.name, "started": round(each.started, 6), "s": round(each.duration_s, 6)}
        | ({"note": _storable(each.note)} if each.note else {})
        for each in known.steps
    ]
    return known.pings, known.ssh_checks, ",".join(known.hosts), json.dumps(steps)


def _last_failure(won: Sequence[_Ended]) -> str:
    failed = [each.record.status for each in won if each.record.state != AttemptState.SUCCEEDED]
    return _storable(failed[-1])


def _storable(text: str) -> str:
    """Write what no database takes in a text (NUL, half a surrogate pair) as escapes."""
    if text.isprintable():
        return text
    return text.encode(errors="backslashreplace").decode().replace("\0", "\\0")


def _with_refusal(record: AttemptRecord, refused: dict[int, str]) -> AttemptRecord:
    problem = next((refused[shape] for shape, _ in record.rows if shape in refused), "")
    if not problem:
        return record
    return record._replace(
        state=AttemptState.FAILED,
        status="bad result",
        failure=FailureClass.VERDICT,
        error=problem,
        rows=(),
    )


def begin_attempts(
    connection: sa.Connection,
    campaign: Campaign,
    engine_id: str,
    running: Sequence[tuple[Running, int, str, str, int]],
) -> set[int]:
    """Record that first attempts run; see :class:`fieldlab.ports.store.CampaignStore`."""
    cause = Cause(actor=engine_id)
    births = [
        (
            trial, campaign.experiment_id, campaign.id, each.position, repeat, print_, text,
            1, 0, 0, None,
        )
        for each, trial, print_, text, repeat in running
    ]  # fmt: skip
    won = advance_all(
        connection, TRIALS, TrialState.PLANNED, TrialState.RUNNING, cause, _BIRTH, births
    )
    ids = {row[0] for row in won}
    # a call whose answer was lost is made again: what it began does run
    mine = {
        trial
        for some in chunks([row[0] for row in births if row[0] not in ids])
        for trial in connection.scalars(_running(engine_id, some))
    }
    advance_all(
        connection,
        ATTEMPTS,
        AttemptState.NEW,
        AttemptState.RUNNING,
        cause,
        ("trial_id", "number", "campaign_id", "started_at", "engine_id"),
        [
            (trial, 1, campaign.id, each.started, engine_id)
            for each, trial, *_ in running
            if trial in ids
        ],
    )
    return ids | mine


def _running(engine_id: str, trial_ids: Sequence[int]) -> sa.Select[int]:
    attempts = tables.attempts
    return sa.select(attempts.c.trial_id).where(
        attempts.c.trial_id.in_(trial_ids),
        attempts.c.number == 1,
        tables.in_state(attempts, AttemptState.RUNNING),
        attempts.c.engine_id == engine_id,
    )
