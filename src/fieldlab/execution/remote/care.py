"""Hosts made ready for an attempt: restarted if due, and nothing of an earlier one on them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from fieldlab.domain.durations import format_duration
from fieldlab.domain.errors import FieldlabError, HostError
from fieldlab.domain.ids import uuid7
from fieldlab.domain.sites import Health, HostSpec, HostState
from fieldlab.execution.remote.reviving import Reviver, clear_host
from fieldlab.execution.remote.surroundings import Surroundings
from fieldlab.execution.remote.trouble import HostTrouble
from fieldlab.ports.executor import Setup
from fieldlab.ports.host import Host
from fieldlab.ports.ledger import Hold

T = TypeVar("T")


@dataclass(slots=True)
class Held:
    """Hosts that an attempt has: by name, with the roles that each was given."""

    roles: Mapping[str, tuple[str, ...]]
    hosts: Mapping[str, Host]
    token: str
    #: monotonic, s
    since: float = field(default_factory=time.monotonic)
    #: whether they must be given back, as one of them failed or what ran there was cut short
    spent: bool = False


class Care:
    """Makes hosts ready for attempts."""

    def __init__(self, around: Surroundings, setup: Setup, reviver: Reviver) -> None:
        self._around = around
        self._engine_id = setup.engine_id
        self._campaign_id = setup.campaign_id
        self._reviver = reviver
        self._specs: dict[str, HostSpec] = {each.name: each for each in around.site.hosts}
        #: hosts on which nothing of an earlier holder can be left
        self._clean: set[str] = set()
        #: hosts on which this engine may have left something
        self._dirty: set[str] = set()
        #: hosts that this campaign has restarted as it began
        self._restarted: set[str] = set()

    async def _call(self, method: Callable[..., T], *words: Any, **named: Any) -> T:
        return await self._around.calls.call(partial(method, *words, **named))

    async def make_ready(self, held: Held) -> list[str]:
        """Make sure that nothing of an earlier holder is on the hosts, and restart them if due.

        Returns
        -------
        list of str
            The hosts that were restarted.

        Raises
        ------
        HostTrouble
            One of them can't be used; it is looked after from now on.
        """
        due = [name for name in held.hosts if await self._is_due(name)]
        if due:
            began = time.monotonic()
            await self._each(due, held, self._restart)
            took = format_duration(time.monotonic() - began)
            await self.remark(f"restarted {', '.join(due)} in {took}")
        await self._each([n for n in held.hosts if n not in self._clean], held, self._clear)
        return due

    async def _is_due(self, name: str) -> bool:
        manners = self._around.manners
        if manners.restart == "campaign":
            return name not in self._restarted
        if manners.restart == "failures":
            (standing,) = await self._call(
                self._around.ledger.standing, [self._specs[name].identity]
            )
            return standing.failures >= manners.restart_after
        return manners.restart == "test"

    async def _each(
        self,
        names: Collection[str],
        held: Held,
        action: Callable[[str, Host], Awaitable[None]],
    ) -> None:
        async def tried(name: str) -> None:
            try:
                await action(name, held.hosts[name])
            except HostError as error:
                raise HostTrouble(name, error) from error

        done = await asyncio.gather(*(tried(name) for name in names), return_exceptions=True)
        for each in done:
            if isinstance(each, HostTrouble):
                await self.quarantine(each)
        for each in done:
            if isinstance(each, BaseException):
                raise each

    async def _restart(self, name: str, host: Host) -> None:
        ledger, identity = self._around.ledger, self._specs[name].identity
        change = partial(self._call, ledger.change, identity, by=self._engine_id)
        why = f"restarted ({self._around.manners.restart})"
        await change(HostState.READY, HostState.RESTARTING, why=why)
        try:
            await host.reboot(limit_s=self._around.manners.restart_limit_s)
        except HostError as error:
            await change(HostState.RESTARTING, HostState.QUARANTINED, why=error.what)
            raise
        await self._call(ledger.count_failure, identity, failed=False)
        await change(HostState.RESTARTING, HostState.READY, why="it is back, with a new boot id")
        self._restarted.add(name)
        self._clean.discard(name)

    async def _clear(self, name: str, host: Host) -> None:
        await host.check()
        killed = await clear_host(host)
        if killed:
            self._around.tell(f"{name}: {killed} processes of an earlier attempt were ended")
        self._clean.add(name)
        self._dirty.discard(name)

    async def sweep(self, held: Held) -> None:
        """End what attempts left running when they ended: it would disturb the next ones.

        Raises
        ------
        HostTrouble
            A host can't be used any more.
        """

        async def swept(_: str, host: Host) -> None:
            await host.sweep()

        await self._each(held.hosts, held, swept)

    async def remark(self, text: str) -> None:
        """Write into the campaign's journal what was done with its hosts."""
        ledger = self._around.ledger
        await self._call(ledger.remark, self._campaign_id, text, by=self._engine_id)

    async def observe(self, name: str, health: Health) -> None:
        """Write down what a look at a host found."""
        await self._call(self._around.ledger.observe, self._specs[name].identity, health)

    def is_dirty(self, name: str) -> None:
        """Remember that something of an attempt may be left on a host."""
        self._clean.discard(name)
        self._dirty.add(name)

    async def clear_up(self) -> None:
        """Clear the hosts on which something may be left, where they answer and nobody has them."""
        for name in list(self._dirty):
            token, identity = uuid7(), self._specs[name].identity
            hold = Hold(
                token=token,
                engine_id=self._engine_id,
                identities=(identity,),
                purpose="clearing up",
                any_state=True,
            )
            with suppress(FieldlabError):
                try:
                    if await self._call(self._around.ledger.hold, hold):
                        await self._clear(name, self._around.hosts[name])
                finally:
                    await self._call(self._around.ledger.release, token)

    async def went_well(self, names: Collection[str]) -> None:
        """Forget earlier failures of hosts."""
        for name in names:
            if self._reviver.failed_before(name):
                identity = self._specs[name].identity
                await self._call(self._around.ledger.count_failure, identity, failed=False)
                self._reviver.forget(name)

    async def quarantine(self, trouble: HostTrouble) -> None:
        """Take a host out of use until it answers again."""
        name = trouble.host
        self.is_dirty(name)
        with suppress(FieldlabError):
            await self._reviver.take_in(name, str(trouble.error.what))
