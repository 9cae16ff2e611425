"""The bus of a lab, and its actors: in this process, or each in one of its own."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from fieldlab.app.custody import whoami
from fieldlab.app.lab import Lab
from fieldlab.bus.message_bus import MessageBus
from fieldlab.domain.commands import Command
from fieldlab.domain.messages import Envelope, check_topic, encode_body
from fieldlab.engine.herald import Herald
from fieldlab.engine.hosting import RunThread, in_own_loop
from fieldlab.engine.store_thread import StoreThread
from fieldlab.engine.supervisor import Manner, Supervisor
from fieldlab.engine.troupe import Part, Troupe
from fieldlab.execution.processes import die_with_parent, run_command
from fieldlab.ports.actor import Actor
from fieldlab.store.actors import SqlActors
from fieldlab.store.messaging import SqlMessages

Tell = Callable[[str], None]


@asynccontextmanager
async def open_bus(lab: Lab, tell: Tell = lambda _: None) -> AsyncIterator[MessageBus]:
    """Open the bus of a lab; what it can't reach for a moment it tries again."""
    calls = StoreThread(tell)
    try:
        async with MessageBus(SqlMessages(lab.database), calls, sender=whoami()) as bus:
            yield bus
    finally:
        calls.close()


def publish(lab: Lab, topic: str, body: Any, *, expires_in_s: float | None = None) -> Envelope:
    """Send one message.

    Raises
    ------
    BadInput
        The topic is malformed, or the body can't be sent.
    """
    encode_body(body)
    made = Envelope(topic=check_topic(topic), body=body, sender=whoami())
    if expires_in_s is not None:
        made = replace(made, expires_at=made.sent_at + expires_in_s)
    SqlMessages(lab.database).post([made])
    return made


def request(lab: Lab, topic: str, body: Any, *, timeout_s: float) -> Any:
    """Send one message and wait for its answer; see :meth:`MessageBus.request`."""

    async def ask() -> Any:
        async with open_bus(lab) as bus:
            return await bus.request(topic, body, timeout_s=timeout_s)

    return in_own_loop(ask)


def run_actors(
    lab: Lab,
    actors: Sequence[Actor],
    tell: Tell,
    manner: Manner | None = None,
    *,
    and_heralds: bool = False,
) -> None:
    """Run actors until they are told to stop, by a signal or by their manner.

    Parameters
    ----------
    and_heralds
        Also those who tell people what happens, as the settings want.
    """

    async def run(host: RunThread[None]) -> None:
        calls = StoreThread(tell)
        try:
            heralds = await _heralds(lab, calls, tell) if and_heralds else []

            def hurry() -> None:
                for each in heralds:
                    each.hurry()

            hurrying = replace(manner or Manner(), on_drain=hurry)
            async with open_bus(lab, tell) as bus:
                registry = SqlActors(lab.database)
                every = [*actors, *heralds]
                supervisor = Supervisor(bus, registry, calls, every, tell, hurrying)
                host.attach(supervisor)
                await supervisor.run()
        finally:
            calls.close()

    RunThread(run, tell, "handlers").wait()


async def _heralds(lab: Lab, calls: StoreThread, tell: Tell) -> list[Herald]:
    from fieldlab.app import heralding

    settings = lab.settings
    await calls.call(lambda: heralding.subscribe(settings.notify, SqlMessages(lab.database)))
    found = heralding.addresses(settings.notify)
    good = await asyncio.to_thread(heralding.usable, found, tell)
    return heralding.make_heralds(settings, lab.store, calls, good)


def run_troupe(lab: Lab, parts: Sequence[Part], tell: Tell) -> None:
    """Run actors, each in a process of its own, until a signal; what dies is started again."""

    async def run(host: RunThread[None]) -> None:
        troupe = Troupe(parts, lab.settings.home / "actors", run_command, tell)
        host.attach(troupe)
        await troupe.run()

    RunThread(run, tell, "actors").wait()


def actor_command(target: str, parent: int, restarts: int) -> Command:
    """Give the command that runs one actor under a troupe."""
    argv = [sys.executable, "-P", "-m", "fieldlab", "actors", "run", target]
    argv += ["--under", str(parent), "--restarts", str(restarts)]
    return Command(argv=tuple(argv), directory=str(Path.cwd()))


def end_with(parent: int) -> None:
    """Let this process end gracefully when the troupe that started it dies."""
    import signal

    die_with_parent(parent, signal.SIGTERM)
