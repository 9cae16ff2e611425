"""Where attempts run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from fieldlab.domain.parameters import TrialPoint, TrialSequence


class Shape(NamedTuple):
    """The columns of a result row and the type of each value."""

    names: tuple[str, ...]
    #: "boolean", "integer", "real", "text"; "" for a value that is missing
    types: tuple[str, ...]


class Step(NamedTuple):
    """Something that was done in an attempt, besides running its processes or that."""

    #: "ping", "ssh check", "send", "run", "fetch" …
    name: str
    #: Unix time, s
    started: float
    duration_s: float
    #: what came of it, for people
    note: str = ""


class Circumstances(NamedTuple):
    """On which hosts an attempt ran, and what was done there."""

    hosts: tuple[str, ...] = ()
    #: tries that it took until each of the hosts answered, in all
    pings: int = 0
    ssh_checks: int = 0
    steps: Sequence[Step] = ()


class AttemptRecord(NamedTuple):
    """How one attempt ended. A tuple, because tens of thousands pass in a second."""

    position: int
    #: counted from 1
    repeat: int
    fingerprint: str
    #: canonical JSON of the point
    parameters: str
    #: number of the attempt, counted from 1
    number: int
    #: Unix time, s
    started: float
    ended: float
    #: an AttemptState
    state: str
    #: the end status people read: "success", "exit code 3", "ValueError", "timeout" …
    status: str
    #: a FailureClass, or "" for success
    failure: str
    exit_code: int | None
    #: what a person needs to find the fault: traceback, tails of the output
    error: str
    #: (index of the shape, values) for each result row
    rows: Sequence[tuple[int, Sequence[Any]]]
    #: None: it ran on this machine
    circumstances: Circumstances | None = None


@dataclass(slots=True, kw_only=True)
class Outcomes:
    """Some ended attempts of one batch."""

    batch: int
    shapes: Sequence[Shape]
    records: list[AttemptRecord]
    #: which names of the shapes are parameters
    parameters: frozenset[str] = frozenset()
    #: positions that the space excludes, met on the way
    excluded: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Trials that one slot runs one after the other.

    Either ``positions`` is a range, every trial being at its first attempt, or a list, each with
    the number of its attempt in ``numbers``.
    """

    id: int
    positions: Sequence[int]
    numbers: Sequence[int] = ()
    #: the trials themselves, where the sequence doesn't have them: points that were submitted
    points: Sequence[TrialPoint] = ()

    def trial(self, ordinal: int, sequence: TrialSequence) -> TrialPoint | None:
        """Give the trial at that place of the batch."""
        return self.points[ordinal] if self.points else sequence[self.positions[ordinal]]

    def number(self, ordinal: int) -> int:
        """Give the attempt's number for the trial at that place of the batch."""
        return self.numbers[ordinal] if self.numbers else 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A trial that runs right now."""

    batch: int
    position: int
    number: int
    #: Unix time, s
    started: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What an executor must know before its first batch."""

    #: plain data: a tool's kind and options
    tool: Mapping[str, Any]
    #: plain data: the parameter space
    space: Mapping[str, Any]
    #: the folder in which the definition lies
    folder: str
    #: the campaign's folder of attempts
    attempts: str
    #: the lab's folder of shipped functions
    functions: str = ""
    #: s; 0 has no limit
    timeout_s: float = 0.0
    #: the engine that the executor works for
    engine_id: str = ""
    #: how its campaign is called where hosts are held
    campaign: str = ""
    campaign_id: int = 0
    #: failures in a row after which a slot hands its batch back; 0 never does
    patience: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)


class Executor(Protocol):
    """Runs batches of trials in a number of slots.

    - Every position of a batch ends in exactly one delivered record, is counted as excluded, or is
      among the positions that :meth:`run` gives back.
    - A process that dies fails the trial that it was running, and only that one.
    - When the executor's own process dies, whatever way, nothing that it started keeps running.
    """

    @property
    def slots(self) -> int:
        """Batches that run at the same time."""
        ...

    async def start(self, setup: Setup) -> None:
        """Get ready to run.

        Raises
        ------
        BadInput
            The tool can't be used (a missing callable or program, a wrong signature); nothing runs.
        ExecutionError
            Processes can't be started; nothing runs.
        """
        ...

    async def run(self, batch: Batch, deliver: Callable[[Outcomes], None]) -> Sequence[int]:
        """Run a batch.

        Returns
        -------
        sequence of int
            Ordinals of the batch that were not run: because of :meth:`drain`, or because so many
            trials failed in a row that the failure guard must be asked first.

        Raises
        ------
        BadInput
            An exclusion can't decide for a point of the batch.
        ExecutionError
            Workers die faster than they can be replaced.
        """
        ...

    def running(self) -> list[Running]:
        """List the trials that run at this moment."""
        ...

    def drain(self) -> None:
        """Let the trials that run now end, and start no other."""
        ...

    async def stop(self) -> None:
        """End every process at once: politely, then by force. Afterwards nothing runs.

        It may be called again.
        """
        ...
