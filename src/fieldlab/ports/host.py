"""A machine that can be reached: commands run on it, files go there and come back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fieldlab.domain.commands import Command, ExitStatus
from fieldlab.domain.sites import Health, HostSpec

#: bytes of each output that are kept in memory where no file is named for it
MOST_IN_MEMORY = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Sink:
    """Where the outputs of a command go."""

    #: files here; None keeps the first :data:`MOST_IN_MEMORY` bytes in memory
    stdout: Path | None = None
    stderr: Path | None = None
    #: bytes of each that are kept in a file; what comes after is read and thrown away
    most_bytes: int = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """How a command on a host ended."""

    #: a signal that the ssh protocol has no name for, such as SIGBUS, counts as 127
    exit: ExitStatus
    #: what it wrote, where no file was named
    stdout: bytes = b""
    stderr: bytes = b""
    #: bytes that were written beyond what is kept, of both outputs
    lost_bytes: int = 0
    #: Unix time at which its process began, on the host's own clock, s; 0 where it isn't known
    started: float = 0.0


class Gate(Protocol):
    """What several commands wait at to start together, such as an ``asyncio.Barrier``."""

    async def wait(self) -> object:
        """Wait until it opens.

        Raises
        ------
        BrokenBarrierError
            Another command gave up.
        """
        ...

    async def abort(self) -> object:
        """Say that this command won't come, so that nobody waits for it."""
        ...


class Host(Protocol):
    """A machine.

    - Nothing raises for what a command does; what raises is that the machine can't be used.
    - ``Command.argv`` reaches the program as it is: no shell on the machine reads it.
    - Methods may be called at the same time: one connection carries them all.
    """

    @property
    def spec(self) -> HostSpec:
        """Which machine it is."""
        ...

    async def run(
        self,
        command: Command,
        sink: Sink | None = None,
        *,
        start: Gate | None = None,
        mark: str = "",
    ) -> Ran:
        """Run a command to its end, in a process group of its own.

        When this returns, nothing of the process group runs on the machine any more. When the
        caller is cancelled, the time limit is over, the connection breaks, or this program dies
        whatever way, the group is killed there: at once where the machine can be told or sees the
        connection close, otherwise within 30 s by itself.

        Parameters
        ----------
        command
            Its ``directory`` is made if it isn't there ("." is the home folder); its
            ``environment`` is added to the machine's.
        start
            Waited for when all is ready there, so that several commands start together.
        mark
            Put into the environment as ``FIELDLAB_MARK``: :meth:`sweep` finds what left the group.

        Raises
        ------
        HostUnreachable
            The connection can't be made, or broke: the fate of the command isn't known, but it
            won't go on.
        HostKeyRefused
            The machine's key is unknown or has changed; also by all that follow.
        HostError
            The directory can't be had there.
        MachineError
            What it writes can't be kept here; it was stopped.
        BadInput
            A file that the site names, such as the key, can't be used.
        BrokenBarrierError
            Another one that ``start`` waits for can't be readied; nothing was started.
        """
        ...

    async def send(self, source: Path, target: str) -> None:
        """Copy a file, or what is in a folder, there; verified, never seen as whole before it is.

        Raises
        ------
        HostUnreachable
            As for :meth:`run`; a part that arrived is resumed by the next call.
        TransferFailed
            The machine refuses it, such as for a full disk.
        """
        ...

    async def fetch(self, source: str, target: Path) -> None:
        """Copy a file, or what is in a folder, here; as :meth:`send`.

        No link is followed, and nothing is written outside of ``target``.
        """
        ...

    async def remove(self, folders: Sequence[str]) -> None:
        """Remove folders of attempts with all that is in them; those that aren't there are fine.

        Raises
        ------
        BadInput
            One isn't below the host's folder for attempts.
        TransferFailed
            The machine refuses it.
        """
        ...

    async def sweep(self, marks: Sequence[str] = ()) -> int:
        """Kill what still runs there with one of the marks, or with any mark at all if none.

        Returns
        -------
        int
            Processes that were killed.
        """
        ...

    async def ping(self, tries: int = 3) -> tuple[int, float | None]:
        """Ping it: how many tries that took, and the round trip in ms or None: no answer."""
        ...

    async def check(self) -> None:
        """Make sure that a command can be run now; connects anew if need be.

        Raises
        ------
        HostUnreachable
            With the reason and what to do.
        """
        ...

    async def health(self) -> Health:
        """Look at it; never raises."""
        ...

    async def reboot(self, *, limit_s: float, power_cycle: bool = False) -> None:
        """Restart it and wait until it is really back: with another boot id, and ssh answering.

        Parameters
        ----------
        power_cycle
            By the host's own command for its power, instead of asking its system.

        Raises
        ------
        HostUnreachable
            It isn't back after ``limit_s``.
        BadInput
            It has no command for its power.
        """
        ...

    async def close(self) -> None:
        """Give the connection back; it may be called again."""
        ...
