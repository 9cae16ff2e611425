"""The hosts of a site, as a campaign has them: held by one attempt at a time, looked after."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from fieldlab.domain.durations import format_duration
from fieldlab.domain.errors import HostsLost
from fieldlab.domain.ids import uuid7
from fieldlab.domain.sites import HostSpec, HostState
from fieldlab.domain.waiting import wait_at_most
from fieldlab.execution.remote.care import Care, Held
from fieldlab.execution.remote.choosing import Wish
from fieldlab.execution.remote.reviving import Reviver
from fieldlab.execution.remote.surroundings import Surroundings
from fieldlab.ports.executor import Setup
from fieldlab.ports.host import Host
from fieldlab.ports.ledger import Hold, HostStanding

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

T = TypeVar("T")

#: hosts that others hold are looked at this often, s
LOOK_S = 0.25
#: who has waited so long for free hosts reserves them, s
PATIENT_S = 2.0
#: hosts pass from attempt to attempt without the ledger for so long, s: others wait no longer for
#: them, and short attempts aren't outweighed by what holding costs
KEEP_S = 1.0
#: nobody has kept hosts for longer than this, s
UNUSED_S = 0.05
#: clearing up at the end may take so long, s
CLEAR_UP_S = 10.0
#: how often it is looked whether who holds hosts is alive, s
TAKE_OVER_S = 5.0


class Bench:
    """Gives hosts to attempts, and looks after those that fail.

    Parameters
    ----------
    setup
        Says for which engine and campaign hosts are held.
    """

    def __init__(self, around: Surroundings, setup: Setup) -> None:
        self._around = around
        self._engine_id = setup.engine_id
        self._campaign = setup.campaign
        self._specs: dict[str, HostSpec] = {each.name: each for each in around.site.hosts}
        #: hosts that this process holds, so that its own attempts don't ask for them
        self._mine: set[str] = set()
        #: held hosts that wait for the next attempt, each with what gives them back in time
        self._kept: dict[str, tuple[Held, asyncio.TimerHandle]] = {}
        self._giving_back: set[asyncio.Task[None]] = set()
        #: why hosts couldn't be given back
        self._failure: BaseException | None = None
        self._freed = asyncio.Event()
        self._draining = asyncio.Event()
        self.reviver = Reviver(around, setup.engine_id, self._freed)
        self.care = Care(around, setup, self.reviver)

    @property
    def hosts(self) -> Mapping[str, Host]:
        """All hosts of the site, by name."""
        return self._around.hosts

    async def call(self, method: Callable[..., T], *words: Any, **named: Any) -> T:
        """Make a call of the ledger."""
        return await self._around.calls.call(partial(method, *words, **named))

    async def open(self) -> None:
        """Write the hosts down, and begin to look after those that don't answer."""
        await self.call(self._around.ledger.enroll, self._around.site.name, self._around.site.hosts)
        self.reviver.start()

    def drain(self) -> None:
        """Let nobody wait for hosts any more."""
        self._draining.set()
        self._freed.set()

    async def close(self) -> None:
        """Stop looking after hosts, and give up the connections."""
        self.drain()
        await self.reviver.stop()
        await self._give_back_kept()
        with suppress(TimeoutError):
            async with asyncio.timeout(CLEAR_UP_S):
                await self.care.clear_up()
        await asyncio.gather(
            *(host.close() for host in self.hosts.values()), return_exceptions=True
        )
        await asyncio.to_thread(self._around.calls.close)

    # --- holding ------------------------------------------------------------------------------

    @asynccontextmanager
    async def held(self, wish: Wish, purpose: str) -> AsyncIterator[Held | None]:
        """Hold hosts for a while; None if this is drained before there are any.

        All who ask have the same wish: what one is done with, another may have at once.

        Raises
        ------
        HostsLost
            Too few hosts have answered for as long as is waited.
        """
        held = await self._hold(wish, purpose)
        try:
            yield held
        except BaseException:
            if held is not None:
                held.spent = True
            raise
        finally:
            if held is not None and not self._keep(held):
                await asyncio.shield(self._release(held.token, held.roles))

    def _keep(self, held: Held) -> bool:
        """Keep hosts for the next attempt, unless others should have their turn."""
        if held.spent or self._draining.is_set() or time.monotonic() - held.since > KEEP_S:
            return False
        loop = asyncio.get_running_loop()
        timer = loop.call_later(UNUSED_S, self._give_back, held.token)
        self._kept[held.token] = held, timer
        self._freed.set()
        return True

    def _take_kept(self) -> Held | None:
        if not self._kept:
            return None
        held, timer = self._kept.pop(next(iter(self._kept)))
        timer.cancel()
        return held

    def _give_back(self, token: str) -> None:
        held, timer = self._kept.pop(token)
        timer.cancel()
        task = asyncio.create_task(self._release(token, held.roles))
        self._giving_back.add(task)
        task.add_done_callback(self._gave_back)

    def _gave_back(self, task: asyncio.Task[None]) -> None:
        self._giving_back.discard(task)
        if not task.cancelled():
            self._failure = self._failure or task.exception()  # whoever asks next is told

    async def _give_back_kept(self) -> None:
        for token in list(self._kept):
            self._give_back(token)
        await asyncio.gather(*self._giving_back, return_exceptions=True)

    async def _hold(self, wish: Wish, purpose: str) -> Held | None:
        token, began = uuid7(), time.monotonic()
        missing_since: float | None = None
        looked = 0.0
        asked: tuple[str, ...] = ()
        try:
            while not self._draining.is_set():
                self._freed.clear()
                if self._failure is not None:
                    raise self._failure
                if (kept := self._take_kept()) is not None:
                    if asked:
                        await self.call(self._around.ledger.release, token)
                    return kept
                standing = await self._standing(wish)
                ready = {name for name, each in standing.items() if each.state == HostState.READY}
                if wish.choose(ready) is None:
                    missing_since = missing_since or time.monotonic()
                    if asked:  # who can't run keeps nothing from those who can
                        await self.call(self._around.ledger.release, token)
                        asked = ()
                    self._give_up(standing, ready, time.monotonic() - missing_since)
                else:
                    missing_since = None
                    patient = time.monotonic() - began > PATIENT_S
                    roles = self._chosen(wish, standing, ready, patient=patient)
                    if roles is not None:
                        if asked not in ((), tuple(roles)):
                            await self.call(self._around.ledger.release, token)
                        asked = tuple(roles)
                        hold = self._wanted(token, roles, purpose, reserve=patient)
                        if await self._took(hold, roles):
                            await self._look_for_others(wish, roles)
                            return Held(
                                roles=roles, hosts={n: self.hosts[n] for n in roles}, token=token
                            )
                if time.monotonic() - looked > TAKE_OVER_S:
                    await self.call(self._around.take_over)
                    looked = time.monotonic()
                await wait_at_most(LOOK_S, self._freed)
        except BaseException:
            await asyncio.shield(self._release(token, ()))
            raise
        await self._release(token, ())
        return None

    async def _standing(self, wish: Wish) -> dict[str, HostStanding]:
        names = {host.identity: host.name for host in wish.hosts}
        found = await self.call(self._around.ledger.standing, list(names))
        return {names[each.identity]: each for each in found}

    async def _look_for_others(self, wish: Wish, names: Collection[str]) -> None:
        """Remember the hosts that another engine had before: something of it may be left."""
        for name, each in (await self._standing(wish)).items():
            if name in names and each.last_engine_id not in ("", self._engine_id):
                self.care.is_dirty(name)

    def _chosen(
        self, wish: Wish, standing: Mapping[str, HostStanding], ready: set[str], *, patient: bool
    ) -> Mapping[str, tuple[str, ...]] | None:
        """Choose among the free hosts; who is patient also among those that others hold."""
        free = {name for name in ready - self._mine if not standing[name].engine_id}
        roles = wish.choose(free)
        return wish.choose(ready - self._mine) if roles is None and patient else roles

    def _wanted(self, token: str, roles: Collection[str], purpose: str, *, reserve: bool) -> Hold:
        return Hold(
            token=token,
            engine_id=self._engine_id,
            identities=tuple(self._specs[name].identity for name in roles),
            purpose=f"{self._campaign} {purpose}",
            reserve=reserve,
        )

    async def _took(self, hold: Hold, names: Collection[str]) -> bool:
        self._mine |= set(names)
        took = False
        try:
            took = await self.call(self._around.ledger.hold, hold)
        finally:
            if not took:
                self._mine -= set(names)
        return took

    async def _release(self, token: str, names: Collection[str]) -> None:
        try:
            await self.call(self._around.ledger.release, token)
        finally:
            self._mine -= set(names)
            self._freed.set()

    def _give_up(
        self, standing: Mapping[str, HostStanding], ready: Collection[str], waited_s: float
    ) -> None:
        limit = self._around.manners.wait_s
        if waited_s < limit:
            return
        away = [
            f"{n} ({each.note or each.state})" for n, each in standing.items() if n not in ready
        ]
        raise HostsLost(
            f"{HostsLost.opening} of '{self._around.site.name}' have been there for"
            f" {format_duration(limit)}; away: {', '.join(away)}",
            remedy=f"Look with `fieldlab site check {self._around.site.name}`",
        )
