"""What a trial runs, and how it is judged and read. Tools are pure: no file, no process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from fieldlab.domain.commands import Command, ExitStatus
from fieldlab.domain.ids import Point
from fieldlab.domain.trials import FailureClass, Row

#: stands for the standard output among the files that a tool reads
STDOUT = "stdout"


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The processes of one attempt, and the files that judging it needs."""

    command: Command
    #: names below ``Place.out``, or STDOUT
    reads: tuple[str, ...] = ()
    #: whether the command may write to ``Place.out``: the folder is made only then
    writes: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How the processes of an attempt ended, with the files that the plan asked for."""

    exit: ExitStatus
    #: name → content; a file that doesn't exist is absent
    files: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """Whether an attempt succeeded, and whose fault it is if not."""

    #: what people read in the status spreadsheet: "success", "exit code 3", "timeout"
    status: str
    failure: FailureClass | None = None
    explanation: str = ""


class Tool(Protocol):
    """What a trial runs."""

    def plan(self, point: Point, place: Place) -> Plan:
        """Say what to run for a point."""
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
