"""What to do when trials fail: try again, or stop before a whole campaign is wasted."""

from __future__ import annotations

from dataclasses import dataclass

from fieldlab.domain.trials import FailureClass


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often, and after how long, a failed trial is tried again."""

    #: tries that a trial has when its program fails or its data is bad
    attempts: int = 1
    #: further tries after failures of the infrastructure, which don't use up ``attempts``
    infrastructure_attempts: int = 10
    delay_s: float = 0.0
    #: each further delay is this many times the one before
    backoff: float = 2.0
    longest_delay_s: float = 300.0

    def retries(self, failure: FailureClass, used: int, lost: int) -> bool:
        """Say whether a trial is tried again.

        Parameters
        ----------
        failure
            How the last attempt failed.
        used, lost
            Attempts so far that failed by their own fault, and by the infrastructure's; the last
            one is counted.
        """
        if failure is FailureClass.INFRASTRUCTURE:
            return lost <= self.infrastructure_attempts
        return used < self.attempts

    def delay_before(self, attempt: int) -> float:
        """Seconds to wait before attempt number ``attempt`` (2 is the first retry)."""
        if self.delay_s <= 0:
            return 0.0
        try:
            grown: float = self.delay_s * self.backoff ** max(attempt - 2, 0)
        except OverflowError:
            return self.longest_delay_s
        return min(grown, self.longest_delay_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureGuard:
    """Stops a campaign in which nothing works any more."""

    #: attempts in a row, across trials, that may fail before the campaign pauses; 0 never pauses
    consecutive_failures: int = 10

    def trips(self, consecutive: int) -> bool:
        """Say whether that many failures in a row are too many."""
        return 0 < self.consecutive_failures <= consecutive
