"""The processes of an attempt: started together on their hosts, with noise and metrics around."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

from tenacity import retry_if_result, stop_after_delay, wait_fixed
from tenacity.asyncio import AsyncRetrying

from fieldlab.domain.errors import HostError
from fieldlab.execution.remote import metrics
from fieldlab.execution.remote import noise as noises
from fieldlab.execution.remote.errand import Contacts, Diary, Errand
from fieldlab.execution.remote.trouble import HostTrouble
from fieldlab.ports.host import Host, Ran, Sink
from fieldlab.ports.tool import STDERR, STDOUT, Plan, Process

#: bytes of each output of a process that are kept
MOST_OUTPUT = 64 << 20
#: noise must be seen within so long, s
NOISE_LIMIT_S = 10.0


async def run_together(
    errand: Errand, plan: Plan, contacts: Contacts, diary: Diary
) -> tuple[dict[str, Ran], dict[str, Any]]:
    """Run the processes of a plan to their end.

    Returns
    -------
    dict, dict
        How those ended that don't only serve others, by name; further columns of the results.

    Raises
    ------
    HostTrouble
        A host can't be used; nothing of the attempt goes on, on any.
    """
    columns: dict[str, Any] = {}
    async with AsyncExitStack() as around:
        if errand.noise:
            await around.enter_async_context(_noise(errand, diary))
        if errand.metrics:
            await around.enter_async_context(_metrics(errand, columns))
        async with diary.step("run") as notes:
            ran = await _start(errand, plan)
            notes.extend(_remarks(errand, plan, ran, contacts))
    return ran, columns


async def _start(errand: Errand, plan: Plan) -> dict[str, Ran]:
    """Start all processes together; those that serve are ended when the others have ended."""
    if len(plan.processes) == 1 and not plan.processes[0].serves:
        (alone,) = plan.processes
        return {alone.name: await _process(errand, alone, None)}
    gate = asyncio.Barrier(len(plan.processes))
    work: dict[str, asyncio.Task[Ran]] = {}
    serving: list[asyncio.Task[Ran]] = []
    try:
        for process in plan.processes:
            task = asyncio.create_task(_process(errand, process, gate))
            if process.serves:
                serving.append(task)
            else:
                work[process.name] = task
        await _all_done([*work.values()], serving)
        return {name: task.result() for name, task in work.items()}
    finally:
        await _end([*work.values(), *serving])


async def _all_done(
    work: Sequence[asyncio.Task[Ran]], serving: Sequence[asyncio.Task[Ran]]
) -> None:
    """Wait until all work is done; what goes wrong on a host is raised at once."""
    waiting: set[asyncio.Task[Ran]] = {*work, *serving}
    while not all(each.done() for each in work):
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for each in done:
            if not isinstance(each.exception(), asyncio.BrokenBarrierError):
                each.result()  # or else another one says what went wrong


async def _end(tasks: Sequence[asyncio.Task[Ran]]) -> None:
    """End what still runs, and wait until it has ended on its host."""
    for each in tasks:
        each.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _process(errand: Errand, process: Process, gate: asyncio.Barrier | None) -> Ran:
    name = process.host or errand.first
    limit = process.command.timeout_s or errand.limit_s
    command = replace(process.command, timeout_s=0.0 if process.serves else limit)
    sink = Sink(
        stdout=errand.printed(process, STDOUT),
        stderr=errand.printed(process, STDERR),
        most_bytes=MOST_OUTPUT,
    )
    start = _Late(gate, process.delay_s) if gate and process.delay_s else gate
    try:
        return await errand.held.hosts[name].run(command, sink, start=start, mark=errand.mark)
    except HostError as error:
        raise HostTrouble(name, error, "run") from error


def _remarks(
    errand: Errand, plan: Plan, ran: Mapping[str, Ran], contacts: Contacts
) -> Iterator[str]:
    """Say how far apart the processes began, and what was thrown away of their outputs."""
    begun = [
        one.started - contacts[process.host or errand.first].offset_s
        for process in plan.processes
        if (one := ran.get(process.name)) and one.started and not process.delay_s
    ]
    if len(begun) > 1:
        yield f"started within {1000 * (max(begun) - min(begun)):.1f} ms"
    for name, one in ran.items():
        if one.lost_bytes:
            yield f"{name or 'it'} printed {one.lost_bytes} bytes more than are kept"


@dataclass(slots=True)
class _Late:
    """A gate that lets a command start later than the others."""

    gate: asyncio.Barrier
    delay_s: float

    async def wait(self) -> None:
        """Wait for the others, and then for the delay."""
        await self.gate.wait()
        await asyncio.sleep(self.delay_s)

    async def abort(self) -> None:
        """Say that this one won't come."""
        await self.gate.abort()


@asynccontextmanager
async def _noise(errand: Errand, diary: Diary) -> AsyncIterator[None]:
    """Have noise on all hosts: seen to be there before, removed afterwards.

    Its mark is its own: what ends a process of the attempt kills all that has that one's mark.
    """
    tasks: dict[str, asyncio.Task[Ran]] = {}
    try:
        async with diary.step("noise") as notes:
            for name, host in errand.held.hosts.items():
                netem = name in errand.netem
                try:
                    command = await noises.command_for(host, errand.noise, netem=netem)
                    making = host.run(command, mark=f"{errand.mark}.noise")
                    tasks[name] = asyncio.create_task(making)
                    await _see(host, errand, tasks[name], netem=netem)
                except HostError as error:
                    raise HostTrouble(name, error, "noise") from error
            notes.append(" ".join(errand.noise.netem()))
        yield
    except BaseException:
        await _end([*tasks.values()])
        with suppress(HostTrouble):  # a host that can't be used is cleared before its next use
            await asyncio.shield(_silence(errand))
        raise
    early = next((name for name, task in tasks.items() if task.done()), "")
    await _end([*tasks.values()])
    await _silence(errand)
    if early:
        raise HostTrouble(early, HostError("The noise ended before the processes did"), "noise")


async def _silence(errand: Errand) -> None:
    """Make sure that no noise is left on any host."""
    for name, host in errand.held.hosts.items():
        try:
            await noises.clear(host)
        except HostError as error:
            raise HostTrouble(name, error, "noise") from error


async def _see(host: Host, errand: Errand, applying: asyncio.Task[Ran], *, netem: bool) -> None:
    """Wait until the noise is seen on a host."""
    seen = False
    async for attempt in AsyncRetrying(
        retry=retry_if_result(lambda seen: not seen),
        stop=stop_after_delay(NOISE_LIMIT_S),
        wait=wait_fixed(0.02),
        retry_error_callback=lambda _: None,
    ):
        with attempt:
            seen = applying.done() or await noises.is_applied(host, errand.noise, netem=netem)
        if attempt.retry_state.outcome and not attempt.retry_state.outcome.failed:
            attempt.retry_state.set_result(seen)
    if applying.done():
        ran = applying.result()
        said = (ran.stderr or ran.stdout).decode(errors="replace").strip()
        raise HostError(f"The noise can't be made: {said or ran.exit}")
    if not seen:
        raise HostError("The noise doesn't take hold")


@asynccontextmanager
async def _metrics(errand: Errand, columns: dict[str, Any]) -> AsyncIterator[None]:
    """Watch the hosts meanwhile: a small file for each, and columns of the results."""
    raw = {name: errand.folder / f".metrics-{name}" for name in errand.held.hosts}
    tasks = [
        asyncio.create_task(
            host.run(metrics.COMMAND, Sink(stdout=raw[name]), mark=f"{errand.mark}.metrics")
        )
        for name, host in errand.held.hosts.items()
    ]
    try:
        yield
    finally:
        await _end(tasks)
        for name, path in raw.items():
            if path.is_file():
                samples = metrics.samples_of(
                    path.read_bytes(), errand.held.hosts[name].spec.interface
                )
                path.unlink()
                path.with_name(f"metrics-{name}.csv").write_text(metrics.as_csv(samples))
                columns |= metrics.columns_of(name, samples)
