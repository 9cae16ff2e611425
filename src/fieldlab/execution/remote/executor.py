"""The ssh executor: attempts on the hosts of a site."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fieldlab.domain.errors import BadInput, BadResult, HostError
from fieldlab.domain.ids import canonical
from fieldlab.domain.noise import noise_like, noise_of
from fieldlab.domain.parameters import TrialPoint, TrialSequence
from fieldlab.domain.trials import AttemptState, FailureClass
from fieldlab.execution.remote import noise as noises
from fieldlab.execution.remote.attempt import Attempt
from fieldlab.execution.remote.bench import Bench
from fieldlab.execution.remote.care import Held
from fieldlab.execution.remote.choosing import Wish
from fieldlab.execution.remote.errand import Contact, Errand
from fieldlab.execution.remote.readying import Ways, ready, require_programs
from fieldlab.execution.remote.surroundings import Surroundings
from fieldlab.execution.remote.trouble import HostTrouble
from fieldlab.execution.rows import Shaper
from fieldlab.execution.runners import Ended, bad_result
from fieldlab.ports.executor import AttemptRecord, Batch, Circumstances, Outcomes, Running, Setup
from fieldlab.ports.tool import SpreadTool, Tool

#: what short attempts leave running is ended this often, s
SWEEP_S = 0.2

Deliver = Callable[[Outcomes], None]


class RemoteExecutor:
    """Runs attempts on hosts; see :class:`fieldlab.ports.executor.Executor`."""

    def __init__(self, around: Surroundings, ways: Ways) -> None:
        self._around = around
        self._ways = ways
        self._slots = ways.slots or len(around.site.hosts)
        self._contacts = {each.name: Contact() for each in around.site.hosts}
        #: hosts of which is known what must be known
        self._met: set[str] = set()
        self._netem: dict[str, bool] = {}
        self._draining = False
        self._running: dict[tuple[int, int], Running] = {}
        self._batches: set[asyncio.Task[Any]] = set()
        self._free: asyncio.Semaphore | None = None
        self._setup: Setup | None = None
        self._sequence: TrialSequence | None = None
        self._tool: Tool | None = None
        self._kind = ""
        self._wish: Wish | None = None
        self._bench: Bench | None = None

    @property
    def slots(self) -> int:
        return self._slots

    async def start(self, setup: Setup) -> None:
        self._setup = setup
        made = await asyncio.to_thread(ready, self._around.site, self._ways, setup)
        self._sequence, self._tool, self._wish = made.sequence, made.tool, made.wish
        self._slots = made.slots
        self._kind = str(setup.tool["kind"])
        await asyncio.to_thread(Path(setup.attempts).mkdir, parents=True, exist_ok=True)
        self._free = asyncio.Semaphore(self._slots)
        self._bench = Bench(self._around, setup)
        try:
            await self._bench.open()
            await self._meet()
        except BaseException:
            await self._bench.close()
            raise

    async def _meet(self) -> None:
        """Connect to all hosts that may be used: what only people can put right is said now.

        Raises
        ------
        BadInput, HostKeyRefused
            A host can't be used as the site says; nothing runs.
        """
        assert self._wish is not None
        assert self._bench is not None
        names = [spec.name for spec in self._wish.relevant]
        met = await asyncio.gather(*map(self._meet_one, names), return_exceptions=True)
        for each in met:
            if isinstance(each, BaseException) and not isinstance(each, HostTrouble):
                raise each
        away = [each for each in met if isinstance(each, HostTrouble)]
        for trouble in away:
            await self._bench.care.quarantine(trouble)
        missing = {trouble.host for trouble in away}
        there = [name for name in names if name not in missing]
        found = f"hosts that answer: {', '.join(there) or 'none'}"
        if away:
            found += f"; that don't: {', '.join(sorted(missing))}"
        await self._bench.care.remark(found)

    async def _meet_one(self, name: str) -> None:
        """Find out what must be known of a host before its first attempt.

        Raises
        ------
        HostTrouble
            It doesn't answer.
        BadInput, HostError
            As :meth:`_meet`.
        """
        if name in self._met:
            return
        host = self._around.hosts[name]
        try:
            await host.check()
            await require_programs(host, self._tool, self._kind)
            if self._ways.noise:
                self._netem[name] = await noises.can_netem(host)
        except HostError as error:
            if not error.transient:
                raise  # only who wrote the site can put it right
            raise HostTrouble(name, error) from error
        if self._ways.noise and not self._netem[name]:
            noises.check_can(host.spec, noise_like(self._ways.noise), netem=False)
        self._met.add(name)

    async def run(self, batch: Batch, deliver: Deliver) -> Sequence[int]:
        assert self._free is not None
        assert self._bench is not None
        assert self._wish is not None
        task = asyncio.current_task()
        assert task is not None
        self._batches.add(task)
        task.add_done_callback(self._batches.discard)
        async with self._free:
            done = 0
            while done < len(batch.positions) and not self._draining:
                purpose = f"from trial {batch.positions[done]}"
                async with self._bench.held(self._wish, purpose) as held:
                    if held is None:
                        break
                    before = done
                    done = await self._run_on(held, batch, done, deliver)
                    if done == before:
                        break  # the hosts weren't usable, or the guard is to be asked
            return range(done, len(batch.positions))

    async def _run_on(self, held: Held, batch: Batch, done: int, deliver: Deliver) -> int:
        """Run what is left of a batch on hosts, until one of them fails; how many are done."""
        assert self._bench is not None
        assert self._sequence is not None
        assert self._setup is not None
        try:
            for name in await self._bench.care.make_ready(held):
                self._contacts[name] = Contact()
            for name in held.hosts:  # one that was away as the campaign began
                await self._meet_one(name)
        except HostTrouble as found:
            await self._bench.care.quarantine(found)
            held.spent = True
            return done  # it is looked after; the batch waits for hosts again
        failures = 0
        swept = time.monotonic()
        for ordinal in range(done, len(batch.positions)):
            if self._draining or (failures and 0 < self._setup.patience <= failures):
                await self._swept(held)
                return ordinal
            trial = batch.trial(ordinal, self._sequence)
            if trial is None:
                deliver(Outcomes(batch=batch.id, shapes=(), records=[], excluded=1))
                continue
            trouble, ended = await self._attempt(held, batch, ordinal, trial, deliver)
            failures = failures + 1 if ended.failure else 0
            if trouble is not None:
                held.spent = True
                await self._bench.care.quarantine(trouble)
                return ordinal + 1
            await self._bench.care.went_well(held.hosts)
            await self._observe(held)
            last = ordinal + 1 == len(batch.positions) or self._must_restart()
            if last or time.monotonic() - swept > SWEEP_S:
                swept = time.monotonic()
                if not await self._swept(held):
                    return ordinal + 1
            if self._must_restart():
                return ordinal + 1
        return len(batch.positions)

    async def _swept(self, held: Held) -> bool:
        """End what attempts left running; False if a host can't be used any more."""
        assert self._bench is not None
        try:
            await self._bench.care.sweep(held)
        except HostTrouble:
            held.spent = True
            return False
        return True

    async def _observe(self, held: Held) -> None:
        """Write down what was found of the hosts, if they were looked at."""
        for name in held.hosts:
            contact = self._contacts[name]
            if contact.health is not None and self._bench is not None:
                await self._bench.care.observe(name, contact.health)
                contact.health = None

    def _must_restart(self) -> bool:
        """Whether hosts are to be made ready anew before the next attempt."""
        return self._around.manners.restart in ("test", "failures")

    async def _attempt(
        self, held: Held, batch: Batch, ordinal: int, trial: TrialPoint, deliver: Deliver
    ) -> tuple[HostTrouble | None, Ended]:
        """Make one attempt and deliver its record; the trouble that a host made, if any."""
        assert self._bench is not None
        position, number = batch.positions[ordinal], batch.number(ordinal)
        started = time.time()
        key = (batch.id, position)
        self._running[key] = Running(
            batch=batch.id, position=position, number=number, started=started
        )
        trouble: HostTrouble | None = None
        attempt: Attempt | None = None
        try:
            attempt = Attempt(self._errand(held, trial, number), self._contacts)
            ended = await attempt.run()
            for name in attempt.unclean:
                self._bench.care.is_dirty(name)
        except HostTrouble as caught:
            trouble, ended = caught, caught.ended
            self._contacts[caught.host] = Contact()
        except BadInput as error:
            ended = Ended([], "bad input", FailureClass.EXPERIMENT, error=str(error))
        except asyncio.CancelledError:
            for name in held.hosts:
                self._bench.care.is_dirty(name)
            raise
        finally:
            del self._running[key]
        circumstances = attempt.circumstances if attempt else None
        deliver(_outcomes(batch, ordinal, trial, started, ended, circumstances))
        return trouble, ended

    def _errand(self, held: Held, trial: TrialPoint, number: int) -> Errand:
        assert self._setup is not None
        assert self._tool is not None
        spoken = self._tool.limit_s(trial.parameters) if isinstance(self._tool, SpreadTool) else 0.0
        return Errand(
            tool=self._tool,
            held=held,
            point=trial.parameters,
            repeat=trial.repeat,
            fingerprint=trial.fingerprint,
            number=number,
            folder=Path(self._setup.attempts, trial.fingerprint, str(number)),
            here=self._setup.folder,
            send=self._ways.send,
            limit_s=self._setup.timeout_s or spoken,
            noise=noise_of(self._ways.noise, trial.parameters),
            netem=frozenset(name for name, can in self._netem.items() if can),
            metrics=self._ways.metrics,
            pack=self._ways.pack,
        )

    def running(self) -> list[Running]:
        return list(self._running.values())

    def drain(self) -> None:
        self._draining = True
        if self._bench is not None:
            self._bench.drain()

    async def stop(self) -> None:
        self.drain()
        self._around.calls.hurry()
        batches = [each for each in self._batches if each is not asyncio.current_task()]
        for each in batches:
            each.cancel()
        await asyncio.gather(*batches, return_exceptions=True)
        if self._bench is not None:
            await self._bench.close()


def _outcomes(
    batch: Batch,
    ordinal: int,
    trial: TrialPoint,
    started: float,
    ended: Ended,
    circumstances: Circumstances | None,
) -> Outcomes:
    shaper = Shaper()
    try:
        rows = [shaper.shaped(trial.parameters, row) for row in ended.rows]
    except BadResult as error:
        shaper, rows, ended = Shaper(), [], bad_result(error)
    record = AttemptRecord(
        position=batch.positions[ordinal],
        repeat=trial.repeat,
        fingerprint=trial.fingerprint,
        parameters=canonical(trial.parameters),
        number=batch.number(ordinal),
        started=started,
        ended=time.time(),
        state=AttemptState.FAILED if ended.failure else AttemptState.SUCCEEDED,
        status=ended.status,
        failure=ended.failure or "",
        exit_code=ended.exit_code,
        error=ended.error,
        rows=rows,
        circumstances=circumstances,
    )
    return Outcomes(
        batch=batch.id,
        shapes=shaper.shapes,
        records=[record],
        parameters=frozenset(trial.parameters),
    )
