"""What a worker tells its engine: gathered while trials are short, never kept back for long."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Sequence

from fieldlab.execution.channel import Channel, Message
from fieldlab.ports.executor import Shape

#: records that are ready are sent when so much time has passed since the last time, s
FLUSH_S = 0.05
#: a trial that takes longer doesn't hold up the records of those before it, s
LATE_S = 0.25


class Outbox:
    """Sends the records of one batch after the other.

    A thread of its own sends what is ready while a long trial runs; so the engine learns of a trial
    that has ended before the next one has.
    """

    def __init__(self, engine: Channel, parameters: Sequence[str]) -> None:
        self._engine = engine
        self._parameters = parameters
        self._turn = threading.Lock()
        self._batch = 0
        self._shapes: Sequence[Shape] = ()
        self._records: list[str] = []
        self._excluded = 0
        self._flushed = time.monotonic()
        threading.Thread(target=self._flush_late, daemon=True).start()

    def open(self, batch: int, shapes: Sequence[Shape]) -> None:
        """Begin a batch; ``shapes`` grows with its records."""
        self._batch, self._shapes = batch, shapes
        self._flushed = time.monotonic()

    def add(self, record: str) -> None:
        """Take a record, written as JSON."""
        with self._turn:
            self._records.append(record)
            if time.monotonic() - self._flushed > FLUSH_S:
                self._flush()

    def exclude(self) -> None:
        """Count a position that the space excludes."""
        with self._turn:
            self._excluded += 1

    def close(self, message: Message) -> None:
        """Send what is left of the batch, and then a message that ends it."""
        with self._turn:
            self._flush()
            self._engine.send(message)

    def _flush_late(self) -> None:
        with contextlib.suppress(OSError):  # the engine is gone: the main thread will notice
            while True:
                time.sleep(LATE_S)
                with self._turn:
                    if time.monotonic() - self._flushed > LATE_S:
                        self._flush()

    def _flush(self) -> None:
        self._flushed = time.monotonic()
        if not self._records and not self._excluded:
            return
        head = {
            "outcomes": self._batch,
            "shapes": list(self._shapes),
            "parameters": self._parameters,
            "excluded": self._excluded,
        }
        records, self._records, self._excluded = self._records, [], 0
        self._engine.send_text(json.dumps(head)[:-1] + ',"records":[' + ",".join(records) + "]}")
