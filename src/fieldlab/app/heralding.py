"""Telling people what happens in a lab while a campaign, or actors, run."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from fieldlab.app.custody import whoami
from fieldlab.bus.message_bus import MessageBus
from fieldlab.domain.errors import FieldlabError
from fieldlab.domain.messages import Envelope
from fieldlab.domain.notifying import NotifySettings, group_of
from fieldlab.domain.threads import in_daemon_thread
from fieldlab.engine.herald import Herald
from fieldlab.engine.milestones import DiskGauge, Milestones
from fieldlab.engine.store_thread import StoreThread
from fieldlab.engine.supervisor import Manner, Supervisor
from fieldlab.outlets.notify import AppriseNotifier, CommandNotifier
from fieldlab.ports.bus import Calls
from fieldlab.ports.store import Campaign
from fieldlab.settings import Settings
from fieldlab.store.actors import SqlActors
from fieldlab.store.messaging import SqlMessages
from fieldlab.store.sql_store import SqlStore

#: at the end of a run, what is still to be told is waited for so long, s
END_S = 5.0
#: how often it is looked whether something is left to tell, s
LOOK_S = 0.05
#: the lab's disk is looked at this often, s
DISK_S = 10.0

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Somebody to tell."""

    #: of consumers: whoever tells this address, in whichever process
    group: str
    notifier: AppriseNotifier | CommandNotifier


def addresses(settings: NotifySettings) -> list[Address]:
    """List whom the settings want to be told; whether that can be done is still open."""
    found = [Address(group=group_of(url), notifier=AppriseNotifier(url)) for url in settings.urls]
    if settings.command:
        group = group_of(f"command:{settings.command}")
        notifier = CommandNotifier(settings.command, settings.folder)
        found.append(Address(group=group, notifier=notifier))
    return found


def usable(found: Sequence[Address], tell: Tell) -> list[Address]:
    """Leave out those that can't be told anything, and say why. What is for them waits."""
    good = []
    for each in found:
        try:
            each.notifier.check()
        except FieldlabError as error:
            tell(f"Nobody is told by {each.notifier.name}: {error}")
        else:
            good.append(each)
    return good


def subscribe(settings: NotifySettings, messages: SqlMessages) -> None:
    """Let what happens from now on be kept for every address, even if this process dies."""
    for each in addresses(settings):
        messages.subscribe(each.group, settings.topics, lasts_s=None, backlog=False)


def make_heralds(
    settings: Settings, store: SqlStore, calls: Calls, found: Sequence[Address]
) -> list[Herald]:
    """Make a herald for each address."""
    notify = settings.notify
    return [
        Herald.named(each.group, notify.topics)(
            each.notifier,
            calls,
            store.campaign,
            partial(_host_name, store),
            digest_s=notify.digest_s,
            place=f"{store.database.place} on {socket.gethostname()}",
        )
        for each in found
    ]


class Heralding:
    """Heralds beside an engine, in its event loop. Whatever fails here, the campaign goes on.

    Parameters
    ----------
    tell
        Told, in words, what can't be told to people.
    """

    def __init__(self, settings: Settings, store: SqlStore, tell: Tell) -> None:
        self._settings = settings
        self._store = store
        self._tell = tell
        self._messages = SqlMessages(store.database)
        notify = settings.notify
        self._milestones = Milestones(notify.progress if "progress" in notify.events else ())
        self._outbox: asyncio.Queue[Envelope] = asyncio.Queue()
        self._calls = StoreThread(lambda _: None)  # the engine says that the database is away
        self._heralds: list[Herald] = []
        self._supervisor: Supervisor | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin; from now on nothing is lost."""
        notify = self._settings.notify
        try:
            await self._calls.call(lambda: subscribe(notify, self._messages))
        except FieldlabError as error:
            self._tell(f"Nobody is told what happens: {error}")
            return
        self._task = asyncio.create_task(self._run())

    def see(self, campaign: Campaign) -> None:
        """Take in the campaign as it stands."""
        passed = self._milestones.passed(campaign)
        if passed is not None:
            self._outbox.put_nowait(passed)

    async def finish(self, is_hurried: Callable[[], bool]) -> None:
        """Tell what is left, and end; it takes END_S at most, or until somebody is in a hurry."""
        if self._task is not None:
            with contextlib.suppress(TimeoutError, FieldlabError):
                async with asyncio.timeout(END_S):
                    while await self._is_busy():
                        if is_hurried():
                            break
                        await asyncio.sleep(LOOK_S)
            self._calls.hurry()
            if self._supervisor is not None:
                self._supervisor.stop()
                await asyncio.wait([self._task], timeout=END_S)
            self._task.cancel()
            await asyncio.wait([self._task], timeout=END_S)
        self._calls.close()

    async def _is_busy(self) -> bool:
        assert self._task is not None
        if self._task.done():
            return False
        for each in self._heralds:
            each.hurry()
        if self._supervisor is None or not self._outbox.empty():
            return True
        groups = {each.name for each in self._heralds}
        # calls are made in their order: what was claimed before is in work by now
        due = await self._calls.call(partial(self._messages.due, 0.0))
        return bool(groups & due or self._supervisor.in_work)

    async def _run(self) -> None:
        try:
            await self._run_heralds()
        except Exception as error:  # noqa: BLE001 - no campaign fails by what it tells
            self._tell(f"Nobody is told any more what happens: {error}")

    async def _run_heralds(self) -> None:
        found = addresses(self._settings.notify)
        good = await in_daemon_thread(partial(usable, found, self._tell))  # imports take their time
        database = self._store.database
        self._heralds = make_heralds(self._settings, self._store, self._calls, good)
        manner = Manner(is_watched=False)
        async with MessageBus(self._messages, self._calls, sender=whoami()) as bus:
            made = Supervisor(
                bus, SqlActors(database), self._calls, self._heralds, self._tell_once(), manner
            )
            self._supervisor = made
            duties = [asyncio.create_task(self._publish(bus))]
            if "disk" in self._settings.notify.events:
                duties.append(asyncio.create_task(self._watch_disk()))
            try:
                await made.run()
            finally:
                for each in duties:
                    each.cancel()
                await asyncio.gather(*duties, return_exceptions=True)

    def _tell_once(self) -> Tell:
        """Tell the same trouble once: a digest has many messages, and each is tried again."""
        told: set[str] = set()

        def tell(text: str) -> None:
            what = text.rpartition("NotSent: ")[2]
            if what not in told:
                told.add(what)
                self._tell(f"Somebody couldn't be told what happens: {what}")

        return tell

    async def _publish(self, bus: MessageBus) -> None:
        while True:
            envelope = await self._outbox.get()
            try:
                await bus.send(envelope)
            except FieldlabError as error:
                self._tell(f"{envelope.topic} can't be told: {error}")

    async def _watch_disk(self) -> None:
        notify, home = self._settings.notify, self._settings.home
        where = f"{home} on {socket.gethostname()}"
        gauge = DiskGauge(where, notify.free_percent, notify.free_bytes)
        while True:
            with contextlib.suppress(OSError):
                usage = await in_daemon_thread(partial(shutil.disk_usage, home))
                low = gauge.read(usage.free, usage.total)
                if low is not None:
                    self._outbox.put_nowait(low)
            await asyncio.sleep(DISK_S)


def _host_name(store: SqlStore, host_id: int) -> str:
    """Name a host by its id."""
    from fieldlab.store.holding import read_standing

    with store.database.read() as connection:
        names = {each.id: each.name for each in read_standing(connection)}
    return names.get(host_id, str(host_id))
