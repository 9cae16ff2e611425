"""One run of a campaign: its executor, its engine, and how it leaves the campaign."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from fieldlab.app.custody import Custody, Ended, whoami
from fieldlab.app.executors import EXECUTORS, setup_of
from fieldlab.domain.errors import FieldlabError, Halted, StoreUnavailable
from fieldlab.domain.parameters import TrialSequence
from fieldlab.engine.feed import Feed
from fieldlab.engine.hosting import RunThread
from fieldlab.engine.liveness import this_engine
from fieldlab.engine.origin import captured_for, check_code, uncommitted
from fieldlab.engine.scheduler import Engine, Reports
from fieldlab.engine.sheet import StatusSheet
from fieldlab.ports.store import Campaign
from fieldlab.settings import Settings
from fieldlab.store.sql_store import SqlStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """What a run of a campaign is told; see :meth:`fieldlab.app.Lab.launch`."""

    settings: Settings
    store: SqlStore
    custody: Custody
    sequence: TrialSequence
    campaign: Campaign
    listener: Callable[[Campaign], None]
    on_trouble: Callable[[str], None]
    for_s: float | None
    feed: Feed | None

    async def run(self, host: RunThread[Ended]) -> Ended:
        """Run it to its end, and tell whoever wants to know, as ``[notify]`` says."""
        if not self.settings.notify.is_on:
            return await self._run_fed(host)
        from fieldlab.app.heralding import Heralding

        heralding = Heralding(self.settings, self.store, self.on_trouble)

        def listener(campaign: Campaign) -> None:
            heralding.see(campaign)
            self.listener(campaign)

        await heralding.start()
        try:
            return await replace(self, listener=listener)._run_fed(host)
        finally:
            await heralding.finish(lambda: host.interruptions > 1)

    async def _run_fed(self, host: RunThread[Ended]) -> Ended:
        """Run it to its end; who waits for submitted points is told how it ended."""
        end = self.feed.end if self.feed is not None else lambda _: None
        try:
            ended = await self._run(host)
        except asyncio.CancelledError:
            end(_halted(self.campaign, "interrupted before it had begun"))
            raise
        except BaseException as error:
            end(error)
            raise
        end(_halted(ended.campaign, ended.campaign.note))
        return ended

    async def _run(self, host: RunThread[Ended]) -> Ended:
        engine = await self._ready()
        host.attach(engine, self.for_s)
        try:
            ended = await engine.run()
        except StoreUnavailable:
            raise  # to pause the campaign would only wait for the database again
        except FieldlabError as error:
            with suppress(FieldlabError):  # the first error is the one to tell
                self.custody.pause_unattended(self.campaign.id, error.what)
            raise
        interrupted = host.interruptions > 0
        why = "interrupted" if interrupted else ""
        if not why and self.for_s is not None:
            why = f"ran for {self.for_s:g} s"
        if why:
            ended = self.custody.pause_unattended(self.campaign.id, why)
        return Ended(campaign=ended, interrupted=interrupted)

    async def _ready(self) -> Engine:
        """Start the executor, find out what its trials are made with, let them be taken."""
        definition = self.campaign.definition
        check_code(definition, self.settings.provenance)
        executor = EXECUTORS[definition.executor.kind](definition)
        # while the workers start, so that no trial waits for it
        capturing = asyncio.create_task(
            asyncio.to_thread(captured_for, definition, self.settings.provenance)
        )
        attempts = self.settings.attempts / self.campaign.name
        await executor.start(setup_of(definition, attempts, self.settings.functions))
        try:
            campaign = self.custody.set_running(self.campaign)
            captured = await capturing
            if told := uncommitted(captured, self.settings.provenance):
                self.on_trouble(told)
            sheet = StatusSheet(
                self.settings.sheet(campaign.name),
                lambda after: self.store.ended_attempts(campaign.id, after),
                self.on_trouble,
            )
            return Engine(
                self.store,
                executor,
                campaign,
                self.sequence,
                sheet,
                Reports(listener=self.listener, on_trouble=self.on_trouble),
                me=this_engine(executor.slots, user=whoami(), provenance=captured.provenance),
                feed=self.feed,
            )
        except BaseException:
            await executor.stop()
            raise


def _halted(campaign: Campaign, why: str) -> Halted:
    """Say why nobody will run the points that wait."""
    return Halted(
        f"{campaign.name} is {campaign.state}{f': {why}' if why else ''}",
        remedy=f"Open the session again, or run what waits with `fieldlab resume {campaign.name}`",
    )
