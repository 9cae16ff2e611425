"""One run of a campaign: its executor, its engine, and how it leaves the campaign."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from fieldlab.app.custody import Custody, Ended, whoami
from fieldlab.app.executors import make_executor
from fieldlab.app.setups import setup_of
from fieldlab.domain.errors import FieldlabError, Halted, HostsLost, StoreUnavailable
from fieldlab.domain.ids import uuid7
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


class Waiting:
    """What runs while there is nothing to run."""

    def __init__(self) -> None:
        self.over = asyncio.Event()

    def drain(self) -> None:
        """Wait no longer."""
        self.over.set()

    stop = drain


@dataclass(slots=True, kw_only=True)
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
        until: float | None = None  # the time counts from when the engine first works
        while True:
            engine = await self._ready()
            if until is None and self.for_s is not None:
                until = time.monotonic() + self.for_s
            try:
                return await self._run_once(host, engine, until)
            except HostsLost as error:
                self.on_trouble(f"{error.what}. The campaign goes on by itself when they are back")
                if not await self._hosts_are_back(host, until):
                    return Ended(
                        campaign=self.store.campaign(self.campaign.id),
                        interrupted=host.interruptions > 0,
                    )

    async def _hosts_are_back(self, host: RunThread[Ended], until: float | None) -> bool:
        """Wait, with the campaign paused, until there are enough hosts; False if told to stop."""
        from fieldlab.app.benches import wait_for_hosts

        waiting = Waiting()
        host.attach(waiting, until and max(until - time.monotonic(), 0.0))
        paused = self.store.campaign(self.campaign.id)
        if not await wait_for_hosts(self.settings, paused.definition, waiting.over):
            return False
        current = self.store.campaign(self.campaign.id)
        self.campaign = current
        return current.state is paused.state  # nobody has cancelled it, or runs it elsewhere

    async def _run_once(self, host: RunThread[Ended], engine: Engine, until: float | None) -> Ended:
        for_s = None if until is None else max(until - time.monotonic(), 0.0)
        host.attach(engine, for_s)
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
        executor = make_executor(self.settings, self.store.database, definition, self.on_trouble)
        # while the workers start, so that no trial waits for it
        capturing = asyncio.create_task(
            asyncio.to_thread(captured_for, definition, self.settings.provenance)
        )
        attempts = self.settings.attempts / self.campaign.name
        engine_id = uuid7()
        known = {
            "engine_id": engine_id,
            "campaign": self.campaign.name,
            "campaign_id": self.campaign.id,
        }
        await executor.start(setup_of(definition, attempts, self.settings.functions, **known))
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
                me=this_engine(
                    executor.slots,
                    user=whoami(),
                    provenance=captured.provenance,
                    engine_id=engine_id,
                ),
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
