"""The table of truth, as the engine sees it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from fieldlab.domain.definition import Definition
from fieldlab.domain.provenance import Provenance
from fieldlab.domain.trials import CampaignState, TrialState
from fieldlab.ports.executor import Outcomes, Running

if TYPE_CHECKING:
    from fieldlab.domain.parameters import TrialPoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign:
    """A campaign as it stands. Counts are of trials unless they say otherwise."""

    id: int
    experiment_id: int
    experiment: str
    version: int
    #: counted from 1 within the experiment
    number: int
    state: CampaignState
    definition: Definition
    #: positions of the sequence, from the first, that engines have taken so far
    cursor: int
    #: positions in all; None when the sequence has no end
    positions: int | None
    #: trials wanted at most, where excluded positions are only met on the way; None: all
    wanted: int | None
    succeeded: int
    failed: int
    cancelled: int
    #: had been run by an earlier campaign of the experiment
    skipped: int
    #: positions that turned out to be excluded
    excluded: int
    #: attempts that have ended
    attempts: int
    consecutive_failures: int
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    #: why it paused or tripped, for people
    note: str
    #: other campaigns of the experiment have left trials
    shares_trials: bool

    @property
    def name(self) -> str:
        """What commands and folders call it: the experiment's name, its version, its number."""
        version = f".v{self.version}" if self.version > 1 else ""
        return f"{self.experiment}{version}.{self.number}"

    def is_called(self, name: str) -> bool:
        """Whether it is meant by a name: its own, its experiment's or its version's.

        The first version may be said or not: ``waves.v1.2`` is ``waves.2``.
        """
        version = f"{self.experiment}.v{self.version}"
        return self.is_all_of(name) or name in (self.name, f"{version}.{self.number}")

    def is_all_of(self, name: str) -> bool:
        """Whether a name means all campaigns of the experiment's version, and not this one."""
        return name in (self.experiment, f"{self.experiment}.v{self.version}")

    @property
    def done(self) -> int:
        """Trials that need no more work."""
        return self.succeeded + self.failed + self.cancelled + self.skipped

    @property
    def total(self) -> int | None:
        """Trials in all, as far as is known."""
        return None if self.positions is None else self.positions - self.excluded


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """A range of positions that one engine works on; none of its trials has a row yet."""

    id: int
    start: int
    stop: int
    #: trial ids are ``first_id + position - start``
    first_id: int
    #: positions of the range that are already recorded
    recorded: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sifted:
    """A range of positions that an engine has looked through before it leases it."""

    start: int
    stop: int
    #: those of the range that are trials to run
    positions: Sequence[int]
    #: how many of them the space excludes
    excluded: int
    #: how many are trials that another campaign has recorded
    skipped: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """A trial that is to be tried again; it is recorded as running."""

    trial_id: int
    position: int
    #: of the attempt to make
    number: int
    #: what it is, where the sequence doesn't say: a point that was submitted
    trial: TrialPoint | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What an engine may do next."""

    state: CampaignState
    leases: Sequence[Lease] = ()
    retries: Sequence[Retry] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """A process that runs a campaign, for the table of engines."""

    id: str
    host: str
    pid: int
    #: when the process began, in s on a clock of its machine: tells a later one of the same pid
    process_started: float
    slots: int
    #: who started it, with which words, in which folder; empty where nobody knows
    user: str = ""
    command_line: Sequence[str] = ()
    directory: str = ""
    #: code and environment that it runs trials with
    provenance: Provenance | None = None
    #: which kernel it runs on, and which process numbers it sees; empty: only the host is known
    machine: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSign:
    """An engine and how long ago it was last heard of."""

    engine: Engine
    silent_s: float


class EndedAttempt(NamedTuple):
    """What the status spreadsheet says of an attempt."""

    #: UTC, as in 2026-01-31 23:59:59.123456
    started_at: str
    ended_at: str
    #: canonical JSON of the point
    parameters: str
    #: counted from 1
    repeat: int
    pings: int
    ssh_checks: int
    status: str
    #: counted from 1
    number: int


class Submitted(NamedTuple):
    """What has become of a point that was submitted."""

    trial_id: int
    state: TrialState
    #: name of another campaign whose trial it is; "" if it is the campaign's own
    owner: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a trial has ended."""

    trial_id: int
    state: TrialState
    attempts: int
    #: of its last attempt
    status: str
    error: str
    #: its results, without the parameters
    rows: Sequence[dict[str, Any]] = ()


@dataclass(slots=True, kw_only=True)
class Recording:
    """What one commit records: ended attempts, and the leases that they complete."""

    outcomes: list[Outcomes] = field(default_factory=list)
    #: position → trial id for each record
    trial_ids: dict[int, int] = field(default_factory=dict)
    #: ids of trials that are recorded as running
    begun: set[int] = field(default_factory=set)
    #: leases of which no position is left, with (excluded, skipped) positions in each
    finished: dict[int, tuple[int, int]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.outcomes or self.finished)


class CampaignStore(Protocol):
    """Keeps campaigns, trials and attempts.

    - Every method is one transaction: after an error nothing of it has happened.
    - A method that raised a transient error may be called again with the same arguments, even when
      the commit itself was cut off: it is then done once.
    - Times are UTC.
    """

    def campaign(self, campaign_id: int) -> Campaign:
        """Read a campaign."""
        ...

    def enlist(self, campaign_id: int, engine: Engine) -> None:
        """Write an engine into the table of engines, alive from now on, with its provenance.

        What isn't known yet of the experiment's code, commit and environment is taken from it.
        """
        ...

    def heartbeat(self, campaign_id: int, engine_id: str) -> CampaignState:
        """Say that the engine is alive; learn the campaign's state."""
        ...

    def retire(self, campaign_id: int, engine_id: str) -> None:
        """Write an engine out: free the leases that it still holds, queue what it was running."""
        ...

    def live_engines(self, campaign_id: int) -> Sequence[EngineSign]:
        """List the engines that haven't been written out, with their last sign of life."""
        ...

    def recover(self, campaign_id: int, engine_ids: Sequence[str]) -> int:
        """Take over from engines that died: free their leases, queue what they were running.

        Returns
        -------
        int
            Attempts that were lost with them.
        """
        ...

    def acquire(
        self,
        campaign_id: int,
        engine_id: str,
        positions: int,
        retries: int,
        sifted: Sifted | None = None,
    ) -> Work:
        """Lease at most so many new positions, and at most so many trials to try again.

        Parameters
        ----------
        sifted
            The new positions, if they have been looked through: leased whole, however many they
            are, or passed over at once if there is nothing to run among them. Nothing new is
            leased if another engine has taken them meanwhile.
        """
        ...

    def known(self, experiment_id: int, fingerprints: Collection[str]) -> set[str]:
        """Say which of the fingerprints have a trial already."""
        ...

    def begin(
        self,
        campaign_id: int,
        engine_id: str,
        running: Sequence[tuple[Running, int, str, str, int]],
    ) -> set[int]:
        """Record that first attempts run: (running, trial id, fingerprint, parameters, repeat).

        Returns
        -------
        set of int
            Trial ids that were not there yet and now run.
        """
        ...

    def record(self, campaign_id: int, engine_id: str, recording: Recording) -> Campaign:
        """Record ended attempts with their result rows, events and counts, in one commit.

        A trial that somebody else has meanwhile recorded is left as it is. Returns the campaign as
        it stands afterwards; the failure guard and the retry policy have been applied.
        """
        ...

    def finish(self, campaign_id: int, engine_id: str = "") -> bool:
        """Finish the campaign if nothing is left to do and nobody is working on it.

        One whose points are submitted stays as it is while other engines than ``engine_id`` work on
        it: they may be given more.

        Returns
        -------
        bool
            Nothing is left to do.
        """
        ...

    def submit(self, campaign_id: int, points: Sequence[TrialPoint]) -> Sequence[Submitted]:
        """Queue points as trials of a campaign that takes them; say what has become of each.

        One that has been run before is left as it is, whichever campaign ran it; of this campaign,
        those that failed or were cancelled are queued again.

        Raises
        ------
        IllegalTransition
            The campaign doesn't run.
        """
        ...

    def endings(self, campaign_id: int, trial_ids: Collection[int]) -> Sequence[Ending]:
        """Say how trials of the campaign's experiment ended; those that haven't are left out."""
        ...

    def change_state(
        self,
        campaign_id: int,
        target: CampaignState,
        *,
        by: str,
        why: str,
        expected: CampaignState | None = None,
    ) -> Campaign:
        """Take the campaign to another state.

        Parameters
        ----------
        expected
            The state that it is to be in, if only from that one.

        Raises
        ------
        Conflict
            It isn't in the expected state.
        IllegalTransition
            Its lifecycle doesn't allow that; the message says what it allows.
        """
        ...

    def ended_attempts(self, campaign_id: int, after: int) -> Iterator[EndedAttempt]:
        """Stream the ended attempts by their sequence number, from ``after`` + 1 on."""
        ...
