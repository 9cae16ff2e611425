"""The local executor: warm worker processes on this machine."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tenacity import RetryCallState, retry_if_exception_type, wait_random_exponential
from tenacity.asyncio import AsyncRetrying

from fieldlab.domain.commands import describe_exit
from fieldlab.domain.errors import BadInput, ExecutionError
from fieldlab.domain.ids import canonical
from fieldlab.domain.parameters import TrialSequence, sequence_from
from fieldlab.domain.trials import AttemptState, FailureClass
from fieldlab.execution.batches import batch_message, read_end, read_outcomes
from fieldlab.execution.cell import IDLE
from fieldlab.execution.channel import Message
from fieldlab.execution.crew import BROKEN, Crew, KeeperGone, WorkerHandle, refuse
from fieldlab.execution.functions import FUNCTION_KINDS
from fieldlab.execution.processes import GRACE_S
from fieldlab.execution.sequences import quasi_sequence
from fieldlab.execution.suspicion import Suspicion
from fieldlab.ports.executor import AttemptRecord, Batch, Outcomes, Running, Setup

#: time limits are looked at this often, s
TICK_S = 0.1
#: a command's own time limit is kept by its worker; this much later the worker is ended too, s
MARGIN_S = 3 * GRACE_S

#: workers that are tried in place of one that died
REPLACEMENTS = 5
#: how long keepers that die may be replaced by others, s
KEEPERS_S = 60.0
#: end status of a trial whose time limit was over
TIMEOUT = "timeout"
#: end status of a trial that kills what it runs on
KILLED_KEEPER = "killed the keeper of its process"

_THREAD_LIMITS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

Deliver = Callable[[Outcomes], None]


@dataclass(slots=True, eq=False)
class _Slot:
    """A worker and what it is doing."""

    worker: WorkerHandle
    batch: Batch | None = None
    #: ordinals of the batch that the worker was given
    ordinals: Sequence[int] = ()

    def running(self) -> Running | None:
        place, started = self.worker.cell.trial()
        if self.batch is None or not 0 <= place < len(self.ordinals):
            return None
        ordinal = self.ordinals[place]
        return Running(
            batch=self.batch.id,
            position=self.batch.positions[ordinal],
            number=self.batch.number(ordinal),
            started=started,
        )


class LocalExecutor:
    """Runs trials in worker processes; see :class:`fieldlab.ports.executor.Executor`.

    Parameters
    ----------
    slots
        Workers; 0 is as many as there are processors that this process may use.
    """

    def __init__(self, slots: int = 0) -> None:
        self._slot_count = slots or processors()
        self._idle: asyncio.Queue[_Slot] = asyncio.Queue()
        self._all: set[_Slot] = set()
        self._draining = False
        self._stopping = False
        self._crew: Crew | None = None
        self._sequence: TrialSequence | None = None
        self._timeout_s = 0.0
        self._ticker: asyncio.Task[None] | None = None
        self._suspicion = Suspicion()

    @property
    def slots(self) -> int:
        return self._slot_count

    async def start(self, setup: Setup) -> None:
        self._sequence = sequence_from(setup.space, quasi=quasi_sequence)
        own_limit = setup.tool["kind"] not in FUNCTION_KINDS
        self._timeout_s = setup.timeout_s and setup.timeout_s + (MARGIN_S if own_limit else 0)
        folder = Path(setup.attempts)
        await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
        message: Message = {
            "tool": setup.tool,
            "space": setup.space,
            "folder": setup.folder,
            "attempts": setup.attempts,
            "functions": setup.functions,
            "timeout_s": setup.timeout_s,
            "patience": setup.patience,
        }
        self._crew = Crew(
            message, folder / "workers.log", self._environment(), self._suspect_what_runs
        )
        hired = await asyncio.gather(
            *(self._hired(self._crew, 1) for _ in range(self._slot_count)), return_exceptions=True
        )
        failures = [each for each in hired if isinstance(each, BaseException)]
        if failures:
            await self._crew.close(0)
            raise failures[0]
        for worker in hired:
            assert isinstance(worker, WorkerHandle)
            self._add(worker)
        self._ticker = asyncio.create_task(self._tick())

    def _environment(self) -> dict[str, str]:
        """Share the processors among the workers, unless the user has said how."""
        threads = str(max(1, processors() // self._slot_count))
        limits = {name: threads for name in _THREAD_LIMITS if name not in os.environ}
        return {"PYTHONUNBUFFERED": "1", **limits}

    def _add(self, worker: WorkerHandle) -> None:
        slot = _Slot(worker)
        worker.cell.draining = self._draining
        self._all.add(slot)
        self._idle.put_nowait(slot)

    def _suspect_what_runs(self) -> None:
        self._suspicion.keeper_died(each.position for each in self.running())

    async def run(self, batch: Batch, deliver: Deliver) -> Sequence[int]:
        if batch.numbers and self._suspicion.suspects(batch.positions):
            async with self._suspicion.apart:
                return await self._run(batch, deliver)
        return await self._run(batch, deliver)

    async def _run(self, batch: Batch, deliver: Deliver) -> Sequence[int]:
        left: Sequence[int] = range(len(batch.positions))
        alone = False
        while left:
            slot = await self._idle.get()
            if self._draining:
                self._idle.put_nowait(slot)
                break
            given = left[:1] if alone else left
            slot.batch, slot.ordinals = batch, given
            alive = False
            try:
                done, alive = await self._run_on(slot, deliver)
            except BadInput:
                alive = True
                raise
            finally:
                if alive:
                    slot.batch = None
                    self._idle.put_nowait(slot)
            if alive and not (alone and done):
                return left[done:]  # all is done, or the worker handed the rest back
            blamed = IDLE if alive else await self._replace(slot, done, deliver, alone=alone)
            # a worker that died with no trial under way may be the victim of any of the batch's:
            # run one at a time, the culprit is the one that it happens to again
            alone = alone or blamed == IDLE
            kept = [each for n, each in enumerate(given) if n >= done and n != blamed]
            left = [*kept, *left[len(given) :]]
        return left

    async def _run_on(self, slot: _Slot, deliver: Deliver) -> tuple[int, bool]:
        """Give a worker what is left of a batch; how many it has done, and whether it lives."""
        assert slot.batch is not None
        await slot.worker.send(batch_message(slot.batch, slot.ordinals))
        done = 0
        while (message := await slot.worker.receive()) is not None:
            if "outcomes" not in message and slot.worker.cell.trial()[0] != IDLE:
                slot.worker.condemned = BROKEN  # a worker says that when no trial runs
                break
            refuse(message)
            try:
                if "ended" in message:
                    return read_end(message, slot.batch, done, len(slot.ordinals)), True
                outcomes = read_outcomes(message, slot.batch, slot.ordinals[done:])
            except ValueError:
                slot.worker.condemned = slot.worker.condemned or BROKEN
                break
            done += len(outcomes.records) + outcomes.excluded
            self._suspicion.clear([each.position for each in outcomes.records])
            deliver(outcomes)
        return done, False

    async def _replace(self, slot: _Slot, done: int, deliver: Deliver, *, alone: bool) -> int:
        """Bury a dead worker, fail the trial that it was running, hire another.

        Returns
        -------
        int
            The place, among the ordinals, of the trial that failed; IDLE if none did.
        """
        assert self._crew is not None
        worker = slot.worker
        try:
            if worker.condemned:
                await self._crew.dismiss(worker)
            code = await worker.ended()
            if code is None:  # it has only closed its socket; or the keeper is gone
                await self._crew.dismiss(worker)
                code = await worker.ended()
        finally:
            worker.bury()
        self._all.discard(slot)
        place = self._culprit(slot, done, certain=alone and code is not None)
        if place != IDLE:
            deliver(self._failure(slot, place, code))
        if self._draining:
            self._idle.put_nowait(slot)  # nobody will use it, but batches may be waiting for one
        else:
            self._add(await self._hired(self._crew))
        return place

    def _culprit(self, slot: _Slot, done: int, *, certain: bool) -> int:
        """Tell which of a dead worker's trials it was running; ``certain``: it had only one."""
        place, _ = slot.worker.cell.trial()
        if self._stopping or done >= len(slot.ordinals):
            return IDLE
        if not done <= place < len(slot.ordinals):
            return 0 if certain else IDLE
        if slot.worker.condemned == TIMEOUT and slot.worker.cell.running_s() <= self._timeout_s:
            return IDLE  # the one that was overdue has just ended; this one is innocent
        return place

    async def _hired(self, crew: Crew, tries: int = REPLACEMENTS) -> WorkerHandle:
        """Hire a worker; one that dies at once, or with the keeper, is replaced as well."""

        def is_enough(state: RetryCallState) -> bool:
            if state.outcome and isinstance(state.outcome.exception(), KeeperGone):
                return time.monotonic() - state.start_time > KEEPERS_S
            return state.attempt_number >= tries

        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(ExecutionError),
            stop=is_enough,
            wait=wait_random_exponential(multiplier=0.05, max=2.0),
            reraise=True,
        ):
            with attempt:
                return await crew.hire()
        raise AssertionError("unreachable")

    def _failure(self, slot: _Slot, place: int, code: int | None) -> Outcomes:
        """Say that a trial died with its worker."""
        assert self._sequence is not None
        assert slot.batch is not None
        worker, ordinal = slot.worker, slot.ordinals[place]
        position = slot.batch.positions[ordinal]
        trial = slot.batch.trial(ordinal, self._sequence)
        assert trial is not None
        now = time.time()
        started = worker.cell.trial()[1]
        guilty = self._suspicion.is_guilty(position)
        status, failure, error = _verdict(worker.condemned, code, self._timeout_s, guilty=guilty)
        record = AttemptRecord(
            position=position,
            repeat=trial.repeat,
            fingerprint=trial.fingerprint,
            parameters=canonical(trial.parameters),
            number=slot.batch.number(ordinal),
            started=started if 0 < started < now else now,
            ended=now,
            state=AttemptState.FAILED,
            status=status,
            failure=failure,
            exit_code=code,
            error=error,
            rows=(),
        )
        return Outcomes(batch=slot.batch.id, shapes=(), records=[record])

    def running(self) -> list[Running]:
        return [running for slot in self._all if (running := slot.running())]

    async def _tick(self) -> None:
        """Keep the time limits that no worker can keep itself."""
        while self._timeout_s:
            await asyncio.sleep(TICK_S)
            for slot in list(self._all):  # which may change while one is dismissed
                if slot.running() and slot.worker.cell.running_s() > self._timeout_s:
                    assert self._crew is not None
                    slot.worker.condemned = slot.worker.condemned or TIMEOUT
                    await self._crew.dismiss(slot.worker)

    def drain(self) -> None:
        self._draining = True
        for slot in self._all:
            slot.worker.cell.draining = True

    async def stop(self) -> None:
        self._stopping = True
        self.drain()
        if self._ticker is not None:
            self._ticker.cancel()
            await asyncio.wait([self._ticker])
        if self._crew is not None:
            await self._crew.close(GRACE_S + 1 if self.running() else 0)


def _verdict(
    condemned: str, code: int | None, timeout_s: float, *, guilty: bool
) -> tuple[str, FailureClass, str]:
    """Say how a trial ended whose worker is dead: end status, whose fault, and why."""
    if condemned == TIMEOUT:
        error = f"Its time limit of {timeout_s:g} s was over; its process was killed."
        return TIMEOUT, FailureClass.EXPERIMENT, error
    if condemned:
        error = "It wrote to, or closed, files of the worker process that it hadn't opened."
        return condemned, FailureClass.EXPERIMENT, error
    if code is None and guilty:
        error = (
            "The keeper, the process that started its worker, died while it ran, as it did before;"
            " of the trials that have seen that, it is the only one that ran again."
        )
        return KILLED_KEEPER, FailureClass.EXPERIMENT, error
    if code is None:
        error = "The keeper of the worker processes died, and the workers with it."
        return "lost", FailureClass.INFRASTRUCTURE, error
    how = describe_exit(code)
    error = (
        f"The worker process that ran it ended in the middle ({how}). A crash in compiled code, too"
        " little memory, or os._exit can be the cause; what it printed is in workers.log."
    )
    return f"process died: {how}", FailureClass.EXPERIMENT, error


def processors() -> int:
    """Count the processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
