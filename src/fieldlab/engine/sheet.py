"""The status spreadsheet: one CSV per campaign, a row for each attempt in the order of their ends.

Row *n* is the attempt with sequence number *n*. So whatever happened to the file (a kill in the
middle of a line, several engines, an older copy), reading how many whole rows it has tells what is
missing, and appending that makes it true again. A file of another database is written anew.
"""

from __future__ import annotations

import csv
import errno
import fcntl
import io
import itertools
import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from fieldlab.domain.ids import trial_name
from fieldlab.ports.store import EndedAttempt

#: AutoPerf's columns
COLUMNS = (
    "start_timestamp",
    "end_timestamp",
    "test_name",
    "pings_count",
    "ssh_check_count",
    "end_status",
    "attempt_number",
)
#: it follows the database at least so often while a campaign runs, s
FOLLOW_S = 1.0
#: how long one that another engine is writing is waited for, s
LOCK_S = 2.0
_HEADER = (",".join(COLUMNS) + "\r\n").encode()

#: ended attempts after a sequence number
Source = Callable[[int], Iterable[EndedAttempt]]


class StatusSheet:
    """Keeps one file equal to the attempts that the database says have ended.

    Parameters
    ----------
    tell
        Told, in words, that the file can't be written at the moment.
    """

    def __init__(
        self, path: Path, ended_after: Source, tell: Callable[[str], None] = lambda _: None
    ) -> None:
        self.path = path
        self._ended_after = ended_after
        self._tell = tell
        self._synced_at = -FOLLOW_S
        #: size in bytes and rows at that size, to save reading what this process wrote itself
        self._known = (0, 0)

    def follow(self) -> None:
        """Bring the file up if that was not done a moment ago."""
        if time.monotonic() - self._synced_at > FOLLOW_S:
            self.sync_or_tell()

    def sync_or_tell(self) -> None:
        """Bring the file up; one that can't be written is told, and made good by a later call."""
        try:
            self.sync()
        except OSError as error:
            self._tell(f"The status spreadsheet {self.path} can't be written: {error}")
        self._synced_at = time.monotonic()

    def sync(self) -> int:
        """Bring the file up to the database.

        Returns
        -------
        int
            Rows in the file.

        Raises
        ------
        OSError
            The file can't be written; the next call makes it whole.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a+b", buffering=0) as file:
            _lock(file)
            rows = self._whole_rows(file)
            for block in _blocks(self._ended_after(rows)):
                if file.write(block[1]) != len(block[1]):
                    raise OSError(errno.ENOSPC, "No space is left for it")
                rows += block[0]
                self._known = (file.tell(), rows)
            return rows

    def _whole_rows(self, file: BinaryIO) -> int:
        """Count the rows, cutting off what isn't whole; a file without the header starts anew."""
        size, rows = self._known
        if size and os.fstat(file.fileno()).st_size == size:
            return rows
        file.seek(0)
        if file.read(len(_HEADER)) != _HEADER:
            return self._start_anew(file)
        rows, end = 0, len(_HEADER)
        position = end
        while part := file.read(1 << 20):
            rows += part.count(b"\n")
            last = part.rfind(b"\n")
            if last >= 0:
                end = position + last + 1
            position += len(part)
        file.truncate(end)
        if rows and not self._ends_with(file, end, rows):
            return self._start_anew(file)
        file.seek(0, os.SEEK_END)
        self._known = (end, rows)
        return rows

    def _ends_with(self, file: BinaryIO, end: int, row: int) -> bool:
        """Say whether the last row is this one; it isn't if the file is of another database."""
        for _, block in _blocks(itertools.islice(self._ended_after(row - 1), 1)):
            file.seek(max(end - len(block), 0))
            return file.read() == block
        return False

    def _start_anew(self, file: BinaryIO) -> int:
        file.truncate(0)
        file.write(_HEADER)
        self._known = (len(_HEADER), 0)
        return 0


@retry(
    retry=retry_if_exception_type(BlockingIOError),
    stop=stop_after_delay(LOCK_S),
    wait=wait_fixed(0.02),
    reraise=True,
)
def _lock(file: BinaryIO) -> None:
    """Keep other engines out; one that is suspended while it writes isn't waited for long."""
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _blocks(attempts: Iterable[EndedAttempt]) -> Iterator[tuple[int, bytes]]:
    """Write attempts as CSV, a thousand at a time."""
    text, rows = io.StringIO(), 0
    writer = csv.writer(text)
    for attempt in attempts:
        writer.writerow(_row(attempt))
        rows += 1
        if rows == 1000:
            yield rows, text.getvalue().encode(errors="backslashreplace")
            text, rows = io.StringIO(), 0
            writer = csv.writer(text)
    if rows:
        yield rows, text.getvalue().encode(errors="backslashreplace")


def _row(attempt: EndedAttempt) -> tuple[object, ...]:
    return (
        attempt.started_at,
        attempt.ended_at,
        trial_name(attempt.parameters, attempt.repeat),
        attempt.pings,
        attempt.ssh_checks,
        " ".join(attempt.status.split()),
        attempt.number,
    )
