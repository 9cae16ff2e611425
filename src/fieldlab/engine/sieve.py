"""Looking ahead in a sequence: which of its next positions are trials that have yet to be run."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Collection
from dataclasses import dataclass

from fieldlab.domain.errors import BadInput
from fieldlab.domain.parameters import TrialSequence
from fieldlab.ports.store import Sifted

#: one look ahead is to last so long, s: little beside the silence after which an engine seems dead
SIFT_S = 0.5
#: the next look may be so many times as far as the one before
GROWTH = 8
#: how far the first look goes at most, in positions
FIRST_LOOK = 1_000

#: which fingerprints the store has already
Known = Callable[[Collection[str]], set[str]]


@dataclass(slots=True, eq=False)
class Sieve:
    """Finds the positions that are neither excluded nor recorded, before they are leased.

    It looks the further the less it finds, so that what needs no running costs neither a message
    nor a commit for each position.

    Parameters
    ----------
    known
        None where no other campaign can have recorded anything.
    """

    sequence: TrialSequence
    known: Known | None
    #: positions that it takes to find one trial to run
    _sparse: float = 1.0
    _cost_s: float = SIFT_S / FIRST_LOOK

    @property
    def is_needed(self) -> bool:
        """Whether a position may be anything but a trial to run."""
        return self.known is not None or self.sequence.streams

    def look(self, start: int, trials: int, most: int | None) -> Sifted | None:
        """Look for about so many trials to run from a position on.

        Parameters
        ----------
        most
            How many positions may be trials, whether they are recorded or not; None has no limit.

        Returns
        -------
        Sifted or None
            The positions that were looked at, or nothing at the end of the sequence.

        Raises
        ------
        BadInput
            An exclusion can't decide for the very first position.
        """
        stop = start + max(1, min(int(trials * self._sparse), int(SIFT_S / self._cost_s)))
        if self.sequence.positions is not None:
            stop = min(stop, self.sequence.positions)
        if stop <= start or most == 0:
            return None
        began = time.monotonic()
        places, new, stop = self._sift(start, stop, most)
        self._cost_s = max((time.monotonic() - began) / (stop - start), 1e-7)
        sparse = (stop - start) / len(new) if new else float("inf")
        self._sparse = min(sparse, GROWTH * self._sparse)
        if len(new) > 2 * trials:  # the rest is as well left to others
            stop = new[trials]
            del new[trials:]
        found = bisect_left(places, stop)
        whole = len(new) == stop - start
        return Sifted(
            start=start,
            stop=stop,
            positions=range(start, stop) if whole else new,
            excluded=stop - start - found,
            skipped=found - len(new),
        )

    def _sift(self, start: int, stop: int, most: int | None) -> tuple[list[int], list[int], int]:
        """Give the trials among the positions, those that are to be run, and where it ended."""
        places: list[int] = []
        prints: list[str] = []
        after = start
        try:
            for position, trial in self.sequence.run(start, stop):
                if trial is not None:
                    if len(places) == most:
                        break
                    places.append(position)
                    if self.known is not None:
                        prints.append(trial.fingerprint)
                after = position + 1
        except BadInput:  # what comes before is run first
            if after == start:
                raise
        if self.known is None:
            return places, places.copy(), after
        there = self.known(prints)
        return places, [at for at, p in zip(places, prints, strict=True) if p not in there], after
