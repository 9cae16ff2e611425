"""The one way from asynchronous code to the synchronous store: a thread, and patience."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from tenacity import RetryCallState, retry_if_exception, stop_after_delay, wait_random_exponential
from tenacity.asyncio import AsyncRetrying

from fieldlab.domain.errors import Conflict, FieldlabError

T = TypeVar("T")

#: how long a database that can't be reached or is locked is borne with, s
PATIENCE_S = 300.0


class StoreThread:
    """Makes the store's calls one after the other, outside the event loop.

    Parameters
    ----------
    on_trouble
        Told, in words, about a call that failed and is made again.
    """

    def __init__(self, on_trouble: Callable[[str], None]) -> None:
        self._on_trouble = on_trouble
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="fieldlab-store")

    async def call(self, call: Callable[[], T]) -> T:
        """Make a call; again and again while the database is away, for at most PATIENCE_S."""
        loop = asyncio.get_running_loop()
        async for attempt in AsyncRetrying(
            retry=retry_if_exception(_may_pass),
            wait=wait_random_exponential(multiplier=0.1, max=5.0),
            stop=stop_after_delay(PATIENCE_S),
            before_sleep=self._tell,
            reraise=True,
        ):
            with attempt:
                return await loop.run_in_executor(self._thread, call)
        raise AssertionError("unreachable")

    def _tell(self, state: RetryCallState) -> None:
        if state.outcome is not None:
            self._on_trouble(str(state.outcome.exception()))

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown()


def _may_pass(error: BaseException) -> bool:
    """Whether the same call may succeed a little later."""
    return isinstance(error, FieldlabError) and error.transient and not isinstance(error, Conflict)
