"""Waking a process' subscriptions when something may have come for them."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from functools import partial

from fieldlab.bus.subscription import Subscription
from fieldlab.domain.errors import FieldlabError
from fieldlab.ports.bus import Calls, MessageStore, News

#: one wait for news is at most so long, s; only for the thread to see that it is to end
LISTEN_S = 1.0
#: without any news it is looked again after so long, s: wake-ups may get lost, and leases end
LOOK_S = 5.0
#: so many subscriptions look at any news; of more, those whose group has something due
FEW = 4


class Listener:
    """Waits for news of the store in a thread, and tells the subscriptions.

    Parameters
    ----------
    subscriptions
        Those of the process, as they come and go.
    """

    def __init__(
        self, messages: MessageStore, calls: Calls, subscriptions: Collection[Subscription]
    ) -> None:
        self._messages = messages
        self._calls = calls
        self._subscriptions = subscriptions
        self._news: News | None = None
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()
        self._has_news = False
        self._looking: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start the thread, once."""
        if self._news is None:
            self._news = self._messages.listen()
            soon = asyncio.get_running_loop().call_soon_threadsafe
            self._thread = threading.Thread(
                target=self._wait_for_news,
                args=(self._news, soon),
                name="fieldlab-bus",
                daemon=True,
            )
            self._thread.start()

    async def close(self) -> None:
        """End the thread."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait([self._looking])
        if self._news is not None:
            self._closing.set()
            await asyncio.to_thread(self._news.close)
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    def _wait_for_news(self, news: News, soon: Callable[[Callable[[], None]], object]) -> None:
        with suppress(RuntimeError):  # the loop has ended without closing the bus
            told = time.monotonic()
            while not self._closing.is_set():
                if news.wait(LISTEN_S) or time.monotonic() - told > LOOK_S:
                    told = time.monotonic()
                    soon(self._tell)

    def _tell(self) -> None:
        if len(self._subscriptions) <= FEW:
            for each in self._subscriptions:
                each.look()
        elif not self._closing.is_set():
            self._has_news = True
            if self._looking is None or self._looking.done():
                self._looking = asyncio.create_task(self._look())

    async def _look(self) -> None:
        """Let those look that will find something: one question for all of them."""
        while self._has_news:
            self._has_news = False
            with suppress(FieldlabError):  # each looks by itself after a while
                groups = await self._calls.call(partial(self._messages.due, LOOK_S))
                for each in self._subscriptions:
                    if each.group in groups:
                        each.look()
