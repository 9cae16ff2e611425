"""Hosts that don't answer: probed with growing pauses, power-cycled, taken back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from tenacity import retry_if_exception_type, retry_if_result, wait_exponential
from tenacity.asyncio import AsyncRetrying

from fieldlab.domain.durations import format_duration
from fieldlab.domain.errors import Conflict, FieldlabError, HostError, TransferFailed
from fieldlab.domain.ids import uuid7
from fieldlab.domain.sites import HostState
from fieldlab.domain.waiting import wait_at_most
from fieldlab.execution.remote import noise
from fieldlab.execution.remote.choosing import Wish
from fieldlab.execution.remote.surroundings import FOLDER, Surroundings
from fieldlab.ports.host import Host
from fieldlab.ports.ledger import Hold, HostStanding

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


@dataclass(slots=True)
class _Outage:
    """How long a host has been away, as this controller sees it."""

    #: monotonic, s
    began: float = field(default_factory=time.monotonic)
    power_cycles: int = 0
    #: what people were told is wrong
    told: str = ""

    @property
    def so_far_s(self) -> float:
        """How long it has lasted, s."""
        return time.monotonic() - self.began


async def clear_host(host: Host) -> int:
    """End what attempts have left on a host that nobody else holds; how many processes.

    Raises
    ------
    HostError
        It can't be used.
    """
    killed = await host.sweep()
    await noise.clear(host)  # of one that was killed before it could
    # what can't be removed, such as what others own, is in nobody's way: each attempt has its own
    with suppress(TransferFailed):
        await host.remove([f"{host.spec.directory}/{FOLDER}"])
    return killed


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
        """Take a host out of use, and probe it until it answers; not one that another holds."""
        ledger, identity = self._around.ledger, self._specs[name].identity
        self._failed.add(name)
        ready, quarantined = HostState.READY, HostState.QUARANTINED
        if await self._change(name, ready, quarantined, f"{name}: {why}"):
            await self._call(ledger.count_failure, identity, failed=True)
            self._around.tell(f"{name} is out of use: {why}")
        self._probe(name)

    async def _look(self) -> None:
        """Probe also what other controllers, or an earlier run, have taken out of use."""
        names = {spec.identity: name for name, spec in self._specs.items()}
        while True:
            with suppress(FieldlabError):  # the engine tells what is wrong with the database
                for each in await self._call(self._around.ledger.standing, list(names)):
                    if each.state in _AWAY and not each.engine_id:
                        self._probe(names[each.identity])
            await asyncio.sleep(LOOK_S)

    def _probe(self, name: str) -> None:
        if name not in self._probing:
            task = asyncio.create_task(self._revive(name))
            self._probing[name] = task
            task.add_done_callback(lambda _: self._probing.pop(name, None))

    async def _revive(self, name: str) -> None:
        """Probe a host until it answers and has room; then let it be used."""
        outage = _Outage()
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type((HostError, Conflict)),
            wait=wait_exponential(multiplier=PROBE_S, max=LONGEST_PROBE_S),
        ):
            with attempt:
                await self._look_after(name, outage)

    async def _look_after(self, name: str, outage: _Outage) -> None:
        """Try a host while nobody else holds it; take it back if it is well.

        Raises
        ------
        HostError
            It isn't, or somebody else is at it.
        """
        ledger, token = self._around.ledger, uuid7()
        hold = Hold(
            token=token,
            engine_id=self._engine_id,
            identities=(self._specs[name].identity,),
            purpose="looked after",
            any_state=True,
        )
        try:
            if not await self._call(ledger.hold, hold):
                if (await self._standing(name)).state is HostState.READY:
                    return  # another controller has taken it back, and uses it
                raise HostError("Another controller looks after it")
            if (await self._standing(name)).state is not HostState.READY:
                await self._mend(name, outage)
        finally:
            await asyncio.shield(self._call(ledger.release, token))
        self._back.set()

    async def _mend(self, name: str, outage: _Outage) -> None:
        """Try a host that is held; cycle its power if that is due; take it back."""
        try:
            await self._try(name)
        except HostError as error:
            await self._tell_why(name, error, outage)
            if not await self._power_cycled(name, outage):
                raise
            await self._try(name)
        state = (await self._standing(name)).state
        why = f"{name} answers again"
        if await self._change(name, state, HostState.READY, why):
            self._around.tell(why)

    async def _try(self, name: str) -> None:
        host = self._around.hosts[name]
        await host.check()
        await clear_host(host)
        health = await host.health()
        await self._call(self._around.ledger.observe, self._specs[name].identity, health)
        if trouble := health.ssh_error or health.folder_error:
            raise HostError(trouble)
        if health.free_bytes is not None and health.free_bytes < FULL_BYTES:
            raise HostError(f"the disk with {host.spec.directory} is full")

    async def _standing(self, name: str) -> HostStanding:
        (found,) = await self._call(self._around.ledger.standing, [self._specs[name].identity])
        return found

    async def _tell_why(self, name: str, error: HostError, outage: _Outage) -> None:
        """Say that a host is lost when it has been away for long, and what people must see to."""
        if not error.transient and error.what != outage.told:
            outage.told = error.what
            self._around.tell(f"{name}: {error}")
        limit = self._around.manners.lost_after_s
        if outage.so_far_s < limit:
            return
        why = f"{name} hasn't been there for {format_duration(limit)}: {error.what}"
        if await self._change(name, HostState.QUARANTINED, HostState.LOST, why):
            self._around.tell(why)

    async def _power_cycled(self, name: str, outage: _Outage) -> bool:
        """Take a host's power away and give it back, if it is due; again after ever longer.

        Raises
        ------
        HostError
            It isn't back.
        """
        due = self._around.manners.power_cycle_after_s * 4**outage.power_cycles
        standing = await self._standing(name)
        last = standing.power_cycled_at
        recently = last is not None and time.time() - last.timestamp() < due
        if not self._specs[name].power_cycle or outage.so_far_s < due or recently:
            return False
        outage.power_cycles += 1
        self._around.tell(f"{name}: its power is cycled")
        await self._call(self._around.ledger.note_power_cycle, self._specs[name].identity)
        restarting, quarantined = HostState.RESTARTING, HostState.QUARANTINED
        await self._change(name, standing.state, restarting, f"{name}: its power is cycled")
        try:
            await self._around.hosts[name].reboot(limit_s=POWER_LIMIT_S, power_cycle=True)
        finally:
            why = f"{name}: its power was cycled"
            await asyncio.shield(self._change(name, restarting, quarantined, why))
        return True

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
