"""The connections to one machine: made when needed, watched, and made anew when broken."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import asyncssh

from fieldlab.domain.errors import FieldlabError, HostUnreachable, MachineError
from fieldlab.domain.sites import HostSpec, Site
from fieldlab.hosts.channels import Conversation
from fieldlab.hosts.connecting import CONNECT_S, connect
from fieldlab.hosts.remote_script import GRACE_S, GUARD, HEARTBEAT_S

#: channels of one connection. sshd allows 10 (MaxSessions) unless told otherwise
MOST_CHANNELS = 10
#: an ended group has so long to be gone, beside its grace, s
ANSWER_S = 4.0
#: how often a channel is asked for where nothing can have happened
_TRIES = 4
#: short programs of our own have this long, s
SHORT_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the guard says of a machine."""

    boot_id: str
    #: whether sshd starts each program in a process group of its own
    leads: bool
    #: the programs that are there
    programs: frozenset[str]


@dataclass(slots=True, eq=False)
class Link:
    """One connection, with its guard."""

    #: the connection to the machine, and then those of jump hosts that carry it
    connections: list[asyncssh.SSHClientConnection]
    spec: HostSpec
    #: channels that may be open, beside the guard's
    most: int = MOST_CHANNELS - 1
    used: int = 0
    facts: Facts = field(init=False)
    _guard: Conversation = field(init=False)
    _heart: asyncio.Task[None] = field(init=False)
    _sftp: asyncio.Task[asyncssh.SFTPClient] | None = None

    async def guard(self) -> None:
        """Have the machine end this connection when it hears nothing any more."""
        self._guard = Conversation()
        try:
            async with asyncio.timeout(CONNECT_S):
                await self.open(GUARD, self._guard)
                said = await self._guard.until_said(b"\n\n")
        except (TimeoutError, asyncssh.Error, OSError) as error:
            self.abort()
            why = str(error) or f"no answer within {CONNECT_S:g} s"
            raise HostUnreachable(
                f"Host '{self.spec.name}' lets us in but doesn't run a program: {why}",
                remedy="Look at what its login shell and sshd say; `MaxSessions` must be at "
                f"least 2: `ssh -p {self.spec.port} {self.spec.address} true`",
            ) from error
        except BaseException:  # nobody else has it yet
            self.abort()
            raise
        self.facts = _facts(said)
        self._heart = asyncio.create_task(self._beat())

    async def _beat(self) -> None:
        while not self._guard.closed:
            self._guard.tell(b"\n")
            await asyncio.sleep(HEARTBEAT_S)

    async def open(self, program: str, conversation: Conversation) -> None:
        """Start a constant program on a channel of its own."""
        opening = asyncio.ensure_future(
            self.connection.create_session(
                lambda: cast(asyncssh.SSHClientSession[bytes], conversation),
                program,
                encoding=None,
                # nothing may be waited for before the program is asked for
                request_pty=False,
                x11_forwarding=False,
            )
        )
        try:
            await asyncio.shield(opening)
        except asyncio.CancelledError:
            begun = conversation.withdraw()
            opening.add_done_callback(lambda done: _forget(done, conversation))
            if begun:
                await _until_gone(conversation)
            raise

    @property
    def connection(self) -> asyncssh.SSHClientConnection:
        """The connection to the machine."""
        return self.connections[0]

    @property
    def usable(self) -> bool:
        return not self.connection.is_closed() and not self._guard.closed

    async def _start_sftp(self) -> asyncssh.SFTPClient:
        return await self.connection.start_sftp_client(path_encoding=None)

    async def sftp(self) -> asyncssh.SFTPClient:
        """Give the connection's one SFTP channel, opened when first asked for."""
        if self._sftp is None or (self._sftp.done() and self._sftp.exception()):
            self._sftp = asyncio.create_task(self._start_sftp())
            self.most -= 1
        return await asyncio.shield(self._sftp)

    async def close(self) -> None:
        self._heart.cancel()
        if self._sftp is not None:
            self._sftp.cancel()
        for connection in self.connections:
            connection.close()
        with contextlib.suppress(TimeoutError, asyncssh.Error, OSError):
            async with asyncio.timeout(2):
                for connection in self.connections:
                    await connection.wait_closed()
                return
        self.abort()

    def abort(self) -> None:
        """Give it up at once."""
        for connection in self.connections:
            connection.abort()


def _forget(done: asyncio.Future[Any], conversation: Conversation) -> None:
    if not done.cancelled() and done.exception() is None:
        if conversation.told:
            conversation.stop()
        else:
            conversation.drop()


async def _until_gone(conversation: Conversation) -> None:
    """Wait until what was begun has ended there, as far as the machine can be told."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(GRACE_S + ANSWER_S):
            await conversation.until_gone()
    conversation.drop()


def _facts(said: bytes) -> Facts:
    first, *programs = said.decode(errors="replace").splitlines() or [""]
    pid, leader, boot = (*first.split(" "), "", "", "")[:3]
    return Facts(
        boot_id=boot,
        leads=pid == leader or not leader,
        programs=frozenset(each.rsplit("/", 1)[-1] for each in programs if each),
    )


class Links:
    """The connections to one machine: one, and more only for more channels than sshd allows it."""

    def __init__(self, spec: HostSpec, site: Site) -> None:
        self._spec = spec
        self._site = site
        self._links: list[Link] = []
        self._lock = asyncio.Lock()
        #: of the boot that was seen last; "" if none was
        self.boot_id = ""

    @asynccontextmanager
    async def link(self) -> AsyncIterator[Link]:
        """Have a connection with room for a channel.

        Raises
        ------
        HostUnreachable, HostKeyRefused, BadInput
            As :func:`fieldlab.hosts.connecting.connect`.
        """
        async with self._lock:
            link = next(
                (each for each in self._links if each.usable and each.used < each.most), None
            )
            if link is None:
                link = await self._another()
            link.used += 1
        try:
            yield link
        finally:
            link.used -= 1

    async def _another(self) -> Link:
        for broken in [each for each in self._links if not each.usable]:
            self._links.remove(broken)
            await broken.close()
        link = Link(await connect(self._spec, self._site), self._spec)
        await link.guard()
        self.boot_id = link.facts.boot_id
        self._links.append(link)
        return link

    @asynccontextmanager
    async def channel(
        self, program: Callable[[Link], str], conversation: Callable[[], Conversation]
    ) -> AsyncIterator[tuple[Link, Conversation]]:
        """Have a channel with a constant program on it, told what its conversation says first.

        Tried again where nothing can have happened: the connection broke while nobody used it,
        or sshd allows fewer channels than thought.
        """
        async with contextlib.AsyncExitStack() as stack:
            yield await self._opened_at_last(program, conversation, stack)

    async def _opened_at_last(
        self,
        program: Callable[[Link], str],
        conversation: Callable[[], Conversation],
        stack: contextlib.AsyncExitStack,
    ) -> tuple[Link, Conversation]:
        for tries_left in reversed(range(_TRIES)):
            try:
                return await self._opened(program, conversation, stack)
            except (asyncssh.Error, OSError) as error:
                if not _of_the_link(error):
                    raise
                if not tries_left:
                    raise broke(self._spec, error) from error
        raise AssertionError

    async def _opened(
        self,
        program: Callable[[Link], str],
        conversation: Callable[[], Conversation],
        stack: contextlib.AsyncExitStack,
    ) -> tuple[Link, Conversation]:
        async with contextlib.AsyncExitStack() as attempt:
            link = await attempt.enter_async_context(self.link())
            try:
                talk = conversation()
            except OSError as error:
                raise MachineError(f"What a command writes can't be kept: {error}") from error
            try:
                await link.open(program(link), talk)
            except BaseException as error:
                talk.close()
                if isinstance(error, asyncssh.ChannelOpenError) and link.usable:
                    link.most = max(link.used - 1, 0)
                elif talk.told and _of_the_link(error):
                    raise broke(self._spec, error) from error  # it may have begun
                raise
            stack.push_async_exit(attempt.pop_all())
        return link, talk

    async def ask(self, program: str, lines: bytes = b"", limit_s: float = SHORT_S) -> Conversation:
        """Run a short constant program to its end, with lines for its input.

        Raises
        ------
        HostUnreachable
            As :meth:`link`, or it took longer than ``limit_s``.
        """
        async with self.channel(lambda _: program, Conversation) as (_, talk):
            try:
                async with asyncio.timeout(limit_s):
                    talk.asked = time.time()
                    talk.tell(lines)
                    talk.stop()
                    await talk.until_gone()
            except TimeoutError as error:
                talk.drop()
                raise broke(self._spec, error) from error
            if talk.code is None:
                raise broke(self._spec, talk.lost)
            return talk

    async def close(self) -> None:
        async with self._lock:
            for link in self._links:
                await link.close()
            self._links.clear()


def _of_the_link(error: BaseException) -> bool:
    """Whether an error says that a connection broke; others explain themselves."""
    return isinstance(error, asyncssh.Error | OSError) and not isinstance(error, FieldlabError)


def broke(spec: HostSpec, error: BaseException | None) -> HostUnreachable:
    """Say that the connection broke."""
    return HostUnreachable(
        f"The connection to host '{spec.name}' ({spec.identity}) broke"
        + (f": {error}" if error is not None and str(error) else ""),
        remedy="What ran on it is ended there within 30 s; try again",
    )
