"""The work that this engine holds: leases cut into batches, and what is still open of each."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from fieldlab.domain.ids import canonical
from fieldlab.domain.parameters import TrialSequence
from fieldlab.domain.policies import FailureGuard
from fieldlab.engine.sieve import Known
from fieldlab.ports.executor import Batch, Outcomes, Running
from fieldlab.ports.store import Lease, Recording, Retry, Sifted

#: a batch is to last so long, s: enough to hide the cost of a message, little enough to lose
BATCH_S = 0.1
#: what one engine leases at a time is to last so long, s
LEASE_S = 2.0
LARGEST_BATCH = 5_000
#: outcomes of short trials wait so long for company before they are committed, s: each commit
#: waits for the disk, and so does whatever else writes to it
LINGER_S = 0.25
#: a batch may be so many times as large as the one before, until the cost of a trial is known
GROWTH = 8


class Pace:
    """Measures what a trial costs and sizes batches and leases by it.

    Parameters
    ----------
    guard
        Near its limit batches get small, so that it doesn't come late.
    """

    def __init__(self, guard: FailureGuard) -> None:
        self.guard = guard
        #: failures in a row, as they are delivered; the store's count is the one that decides
        self.failed_in_row = 0
        self._cost_s: float | None = None
        self._largest = 1

    def learn(self, outcomes: Outcomes) -> None:
        """Take the durations of ended attempts, and their failures, into account."""
        records = outcomes.records
        if not records:
            self._largest = min(self._largest * GROWTH, LARGEST_BATCH)
            return
        mean = sum(max(each.ended - each.started, 0.0) for each in records) / len(records)
        known = self._cost_s
        self._cost_s = mean if known is None else 0.7 * known + 0.3 * mean
        for record in records:
            self.failed_in_row = self.failed_in_row + 1 if record.failure else 0

    def batch(self, slots: int) -> int:
        """How many trials the next batch is to have."""
        if self._cost_s is None:
            return 1
        limit = self.guard.consecutive_failures
        if limit and self.failed_in_row:
            return max(1, min(self._fitting(), (limit - self.failed_in_row) // (2 * slots)))
        size = self._fitting()
        self._largest = max(size, self._largest)
        return size

    def _fitting(self) -> int:
        fitting = int(BATCH_S / max(self._cost_s or 0.0, 1e-6))
        return max(1, min(fitting, self._largest * GROWTH, LARGEST_BATCH))

    def lease(self, slots: int) -> int:
        """How many positions are to be leased at a time: no more than others could do as well."""
        if self._cost_s is None:
            return slots
        fitting = slots * LEASE_S / max(self._cost_s, 1e-6)
        return max(slots, int(min(fitting, self._fitting() * slots * LEASE_S / BATCH_S)))

    def under_way(self, slots: int) -> int:
        """How many batches may be begun: one more for each slot where waiting for it would show."""
        return 2 * slots if self._short() else slots

    def retries(self, slots: int, under_way: int) -> int:
        """How many trials may be taken to be tried again: they are recorded as running at once."""
        return self.batch(slots) * slots if self._short() else max(0, slots - under_way)

    def _short(self) -> bool:
        return self._cost_s is not None and self._cost_s < LEASE_S / 4

    def linger(self) -> float:
        """How long outcomes may wait for a commit, s: not long where a trial is worth much."""
        return LINGER_S if (self._cost_s or 0.0) < BATCH_S else LINGER_S / 10


@dataclass(slots=True)
class _Held:
    """A lease, and how many of its positions have not ended one way or another."""

    lease: Lease
    open: int
    excluded: int = 0
    skipped: int = 0


@dataclass(slots=True, eq=False)
class Backlog:
    """Cuts leases into batches and knows when a lease is used up."""

    sequence: TrialSequence
    _held: dict[int, _Held] = field(default_factory=dict)
    #: positions that wait to be put into a batch, with their lease
    _waiting: deque[tuple[Sequence[int], _Held]] = field(default_factory=deque)
    _retries: deque[Retry] = field(default_factory=deque)
    #: batches under way: with their lease, or with the trial ids of retries by position
    _under_way: dict[int, _Held | dict[int, int]] = field(default_factory=dict)
    #: ids of trials that the store has as running
    begun: set[int] = field(default_factory=set)
    _last_batch: int = 0

    def __bool__(self) -> bool:
        return bool(self._waiting or self._retries)

    @property
    def has_used_up(self) -> bool:
        """Whether a lease is used up and the store doesn't know yet."""
        return any(held.open <= 0 for held in self._held.values())

    @property
    def has_leases(self) -> bool:
        """Whether any lease isn't used up."""
        return bool(self._held)

    def add_lease(self, lease: Lease, known: Known | None) -> None:
        """Take a lease in; positions that are recorded or known already are left out."""
        positions: Sequence[int] = range(lease.start, lease.stop)
        if lease.recorded:
            positions = [each for each in positions if each not in lease.recorded]
        held = self._held[lease.id] = _Held(lease, len(positions))
        if known is not None:
            positions = self._unknown(held, positions, known)
        if positions:
            self._waiting.append((positions, held))

    def add_sifted(self, lease: Lease, sifted: Sifted) -> None:
        """Take in a lease that has been looked through."""
        self._held[lease.id] = held = _Held(
            lease, len(sifted.positions), sifted.excluded, sifted.skipped
        )
        self._waiting.append((sifted.positions, held))

    def _unknown(self, held: _Held, positions: Sequence[int], known: Known) -> Sequence[int]:
        trials = {each: self.sequence[each] for each in positions}
        prints = {each: trial.fingerprint for each, trial in trials.items() if trial}
        there = known(set(prints.values()))
        kept = [each for each, print_ in prints.items() if print_ not in there]
        held.excluded += len(trials) - len(prints)
        held.skipped += len(prints) - len(kept)
        held.open = len(kept)
        return kept

    def add_retries(self, retries: Sequence[Retry]) -> None:
        """Take in trials that are to be tried again; they come before new ones."""
        self._retries.extend(retries)
        self.begun.update(each.trial_id for each in retries)

    def next_batch(self, size: int, slots: int) -> Batch | None:
        """Cut the next batch off what waits."""
        self._last_batch += 1
        if self._retries:
            size = min(size, math.ceil(len(self._retries) / slots))
            taken = [self._retries.popleft() for _ in range(size)]
            self._under_way[self._last_batch] = {each.position: each.trial_id for each in taken}
            return Batch(
                id=self._last_batch,
                positions=[each.position for each in taken],
                numbers=[each.number for each in taken],
                points=[each.trial for each in taken if each.trial is not None],
            )
        if not self._waiting:
            return None
        positions, held = self._waiting.popleft()
        if len(self._waiting) < slots:  # near the end: share what is left among the slots
            size = min(size, math.ceil(len(positions) / slots))
        if len(positions) > size:
            self._waiting.appendleft((positions[size:], held))
        self._under_way[self._last_batch] = held
        return Batch(id=self._last_batch, positions=positions[:size])

    def hand_back(self, batch: Batch, unrun: Sequence[int]) -> None:
        """Take back what a slot didn't run of a batch, to be run first."""
        origin = self._under_way[batch.id]
        if isinstance(origin, _Held):
            self._waiting.appendleft(([batch.positions[each] for each in unrun], origin))
            return
        for each in reversed(unrun):
            position = batch.positions[each]
            self._retries.appendleft(
                Retry(
                    trial_id=origin[position],
                    position=position,
                    number=batch.number(each),
                    trial=batch.points[each] if batch.points else None,
                )
            )

    def trial_id(self, batch: int, position: int) -> int:
        """Give the id of a trial of a batch under way."""
        origin = self._under_way[batch]
        if isinstance(origin, _Held):
            return origin.lease.first_id + position - origin.lease.start
        return origin[position]

    def unrecorded(
        self, running: Iterable[Running], longer_than_s: float
    ) -> list[tuple[Running, int, str, str, int]]:
        """List the trials that have run for a while and that the store doesn't have as running."""
        now = time.time()
        return [
            (each, trial_id, trial.fingerprint, canonical(trial.parameters), trial.repeat)
            for each in running
            if each.number == 1
            and now - each.started > longer_than_s
            and (trial_id := self.trial_id(each.batch, each.position)) not in self.begun
            and (trial := self.sequence[each.position])
        ]

    def recording(self, ended: Sequence[Outcomes]) -> Recording:
        """Gather outcomes for one commit, with the leases that they use up."""
        recording = Recording(outcomes=list(ended))
        for outcomes in ended:
            origin = self._under_way[outcomes.batch]
            for record in outcomes.records:
                trial_id = self.trial_id(outcomes.batch, record.position)
                recording.trial_ids[record.position] = trial_id
                if trial_id in self.begun:
                    recording.begun.add(trial_id)
            if isinstance(origin, _Held):
                origin.open -= len(outcomes.records) + outcomes.excluded
                origin.excluded += outcomes.excluded
        for lease_id in [id_ for id_, held in self._held.items() if held.open <= 0]:
            used_up = self._held.pop(lease_id)
            recording.finished[lease_id] = (used_up.excluded, used_up.skipped)
        return recording

    def recorded(self, recording: Recording) -> None:
        """Forget what the store has now."""
        self.begun -= recording.begun

    def forget(self, batch: Batch) -> None:
        """Forget a batch that is over and recorded."""
        self._under_way.pop(batch.id, None)
