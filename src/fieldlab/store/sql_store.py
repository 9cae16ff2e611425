"""The store on SQLAlchemy: every method of the port, one transaction each."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from fieldlab.domain.definition import Definition
from fieldlab.domain.parameters import TrialPoint
from fieldlab.domain.trials import CampaignState, TrialState
from fieldlab.ports.executor import Running
from fieldlab.ports.store import (
    Campaign,
    EndedAttempt,
    Ending,
    Engine,
    EngineSign,
    Recording,
    Sifted,
    Submitted,
    Work,
)
from fieldlab.store import (
    campaigns,
    experiments,
    leasing,
    provenances,
    recording,
    recovery,
    submitting,
    tables,
)
from fieldlab.store.bulk import chunks, insert_rows
from fieldlab.store.database import Database, clock
from fieldlab.store.holding import engine_sign
from fieldlab.store.results import ResultsTable, stream


class SqlStore:
    """Implements :class:`fieldlab.ports.store.CampaignStore` on SQLite and PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._results: dict[int, ResultsTable] = {}
        #: work whose commit was cut off, by engine: nobody knows yet whether it was granted
        self._unanswered: dict[str, Work] = {}

    def campaign(self, campaign_id: int) -> Campaign:
        with self.database.read() as connection:
            return campaigns.read_campaign(connection, campaign_id)

    def campaigns(self) -> list[Campaign]:
        """Read every campaign, the oldest first."""
        with self.database.read() as connection:
            return campaigns.read_campaigns(connection)

    def find(self, name: str) -> Campaign:
        """Find a campaign by its name, or the newest of an experiment by the experiment's.

        Raises
        ------
        UnknownName
            With the nearest name that exists.
        """
        with self.database.read() as connection:
            return campaigns.find_campaign(connection, name)

    def ensure_campaign(
        self,
        definition: Definition,
        *,
        positions: int | None,
        wanted: int | None,
        actor: str,
    ) -> Campaign:
        """Find the campaign of exactly this definition, or make one with all that it needs."""
        with self.database.begin() as connection:
            return experiments.ensure_campaign(
                connection, definition, positions=positions, wanted=wanted, actor=actor
            )

    def enlist(self, campaign_id: int, engine: Engine) -> None:
        row: dict[str, Any] = {
            "id": engine.id,
            "campaign_id": campaign_id,
            "host": engine.host,
            "pid": engine.pid,
            "process_started": engine.process_started,
            "slots": engine.slots,
            "machine": engine.machine or None,
        }
        known = {
            "user": engine.user,
            "command_line": list(engine.command_line),
            "directory": engine.directory,
        }
        row |= {name: value for name, value in known.items() if value}
        with self.database.begin() as connection:
            row["provenance_id"] = provenances.keep(connection, campaign_id, engine.provenance)
            row |= dict.fromkeys(("started_at", "heartbeat_at"), clock(connection))
            insert_rows(
                connection, tables.engines, tuple(row), [tuple(row.values())], ignore_existing=True
            )

    def heartbeat(self, campaign_id: int, engine_id: str) -> CampaignState:
        engines = tables.engines
        self.database.require_in_place()
        with self.database.begin() as connection:
            leasing.require_alive(connection, engine_id)
            connection.execute(
                sa.update(engines)
                .where(engines.c.id == engine_id)
                .values(heartbeat_at=clock(connection))
            )
            return campaigns.read_campaign(connection, campaign_id).state

    def retire(self, campaign_id: int, engine_id: str) -> None:
        self.database.require_in_place()
        with self.database.begin() as connection:
            recovery.recover(connection, campaign_id, [engine_id], stopped=True)
            if campaigns.read_campaign(connection, campaign_id).definition.takes_points:
                # of several sessions that close together, the last one leaves it finished
                campaigns.finish(connection, campaign_id, engine_id)

    def live_engines(self, campaign_id: int) -> list[EngineSign]:
        engines = tables.engines
        with self.database.read() as connection:
            now = clock(connection)
            rows = connection.execute(
                sa.select(engines).where(
                    engines.c.campaign_id == campaign_id, engines.c.ended_at.is_(None)
                )
            ).all()
        return [engine_sign(row, now) for row in rows]

    def recover(self, campaign_id: int, engine_ids: Sequence[str]) -> int:
        if not engine_ids:
            return 0
        with self.database.begin() as connection:
            return recovery.recover(connection, campaign_id, engine_ids)

    def acquire(
        self,
        campaign_id: int,
        engine_id: str,
        positions: int,
        retries: int,
        sifted: Sifted | None = None,
    ) -> Work:
        with self.database.begin() as connection:
            work = self._unanswered.get(engine_id)
            if work is None or not leasing.was_granted(connection, engine_id, work):
                work = leasing.acquire(
                    connection, campaign_id, engine_id, positions, retries, sifted
                )
            self._unanswered[engine_id] = work
        del self._unanswered[engine_id]
        return work

    def known(self, experiment_id: int, fingerprints: Collection[str]) -> set[str]:
        trials = tables.trials
        query = sa.select(trials.c.fingerprint).where(trials.c.experiment_id == experiment_id)
        with self.database.read() as connection:
            return {
                found
                for some in chunks(list(fingerprints))
                for found in connection.scalars(query.where(trials.c.fingerprint.in_(some)))
            }

    def begin(
        self,
        campaign_id: int,
        engine_id: str,
        running: Sequence[tuple[Running, int, str, str, int]],
    ) -> set[int]:
        with self.database.begin() as connection:
            campaign = campaigns.lock_campaign(connection, campaign_id)
            leasing.require_alive(connection, engine_id)
            return recording.begin_attempts(connection, campaign, engine_id, running)

    def record(self, campaign_id: int, engine_id: str, ended: Recording) -> Campaign:
        try:
            with self.database.begin() as connection:
                campaign = campaigns.lock_campaign(connection, campaign_id)
                results = self._results_table(connection, campaign)
                recording.Recorder(connection, campaign, engine_id, results).write(ended)
                return campaigns.read_campaign(connection, campaign_id)
        except BaseException:
            self._results.clear()  # what it knew of the table may have been rolled back
            raise

    def _results_table(self, connection: sa.Connection, campaign: Campaign) -> ResultsTable:
        known = self._results.get(campaign.experiment_id)
        if known is None:
            known = results_of(connection, campaign)
            known.load(connection)
            self._results[campaign.experiment_id] = known
        return known

    def finish(self, campaign_id: int, engine_id: str = "") -> bool:
        with self.database.begin() as connection:
            return campaigns.finish(connection, campaign_id, engine_id)

    def submit(self, campaign_id: int, points: Sequence[TrialPoint]) -> list[Submitted]:
        with self.database.begin() as connection:
            campaign = campaigns.lock_campaign(connection, campaign_id)
            return submitting.submit(connection, campaign, points)

    def endings(self, campaign_id: int, trial_ids: Collection[int]) -> list[Ending]:
        with self.database.read() as connection:
            campaign = campaigns.read_campaign(connection, campaign_id)
            results = results_of(connection, campaign)
            return submitting.endings(connection, results, trial_ids)

    def change_state(
        self,
        campaign_id: int,
        target: CampaignState,
        *,
        by: str,
        why: str,
        expected: CampaignState | None = None,
    ) -> Campaign:
        with self.database.begin() as connection:
            return campaigns.change_state(
                connection, campaign_id, target, by=by, why=why, expected=expected
            )

    def requeue(self, campaign_id: int, states: Collection[TrialState], *, by: str) -> int:
        """Queue failed or cancelled trials again; how many there were."""
        with self.database.begin() as connection:
            return campaigns.requeue(connection, campaign_id, states, by=by)

    def ended_attempts(self, campaign_id: int, after: int) -> Iterator[EndedAttempt]:
        attempts, trials = tables.attempts, tables.trials
        with self.database.read() as connection:
            query = (
                sa.select(
                    tables.utc_text(attempts.c.started_at, connection.dialect),
                    tables.utc_text(attempts.c.ended_at, connection.dialect),
                    trials.c.parameters,
                    trials.c.repeat,
                    attempts.c.pings,
                    attempts.c.ssh_checks,
                    attempts.c.status,
                    attempts.c.number,
                )
                .join_from(attempts, trials)
                .where(attempts.c.campaign_id == campaign_id, attempts.c.sequence > after)
                .order_by(attempts.c.sequence)
            )
            for rows in stream(connection, query):
                yield from map(EndedAttempt._make, rows)


def results_of(connection: sa.Connection, campaign: Campaign) -> ResultsTable:
    """Find the results table of a campaign's experiment."""
    name = connection.scalar(
        sa.select(tables.experiments.c.results_table).where(
            tables.experiments.c.id == campaign.experiment_id
        )
    )
    return ResultsTable(campaign.experiment_id, name or "")
