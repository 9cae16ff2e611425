"""The thread in which something long runs, and how its caller's thread is interrupted."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import CancelledError, Future
from typing import Any, Generic, Protocol, TypeVar

T = TypeVar("T")

#: a signal that the system gave to another thread is noticed after so long, s
NOTICE_S = 0.5


class Stoppable(Protocol):
    """What runs: an engine, or actors."""

    def drain(self) -> None:
        """Finish what is under way, and begin nothing else."""
        ...

    def stop(self) -> None:
        """End at once."""
        ...


class RunThread(Generic[T]):
    """A thread with an event loop of its own, in which an engine or actors run.

    So it doesn't matter whether its caller is a script, a notebook, whose thread has an event loop
    that runs already, or any other thread.

    Parameters
    ----------
    work
        Makes what is to run, says so by :meth:`attach`, and runs it.
    tell
        Told, in words, what an interruption does.
    unit
        What is waited for after the first one, in the plural.
    """

    def __init__(
        self,
        work: Callable[[RunThread[T]], Coroutine[Any, Any, T]],
        tell: Callable[[str], None],
        unit: str = "trials",
    ) -> None:
        self._tell = tell
        self._unit = unit
        self._outcome: Future[T] = Future()
        self._attached: Stoppable | None = None
        self._begun = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[Any] | None = None
        #: how often it was interrupted
        self.interruptions = 0
        # a daemon: a program that ends with an engine at work leaves it to the next one
        self._thread = threading.Thread(
            target=self._main, args=(work,), name="fieldlab-engine", daemon=True
        )
        self._thread.start()
        self._begun.wait()

    def _main(self, work: Callable[[RunThread[T]], Coroutine[Any, Any, T]]) -> None:
        thresholds = gc.get_threshold()
        gc.set_threshold(100_000, 50, 50)  # records come by the thousand, and none is cyclic
        try:
            self._outcome.set_result(asyncio.run(self._run(work)))
        except BaseException as error:  # noqa: BLE001 - it is raised where somebody waits
            self._outcome.set_exception(error)
        finally:
            gc.set_threshold(*thresholds)
            self._begun.set()

    async def _run(self, work: Callable[[RunThread[T]], Coroutine[Any, Any, T]]) -> T:
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._begun.set()
        return await work(self)

    def attach(self, run: Stoppable, for_s: float | None = None) -> None:
        """Say what is to be drained and stopped; until then an interruption ends it all.

        What was to be drained before is drained now.

        Parameters
        ----------
        for_s
            It is drained after so long, if it still runs; s.
        """
        self._attached = run
        if self.interruptions:
            run.drain()
        if for_s is not None:
            asyncio.get_running_loop().call_later(for_s, run.drain)

    def interrupt(self) -> None:
        """Let what is under way end and nothing else begin; the second time, end it.

        It may be called from any thread and from a signal handler.
        """
        self._call(self._interrupted)

    def drain(self) -> None:
        """As :meth:`interrupt`, but what hasn't begun yet begins, and is drained then."""
        self._call(lambda: self._interrupted(patient=True))

    def _call(self, function: Callable[[], None]) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # its loop has been closed: it is over
                self._loop.call_soon_threadsafe(function)

    def _interrupted(self, *, patient: bool = False) -> None:
        self.interruptions += 1
        if self._attached is None:
            assert self._task is not None
            if not patient:
                self._task.cancel()
        elif self.interruptions == 1:
            self._tell(f"Waiting for the running {self._unit} to end; once more stops them")
            self._attached.drain()
        else:
            self._attached.stop()

    @property
    def is_alive(self) -> bool:
        """Whether it still runs."""
        return self._thread.is_alive()

    def wait(self) -> T:
        """Wait for the end; in the main thread, SIGINT and SIGTERM interrupt it meanwhile.

        Raises
        ------
        KeyboardInterrupt
            It was interrupted before there was anything to drain.
        """
        with _signals(self.interrupt):
            while self._thread.is_alive():
                self._thread.join(NOTICE_S)
        try:
            return self._outcome.result()
        except (CancelledError, asyncio.CancelledError):
            raise KeyboardInterrupt from None


def in_own_loop(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine to its end, also where an event loop runs already."""

    async def alone(_: RunThread[T]) -> T:
        return await work()

    return RunThread(alone, lambda _: None).wait()


@contextlib.contextmanager
def _signals(call: Callable[[], None]) -> Iterator[None]:
    """Let SIGINT and SIGTERM make a call, where this is the thread that gets them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda *_: call()) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
