"""What a trial runs, and how it is judged and read. Tools are pure: no file, no process."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from fieldlab.domain.commands import Command, ExitStatus
from fieldlab.domain.ids import Point
from fieldlab.domain.stating import StatedSpace
from fieldlab.domain.trials import FailureClass, Row

#: stands for the standard output among the files that a tool reads
STDOUT = "stdout"
STDERR = "stderr"


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPlace:
    """One of the hosts that an attempt has, as texts for its command lines."""

    name: str
    address: str
    roles: tuple[str, ...] = ()
    #: the attempt's own folder on that host
    out: str = ""
    #: network interface that experiments use; "" where the site doesn't say
    interface: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where one attempt happens, as paths for its command line."""

    #: folder of the definition
    here: str
    #: the attempt's own folder for what it writes
    out: str
    fingerprint: str
    repeat: int
    attempt: int
    #: the hosts that the attempt has; empty where it runs on this machine
    hosts: tuple[HostPlace, ...] = ()

    def with_role(self, role: str) -> Sequence[HostPlace]:
        """List the hosts of a role, in the site's order."""
        return [host for host in self.hosts if role in host.roles]


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One process of an attempt. All of them start together."""

    command: Command
    #: names its outputs and files where there are several: letters, digits, "_", "-", "."
    name: str = ""
    #: name of the host that it runs on; "" where the attempt has one host, or none
    host: str = ""
    #: names below the ``out`` of its place, or STDOUT, or STDERR
    reads: tuple[str, ...] = ()
    #: so long after the others it starts, s
    delay_s: float = 0.0
    #: it serves the others: ended when they have ended, and how it ends doesn't matter
    serves: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The processes of one attempt, and the files that judging it needs."""

    processes: tuple[Process, ...]
    #: whether they may write to ``out``: the folder is made, and brought back, only then
    writes: bool = True

    @classmethod
    def of(cls, command: Command, *, reads: tuple[str, ...] = (), writes: bool = True) -> Plan:
        """Plan one process."""
        return cls(processes=(Process(command=command, reads=reads),), writes=writes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How the processes of an attempt ended, with the files that the plan asked for."""

    #: process → how it ended; "" where there is one without a name
    exits: Mapping[str, ExitStatus]
    #: name → content, "process/name" for a process that has one; a file that isn't there is absent
    files: Mapping[str, bytes] = field(default_factory=dict)
    #: the processes as they were planned
    processes: tuple[Process, ...] = ()

    @property
    def exit(self) -> ExitStatus:
        """How the attempt ended: as its only process, or as the first that didn't end well."""
        ends = list(self.exits.values())
        return next((each for each in ends if not each.ok), ends[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """Whether an attempt succeeded, and whose fault it is if not."""

    #: what people read in the status spreadsheet: "success", "exit code 3", "timeout"
    status: str
    failure: FailureClass | None = None
    explanation: str = ""


class Tool(Protocol):
    """What a trial runs. Made as ``Tool(options, timeout_s)``; BadInput refuses the options."""

    def plan(self, point: Point, place: Place) -> Plan:
        """Say what to run for a point.

        Raises
        ------
        BadInput
            The tool can't be run for this point, or not on these hosts: a failed attempt.
        """
        ...

    def judge(self, outcome: Outcome) -> Judgement:
        """Say whether it worked."""
        ...

    def parse(self, outcome: Outcome) -> list[Row]:
        """Read the results of an attempt that was judged a success.

        Raises
        ------
        BadResult
            The output isn't what the definition says; the attempt fails with a bad verdict.
        """
        ...


@runtime_checkable
class CheckedTool(Protocol):
    """A tool that can tell before the first trial whether it fits a space."""

    def check(self, space: StatedSpace) -> None:
        """Look at the parameters' names, and at the values that the space states for each.

        Parameters
        ----------
        space
            Iterates as the names do. A parameter whose values are drawn, or come while it runs, or
            aren't known here, has None; see :func:`fieldlab.domain.stating.value_problems`.

        Raises
        ------
        BadInput
            One is missing, a placeholder names none, or a value can't be used; ``problems`` has
            them all, with their keys of the definition.
        """
        ...


@runtime_checkable
class ReadingTool(Protocol):
    """A tool that can tell which parameters it reads: others are probably slips."""

    def reads(self) -> Collection[str]:
        """Name them, those that have a default or a fixed value too."""
        ...


@runtime_checkable
class NeedsPrograms(Protocol):
    """A tool that can tell which programs must be on a host before its first attempt."""

    def programs(self, host: HostPlace) -> Sequence[str]:
        """Name the programs that a host needs, given its name and roles; none if it has no part.

        Each is a whole path, one that begins with ``~/``, or a name to be found on its PATH; see
        :func:`fieldlab.domain.programs.missing_programs_command`. One that can't be known yet
        isn't among them.
        """
        ...


@runtime_checkable
class SpreadTool(Protocol):
    """A tool whose processes run on several hosts. One without this takes any one host."""

    def roles(self) -> Mapping[str, int]:
        """Say which hosts an attempt takes: role → how many, or ``ALL`` that have the role."""
        ...

    def limit_s(self, point: Point) -> float:
        """Say how long an attempt may take by what the point says, s; 0: nothing is said."""
        ...
