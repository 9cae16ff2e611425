"""Points that come one by one while a campaign runs, and those who wait for their results."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from typing import Any, Self

from fieldlab.domain.errors import Conflict, Halted, IllegalTransition, TrialFailed
from fieldlab.domain.ids import Point, canonical, trial_name
from fieldlab.domain.parameters import TrialPoint
from fieldlab.domain.trials import TrialState
from fieldlab.engine.store_thread import StoreThread
from fieldlab.ports.store import CampaignStore, Ending, Submitted

#: what a trial gives: its results, or a list of them where there are several rows or none
Result = dict[str, Any] | list[dict[str, Any]]


class TrialFuture(Future[Result]):
    """The result that a submitted point will have; a ``concurrent.futures.Future``.

    ``result()`` gives a dict of what the function returned, as it is recorded; a list of dicts when
    it returned several rows. It raises `fieldlab.TrialFailed`, with the traceback of the
    function, for a trial that failed for good, and `fieldlab.Halted` when the campaign
    stopped before the trial had ended. A future that the engine hasn't looked at can be cancelled.
    """

    def __init__(self, trial: TrialPoint) -> None:
        super().__init__()
        self.trial = trial

    @property
    def point(self) -> Point:
        """The parameters."""
        return dict(self.trial.parameters)

    @property
    def repeat(self) -> int:
        """Which repeat of the point it is, counted from 1."""
        return self.trial.repeat


class Feed:
    """The way from whoever submits points to the engine, and back.

    `submit` and `close` may be called from any thread; all else is the engine's.
    """

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._arrived: deque[TrialFuture] = deque()
        self._waiting: defaultdict[int, list[TrialFuture]] = defaultdict(list)
        self._closed = False
        self._end: BaseException | None = None
        self._wake: Callable[[], None] = lambda: None
        #: those whose points the store hasn't taken, as the campaign has stopped
        self._left: list[TrialFuture] = []
        self._store: CampaignStore
        self._stored: StoreThread

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

    def attached(self, store: CampaignStore, stored: StoreThread, wake: Callable[[], None]) -> Self:
        """Take what the engine, whose loop runs in this thread, reaches the store by.

        Parameters
        ----------
        wake
            Lets the engine look for what has arrived; called in its loop.
        """
        loop = asyncio.get_running_loop()

        def wake_from_anywhere() -> None:
            with contextlib.suppress(RuntimeError):  # its loop has been closed: it is over
                loop.call_soon_threadsafe(wake)

        self._store, self._stored, self._wake = store, stored, wake_from_anywhere
        return self

    async def take_in(self, campaign_id: int) -> None:
        """Make trials of what has arrived, but for what was cancelled meanwhile."""
        with self._turn:
            arrived, self._arrived = self._arrived, deque()
        futures = [each for each in arrived if each.set_running_or_notify_cancel()]
        if not futures:
            return
        points = [each.trial for each in futures]
        try:
            found = await self._stored.call(lambda: self._store.submit(campaign_id, points))
        except IllegalTransition:  # it has just stopped; the engine will be told, and tell why
            self._left.extend(futures)
            return
        except BaseException:
            self._left.extend(futures)
            raise
        self._expect(futures, found)
        await self.settle(campaign_id, {each.trial_id for each in found})

    def _expect(self, futures: Sequence[TrialFuture], found: Sequence[Submitted]) -> None:
        """Let futures wait for the trials that the store made of them."""
        for future, submitted in zip(futures, found, strict=True):
            if submitted.owner and submitted.state is not TrialState.SUCCEEDED:
                future.set_exception(_elsewhere(future, submitted))
            else:
                self._waiting[submitted.trial_id].append(future)

    async def settle(self, campaign_id: int, trial_ids: Collection[int] | None = None) -> None:
        """Tell those who wait for trials, for some of them or for any, how they ended."""
        ids = [each for each in self._waiting if trial_ids is None or each in trial_ids]
        if not ids:
            return
        endings = await self._stored.call(lambda: self._store.endings(campaign_id, ids))
        for ending in endings:
            for future in self._waiting.pop(ending.trial_id, ()):
                _resolve(future, ending)

    def end(self, error: BaseException) -> None:
        """Tell those who still wait why they wait in vain."""
        with self._turn:
            self._end = error
            waiting = (each for some in self._waiting.values() for each in some)
            left = [*self._arrived, *self._left, *waiting]
            self._arrived.clear()
            self._left.clear()
            self._waiting.clear()
        for future in left:
            if future.running() or future.set_running_or_notify_cancel():
                future.set_exception(error)


def _resolve(future: TrialFuture, ending: Ending) -> None:
    name = _name(future)
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


def _name(future: TrialFuture) -> str:
    return trial_name(canonical(future.trial.parameters), future.repeat)


def _elsewhere(future: TrialFuture, submitted: Submitted) -> Conflict:
    name = _name(future)
    failed = submitted.state is TrialState.FAILED
    return Conflict(
        f"The trial {name} is {submitted.state} in {submitted.owner}, whose it is",
        remedy=f"`fieldlab {'retry' if failed else 'resume'} {submitted.owner}` runs it",
    )
