"""The supervisor: runs actors, keeps their books, ends them gracefully."""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tenacity import RetryCallState, retry_if_exception_type, wait_random_exponential
from tenacity.asyncio import AsyncRetrying

from fieldlab.bus.message_bus import MessageBus
from fieldlab.domain.errors import FieldlabError
from fieldlab.domain.ids import uuid7
from fieldlab.domain.waiting import wait_at_most
from fieldlab.engine.handling import ActorRun, Tally
from fieldlab.engine.liveness import HEARTBEAT_S, this_place
from fieldlab.ports.actor import Actor, actor_name
from fieldlab.ports.bus import ActorRegistry, ActorSign, Calls

#: longest wait before an actor that failed is started again, s
LONGEST_RESTART_S = 30.0
#: how often it is looked whether anything is left to do, s
IDLE_S = 0.1
#: a handler that keeps the whole process from doing anything else for so long is reported, s
STUCK_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How a supervisor runs its actors."""

    #: end the process when a handler keeps it from doing anything else: somebody starts it again
    exits_when_stuck: bool = False
    stuck_s: float = STUCK_S
    #: end when no message of the actors' groups waits or is in work
    until_idle: bool = False
    #: how often this process' actors have been started again by somebody else
    restarts: int = 0
    #: watch whether a handler is stuck; not where a process has other things to do as well
    is_watched: bool = True
    #: called when nothing more is to be begun
    on_drain: Callable[[], None] = lambda: None


class Supervisor:
    """Runs actors in this process until it is told to stop.

    Parameters
    ----------
    tell
        Told, in words, what goes wrong.
    """

    def __init__(
        self,
        bus: MessageBus,
        registry: ActorRegistry,
        calls: Calls,
        actors: Sequence[Actor],
        tell: Callable[[str], None],
        manner: Manner | None = None,
    ) -> None:
        self._bus = bus
        self._registry = registry
        self._calls = calls
        self._tell = tell
        self._manner = manner or Manner()
        self._draining = asyncio.Event()
        self._members = [_Member(actor, self._manner.restarts) for actor in actors]
        self._tasks: list[asyncio.Task[None]] = []
        self._fatal: FieldlabError | None = None

    async def run(self) -> None:
        """Run until :meth:`drain` or :meth:`stop`; afterwards every message is settled or free.

        Raises
        ------
        FieldlabError
            The database can't be used any more.
        """
        self._tasks = [asyncio.create_task(self._tend(each)) for each in self._members]
        duties = [asyncio.create_task(self._beat())]
        if self._manner.until_idle:
            duties.append(asyncio.create_task(self._drain_when_idle()))
        try:
            await asyncio.gather(*self._tasks, return_exceptions=True)
        finally:
            for task in (*self._tasks, *duties):
                task.cancel()
            await asyncio.gather(*self._tasks, *duties, return_exceptions=True)
            if self._manner.is_watched:
                faulthandler.cancel_dump_traceback_later()
            with contextlib.suppress(FieldlabError):  # they are silent from now on anyway
                await self._sign()
                ids = [each.id for each in self._members]
                await self._calls.call(lambda: self._registry.retire(ids))
        if self._fatal is not None:
            raise self._fatal

    @property
    def in_work(self) -> int:
        """Messages that are being handled."""
        return sum(each.run.in_work for each in self._members if each.run is not None)

    def drain(self) -> None:
        """Let the handlers that work finish, and take no other message."""
        self._draining.set()
        self._manner.on_drain()
        for each in self._members:
            if each.run is not None:
                each.run.drain()

    def stop(self) -> None:
        """End the handlers, too; their messages are free for others."""
        self.drain()
        for task in self._tasks:
            task.cancel()

    async def _tend(self, member: _Member) -> None:
        """Run an actor; start it again, after growing waits, when something failed it."""

        def say(state: RetryCallState) -> None:
            assert state.outcome is not None
            member.restarts += 1
            error = state.outcome.exception()
            member.tally.fault(str(error))
            self._tell(f"{member.name} is started again: {error}")

        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(Exception),
            wait=wait_random_exponential(multiplier=0.5, max=LONGEST_RESTART_S),
            before_sleep=say,
            sleep=self._sleep,
        ):
            with attempt:
                if not self._draining.is_set():
                    await self._run(member)

    async def _sleep(self, seconds: float) -> None:
        """Wait, but not when it is to end."""
        await wait_at_most(seconds, self._draining)

    async def _run(self, member: _Member) -> None:
        actor = member.actor
        subscription = await self._bus.subscribe(
            actor.topics,
            group=member.group,
            policy=actor.policy,
        )
        member.run = ActorRun(actor, member.name, self._bus, subscription, member.tally, self._tell)
        try:
            if self._draining.is_set():
                member.run.drain()
            await member.run.run()
        finally:
            member.run = None
            await subscription.close()

    async def _beat(self) -> None:
        """Say that the actors live; let a stuck process be noticed."""
        while True:
            if self._manner.is_watched:
                faulthandler.dump_traceback_later(
                    self._manner.stuck_s, exit=self._manner.exits_when_stuck, file=2
                )
            try:
                await self._sign()
            except FieldlabError as error:
                if not error.transient:  # the database is gone or can't be used: so are messages
                    self._fatal = error
                    self.stop()
                    return
            await asyncio.sleep(HEARTBEAT_S)

    async def _drain_when_idle(self) -> None:
        groups = [group for each in self._members if (group := each.group)]
        while not self._draining.is_set():
            await asyncio.sleep(IDLE_S)
            with contextlib.suppress(FieldlabError):
                subscribed = all(each.run is not None for each in self._members)
                if subscribed and not await self._bus.unsettled(groups):
                    self.drain()

    async def _sign(self) -> None:
        signs = [each.sign() for each in self._members]
        await self._calls.call(lambda: self._registry.sign(signs))


class _Member:
    """One actor of this process, with its books."""

    def __init__(self, actor: Actor, restarts: int) -> None:
        self.actor = actor
        self.name = actor_name(actor)
        #: empty: one of its own in each process
        self.group = "" if actor.broadcast else actor.group or self.name
        self.id = uuid7()
        self.restarts = restarts
        self.tally = Tally()
        self.run: ActorRun | None = None
        self._place = this_place()

    def sign(self) -> ActorSign:
        """Say how it fares."""
        tally = self.tally
        return ActorSign(
            id=self.id,
            name=self.name,
            group=self.group,
            topics=tuple(self.actor.topics),
            host=self._place.host,
            pid=self._place.pid,
            process_started=self._place.process_started,
            machine=self._place.machine,
            in_work=0 if self.run is None else self.run.in_work,
            handled=tally.handled,
            failed=tally.failed,
            restarts=self.restarts,
            last_error=tally.last_error,
            last_error_at=tally.last_error_at,
        )
