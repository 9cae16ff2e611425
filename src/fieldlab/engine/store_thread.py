"""The one way from asynchronous code to the synchronous store: a thread, and patience."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

from tenacity import RetryCallState, retry_if_exception, wait_random_exponential
from tenacity.asyncio import AsyncRetrying

from fieldlab.domain.durations import format_duration
from fieldlab.domain.errors import Conflict, FieldlabError, StoreUnavailable
from fieldlab.domain.waiting import wait_at_most

T = TypeVar("T")

#: how long a database that can't be reached or is locked is borne with, s
PATIENCE_S = 300.0
#: how long a call may still take once somebody is in a hurry, s
HURRY_S = 5.0
#: trouble that is over sooner isn't worth a word, s
QUIET_S = 1.0
#: how often it is said that the database is still away, s
REMIND_S = 60.0


class StoreThread:
    """Makes the store's calls one after the other, outside the event loop.

    Parameters
    ----------
    on_trouble
        Told, in words, that the database is away, and that it is back.
    """

    def __init__(self, on_trouble: Callable[[str], None]) -> None:
        self._on_trouble = on_trouble
        self._calls: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        #: since when the database is away, and when that was told last (monotonic, s)
        self._away_since: float | None = None
        self._told_at: float | None = None
        self._hurried = asyncio.Event()
        #: whether a call didn't come back
        self._stuck = False
        # a daemon: a call that a dead server never answers must not keep the program from ending
        self._thread = threading.Thread(target=self._serve, name="fieldlab-store", daemon=True)
        self._thread.start()

    async def call(self, call: Callable[[], T]) -> T:
        """Make a call; again and again while the database is away, for at most PATIENCE_S.

        All calls share that patience: the time counts from when the database went away.
        """
        async for attempt in AsyncRetrying(
            retry=retry_if_exception(_may_pass),
            wait=wait_random_exponential(multiplier=0.1, max=5.0),
            stop=self._is_enough,
            before_sleep=self._tell,
            sleep=self._sleep,
            reraise=True,
        ):
            with attempt:
                made = await self._once(call)
                self._welcome_back()
                return made
        raise AssertionError("unreachable")

    def hurry(self) -> None:
        """Let no call take longer than HURRY_S from now on, nor be made twice."""
        self._hurried.set()

    def close(self) -> None:
        """End the thread, unless it is in a call that doesn't come back."""
        self._calls.put(None)
        if not self._stuck:
            self._thread.join()

    async def _once(self, call: Callable[[], T]) -> T:
        made: Future[T] = Future()
        self._calls.put((made, call))
        answer = asyncio.wrap_future(made)
        answer.add_done_callback(_look_at)
        hurried = asyncio.ensure_future(self._hurried.wait())
        try:
            either: set[asyncio.Future[Any]] = {answer, hurried}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not answer.done():
                await asyncio.wait({answer}, timeout=HURRY_S)
            if answer.done():
                return answer.result()
            self._stuck = True
            raise StoreUnavailable("The database hasn't answered in time")
        finally:
            hurried.cancel()
            answer.cancel()

    def _serve(self) -> None:
        while (task := self._calls.get()) is not None:
            made, call = task
            if made.set_running_or_notify_cancel():
                try:
                    made.set_result(call())
                except BaseException as error:  # noqa: BLE001 - it is the caller's
                    made.set_exception(error)
            del task, made, call

    def _is_enough(self, state: RetryCallState) -> bool:
        if self._away_since is None:
            self._away_since = state.start_time
        return self._hurried.is_set() or time.monotonic() - self._away_since > PATIENCE_S

    async def _sleep(self, seconds: float) -> None:
        await wait_at_most(seconds, self._hurried)

    def _tell(self, state: RetryCallState) -> None:
        now = time.monotonic()
        assert self._away_since is not None
        assert state.outcome is not None
        away_s = now - self._away_since
        if away_s < QUIET_S or (self._told_at is not None and now - self._told_at < REMIND_S):
            return
        self._told_at = now
        left = format_duration(max(round(PATIENCE_S - away_s), 1))
        self._on_trouble(
            f"Waiting for the database, for {left} at most; Ctrl-C twice gives up."
            f" {state.outcome.exception()}"
        )

    def _welcome_back(self) -> None:
        if self._told_at is not None and self._away_since is not None:
            away = format_duration(round(time.monotonic() - self._away_since))
            self._on_trouble(f"The database is back after {away}")
        self._away_since = self._told_at = None


def unrecorded(error: StoreUnavailable, attempts: int) -> StoreUnavailable:
    """Say what an outage costs that outlasts everybody's patience."""
    return StoreUnavailable(
        f"{error.what}; of the attempts that have ended, {attempts:,} are not recorded",
        remedy="They are run again by `fieldlab resume`, when the database is back",
    )


def _look_at(answer: asyncio.Future[Any]) -> None:
    """Nobody may be waiting any more: an error is then not to be reported as forgotten."""
    if not answer.cancelled():
        answer.exception()


def _may_pass(error: BaseException) -> bool:
    """Whether the same call may succeed a little later."""
    return isinstance(error, FieldlabError) and error.transient and not isinstance(error, Conflict)
