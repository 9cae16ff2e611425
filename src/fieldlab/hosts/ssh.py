"""A machine that is reached by ssh."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from fieldlab.domain.commands import Command, ExitStatus
from fieldlab.domain.errors import (
    BadInput,
    HostError,
    HostUnreachable,
    MachineError,
    TransferFailed,
)
from fieldlab.domain.sites import Health, HostSpec, Site
from fieldlab.hosts import health, power, transfer
from fieldlab.hosts.channels import Conversation
from fieldlab.hosts.links import ANSWER_S, Link, Links, broke
from fieldlab.hosts.remote_script import (
    GO,
    GRACE_S,
    NO_FOLDER,
    RUN,
    RUN_IN_NEW_SESSION,
    SWEEP,
    folder_name,
    run_lines,
    sweep_lines,
)
from fieldlab.ports.host import Gate, Ran, Sink

#: folders in one call of `rm`
_FOLDERS_AT_ONCE = 200


class SshHost:
    """A machine that is reached by ssh; the contract is :class:`fieldlab.ports.host.Host`."""

    def __init__(self, spec: HostSpec, site: Site) -> None:
        self._spec = spec
        self._site = site
        self._links = Links(spec, site)

    @property
    def spec(self) -> HostSpec:
        return self._spec

    async def run(
        self,
        command: Command,
        sink: Sink | None = None,
        *,
        start: Gate | None = None,
        mark: str = "",
    ) -> Ran:
        if not command.argv:
            raise BadInput("The command has no program", remedy="Name one")
        token = secrets.token_hex(16)
        lines = run_lines(command, token=token, mark=mark, barrier=start is not None)
        if start is None:
            lines += GO

        def program(link: Link) -> str:
            return RUN if link.facts.leads else RUN_IN_NEW_SESSION

        def conversation() -> Conversation:
            return Conversation(sink, barrier=start is not None, first=lines)

        async with self._links.channel(program, conversation) as (_, talk):
            try:
                return await self._follow(talk, command, start, token, mark)
            except OSError as error:
                raise MachineError(f"What a command writes can't be kept: {error}") from error
            finally:
                talk.close()

    async def _follow(
        self,
        talk: Conversation,
        command: Command,
        start: Gate | None,
        token: str,
        mark: str,
    ) -> Ran:
        """Start the program of a channel, and see it to its end."""
        timed_out = clean = False
        try:
            began = talk.told
            if start is not None:
                await self._line_up(talk, start, token)
                talk.tell(GO)
                began = time.monotonic()
            try:
                async with asyncio.timeout(command.timeout_s or None):
                    await talk.until_exited()
            except TimeoutError:
                timed_out = True
            took_s = time.monotonic() - began
            if not timed_out and talk.fault is None:
                clean = await talk.until_closed()
        finally:
            if not clean:
                await self._end(talk, mark)
        if talk.fault is not None:
            raise talk.fault
        self._check_folder(talk, token)
        if talk.lost is not None or (talk.code is None and not timed_out):
            raise broke(self._spec, talk.lost)
        code = talk.code if talk.code is not None else -9
        return Ran(
            exit=ExitStatus(code=code, duration_s=took_s, timed_out=timed_out),
            stdout=talk.stdout.close(),
            stderr=talk.stderr.close(),
            lost_bytes=talk.stdout.lost_bytes + talk.stderr.lost_bytes,
            started=talk.started,
        )

    async def _line_up(self, talk: Conversation, start: Gate, token: str) -> None:
        """Wait until all is ready there, and then for the others."""
        try:
            await talk.ready.wait()
            if talk.closed:
                self._check_folder(talk, token)
                raise broke(self._spec, talk.lost)
        except BaseException:
            await start.abort()  # the others would wait for ever
            raise
        await start.wait()

    async def _end(self, talk: Conversation, mark: str) -> None:
        """See to it that nothing of a run is left there, as far as the machine can be told."""
        try:
            if talk.code is None:
                talk.stop()
                async with asyncio.timeout(GRACE_S + ANSWER_S):
                    await talk.until_gone()
            elif mark:  # what holds the channel open has left the process group
                talk.drop()
                await self.sweep([mark])
        except (TimeoutError, HostError):
            pass  # what is there hears nothing from us, and ends itself
        finally:
            talk.drop()

    def _check_folder(self, talk: Conversation, token: str) -> None:
        if talk.code == NO_FOLDER and talk.head.startswith(token.encode()):
            said = talk.head.removeprefix(token.encode()).decode(errors="replace").strip()
            raise HostError(
                f"The folder of a command can't be had on host '{self._spec.name}': {said}",
                remedy="Correct `directory` of the host, or give its user the right to make it",
            )

    async def send(self, source: Path, target: str) -> None:
        await transfer.send(self._links, self._spec, self._site, source, folder_name(target))

    async def fetch(self, source: str, target: Path) -> None:
        await transfer.fetch(self._links, self._spec, self._site, folder_name(source), target)

    async def remove(self, folders: Sequence[str]) -> None:
        for folder in folders:
            check_below(self._spec, folder)
        for first in range(0, len(folders), _FOLDERS_AT_ONCE):
            some = [folder_name(each) for each in folders[first : first + _FOLDERS_AT_ONCE]]
            ran = await self.run(Command(argv=("rm", "-rf", "--", *some)))
            if not ran.exit.ok:
                raise TransferFailed(
                    f"Folders can't be removed on host '{self._spec.name}': "
                    + ran.stderr[:500].decode(errors="replace").strip(),
                    remedy="Look who owns them",
                )

    async def sweep(self, marks: Sequence[str] = ()) -> int:
        talk = await self._links.ask(SWEEP, sweep_lines(marks))
        said = talk.stdout.kept.strip()
        return int(said) if said.isdigit() else 0

    async def ping(self, tries: int = 3) -> tuple[int, float | None]:
        return await health.ping(self._spec.address, tries)

    async def check(self) -> None:
        ran = await self.run(Command(argv=("true",), directory=self._spec.directory))
        if not ran.exit.ok:
            raise HostUnreachable(
                f"Host '{self._spec.name}' can't run `true`: {ran.exit}",
                remedy=f"Log in and look: `ssh -p {self._spec.port} {self._spec.address}`",
            )

    async def health(self) -> Health:
        return await health.look(self._spec, self._links)

    async def reboot(self, *, limit_s: float, power_cycle: bool = False) -> None:
        await power.reboot(self._spec, self._links, limit_s=limit_s, power_cycle=power_cycle)

    async def close(self) -> None:
        await self._links.close()


def check_below(spec: HostSpec, folder: str) -> None:
    """Refuse a folder that isn't below a host's folder for attempts.

    Raises
    ------
    BadInput
        It isn't.
    """
    base, path = PurePosixPath(spec.directory), PurePosixPath(folder)
    if ".." in path.parts or base not in path.parents or "\0" in folder:
        raise BadInput(
            f"'{folder}' isn't below {spec.directory}, so it isn't removed from host '{spec.name}'",
            remedy="Remove it by hand if it has to go",
        )
