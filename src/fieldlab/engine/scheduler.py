"""The engine: leases trials, keeps every slot busy, records, retries, and stops when it should."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from fieldlab.domain.errors import StoreUnavailable
from fieldlab.domain.parameters import TrialSequence
from fieldlab.domain.trials import CampaignState
from fieldlab.domain.waiting import wait_at_most
from fieldlab.engine.backlog import Backlog, Pace
from fieldlab.engine.feed import Feed
from fieldlab.engine.liveness import HEARTBEAT_S, take_over, this_engine
from fieldlab.engine.sheet import StatusSheet
from fieldlab.engine.store_thread import StoreThread, unrecorded
from fieldlab.engine.supply import Supply
from fieldlab.ports.executor import Batch, Executor, Outcomes
from fieldlab.ports.store import Campaign, CampaignStore, Recording
from fieldlab.ports.store import Engine as EngineRow

#: how often an engine without work looks again, s
IDLE_S = 0.5
#: ended attempts that may wait to be recorded before no further batch is begun
MOST_UNRECORDED = 20_000

Listener = Callable[[Campaign], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reports:
    """Who is told what happens."""

    #: the campaign as it stands after each commit
    listener: Listener
    #: in words: a database that can't be used at the moment
    on_trouble: Callable[[str], None]


class Engine:
    """Runs one campaign in this process until there is nothing left to do, or it is told to stop.

    Parameters
    ----------
    me
        This process as an engine; found out if absent.
    feed
        Brings points while it runs.
    """

    def __init__(
        self,
        store: CampaignStore,
        executor: Executor,
        campaign: Campaign,
        sequence: TrialSequence,
        sheet: StatusSheet,
        reports: Reports,
        *,
        me: EngineRow | None = None,
        feed: Feed | None = None,
    ) -> None:
        self._store = store
        self._executor = executor
        self._campaign = campaign
        self._sequence = sequence
        self._sheet = sheet
        self._listener = reports.listener
        self._me = me or this_engine(executor.slots)
        self._backlog = Backlog(sequence)
        self._pace = Pace(campaign.definition.guard)
        self._stored = StoreThread(reports.on_trouble)
        self._supply = Supply(store, self._stored, self._me.id, campaign, sequence)
        self._turn = asyncio.Lock()
        self._ended: list[Outcomes] = []
        self._unrecorded = 0
        self._news = asyncio.Event()
        self._batches: dict[asyncio.Task[None], Batch] = {}
        #: batches that are over; their outcomes are recorded, or are among those that have ended
        self._over: list[Batch] = []
        #: what is being committed, with the batches that are over then; kept until it is
        self._recording: tuple[Recording, list[Batch]] | None = None
        self.feed = feed and feed.attached(store, self._stored, self._news.set)
        self._failure: BaseException | None = None
        self._draining = False
        self._stopping = False

    async def run(self) -> Campaign:
        """Run until the campaign is finished, paused, cancelled, tripped, or this engine drained.

        The executor has been started. Afterwards it is stopped, everything that ended is recorded,
        and what this engine still held is free for the next one.
        """
        tasks: list[asyncio.Task[None]] = []
        try:
            await self._stored.call(lambda: self._store.enlist(self._campaign.id, self._me))
            duties = (self._beat(), self._record_always(), self._work())
            tasks += [asyncio.create_task(duty) for duty in duties]
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            await self._wind_up(tasks)
        return self._campaign

    async def _wind_up(self, tasks: list[asyncio.Task[None]]) -> None:
        """Leave nothing running, nothing unrecorded, nothing held."""
        self._draining = self._stopping = True
        try:
            await self._executor.stop()
        finally:
            await self._hand_over(tasks)

    async def _hand_over(self, tasks: list[asyncio.Task[None]]) -> None:
        for task in (*tasks, *self._batches):
            task.cancel()
        await asyncio.gather(*tasks, *self._batches, return_exceptions=True)
        try:
            await self._record_rest()
            id_ = self._campaign.id
            await self._stored.call(lambda: self._store.retire(id_, self._me.id))
            self._campaign = await self._stored.call(lambda: self._store.campaign(id_))
            await self._stored.call(self._sheet.sync_or_tell)
        finally:
            self._stored.close()

    async def _record_rest(self) -> None:
        """Record what was under way, and what has ended since, or say how much that is."""
        try:
            if self._recording is not None:
                await self._record()
            await self._record()
        except StoreUnavailable as error:
            raise unrecorded(error, self._unrecorded) from error

    def drain(self) -> None:
        """Let the running trials end, then stop. Safe to call from a signal handler of the loop."""
        self._draining = True
        self._executor.drain()
        self._news.set()

    def stop(self) -> None:
        """Stop now: running trials are ended and will be tried again by the next engine."""
        self._stopping = True
        self.drain()
        self._stored.hurry()

    async def _work(self) -> None:
        """Keep the slots busy until nothing is left or the engine is told to stop."""
        while not self._stopping:
            if self._failure is not None:
                raise self._failure
            self._news.clear()  # what comes from here on is for the next turn
            if self.feed is not None:  # also when draining: the next session runs what came late
                await self.feed.take_in(self._campaign.id)
            if not self._draining:
                await self._fill()
            if self._ended and (not self._batches or self.feed is not None):
                await self._record()  # nothing more will come to share the commit; or who waits
            if not self._batches and not self._ended and await self._is_over():
                return
            await wait_at_most(IDLE_S, self._news)

    async def _fill(self) -> None:
        """Begin batches until every slot has one, and maybe one more to go on with."""
        slots = self._executor.slots
        if self._pace.guard.trips(self._pace.failed_in_row):
            await self._record()  # the store knows; if it trips, the engine drains
            self._pace.failed_in_row = 0
        while (
            not self._draining
            and len(self._batches) < self._pace.under_way(slots)
            and self._unrecorded < MOST_UNRECORDED
        ):
            if not self._backlog and not await self._acquire():
                return
            batch = self._backlog.next_batch(self._pace.batch(slots), slots)
            if batch is not None:
                task = asyncio.create_task(self._run_batch(batch))
                self._batches[task] = batch
                task.add_done_callback(self._batch_over)

    async def _run_batch(self, batch: Batch) -> None:
        unrun = await self._executor.run(batch, self._deliver)
        if unrun:
            self._backlog.hand_back(batch, unrun)

    def _batch_over(self, task: asyncio.Task[None]) -> None:
        self._over.append(self._batches.pop(task))
        if not task.cancelled() and task.exception() is not None:
            self._failure = task.exception()
        self._news.set()

    def _deliver(self, outcomes: Outcomes) -> None:
        self._pace.learn(outcomes)
        self._ended.append(outcomes)
        self._unrecorded += len(outcomes.records)
        self._news.set()

    async def _acquire(self) -> bool:
        """Get work from the store; False when there is none at the moment."""
        slots = self._executor.slots
        while not (self._backlog or self._draining):
            positions = self._pace.lease(slots)
            retries = self._pace.retries(slots, len(self._batches))
            async with self._turn:
                after = await self._supply.fetch(self._campaign, self._backlog, positions, retries)
            if after is None:
                break
            self._campaign = after
            self._listener(after)
            if self._backlog.has_used_up:
                await self._record()  # excluded ones make room for others
        return bool(self._backlog)

    async def _is_over(self) -> bool:
        """With nothing under way: whether this engine has nothing more to do."""
        async with self._turn:  # a commit under way is waited for
            if self._draining:
                return True
            if self._backlog.has_leases or (self.feed is not None and not self.feed.is_over):
                return False
            id_ = self._campaign.id
            if await self._stored.call(lambda: self._store.finish(id_, self._me.id)):
                return True
        state = (await self._stored.call(lambda: self._store.campaign(id_))).state
        return state is not CampaignState.RUNNING

    async def _record_always(self) -> None:
        while True:
            if self._ended or self._backlog.has_used_up:
                await self._record()
                self._news.set()
            await asyncio.sleep(self._pace.linger())

    async def _record(self) -> None:
        """Commit what has ended by now, and follow with the spreadsheet."""
        async with self._turn:
            if self._recording is None:
                ended, self._ended = self._ended, []
                over, self._over = self._over, []
                self._recording = self._backlog.recording(ended), over
            recording, over = self._recording
            if recording:
                await self._commit(recording)
            self._recording = None
            for batch in over:
                self._backlog.forget(batch)
        if not recording:
            return
        if self.feed is not None:
            await self.feed.settle(self._campaign.id, recording.trial_ids.values())
        self._listener(self._campaign)
        if self._campaign.state is not CampaignState.RUNNING:
            self._obey(self._campaign.state)

    async def _commit(self, recording: Recording) -> None:
        self._campaign = await self._stored.call(
            lambda: self._store.record(self._campaign.id, self._me.id, recording)
        )
        self._backlog.recorded(recording)
        self._unrecorded -= sum(len(each.records) for each in recording.outcomes)
        await self._stored.call(self._sheet.follow)

    async def _beat(self) -> None:
        """Say that this engine lives, take over from dead ones, record long trials as running."""
        id_ = self._campaign.id
        while True:
            async with self._turn:
                state = await self._stored.call(lambda: self._store.heartbeat(id_, self._me.id))
                await self._stored.call(lambda: take_over(self._store, id_))
                running = self._executor.running()
                await self._supply.begin_long(self._campaign, self._backlog, running)
                await self._stored.call(self._sheet.follow)
            if state is not CampaignState.RUNNING:
                self._obey(state)
            if self.feed is not None:  # others may run what somebody waits for here
                await self.feed.settle(id_)
            self._listener(self._campaign)
            await asyncio.sleep(HEARTBEAT_S / 2)

    def _obey(self, state: CampaignState) -> None:
        """Do what a changed state of the campaign asks for."""
        self._stopping = self._stopping or state is CampaignState.CANCELLED
        self.drain()
