"""Hosts that don't answer: probed with growing pauses, power-cycled, taken back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from tenacity import retry_if_exception_type, retry_if_result, wait_exponential
from tenacity.asyncio import AsyncRetrying

from fieldlab.domain.durations import format_duration
from fieldlab.domain.errors import FieldlabError, HostError
from fieldlab.domain.sites import HostState
from fieldlab.domain.waiting import wait_at_most
from fieldlab.execution.remote import noise
from fieldlab.execution.remote.choosing import Wish
from fieldlab.execution.remote.surroundings import FOLDER, Surroundings
from fieldlab.ports.host import Host

T = TypeVar("T")

#: pauses between probes grow from this, s
PROBE_S = 0.5
LONGEST_PROBE_S = 60.0
#: hosts that others have taken out of use are looked for this often, s
LOOK_S = 5.0
#: free space below which a disk counts as full, bytes
FULL_BYTES = 1 << 20
#: a power cycle is waited for so long, s
POWER_LIMIT_S = 300.0
_AWAY = (HostState.QUARANTINED, HostState.LOST, HostState.RESTARTING)


class Reviver:
    """Looks after the hosts of a site that are out of use."""

    def __init__(self, around: Surroundings, engine_id: str, back: asyncio.Event) -> None:
        self._around = around
        self._engine_id = engine_id
        self._back = back
        self._specs = {each.name: each for each in around.site.hosts}
        self._probing: dict[str, asyncio.Task[None]] = {}
        self._failed: set[str] = set()
        self._looking: asyncio.Task[None] | None = None

    async def _call(self, method: Callable[..., T], *words: Any, **named: Any) -> T:
        return await self._around.calls.call(partial(method, *words, **named))

    def start(self) -> None:
        """Begin to look for hosts that are out of use."""
        self._looking = asyncio.create_task(self._look())

    async def stop(self) -> None:
        """End all probes."""
        tasks = [*self._probing.values(), *([self._looking] if self._looking else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def failed_before(self, name: str) -> bool:
        """Whether a host has failed since it last went well."""
        return name in self._failed

    def forget(self, name: str) -> None:
        """Forget that a host failed."""
        self._failed.discard(name)

    async def take_in(self, name: str, why: str) -> None:
        """Take a host out of use, and probe it until it answers."""
        ledger, identity = self._around.ledger, self._specs[name].identity
        self._failed.add(name)
        await self._call(ledger.count_failure, identity, failed=True)
        took = await self._call(
            ledger.change,
            identity,
            HostState.READY,
            HostState.QUARANTINED,
            by=self._engine_id,
            why=f"{name}: {why}",
        )
        if took:
            self._around.tell(f"{name} is out of use: {why}")
        self._probe(name)

    async def _look(self) -> None:
        """Probe also what other controllers, or an earlier run, have taken out of use."""
        names = {spec.identity: name for name, spec in self._specs.items()}
        while True:
            for each in await self._call(self._around.ledger.standing, list(names)):
                restarting = each.state is HostState.RESTARTING and each.engine_id
                if each.state in _AWAY and not restarting:
                    self._probe(names[each.identity])
            await asyncio.sleep(LOOK_S)

    def _probe(self, name: str) -> None:
        if name not in self._probing:
            task = asyncio.create_task(self._revive(name))
            self._probing[name] = task
            task.add_done_callback(lambda _: self._probing.pop(name, None))

    async def _revive(self, name: str) -> None:
        """Probe a host until it answers and has room; then let it be used."""
        began = time.monotonic()
        power_cycled: list[float] = []
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(HostError),
            wait=wait_exponential(multiplier=PROBE_S, max=LONGEST_PROBE_S),
        ):
            with attempt:
                away_s = time.monotonic() - began
                await self._say_lost(name, away_s)
                await self._power_cycle(name, away_s, power_cycled)
                await self._try(name)
        with suppress(FieldlabError):
            await self._take_back(name, time.monotonic() - began)

    async def _try(self, name: str) -> None:
        host = self._around.hosts[name]
        await host.check()
        await host.sweep()  # nobody holds it: whatever is there was left behind
        await noise.clear(host)
        await host.remove([f"{host.spec.directory}/{FOLDER}"])
        health = await host.health()
        await self._call(self._around.ledger.observe, self._specs[name].identity, health)
        if health.ssh_error:
            raise HostError(health.ssh_error)
        if health.free_bytes is not None and health.free_bytes < FULL_BYTES:
            raise HostError(f"the disk with {host.spec.directory} is full")

    async def _state(self, name: str) -> HostState:
        (standing,) = await self._call(self._around.ledger.standing, [self._specs[name].identity])
        return standing.state

    async def _say_lost(self, name: str, away_s: float) -> None:
        limit = self._around.manners.lost_after_s
        if away_s < limit or await self._state(name) is not HostState.QUARANTINED:
            return
        why = f"{name} hasn't answered for {format_duration(limit)}"
        await self._change(name, HostState.QUARANTINED, HostState.LOST, why)
        self._around.tell(why)

    async def _power_cycle(self, name: str, away_s: float, done: list[float]) -> None:
        """Take a host's power away and give it back: once, and again after ever longer."""
        due = self._around.manners.power_cycle_after_s * 4 ** len(done)
        if not self._specs[name].power_cycle or away_s < due:
            return
        done.append(away_s)
        self._around.tell(f"{name}: its power is cycled")
        await self._around.hosts[name].reboot(limit_s=POWER_LIMIT_S, power_cycle=True)

    async def _take_back(self, name: str, away_s: float) -> None:
        state = await self._state(name)
        if state is not HostState.READY:
            why = f"{name} answers again, after {format_duration(away_s)}"
            if await self._change(name, state, HostState.READY, why):
                self._around.tell(why)
        self._back.set()

    async def _change(self, name: str, before: HostState, after: HostState, why: str) -> bool:
        identity = self._specs[name].identity
        changed: bool = await self._call(
            self._around.ledger.change, identity, before, after, by=self._engine_id, why=why
        )
        return changed


async def wait_until_there(hosts: Mapping[str, Host], wish: Wish, over: asyncio.Event) -> bool:
    """Wait until enough hosts answer; False if it is over before."""

    async def answers(name: str) -> bool:
        with suppress(FieldlabError):
            await hosts[name].check()
            return True
        return False

    async def are_enough() -> bool:
        names = [each.name for each in wish.hosts]
        there = await asyncio.gather(*(answers(name) for name in names))
        usable = {name for name, does in zip(names, there, strict=True) if does}
        return over.is_set() or wish.choose(usable) is not None

    async def pause(seconds: float) -> None:
        await wait_at_most(seconds, over)

    patient = AsyncRetrying(
        retry=retry_if_result(lambda enough: not enough),
        wait=wait_exponential(multiplier=PROBE_S, max=LONGEST_PROBE_S),
        sleep=pause,
    )
    await patient(are_enough)
    return not over.is_set()
