"""Points that come one by one while a campaign runs, and those who wait for their results."""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from typing import Any

from fieldlab.domain.errors import Conflict, Halted, TrialFailed
from fieldlab.domain.ids import Point, trial_name
from fieldlab.domain.parameters import TrialPoint
from fieldlab.domain.trials import TrialState
from fieldlab.ports.store import Ending, Submitted

#: what a trial gives: its results, or a list of them where there are several rows or none
Result = dict[str, Any] | list[dict[str, Any]]


class TrialFuture(Future[Result]):
    """The result that a submitted point will have; a ``concurrent.futures.Future``.

    ``result()`` gives a dict of what the function returned, as it is recorded; a list of dicts when
    it returned several rows. It raises :class:`fieldlab.TrialFailed`, with the traceback of the
    function, for a trial that failed for good, and :class:`fieldlab.Halted` when the campaign
    stopped before the trial had ended. A future that the engine hasn't looked at can be cancelled.

    Attributes
    ----------
    point
        The parameters.
    repeat
        Which repeat of the point it is, counted from 1.
    """

    def __init__(self, trial: TrialPoint) -> None:
        super().__init__()
        self.trial = trial

    @property
    def point(self) -> Point:
        return dict(self.trial.parameters)

    @property
    def repeat(self) -> int:
        return self.trial.repeat


class Feed:
    """The way from whoever submits points to the engine, and back.

    :meth:`submit` and :meth:`close` may be called from any thread; all else is the engine's.
    """

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._arrived: deque[TrialFuture] = deque()
        self._waiting: defaultdict[int, list[TrialFuture]] = defaultdict(list)
        self._closed = False
        self._end: BaseException | None = None
        self._wake: Callable[[], None] = lambda: None

    def submit(self, trial: TrialPoint) -> TrialFuture:
        """Hand a point in.

        Raises
        ------
        Halted
            The campaign has stopped, or the feed was closed.
        """
        future = TrialFuture(trial)
        with self._turn:
            if self._end is not None:
                raise self._end
            if self._closed:
                raise Halted("The session is closed", remedy="Open it again to submit points")
            self._arrived.append(future)
            first = len(self._arrived) == 1
        if first:
            self._wake()
        return future

    def close(self) -> None:
        """Say that no more points will come."""
        with self._turn:
            self._closed = True
        self._wake()

    @property
    def is_over(self) -> bool:
        """Whether no more points will come, and all are with the store."""
        return self._closed and not self._arrived

    def attach(self, wake: Callable[[], None]) -> None:
        """Take the call that wakes the engine, which may be made from any thread."""
        self._wake = wake

    def take(self) -> list[TrialFuture]:
        """Take what has arrived, but for what was cancelled meanwhile."""
        with self._turn:
            arrived, self._arrived = self._arrived, deque()
        return [each for each in arrived if each.set_running_or_notify_cancel()]

    def expect(self, futures: Sequence[TrialFuture], found: Sequence[Submitted]) -> list[int]:
        """Let futures wait for the trials that the store made of them; those that have ended."""
        ended = []
        for future, submitted in zip(futures, found, strict=True):
            if submitted.owner and submitted.state is not TrialState.SUCCEEDED:
                future.set_exception(_elsewhere(future, submitted))
                continue
            self._waiting[submitted.trial_id].append(future)
            if submitted.state is TrialState.SUCCEEDED:
                ended.append(submitted.trial_id)
        return ended

    def awaited(self, trial_ids: Iterable[int] | None = None) -> list[int]:
        """List the trials that somebody waits for, or those of them that are named."""
        if trial_ids is None:
            return list(self._waiting)
        return [each for each in trial_ids if each in self._waiting]

    def settle(self, endings: Iterable[Ending]) -> None:
        """Tell those who wait how their trials ended."""
        for ending in endings:
            for future in self._waiting.pop(ending.trial_id, ()):
                _resolve(future, ending)

    def end(self, error: BaseException) -> None:
        """Tell those who still wait why they wait in vain."""
        with self._turn:
            self._end = error
            left = [*self._arrived, *(each for some in self._waiting.values() for each in some)]
            self._arrived.clear()
            self._waiting.clear()
        for future in left:
            if future.running() or future.set_running_or_notify_cancel():
                future.set_exception(error)


def _resolve(future: TrialFuture, ending: Ending) -> None:
    name = trial_name(_text(future), future.repeat)
    if ending.state is TrialState.SUCCEEDED:
        rows = list(ending.rows)
        future.set_result(rows[0] if len(rows) == 1 else rows)
    elif ending.state is TrialState.CANCELLED:
        future.set_exception(Halted(f"The trial {name} was cancelled"))
    else:
        future.set_exception(
            TrialFailed(
                f"The trial {name} failed: {ending.status}",
                point=future.point,
                status=ending.status,
                attempts=ending.attempts,
                traceback=ending.error,
            )
        )


def _text(future: TrialFuture) -> str:
    from fieldlab.domain.ids import canonical

    return canonical(future.trial.parameters)


def _elsewhere(future: TrialFuture, submitted: Submitted) -> Conflict:
    name = trial_name(_text(future), future.repeat)
    failed = submitted.state is TrialState.FAILED
    return Conflict(
        f"The trial {name} is {submitted.state} in {submitted.owner}, whose it is",
        remedy=f"`fieldlab {'retry' if failed else 'resume'} {submitted.owner}` runs it",
    )
