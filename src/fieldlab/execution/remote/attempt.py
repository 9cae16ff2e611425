"""One attempt over hosts: checked, sent, run together, fetched, judged, packed, cleaned up."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import replace
from pathlib import Path, PurePosixPath

from fieldlab.domain.commands import Command
from fieldlab.domain.errors import BadInput, HostError, HostUnreachable
from fieldlab.domain.trials import FailureClass
from fieldlab.execution.remote.errand import Contacts, Diary, Errand
from fieldlab.execution.remote.judging import judged
from fieldlab.execution.remote.reviving import FULL_BYTES
from fieldlab.execution.remote.together import run_together
from fieldlab.execution.remote.trouble import HostTrouble
from fieldlab.execution.runners import Ended, blame_of, failed, make_anew, one_line
from fieldlab.ports.executor import Circumstances
from fieldlab.ports.host import Host
from fieldlab.ports.tool import HostPlace, Place, Plan

#: making a folder may take so long, s
FOLDER_LIMIT_S = 60.0
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
#: steps that take moments, unless a disk or a link hangs, s
_LIMITS_S = {"check": 120.0, "make folder": 60.0, "clean": 120.0, "diagnose": 120.0}
#: something that is done on one host: its name, the host, notes to add to
Action = Callable[[str, Host, list[str]], Awaitable[None]]


class Attempt:
    """Runs one attempt on hosts that are held; see :meth:`run`."""

    def __init__(self, errand: Errand, contacts: Contacts) -> None:
        self._errand = errand
        self._hosts = errand.held.hosts
        self._contacts = contacts
        self._diary = Diary()
        self._pings = self._ssh_checks = 0
        #: hosts on which its folder may be left
        self.unclean: tuple[str, ...] = ()

    @property
    def circumstances(self) -> Circumstances:
        """Where it ran, and what was done."""
        steps = tuple(self._diary.steps)
        return Circumstances(tuple(self._hosts), self._pings, self._ssh_checks, steps)

    async def run(self) -> Ended:
        """Run it to its end.

        Raises
        ------
        HostTrouble
            A host can't be used, so how the attempt would have ended isn't known.
        """
        try:
            await self._each("check", self._check)
            plan = self._planned()
            self._prepare(plan)
            return await self._run(plan)
        except HostTrouble:
            raise
        except BadInput as error:
            return Ended([], "bad input", FailureClass.EXPERIMENT, error=str(error))
        except OSError as error:
            explanation = f"The folder {self._errand.folder} can't be used: {error}"
            cause = error.__cause__ if isinstance(error.__cause__, OSError) else error
            return Ended([], one_line(error), blame_of(cause), error=explanation)
        except Exception as error:  # noqa: BLE001 - a fault of the tool, perhaps an installed one
            return failed(error)

    async def _run(self, plan: Plan) -> Ended:
        errand = self._errand
        try:
            if plan.writes:
                await self._each("make folder", self._make_folder)
            if errand.send:
                await self._each("send", self._send)
            ran, columns = await run_together(errand, plan, self._contacts, self._diary)
            if plan.writes:
                await self._each("fetch", self._fetch)
        finally:
            if plan.writes or errand.send:
                # a host that doesn't answer is cleared before its next use
                try:
                    await asyncio.shield(self._each("clean", self._clean))
                except HostTrouble:
                    self.unclean = tuple(self._hosts)
        async with self._diary.step("judge"):
            if any(each.reads for each in plan.processes):
                ended = await asyncio.to_thread(judged, errand, plan, ran, columns)
            else:  # a thread costs more than looking at exit codes
                ended = judged(errand, plan, ran, columns)
        if ended.failure is not None:
            await self._each("diagnose", self._diagnose)
        if plan.writes and errand.pack is not None:
            async with self._diary.step("pack"):
                await asyncio.to_thread(self._pack)
        return ended

    async def _each(self, step: str, action: Action) -> None:
        """Do something on all hosts at once, as a step; the first trouble is raised."""

        async def tried(name: str, host: Host, notes: list[str]) -> None:
            try:
                async with asyncio.timeout(_LIMITS_S.get(step)):
                    await action(name, host, notes)
            except TimeoutError:
                what = f"'{step}' took more than {_LIMITS_S[step]:g} s"
                raise HostTrouble(name, HostUnreachable(what), step) from None
            except HostError as error:
                raise HostTrouble(name, error, step) from error

        async with self._diary.step(step) as notes:
            if len(self._hosts) == 1:
                for name, host in self._hosts.items():
                    await tried(name, host, notes)
                return
            done = await asyncio.gather(
                *(tried(name, host, notes) for name, host in self._hosts.items()),
                return_exceptions=True,
            )
            for each in done:
                if isinstance(each, BaseException):
                    raise each

    async def _check(self, name: str, host: Host, notes: list[str]) -> None:
        """Ping a host and try ssh, unless that was done a moment ago."""
        contact = self._contacts[name]
        if not contact.is_fresh:
            contact.pings, round_trip = await host.ping()
            contact.ssh_checks = 1
            if round_trip is None:
                notes.append(f"{name} doesn't answer to ping")
            self._pings += contact.pings
            self._ssh_checks += 1
            await host.check()
            health = await host.health()
            contact.health = replace(health, ping_ms=round_trip)
            contact.boot_id = health.boot_id
            contact.offset_s = health.clock_offset_s or 0.0
            contact.checked = time.monotonic()
            return
        self._pings += contact.pings
        self._ssh_checks += contact.ssh_checks

    def _planned(self) -> Plan:
        errand = self._errand
        places = tuple(
            HostPlace(
                name=name,
                address=host.spec.address,
                roles=errand.held.roles[name],
                out=errand.out(host),
                interface=host.spec.interface,
            )
            for name, host in self._hosts.items()
        )
        first = self._hosts[errand.first]
        place = Place(
            here=errand.out(first) if errand.send else first.spec.directory,
            out=errand.out(first),
            fingerprint=errand.fingerprint,
            repeat=errand.repeat,
            attempt=errand.number,
            hosts=places,
        )
        plan = errand.tool.plan(errand.point, place)
        check_plan(plan, self._hosts)
        return plan

    def _prepare(self, plan: Plan) -> None:
        folder = self._errand.folder
        make_anew(folder)
        if plan.writes:
            (folder / "outputs").mkdir()
        (folder / "params.json").write_text(json.dumps(self._errand.point))

    async def _make_folder(self, name: str, host: Host, notes: list[str]) -> None:
        out = self._errand.out(host)
        made = await host.run(Command(argv=("mkdir", "-p", "--", out), timeout_s=FOLDER_LIMIT_S))
        if not made.exit.ok:
            said = made.stderr.decode(errors="replace").strip()
            raise HostError(f"The folder {out} can't be made: {said or made.exit}")

    async def _send(self, name: str, host: Host, notes: list[str]) -> None:
        for each in self._errand.send:
            await host.send(Path(self._errand.here, each), f"{self._errand.out(host)}/{each}")

    async def _fetch(self, name: str, host: Host, notes: list[str]) -> None:
        await host.fetch(self._errand.out(host), self._errand.outputs(name))

    async def _clean(self, name: str, host: Host, notes: list[str]) -> None:
        await host.remove([self._errand.out(host)])

    async def _diagnose(self, name: str, host: Host, notes: list[str]) -> None:
        """After a failure: was it the host's? One that restarted, or whose disk is full."""
        health = await host.health()
        contact = self._contacts[name]
        if health.ssh_error:
            raise HostError(health.ssh_error)
        if contact.boot_id and health.boot_id not in ("", contact.boot_id):
            raise HostError("it restarted while the attempt ran")
        if health.free_bytes is not None and health.free_bytes < FULL_BYTES:
            raise HostError(f"the disk with {host.spec.directory} is full")

    def _pack(self) -> None:
        outputs = self._errand.folder / "outputs"
        assert self._errand.pack is not None
        if any(each.is_file() or each.is_symlink() for each in outputs.rglob("*")):
            self._errand.pack(outputs)


def check_plan(plan: Plan, hosts: Collection[str]) -> None:
    """Refuse a plan whose names can't be names of files, or of the attempt's hosts.

    Raises
    ------
    BadInput
        With the process that is wrong.
    """
    if all(process.serves for process in plan.processes):
        raise BadInput("The tool plans no process whose end is waited for")
    names = [process.name for process in plan.processes]
    for process in plan.processes:
        several = len(plan.processes) > 1
        if names.count(process.name) > 1 or (
            (several or process.name) and not _NAME.fullmatch(process.name)
        ):
            raise BadInput(f"The tool plans a process called {process.name!r}, or two")
        if process.host and process.host not in hosts:
            raise BadInput(f"The tool plans a process on {process.host!r}, which it wasn't given")
        for name in process.reads:
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts or not name:
                raise BadInput(f"The tool reads {name!r}, which is not below the attempt's folder")
